/**
 * The main module of a process that the transfer command starts: gets one job, reports events, and ends. Ctrl-C reaches
 * the whole group, so the parent alone decides what it means; when the parent is gone, the job is given up.
 */

import { Failure, toFailure } from "../failure.js";
import type { ClientResult, Job, WorkerMessage, WorkerOrder } from "./job.js";
import { runClientJob, runServerJob } from "./network.js";

/** After the last message: how long open handles may keep the process. */
const LINGER_MILLIS = 2000;

const stop = new AbortController();

function tell(message: WorkerMessage): void {
  if (process.connected) process.send?.(message);
}

function giveUp(why: string): void {
  stop.abort(new Failure(why));
}

function onOrphaned(): void {
  giveUp("the command that started the transfer is gone");
}

async function work(job: Job): Promise<ClientResult | null> {
  if (job.role === "client") {
    const onProgress = (sentBytes: number, receivedBytes: number) =>
      tell({ type: "progress", sentBytes, receivedBytes });
    return await runClientJob(job, { onProgress }, stop.signal);
  }
  let failure: Failure | null = null;
  const onServed = (result: unknown) => {
    if (result instanceof Failure) failure = result;
  };
  await runServerJob(job, { onListening: (event) => tell({ type: "listening", ...event }), onServed }, stop.signal);
  if (failure !== null) throw failure;
  return null;
}

async function main(job: Job): Promise<void> {
  try {
    tell({ type: "finished", result: await work(job) });
  } catch (error) {
    const { message, exitCode, byPeer } = toFailure(error);
    tell({ type: "failed", message, exitCode, byPeer });
    process.exitCode = exitCode;
  }
  process.off("disconnect", onOrphaned);
  if (process.connected) process.disconnect();
  setTimeout(() => process.exit(), LINGER_MILLIS).unref();
}

process.on("SIGINT", () => {});
process.on("SIGTERM", () => giveUp(`the ${role} process was told to end (SIGTERM)`));
process.on("disconnect", onOrphaned);
let role = "transfer";
process.on("message", (order: WorkerOrder) => {
  if (order.type === "stop") return giveUp("the transfer was given up");
  role = order.job.role;
  void main(order.job);
});
