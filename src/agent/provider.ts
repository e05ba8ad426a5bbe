/**
 * The program's side: a TLS provider whose sessions live in the agent (port/tls, results later). All contexts and sessions of
 * one path share one connection, made at the first session and again after the agent was gone.
 *
 * Invariant: a session that is not done when its connection ends gets one alert; one that is done hears nothing, because
 * its QUIC connection needs TLS no more.
 */

import { createHash } from "node:crypto";
import type {
  Level,
  TlsClientConfig,
  TlsContext,
  TlsProvider,
  TlsResult,
  TlsServerConfig,
  TlsSession,
  TlsSessionOptions,
} from "../port/tls.js";
import { AGENT_BUSY_BYTES, MAX_AGENT_FRAME_BYTES, MAX_AGENT_QUEUE_BYTES } from "../proto/limits.js";
import { ALERT_INTERNAL_ERROR } from "../proto/tls-alert.js";
import { Fifo } from "../base/fifo.js";
import { checkFramedPath, connectFramed, type FramedHandler, type FramedSocket } from "../runtime/framed-socket.js";
import {
  AGENT_PROTOCOL_VERSION,
  type AgentChoice,
  type ContextConfig,
  decode,
  encode,
  fromAgent,
  type ToAgent,
  toAgent,
} from "./protocol.js";

const LIMITS = { maxFrameBytes: MAX_AGENT_FRAME_BYTES, maxQueuedBytes: MAX_AGENT_QUEUE_BYTES };
/** What connecting fails with where no agent runs. */
const NOBODY_THERE = new Set(["ENOENT", "ECONNREFUSED"]);

/**
 * TLS by the agent that listens at `path`. What a configuration leaves out (certificates, keys, trust anchors) is the agent's:
 * a server gives `identities: {}` for that. `onTrouble` hears, with the path, why handshakes fail: peers, who see messages
 * of alerts, do not. @throws Error ENAMETOOLONG
 */
export function agentTls(
  path: string,
  choice: Partial<AgentChoice> = {},
  onTrouble: (sentence: string) => void = () => {},
): TlsProvider {
  checkFramedPath(path);
  return new AgentProvider(path, { auth: "any", pskIdentity: "", timeoutMillis: 0, ...choice }, onTrouble);
}

/** A configuration that at least one context of the program has. */
interface Shared {
  readonly id: number;
  readonly key: string;
  readonly frame: Uint8Array;
  contexts: number;
}

class AgentProvider implements TlsProvider {
  readonly name = "agent";
  private library = "";
  private link: Link | null = null;
  private lastId = 0;
  private readonly shared = new Map<string, Shared>();

  constructor(
    readonly path: string,
    private readonly choice: AgentChoice,
    private readonly onTrouble: (sentence: string) => void,
  ) {}

  get version(): string {
    return `${this.library === "" ? "handshake agent" : this.library} at ${this.path}`;
  }

  newClientContext(config: TlsClientConfig): TlsContext {
    const { ticket, ...rest } = config;
    return this.newContext({ kind: "client", ...rest }, ticket);
  }

  newServerContext(config: TlsServerConfig): TlsContext {
    return this.newContext({ kind: "server", ...config }, undefined);
  }

  newId(): number {
    this.lastId = (this.lastId + 1) >>> 0;
    return this.lastId;
  }

  /** The connection to the agent, opened now if there is none. */
  connected(): Link {
    this.link ??= new Link(this.path, {
      onWelcome: (library) => {
        this.library = library;
      },
      onEnd: (trouble) => {
        this.link = null;
        if (trouble !== "") this.onTrouble(`the handshake agent at ${this.path} ${trouble}`);
      },
    });
    return this.link;
  }

  /** The last context of a configuration was closed. */
  release(shared: Shared): void {
    if (--shared.contexts > 0) return;
    this.shared.delete(shared.key);
    this.link?.closeContext(shared.id);
  }

  private newContext(config: ContextConfig, ticket: Uint8Array | undefined): TlsContext {
    const message = { kind: "context", id: 0, choice: this.choice, config } as const;
    const key = createHash("sha256").update(encoded(message, config.kind)).digest("base64");
    let shared = this.shared.get(key);
    if (shared === undefined) {
      const id = this.newId();
      shared = { id, key, frame: encoded({ ...message, id }, config.kind), contexts: 0 };
      this.shared.set(key, shared);
    }
    shared.contexts++;
    return new AgentContext(this, shared, config.kind === "server", ticket);
  }
}

class AgentContext implements TlsContext {
  private closed = false;

  constructor(
    private readonly provider: AgentProvider,
    private readonly shared: Shared,
    readonly isServer: boolean,
    private readonly ticket: Uint8Array | undefined,
  ) {}

  newSession(options: TlsSessionOptions): TlsSession {
    if (this.closed) throw new Error("the context is closed");
    const { provider, shared, ticket } = this;
    const withTicket = { ...(ticket !== undefined && { ticket }), ...options };
    const id = provider.newId();
    const opening = encoded({ kind: "session", id, context: shared.id, options: withTicket }, "session");
    const link = provider.connected();
    link.openContext(shared);
    const session = new AgentSession(link, id);
    link.open(id, session, opening);
    return session;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.provider.release(this.shared);
  }
}

class AgentSession implements TlsSession {
  onResults: (() => void) | null = null;
  isDone = false;
  private readonly ready = new Fifo<TlsResult>();
  private closed = false;

  constructor(
    private readonly link: Link,
    private readonly id: number,
  ) {}

  put(level: Level, bytes: Uint8Array): void {
    if (!this.closed) this.link.send({ kind: "put", id: this.id, level, bytes });
  }

  allowEarlyData(alpn: string): void {
    if (!this.closed) this.link.send({ kind: "allow-early-data", id: this.id, alpn });
  }

  take(): TlsResult | null {
    return this.closed ? null : this.ready.take();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.link.close(this.id);
  }

  deliver(results: readonly TlsResult[]): void {
    if (this.closed) return;
    for (const result of results) {
      if (result.kind === "done") this.isDone = true;
      this.ready.push(result);
    }
    this.onResults?.();
  }
}

interface LinkOwner {
  onWelcome(library: string): void;
  /** `trouble` says why handshakes failed, "" when none did. */
  onEnd(trouble: string): void;
}

/** One connection to the agent. */
class Link implements FramedHandler {
  private readonly socket: FramedSocket;
  private readonly sessions = new Map<number, AgentSession>();
  private readonly contexts = new Set<number>();
  private welcomed = false;
  /** Why this side ended it, "" when it did not. */
  private complaint = "";

  constructor(
    path: string,
    private readonly owner: LinkOwner,
  ) {
    this.socket = connectFramed(path, LIMITS, this);
    this.socket.unref(); // handshakes are waited for by who began them
    this.send({ kind: "hello", version: AGENT_PROTOCOL_VERSION });
  }

  openContext({ id, frame }: Shared): void {
    if (this.contexts.has(id)) return;
    this.contexts.add(id);
    this.socket.send(frame);
  }

  closeContext(id: number): void {
    if (this.contexts.delete(id)) this.send({ kind: "close-context", id });
  }

  open(id: number, session: AgentSession, frame: Uint8Array): void {
    this.sessions.set(id, session);
    if (this.socket.queuedBytes <= AGENT_BUSY_BYTES) this.socket.send(frame);
    else setImmediate(() => this.refuse(id));
  }

  close(id: number): void {
    if (this.sessions.delete(id)) this.send({ kind: "close", id });
  }

  send(message: ToAgent): void {
    this.socket.send(encode(toAgent, message));
  }

  onFrame(frame: Uint8Array): void {
    const message = decode(fromAgent, frame);
    if (message === null) this.reject("sent a message that makes no sense");
    else if (message.kind === "results") this.sessions.get(message.id)?.deliver(message.results);
    else if (message.version !== AGENT_PROTOCOL_VERSION) {
      this.reject(`speaks version ${message.version} of the protocol, not ${AGENT_PROTOCOL_VERSION}`);
    } else {
      this.welcomed = true;
      this.owner.onWelcome(message.library);
    }
  }

  onEnd(error: NodeJS.ErrnoException | null): void {
    const isAbsent = !this.welcomed && NOBODY_THERE.has(error?.code ?? "");
    const isClosed = !this.welcomed && error?.code === "EACCES";
    const missing = isAbsent ? "is not there" : isClosed ? "is not for this user" : "is gone";
    const why = this.complaint !== "" ? this.complaint : missing;
    const code = isAbsent ? "ESRCH" : "EIO";
    const left = [...this.sessions.values()].filter(({ isDone }) => !isDone);
    this.sessions.clear();
    this.owner.onEnd(left.length === 0 ? "" : error === null ? why : `${why}: ${error.message}`);
    const message = `internal_error: the handshake agent ${why}`;
    for (const session of left) session.deliver([{ kind: "alert", alert: ALERT_INTERNAL_ERROR, message, code }]);
  }

  /** Those that have begun come first. */
  private refuse(id: number): void {
    const message = "internal_error: the handshake agent does not keep up";
    this.sessions.get(id)?.deliver([{ kind: "alert", alert: ALERT_INTERNAL_ERROR, message, code: "EIO" }]);
    this.sessions.delete(id);
  }

  private reject(complaint: string): void {
    this.complaint = complaint;
    this.socket.destroy();
  }
}

/** A message as the agent will take it. @throws RangeError, code `ERR_INVALID_ARG_VALUE`, when it would not. */
function encoded(message: ToAgent, what: string): Uint8Array {
  const frame = encode(toAgent, message);
  if (frame.length <= MAX_AGENT_FRAME_BYTES && decode(toAgent, frame) !== null) return frame;
  const text = `${what}: the configuration has more than a handshake agent takes, ${MAX_AGENT_FRAME_BYTES} bytes in all`;
  throw Object.assign(new RangeError(text), { code: "ERR_INVALID_ARG_VALUE" });
}
