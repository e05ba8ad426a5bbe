/**
 * A program of a benchmark in a process of its own, on a core of its own where the machine has two. It gets its job as one
 * JSON object, the last argument; it tells its results as lines of JSON on stdout, answers questions that come as lines on
 * stdin, and ends when stdin does, so that none outlives the benchmark. Any runtime can do that, not Node alone.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { pinned } from "./cores.js";

/** The first and the second core that this process may use. */
export const SERVER_CORE = 0;
export const CLIENT_CORE = 1;

/** A program of this folder, run by the Node that runs this one: `own("bulk-tcp.js", "tls")`. */
export function own(file: string, ...words: string[]): string[] {
  return [process.execPath, fileURLToPath(new URL(file, import.meta.url)), ...words];
}

export class Child {
  private readonly process: ChildProcess;
  private readonly messages: unknown[] = [];
  private waiting: { resolve(message: unknown): void; reject(error: Error): void } | null = null;
  private failure: Error | null = null;

  constructor(command: readonly string[], job: object, core: number) {
    const [program = "", ...args] = pinned(command, core);
    this.process = spawn(program, [...args, JSON.stringify(job)], { stdio: ["pipe", "pipe", "inherit"] });
    const name = command.find((word) => /\.m?js$/.test(word))?.replace(/^.*\//, "") ?? program;
    this.process.once("error", (error) => this.fail(error));
    this.process.once("exit", (code, signal) => this.fail(new Error(`${name} ended with ${signal ?? code}`)));
    this.process.stdin?.on("error", () => {}); // the program is gone: `exit` says so
    createInterface({ input: this.process.stdout as NonNullable<ChildProcess["stdout"]> }).on("line", (line) => {
      this.messages.push(JSON.parse(line));
      this.settle();
    });
  }

  /** The next message of the program; rejects when it ends before. One at a time. */
  message<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve: (message) => resolve(message as T), reject };
      this.settle();
    });
  }

  /** What the program answers (see `ownJob`). */
  ask<T>(question: string, argument: unknown = null): Promise<T> {
    this.process.stdin?.write(`${JSON.stringify({ question, argument })}\n`);
    return this.message<T>();
  }

  stop(): void {
    this.process.kill();
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.settle();
  }

  private settle(): void {
    const { waiting } = this;
    if (waiting === null || (this.messages.length === 0 && this.failure === null)) return;
    this.waiting = null;
    if (this.messages.length > 0) waiting.resolve(this.messages.shift());
    else if (this.failure !== null) waiting.reject(this.failure);
  }
}

/** Runs `work` with a server and then a client, and ends both. The server's first message reaches the client as `server`. */
export async function withPair<T>(
  command: readonly string[],
  job: object,
  work: (server: Child, client: Child) => Promise<T>,
): Promise<T> {
  const server = new Child(command, { ...job, role: "server" }, SERVER_CORE);
  let client: Child | null = null;
  try {
    const where = await server.message<unknown>();
    client = new Child(command, { ...job, role: "client", server: where }, CLIENT_CORE);
    return await work(server, client);
  } finally {
    client?.stop();
    server.stop();
  }
}

/** Of a program: its job. `answers` are its replies to `Child.ask`, by question. */
export function ownJob<J>(answers: Record<string, (argument: unknown) => unknown> = {}): J {
  process.once("uncaughtException", (error: Error & { code?: string }) => {
    // errors with a code are for people, who did something wrong; the others are ours, and want their stack
    console.error(error.code?.startsWith("ERR_") === true ? error.message : error);
    process.exit(1);
  });
  const lines = createInterface({ input: process.stdin });
  lines.on("close", () => process.exit(0));
  lines.on("line", async (line) => {
    const { question, argument } = JSON.parse(line) as { question: string; argument: unknown };
    tell((await answers[question]?.(argument)) ?? null);
  });
  return JSON.parse(process.argv.at(-1) ?? "null") as J;
}

/** Of a program: one message to the benchmark. */
export function tell(message: unknown): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
