/**
 * A throw-away TLS provider that lives in another process: port/tls carried over IPC, one message a call, results some
 * turns later. It proves that the seam is message passing, whatever the agent does.
 */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type {
  Level,
  TlsClientConfig,
  TlsContext,
  TlsProvider,
  TlsResult,
  TlsServerConfig,
  TlsSession,
  TlsSessionOptions,
} from "#src/port/tls.js";

/** Contexts and sessions draw their ids from one counter. */
export type Request =
  | { op: "context"; id: number; role: "client"; config: TlsClientConfig }
  | { op: "context"; id: number; role: "server"; config: TlsServerConfig }
  | { op: "session"; id: number; context: number; options: TlsSessionOptions }
  | { op: "put"; id: number; level: Level; bytes: Uint8Array }
  | { op: "allowEarlyData"; id: number; alpn: string }
  | { op: "close"; id: number };

export type Reply = { op: "ready"; version: string } | { op: "results"; id: number; results: TlsResult[] };

export interface ProcessTls extends TlsProvider {
  /** Process id of the child. */
  readonly pid: number;
  /** Ends the child; sessions that are open get no more results. */
  stop(): Promise<void>;
}

/** Starts the child and resolves when its TLS library is loaded. */
export async function processTls(): Promise<ProcessTls> {
  const path = fileURLToPath(new URL("./tls-process-child.js", import.meta.url));
  // `advanced` carries Uint8Array as it is.
  const child = fork(path, { serialization: "advanced" });
  const [first] = (await once(child, "message")) as [Reply];
  if (first.op !== "ready") throw new Error("the TLS process did not start");
  return new Provider(child, first.version);
}

class Provider implements ProcessTls {
  readonly name = "process";
  private readonly sessions = new Map<number, ProcessSession>();
  private lastId = 0;

  constructor(
    private readonly child: ChildProcess,
    readonly version: string,
  ) {
    child.on("message", (message) => {
      const reply = message as Reply;
      if (reply.op === "results") this.sessions.get(reply.id)?.deliver(reply.results);
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  newClientContext(config: TlsClientConfig): TlsContext {
    const id = ++this.lastId;
    this.send({ op: "context", id, role: "client", config });
    return this.context(id, false);
  }

  newServerContext(config: TlsServerConfig): TlsContext {
    const id = ++this.lastId;
    this.send({ op: "context", id, role: "server", config });
    return this.context(id, true);
  }

  async stop(): Promise<void> {
    const exit = once(this.child, "exit");
    this.child.disconnect();
    await exit;
  }

  private context(context: number, isServer: boolean): TlsContext {
    return {
      isServer,
      newSession: (options) => {
        const id = ++this.lastId;
        this.send({ op: "session", id, context, options });
        const session = new ProcessSession(
          (level, bytes) => this.send({ op: "put", id, level, bytes }),
          (alpn) => this.send({ op: "allowEarlyData", id, alpn }),
          () => {
            this.sessions.delete(id);
            this.send({ op: "close", id });
          },
        );
        this.sessions.set(id, session);
        return session;
      },
      close: () => this.send({ op: "close", id: context }),
    };
  }

  private send(request: Request): void {
    if (this.child.connected) this.child.send(request);
  }
}

class ProcessSession implements TlsSession {
  onResults: (() => void) | null = null;
  private readonly ready: TlsResult[] = [];
  private closed = false;

  constructor(
    private readonly sendPut: (level: Level, bytes: Uint8Array) => void,
    private readonly sendAllow: (alpn: string) => void,
    private readonly sendClose: () => void,
  ) {}

  put(level: Level, bytes: Uint8Array): void {
    if (!this.closed) this.sendPut(level, bytes);
  }

  allowEarlyData(alpn: string): void {
    if (!this.closed) this.sendAllow(alpn);
  }

  take(): TlsResult | null {
    return this.closed ? null : (this.ready.shift() ?? null);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.sendClose();
  }

  deliver(results: TlsResult[]): void {
    this.ready.push(...results);
    this.onResults?.();
  }
}
