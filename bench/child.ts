/** A program of a benchmark in a process of its own, on a core of its own where the machine has two. */

import { type ChildProcess, fork } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";

const TASKSET = "/usr/bin/taskset";
export const SERVER_CORE = 0;
export const CLIENT_CORE = 1;

/** What every program is told: its role, and where the server listens. */
export interface Job {
  role: "server" | "client";
  /** `down`: the server sends. */
  dir: "down" | "up";
  streams: number;
  /** All streams together. */
  bytes: number;
  /** UDP payload; TCP programs ignore it. */
  datagramBytes: number;
  /** For the client: from the server's first message. */
  server?: unknown;
}

export class Child {
  private readonly process: ChildProcess;
  private readonly failed: Promise<never>;

  /** `program`: a file of this folder, and a word that it is started with: `bulk-tcp.js tls`. */
  constructor(program: string, job: Job, core: number) {
    const [name = "", word = ""] = program.split(" ");
    const file = fileURLToPath(new URL(name, import.meta.url));
    const pinned = availableParallelism() >= 2 && existsSync(TASKSET);
    this.process = fork(file, [JSON.stringify(job), word], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      ...(pinned ? { execPath: TASKSET, execArgv: ["-c", String(core), process.execPath] } : {}),
    });
    this.failed = new Promise((_, reject) => {
      this.process.once("exit", (code, signal) =>
        reject(new Error(`${program} ${job.role} ended with ${signal ?? code}`)),
      );
    });
    this.failed.catch(() => {});
  }

  /** The next message of the program; rejects when it ends before. */
  message<T>(): Promise<T> {
    return Promise.race([
      new Promise<T>((resolve) => this.process.once("message", (m) => resolve(m as T))),
      this.failed,
    ]);
  }

  stop(): void {
    this.process.kill();
  }
}

/** The job of this process. */
export function ownJob(): Job {
  return JSON.parse(process.argv[2] ?? "null") as Job;
}

export function tell(message: unknown): void {
  process.send?.(message);
}
