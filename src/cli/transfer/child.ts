/** One of the two processes of a transfer, seen by the command that starts them. */

import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import { Failure } from "../failure.js";
import type { ClientResult, Job, WorkerMessage, WorkerOrder } from "./job.js";

const WORKER = fileURLToPath(new URL("./worker.js", import.meta.url));
/** A process that was told to stop gets this long before it is killed. */
const STOP_MILLIS = 3000;

export interface ChildEvents {
  onMessage(message: WorkerMessage): void;
  /** Something it wrote to its standard error. */
  onLine(line: string): void;
}

export class Child {
  readonly role: Job["role"];
  /** The result of a client, null of a server. Rejects with its failure, or with how the process ended without one. */
  readonly done: Promise<ClientResult | null>;
  private readonly process: ChildProcess;
  private readonly gone: Promise<void>;
  private stopping = false;

  constructor(job: Job, events: ChildEvents) {
    this.role = job.role;
    this.process = fork(WORKER, { stdio: ["ignore", "ignore", "pipe", "ipc"] });
    this.gone = new Promise((resolve) => this.process.once("close", () => resolve()));
    this.done = this.follow(events);
    this.done.catch(() => {}); // the owner looks when it is its turn
    this.order({ type: "job", job });
  }

  get pid(): number | undefined {
    return this.process.pid;
  }

  /** Asks it to give up, insists after a while; resolves when it is gone. */
  async stop(): Promise<void> {
    if (!this.stopping) {
      this.stopping = true;
      this.order({ type: "stop" });
    }
    const timer = setTimeout(() => this.process.kill("SIGKILL"), STOP_MILLIS);
    await this.gone;
    clearTimeout(timer);
  }

  private order(order: WorkerOrder): void {
    if (this.process.connected) this.process.send(order, () => {}); // a process that is gone tells so by its end
  }

  private follow(events: ChildEvents): Promise<ClientResult | null> {
    let lastLine = "";
    const { stderr } = this.process;
    if (stderr !== null) {
      createInterface({ input: stderr }).on("line", (line) => {
        lastLine = line.trim() === "" ? lastLine : line;
        events.onLine(line);
      });
    }
    return new Promise((resolve, reject) => {
      this.process.on("message", (message: WorkerMessage) => {
        events.onMessage(message);
        if (message.type === "finished") resolve(message.result);
        else if (message.type === "failed") reject(new Failure(message.message, message));
      });
      this.process.once("error", (error) =>
        reject(new Failure(`cannot start the ${this.role} process: ${error.message}`)),
      );
      this.process.once("close", (code, signal) => reject(this.unexpectedEnd(code, signal, lastLine)));
    });
  }

  private unexpectedEnd(code: number | null, signal: string | null, lastLine: string): Failure {
    const how = signal === null ? `ended unexpectedly with exit code ${code}` : `was killed by ${signal}`;
    const detail = lastLine === "" || signal === "SIGKILL" ? "" : `: ${lastLine}`;
    return new Failure(`the ${this.role} process ${how}${detail}`);
  }
}
