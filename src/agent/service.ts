/**
 * The agent's side of one program: its contexts and sessions. A context is kept as it was written and made into one of the
 * TLS library when a session needs it, so that sessions which begin after a reload have the new files.
 *
 * Invariant: contexts, their bytes, sessions and the bytes and time of each are bounded; a program that breaks the
 * protocol loses its connection and nothing of others.
 */

import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import type { TlsContext, TlsProvider, TlsResult, TlsSession } from "../port/tls.js";
import {
  AGENT_BUSY_BYTES,
  AGENT_SESSION_REST_MILLIS,
  MAX_AGENT_CONTEXT_BYTES,
  MAX_AGENT_CONTEXTS,
  MAX_AGENT_FRAME_BYTES,
  MAX_AGENT_QUEUE_BYTES,
  MAX_AGENT_SESSION_BYTES,
  MAX_AGENT_SESSIONS,
} from "../proto/limits.js";
import { ALERT_INTERNAL_ERROR } from "../proto/tls-alert.js";
import { type FramedHandler, FramedSocket } from "../runtime/framed-socket.js";
import {
  AGENT_PROTOCOL_VERSION,
  decode,
  encode,
  type FromAgent,
  fromAgent,
  type ToAgent,
  toAgent,
} from "./protocol.js";
import { type AgentSettings, clientConfig, serverConfig } from "./settings.js";
import { tagsOf } from "./tags.js";

const LIMITS = { maxFrameBytes: MAX_AGENT_FRAME_BYTES, maxQueuedBytes: MAX_AGENT_QUEUE_BYTES };
const TICKET_SECRET_BYTES = 32;
/** Of a sentence that may quote what the program has said: all of it fits into a message, whatever its characters. */
const MAX_WHY_CHARS = 1000;

/** What all programs of one agent share. */
export interface AgentCore {
  readonly provider: TlsProvider;
  /** Replaced as a whole at a reload. */
  settings: AgentSettings;
  readonly counters: AgentCounters;
  /** One line for people. */
  log(level: LogLevel, line: string): void;
  /** One line of SSLKEYLOGFILE; null: there is none. */
  readonly keylog: ((line: string) => void) | null;
}

export type LogLevel = "error" | "info" | "debug";

export interface AgentCounters {
  /** Now. */
  programs: number;
  contexts: number;
  sessions: number;
  /** Ever. */
  handshakes: number;
  failures: number;
}

type Message<K extends ToAgent["kind"]> = Extract<ToAgent, { kind: K }>;

interface Context {
  readonly message: Message<"context">;
  readonly bytes: number;
  /** For tickets, where the program has none: it outlives reloads. */
  readonly ticketSecret: Uint8Array;
  native: TlsContext | null;
  /** Those that `native` was made with. */
  settings: AgentSettings | null;
}

interface Session {
  readonly native: TlsSession;
  readonly context: Context;
  bytes: number;
  timer: NodeJS.Timeout;
  isDone: boolean;
}

export class ProgramService implements FramedHandler {
  private readonly socket: FramedSocket;
  private readonly contexts = new Map<number, Context>();
  private readonly sessions = new Map<number, Session>();
  private contextBytes = 0;
  /** Sessions that are not done. */
  private handshaking = 0;
  private greeted = false;

  constructor(
    private readonly core: AgentCore,
    socket: Socket,
    private readonly onGone: (service: ProgramService) => void,
  ) {
    core.counters.programs++;
    this.socket = new FramedSocket(socket, LIMITS, this);
  }

  /** Whether it has no handshake that is not complete: it can come again with the next one, and nothing is lost. */
  get isIdle(): boolean {
    return this.handshaking === 0;
  }

  /** Ends the connection with what belongs to it. */
  close(): void {
    this.socket.destroy();
  }

  onFrame(frame: Uint8Array): void {
    const message = decode(toAgent, frame);
    if (message === null) this.reject("a message makes no sense");
    else if (message.kind === "hello") this.greet(message);
    else if (this.greeted) this.handle(message, frame.length);
    else this.reject("no hello");
  }

  /** It has read. */
  onDrain(): void {
    this.socket.resume();
  }

  onEnd(error: Error | null): void {
    if (error !== null) this.core.log("info", `a program is gone: ${error.message}`);
    for (const id of [...this.sessions.keys()]) this.closeSession(id);
    for (const id of [...this.contexts.keys()]) this.closeContext(id);
    this.core.counters.programs--;
    this.onGone(this);
  }

  private greet({ version }: Message<"hello">): void {
    if (this.greeted) {
      this.reject("two hellos");
      return;
    }
    this.greeted = true;
    this.send({ kind: "welcome", version: AGENT_PROTOCOL_VERSION, library: this.core.provider.version });
    if (version !== AGENT_PROTOCOL_VERSION) this.reject(`version ${version} of the protocol`);
  }

  private handle(message: Exclude<ToAgent, { kind: "hello" }>, bytes: number): void {
    switch (message.kind) {
      case "context":
        this.addContext(message, bytes);
        return;
      case "session":
        this.addSession(message);
        return;
      case "put":
        this.put(message);
        return;
      case "allow-early-data":
        this.allowEarlyData(message);
        return;
      case "close":
        this.closeSession(message.id);
        return;
      case "close-context":
        this.closeContext(message.id);
    }
  }

  // --- contexts ----------------------------------------------------------------------------------------------------------

  private addContext(message: Message<"context">, bytes: number): void {
    const isFull = this.contexts.size >= MAX_AGENT_CONTEXTS || this.contextBytes + bytes > MAX_AGENT_CONTEXT_BYTES;
    if (isFull || this.contexts.has(message.id)) {
      this.reject(isFull ? "too many configurations" : "a configuration's number twice");
      return;
    }
    const ticketSecret = new Uint8Array(randomBytes(TICKET_SECRET_BYTES));
    this.contexts.set(message.id, { message, bytes, ticketSecret, native: null, settings: null });
    this.contextBytes += bytes;
    this.core.counters.contexts++;
  }

  private closeContext(id: number): void {
    const context = this.contexts.get(id);
    if (context === undefined) return;
    this.contexts.delete(id);
    this.contextBytes -= context.bytes;
    this.core.counters.contexts--;
    context.native?.close();
  }

  /** That of the TLS library, with the files of now. @throws what the library says about the configuration */
  private nativeOf(context: Context): TlsContext {
    const { settings, provider, keylog } = this.core;
    if (context.native !== null && context.settings === settings) return context.native;
    const { config, choice } = context.message;
    const always = keylog === null ? {} : { keylog: true };
    const native =
      config.kind === "client"
        ? provider.newClientContext({ ...clientConfig(config, choice, settings), ...always })
        : provider.newServerContext({
            ticketSecret: context.ticketSecret,
            ...serverConfig(config, choice, settings),
            ...always,
          });
    context.native?.close(); // sessions that it has go on
    context.native = native;
    context.settings = settings;
    return native;
  }

  // --- sessions ----------------------------------------------------------------------------------------------------------

  private addSession({ id, context: contextId, options }: Message<"session">): void {
    const context = this.contexts.get(contextId);
    if (context === undefined || this.sessions.has(id)) {
      this.reject(context === undefined ? "a session without a configuration" : "a session's number twice");
      return;
    }
    if (this.sessions.size >= MAX_AGENT_SESSIONS) {
      this.fail(id, `the handshake agent has ${MAX_AGENT_SESSIONS} sessions of this program`);
      return;
    }
    let native: TlsSession;
    try {
      native = this.nativeOf(context).newSession(options);
    } catch (error) {
      this.fail(id, (error as Error).message);
      return;
    }
    const wanted = context.message.choice.timeoutMillis;
    const longest = this.core.settings.handshakeMillis;
    const timeoutMillis = wanted === 0 ? longest : Math.min(wanted, longest);
    const timer = setTimeout(() => this.timeOut(id, timeoutMillis), timeoutMillis);
    const session = { native, context, bytes: 0, timer, isDone: false };
    this.sessions.set(id, session);
    this.handshaking++;
    this.core.counters.sessions++;
    native.onResults = () => this.pump(id, session);
    this.pump(id, session);
  }

  private put({ id, level, bytes }: Message<"put">): void {
    const session = this.sessions.get(id);
    if (session === undefined) return; // it failed, and the program has not heard yet
    session.bytes += bytes.length;
    if (session.bytes > MAX_AGENT_SESSION_BYTES) {
      this.fail(id, `the handshake has more than ${MAX_AGENT_SESSION_BYTES} bytes`);
      return;
    }
    this.guard(id, () => session.native.put(level, bytes));
    this.pump(id, session);
  }

  private allowEarlyData({ id, alpn }: Message<"allow-early-data">): void {
    const session = this.sessions.get(id);
    if (session !== undefined) this.guard(id, () => session.native.allowEarlyData(alpn));
  }

  /** What the TLS library will not take costs the program this session, and the agent nothing. */
  private guard(id: number, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fail(id, (error as Error).message);
    }
  }

  /** Hands over what TLS has now. */
  private pump(id: number, session: Session): void {
    const results: TlsResult[] = [];
    for (let result = session.native.take(); result !== null; result = session.native.take()) {
      const told = this.tell(result, session);
      if (told !== null) results.push(told);
      if (result.kind === "done") this.onDone(id, session);
      if (result.kind === "alert") this.onFailed(id);
    }
    if (results.length > 0) this.send({ kind: "results", id, results });
  }

  /** The result as the program hears it; null when it does not. */
  private tell(result: TlsResult, { context }: Session): TlsResult | null {
    if (result.kind === "keylog") {
      this.core.keylog?.(result.line);
      return context.message.config.keylog === true ? result : null;
    }
    if (result.kind !== "done") return result;
    const { info } = result;
    // a certificate that does not verify may say anything
    const tags = info.verifyError === "" ? tagsOf(this.core.settings.tags, info.peerCertificates[0]) : [];
    return { kind: "done", info: { ...info, tags } };
  }

  private onDone(id: number, session: Session): void {
    this.core.counters.handshakes++;
    this.handshaking--;
    session.isDone = true;
    clearTimeout(session.timer);
    session.timer = setTimeout(() => this.closeSession(id), AGENT_SESSION_REST_MILLIS);
    session.timer.unref();
  }

  private onFailed(id: number): void {
    this.core.counters.failures++;
    this.closeSession(id);
  }

  private timeOut(id: number, timeoutMillis: number): void {
    this.fail(id, `no complete handshake within ${timeoutMillis} ms`, "ETIMEDOUT");
  }

  /** A failure that is not TLS's own. */
  private fail(id: number, why: string, code = "EIO"): void {
    const message = `internal_error: ${why}`.slice(0, MAX_WHY_CHARS);
    this.core.log("info", `session ${id}: ${why}`);
    this.send({ kind: "results", id, results: [{ kind: "alert", alert: ALERT_INTERNAL_ERROR, message, code }] });
    this.onFailed(id);
  }

  private closeSession(id: number): void {
    const session = this.sessions.get(id);
    if (session === undefined) return;
    this.sessions.delete(id);
    if (!session.isDone) this.handshaking--;
    this.core.counters.sessions--;
    clearTimeout(session.timer);
    session.native.close();
  }

  private send(message: FromAgent): void {
    this.socket.send(encode(fromAgent, message));
    if (this.socket.queuedBytes > AGENT_BUSY_BYTES) this.socket.pause();
  }

  private reject(why: string): void {
    this.core.log("error", `a program is cut off: ${why}`);
    this.socket.end();
  }
}
