/**
 * The work of one process: serve one client, or be the client. A job is plain data, so that it can go to a process of its
 * own; what happens comes back as events. The same two functions run in the main process for --listen and --connect.
 */

import type { ClientReport } from "./client.js";
import type { Failure } from "../failure.js";
import type { ServerResult } from "./server.js";
import type { SourceFile } from "./sender.js";

interface CommonJob {
  /** An address or a name. */
  host: string;
  port: number;
  dir: string;
  runId: string;
  force: boolean;
  timeoutSeconds: number;
  /** Ranges that this side has on their way at once. */
  streams: number;
}

export interface ServerJob extends CommonJob {
  role: "server";
  certPath: string | null;
  keyPath: string | null;
  /** Ends after the first client. */
  once: boolean;
}

export interface ClientJob extends CommonJob {
  role: "client";
  files: readonly SourceFile[];
  caPath: string | null;
  pin: string | null;
  serverName: string | null;
}

export type Job = ServerJob | ClientJob;

export interface ListeningEvent {
  address: string;
  port: number;
  /** SHA-256 of a certificate made for this run, null for one of the user's. */
  pin: string | null;
}

export interface ClientResult {
  report: ClientReport;
  handshakeMicros: number;
}

export interface ServerEvents {
  onListening(event: ListeningEvent): void;
  /** A client is done; with `once` the job is, too. */
  onServed(result: ServerResult | Failure): void;
}

export interface ClientEvents {
  onProgress(sentBytes: number, receivedBytes: number): void;
}

/** What a process tells the one that started it. */
export type WorkerMessage =
  | ({ type: "listening" } & ListeningEvent)
  | { type: "progress"; sentBytes: number; receivedBytes: number }
  | { type: "finished"; result: ClientResult | null }
  | { type: "failed"; message: string; exitCode: number; byPeer: boolean };

/** What it is told: its job, then at most that it shall stop. */
export type WorkerOrder = { type: "job"; job: Job } | { type: "stop" };
