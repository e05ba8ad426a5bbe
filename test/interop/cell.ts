/**
 * One cell of the matrix: a server process, a client process, between them for `retry` a forwarder that watches the wire.
 * Every cell is a run: a result is never assumed, and no process outlives its cell.
 */

import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { openForwarder } from "./forwarder.js";
import { ownCommand, type Peer } from "./peers.js";
import { describe, type InteropCase, type ProgramOptions } from "./protocol.js";

/** Bound of one cell from the first process to the last, milliseconds. */
const CELL_LIMIT_MILLIS = 60_000;
const LISTEN_LIMIT_MILLIS = 20_000;
const STDERR_KEPT_BYTES = 2_000;
/** Size of what moves where the case is not about moving bytes. */
const SMALL_BYTES = 1_000;

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
    const detail = await Promise.race([work, run.limit(CELL_LIMIT_MILLIS, "the cell")]);
    return cell("pass", detail);
  } catch (error) {
    return cell("fail", `${describe(error)}${run.notes()}`);
  } finally {
    run.end();
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
    const common = {
      host: "127.0.0.1",
      alpn: peer.alpn,
      case: interopCase,
      bytes: interopCase === "transfer" ? bytes : SMALL_BYTES,
      ...files,
      retry: interopCase === "retry",
    };
    const serverOptions: ProgramOptions = { ...common, role: "server", port: 0 };
    const server = this.start("server", role === "server" ? peer.command(serverOptions) : ownCommand(serverOptions));
    const listening = server.line<{ listening: number }>("listening");
    let { listening: port } = await Promise.race([listening, this.limit(LISTEN_LIMIT_MILLIS, "listening")]);

    const forwarder = interopCase === "retry" ? await openForwarder(common.host, port) : null;
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
    const { alpn } = (await Promise.race([accepted, this.limit(5_000, "the server's side of the handshake")])).accepted;
    if (alpn !== peer.alpn) throw new Error(`the server negotiated ALPN "${alpn}", not "${peer.alpn}"`);
    if (forwarder === null) return outcome.detail;

    const { retries, initialsWithToken } = forwarder.counts;
    if (retries === 0) throw new Error("no Retry packet was sent");
    if (initialsWithToken === 0) throw new Error("no Initial packet carried a token");
    return `${retries} Retry, ${initialsWithToken} Initial with token; ${outcome.detail}`;
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
