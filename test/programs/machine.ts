/** Where a real program runs for a test: a folder of its own that goes again, and processes that are ended by their pid. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { testCa, testLeaf } from "../api/support.js";
import { untilWithin } from "../support/wait.js";

const QUIC = fileURLToPath(new URL("../../dist/cli/quic.js", import.meta.url));
const LIMIT_MILLIS = 30_000;
/** Daemons live beside, and not in the path of users who are not root. */
const PATHS = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/sbin", "/usr/local/sbin"];

export interface Running {
  child: ChildProcess;
  /** stdout and stderr so far. */
  output(): string;
}

export interface Ended {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

/** The path of a program, which is in that Debian package; fails with its name when it is absent. */
export function program(name: string, debianPackage: string): string {
  const found = find(name);
  if (found !== null) return found;
  if (process.env["NETQUIC_INSTALL"] === "1") {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const args = ["install", "-y", "--no-install-recommends", debianPackage];
    spawnSync("apt-get", args, { env, stdio: ["ignore", "ignore", "inherit"] });
    const installed = find(name);
    if (installed !== null) return installed;
  }
  assert.fail(`${name} is absent: apt-get install ${debianPackage}, or npm run test:programs -- --install`);
}

function find(name: string): string | null {
  for (const folder of PATHS) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not there
    }
  }
  return null;
}

export class Machine {
  readonly dir = mkdtempSync(join(tmpdir(), "netquic-program-"));
  private readonly running: Running[] = [];

  constructor() {
    machines.add(this);
  }

  path(...names: string[]): string {
    return join(this.dir, ...names);
  }

  folder(name: string): string {
    mkdirSync(this.path(name), { recursive: true });
    return this.path(name);
  }

  file(name: string, content: string | Uint8Array, mode = 0o600): string {
    writeFileSync(this.path(name), content, { mode });
    return this.path(name);
  }

  /** Starts a program that stays; in a process group of its own, because there are those that end their whole group. */
  start(path: string, args: readonly string[], env: Record<string, string> = {}): Running {
    const child = spawn(path, args, {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      cwd: this.dir,
      env: { ...process.env, ...env },
    });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    const running = { child, output: () => output };
    this.running.push(running);
    return running;
  }

  /** `quic ARGS...`, which stays; resolves when its output matches. */
  async quic(args: readonly string[], ready: RegExp): Promise<Running & { match: RegExpExecArray }> {
    const running = this.start(process.execPath, [QUIC, ...args]);
    return { ...running, match: await this.said(running, ready) };
  }

  /** Resolves when the output of `running` matches; fails when it ends before. */
  async said({ child, output }: Running, what: RegExp): Promise<RegExpExecArray> {
    return await until(() => {
      const match = what.exec(output());
      if (match === null && child.exitCode !== null) assert.fail(`it ended: ${output()}`);
      return match;
    });
  }

  /** Runs a program to its end, with `input` on stdin. */
  async run(path: string, args: readonly string[], input: Uint8Array | string = ""): Promise<Ended> {
    const child = spawn(path, args, { stdio: ["pipe", "pipe", "pipe"], cwd: this.dir, timeout: LIMIT_MILLIS });
    const chunks: Buffer[] = [];
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on("data", (chunk) => (stderr += chunk));
    child.stdin.on("error", () => {}); // it may end before it has read all
    child.stdin.end(input);
    const [code] = (await once(child, "close")) as [number | null];
    return { code, stdout: Buffer.concat(chunks), stderr };
  }

  /** As `run`; fails with what it said when its exit code is not 0. */
  async ok(path: string, args: readonly string[], input: Uint8Array | string = ""): Promise<Buffer> {
    const { code, stdout, stderr } = await this.run(path, args, input);
    assert.equal(code, 0, `${path} ${args.join(" ")}: ${stderr}${stdout}`);
    return stdout;
  }

  /** A certificate authority's certificate and one for localhost, PEM files. */
  certificates(): { ca: string; cert: string; key: string } {
    const { cert, key } = testLeaf();
    return {
      ca: this.file("ca.pem", testCa().cert),
      cert: this.file("cert.pem", cert),
      key: this.file("key.pem", key),
    };
  }

  /** `quic tunnel` of both sides: what `client` accepts on `port` leaves `server` for the TCP port `target`. */
  async tunnel(alpn: string, target: number): Promise<{ server: Running; client: Running; port: string }> {
    const { ca, cert, key } = this.certificates();
    const own = ["--cert", cert, "--key", key, "--alpn", alpn];
    const server = await this.quic(
      ["tunnel", "--listen", "127.0.0.1:0", ...own, "--to", `tcp://127.0.0.1:${target}`],
      /listening on 127\.0\.0\.1:(\d+)/,
    );
    const there = ["--connect", `localhost:${server.match[1]}`, "--ca", ca, "--alpn", alpn];
    const client = await this.quic(
      ["tunnel", ...there, "--local", "tcp://127.0.0.1:0"],
      /accepting tcp on 127\.0\.0\.1:(\d+)[^]*connected/,
    );
    return { server, client, port: client.match[1] as string };
  }

  /** Ends what was started, at once: this process ends. */
  abandon(): void {
    for (const { child } of this.running) child.kill("SIGKILL");
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Ends what was started, politely first, and removes the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child } of this.running.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, "exit"); // its own children may hold the pipes longer
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 3000);
      await exited;
      clearTimeout(timer);
    }
    for (const { child } of this.running) for (const pipe of child.stdio) pipe?.destroy();
    machines.delete(this);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const machines = new Set<Machine>();
process.once("exit", () => machines.forEach((machine) => machine.abandon()));
for (const [signal, number] of Object.entries({ SIGINT: 2, SIGTERM: 15, SIGHUP: 1 })) {
  process.once(signal, () => process.exit(128 + number));
}

/** A test with a machine of its own. */
export function withMachine(run: (machine: Machine) => Promise<void>): () => Promise<void> {
  return async () => {
    await using machine = new Machine();
    await run(machine);
  };
}

/** Waits until `look` finds something. */
export const until = untilWithin(LIMIT_MILLIS);

/** Resolves when `running` accepts connections there; fails with what it said when it ends before. */
export async function untilAccepting({ child, output }: Running, port: number): Promise<void> {
  for (const end = performance.now() + LIMIT_MILLIS; performance.now() < end; await sleep(50)) {
    if (child.exitCode !== null) break;
    const socket = connect(port, "127.0.0.1");
    const accepted = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    socket.destroy();
    if (accepted) return;
  }
  throw new Error(`nobody accepts on port ${port}: ${output()}`);
}
