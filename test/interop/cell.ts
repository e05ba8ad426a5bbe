/**
 * One cell of the matrix: a server process, a client process, between them for some cases a forwarder that watches the wire
 * and impairs it.
 * Every cell is a run: a result is never assumed, and no process outlives its cell.
 */

import { spawn, type ChildProcess } from "node:child_process";
import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { CASE_SETUPS, type CaseSetup, type InteropCase, type SessionFacts } from "./cases.js";
import { type Forwarder, openForwarder, type WireLog } from "./forwarder.js";
import { ownCommand, type Peer } from "./peers.js";
import { describe, type ProgramOptions } from "./protocol.js";

const LISTEN_LIMIT_MILLIS = 60_000;
/** What our own side has to say when the other one is done. */
const SAY_LIMIT_MILLIS = 30_000;
const FACT_TRIES = 1500;
const FACT_PAUSE_MILLIS = 20;
const NEVER = /(?!)/;
/** What is said when a server, by its own packets or limits, does not do what the case is about: its answer, not a fault. */
const REFUSALS: Partial<Record<InteropCase, RegExp>> = {
  v2: /ERR_QUIC_VERSION_NEGOTIATION/,
  migration: /ERR_NETQUIC_MIGRATION_REFUSED/,
};
/** bun's server ends every handshake after ten seconds; at 30 % some take longer. Of others that would be a fault. */
const SLOW_HANDSHAKE = /Session was destroyed before it opened/;
const SLOW_CASES: readonly InteropCase[] = ["handshakeloss", "handshakecorruption"];
const STDERR_KEPT_BYTES = 2_000;
/** A server may send three times what it received before the client's address is valid (RFC 9000 §8.1). */
const AMPLIFICATION_LIMIT = 3;

export type CellResult = "pass" | "fail" | "unsupported" | "absent";

export interface Cell {
  peer: string;
  /** Role of the peer. */
  role: "client" | "server";
  case: InteropCase;
  result: CellResult;
  detail: string;
  millis: number;
}

export interface CellFiles {
  cert: string;
  key: string;
  ca: string;
  /** As `cert`, with a chain that does not fit in three datagrams. */
  largeCert: string;
  largeKey: string;
}

export async function runCell(
  peer: Peer,
  role: "client" | "server",
  interopCase: InteropCase,
  bytes: number,
  files: CellFiles,
): Promise<Cell> {
  const started = performance.now();
  const cell = (result: CellResult, detail: string): Cell => {
    return {
      peer: peer.name,
      role,
      case: interopCase,
      result,
      detail,
      millis: Math.round(performance.now() - started),
    };
  };
  const gap = peer.lacks(role, interopCase);
  if (gap !== "") return cell("unsupported", gap);
  const run = new CellRun();
  try {
    const work = run.execute(peer, role, interopCase, bytes, files);
    const detail = await Promise.race([work, run.limit(CASE_SETUPS[interopCase].limitMillis, "the cell")]);
    return cell("pass", detail);
  } catch (error) {
    const said = `${describe(error)}${run.notes()}`;
    return cell(isRefusal(peer, role, interopCase, said) ? "unsupported" : "fail", said);
  } finally {
    run.end();
  }
}

/** Whether `said` is a foreign server's answer that it does not do such things. */
function isRefusal(peer: Peer, role: Cell["role"], interopCase: InteropCase, said: string): boolean {
  if (role !== "server" || peer.name === "netquic") return false;
  const tooSlow = peer.name === "lsquic" && SLOW_CASES.includes(interopCase) && SLOW_HANDSHAKE.test(said);
  return tooSlow || (REFUSALS[interopCase] ?? NEVER).test(said);
}

function commonOptions(peer: Peer, interopCase: InteropCase, bytes: number, files: CellFiles) {
  const setup = CASE_SETUPS[interopCase];
  return {
    host: setup.host,
    alpn: peer.alpn,
    case: interopCase,
    bytes: setup.bytes ?? bytes,
    bothWays: setup.bothWays,
    streams: setup.streams,
    connections: setup.connections,
    ciphers: setup.ciphers,
    versions: setup.versions,
    migrates: setup.migrates,
    keyUpdate: setup.keyUpdate,
    patienceMillis: setup.patienceMillis,
    cert: setup.largeChain ? files.largeCert : files.cert,
    key: setup.largeChain ? files.largeKey : files.key,
    ca: files.ca,
    retry: interopCase === "retry",
  };
}

/** NETQUIC_WIRE names a file that gets a line for each datagram at the forwarder. */
function wireLog(): WireLog | null {
  const file = process.env.NETQUIC_WIRE;
  return file === undefined ? null : (line) => appendFileSync(file, `${line}\n`);
}

/** What the forwarder saw, which must be what the case is about. */
function witness(setup: CaseSetup, forwarder: Forwarder, role: "client" | "server"): string {
  const { retries, initialsWithToken, amplification, rebindings, bytesToRebound } = forwarder.counts;
  const { loss, blackout } = forwarder.dropped();
  const need = (count: number, what: string): string => {
    if (count === 0) throw new Error(`the wire shows no ${what}`);
    return `${count} ${what}; `;
  };
  switch (setup.witness) {
    case "retry":
      return need(retries, "Retry packet") + need(initialsWithToken, "Initial packet with a token");
    case "amplification":
      if (role === "client" && amplification > AMPLIFICATION_LIMIT) {
        throw new Error(`our server sent ${amplification.toFixed(3)} times what it received`);
      }
      return `server sent at most ${amplification.toFixed(2)} times what it had received; `;
    case "loss":
      return need(loss, "lost datagrams");
    case "damage":
      return need(forwarder.damaged(), "damaged datagrams");
    case "rebinding":
      return need(rebindings, "rebindings") + need(bytesToRebound, "bytes to where the client was moved");
    case "blackout":
      return need(blackout, "datagrams in the silence");
    case null:
      return "";
  }
}

/** The processes of one cell and what they said. */
class CellRun {
  private readonly processes: Program[] = [];
  private readonly timers: NodeJS.Timeout[] = [];
  private readonly onEnd: (() => void)[] = [];

  async execute(
    peer: Peer,
    role: "client" | "server",
    interopCase: InteropCase,
    bytes: number,
    files: CellFiles,
  ): Promise<string> {
    const setup = CASE_SETUPS[interopCase];
    const common = commonOptions(peer, interopCase, bytes, files);
    // A server of ours takes version 2 from who offers it, and leaves version 1 to others: the fact tells.
    const versions = common.versions.length > 0 ? [...common.versions, 1] : [];
    const serverOptions: ProgramOptions = { ...common, versions, role: "server", port: 0 };
    const server = this.start("server", role === "server" ? peer.command(serverOptions) : ownCommand(serverOptions));
    const listening = server.line<{ listening: number }>("listening");
    let { listening: port } = await Promise.race([listening, this.limit(LISTEN_LIMIT_MILLIS, "listening")]);

    const { path, rebind } = setup;
    const needsForwarder = path !== null || rebind !== null;
    const forwarder = needsForwarder ? await openForwarder(common.host, port, { path, rebind, log: wireLog() }) : null;
    if (forwarder !== null) {
      this.onEnd.push(() => forwarder.close());
      port = forwarder.port;
    }
    const accepted = server.line<{ accepted: { alpn: string } }>("accepted");
    accepted.catch(() => {}); // awaited only after the client is done
    const clientOptions: ProgramOptions = { ...common, role: "client", port };
    const client = this.start("client", role === "client" ? peer.command(clientOptions) : ownCommand(clientOptions));
    const outcome = await client.line<{ ok: boolean; detail: string }>("ok");
    if (!outcome.ok) throw new Error(outcome.detail);
    const { alpn } = (
      await Promise.race([accepted, this.limit(SAY_LIMIT_MILLIS, "the server's side of the handshake")])
    ).accepted;
    if (alpn !== peer.alpn) throw new Error(`the server negotiated ALPN "${alpn}", not "${peer.alpn}"`);
    if (setup.keyUpdate && role === "client") {
      const updated = server.line<{ updated: number }>("updated");
      await Promise.race([updated, this.limit(SAY_LIMIT_MILLIS, "the update")]);
    }
    const { fact } = setup;
    if (fact !== null) {
      await this.fact(role === "client" ? server : client, (facts) => fact(facts, role === "client"));
    }
    return forwarder === null ? outcome.detail : `${witness(setup, forwarder, role)}${outcome.detail}`;
  }

  /** Waits until our own program says what the case is about. */
  private async fact(own: Program, holds: (facts: SessionFacts) => boolean): Promise<void> {
    for (let tries = 0; tries < FACT_TRIES; tries++) {
      if (own.all<{ facts: SessionFacts }>("facts").some(({ facts }) => holds(facts))) return;
      await new Promise((resolve) => setTimeout(resolve, FACT_PAUSE_MILLIS));
    }
    const [facts] = own.all("facts").slice(-1);
    throw new Error(`the bytes moved, but our side saw ${JSON.stringify(facts ?? null)}`);
  }

  /** Rejects after `millis`, unless the cell ends before. */
  limit(millis: number, what: string): Promise<never> {
    return new Promise((_, reject) => {
      this.timers.push(setTimeout(() => reject(new Error(`${what} took more than ${millis / 1000} s`)), millis));
    });
  }

  /** What the processes complained about, for the detail of a failed cell. */
  notes(): string {
    return this.processes
      .map((program) => program.notes())
      .filter((note) => note !== "")
      .map((note) => ` | ${note}`)
      .join("");
  }

  end(): void {
    for (const timer of this.timers) clearTimeout(timer);
    for (const program of this.processes) program.kill();
    for (const close of this.onEnd) close();
  }

  private start(name: string, command: { program: string; args: string[] }): Program {
    const program = new Program(name, command);
    this.processes.push(program);
    return program;
  }
}

/** One child process that talks in lines of JSON. */
class Program {
  private readonly child: ChildProcess;
  private readonly lines: Record<string, unknown>[] = [];
  private readonly waiting: { key: string; resolve: (line: never) => void; reject: (error: Error) => void }[] = [];
  private stderr = "";
  private ended = "";

  constructor(
    private readonly name: string,
    command: { program: string; args: string[] },
  ) {
    this.child = spawn(command.program, command.args, { stdio: ["pipe", "pipe", "pipe"], detached: true });
    this.child.stdin?.on("error", () => {});
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr = (this.stderr + text).slice(-STDERR_KEPT_BYTES);
    });
    if (this.child.stdout !== null) createInterface(this.child.stdout).on("line", (line) => this.onLine(line));
    this.child.on("error", (error) => this.onEnd(error.message));
    this.child.on("close", (code, signal) => this.onEnd(`ended with ${signal ?? code}`));
  }

  /** The first line that has this key. */
  line<T>(key: string): Promise<T> {
    const found = this.lines.find((line) => key in line);
    if (found !== undefined) return Promise.resolve(found as T);
    if (this.ended !== "") return Promise.reject(new Error(`the ${this.name} ${this.ended}`));
    return new Promise<T>((resolve, reject) => this.waiting.push({ key, resolve, reject }));
  }

  /** All lines so far that have this key. */
  all<T>(key: string): T[] {
    return this.lines.filter((line) => key in line) as T[];
  }

  notes(): string {
    const said = this.lines
      .filter((line) => "failed" in line || "closed" in line)
      .map((line) => JSON.stringify(line))
      .concat(this.stderr.trim().split("\n").filter(isTelling).slice(-4));
    return said.length === 0 ? "" : `${this.name}: ${said.join(" / ").slice(0, 600)}`;
  }

  /** Ends the process and what it started. */
  kill(): void {
    if (this.child.pid === undefined || this.ended !== "") return;
    try {
      process.kill(-this.child.pid, "SIGKILL");
    } catch {
      // It ended in between.
    }
  }

  private onLine(text: string): void {
    let line: Record<string, unknown>;
    try {
      line = JSON.parse(text) as Record<string, unknown>;
    } catch {
      return; // a peer's own chatter
    }
    this.lines.push(line);
    for (const wanted of this.waiting.filter(({ key }) => key in line)) wanted.resolve(line as never);
  }

  private onEnd(how: string): void {
    this.ended ||= how;
    for (const { reject } of this.waiting) reject(new Error(`the ${this.name} ${how}`));
  }
}

/** Lines of stderr that say something: not the notices that peers print in every run. */
function isTelling(line: string): boolean {
  return line !== "" && !/ExperimentalWarning|trace-warnings|^INFO:|^DEBUG:/.test(line);
}
