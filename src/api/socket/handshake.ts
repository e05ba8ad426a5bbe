/**
 * Handshakes for sockets by the TLS library of this process: what libquic does for C programs. The steps of a session are
 * taken on its socket, as a program with its own TLS would take them.
 */

import { readFile } from "node:fs/promises";
import type { TlsPsk } from "../../port/tls.js";
import { CONNECTION_REFUSED, isCryptoError } from "../../proto/transport-error.js";
import { ECONNREFUSED, EINVAL, EIO, EPROTONOSUPPORT, ETIMEDOUT, EACCES } from "../../socket/errno.js";
import {
  type HandshakeStep,
  QUIC_HANDSHAKE_OP_RECVMSG,
  QUIC_HANDSHAKE_OP_SENDMSG,
} from "../../socket/handshake-steps.js";
import { QUIC_SOCKOPT_CONNECTION_CLOSE, QUIC_SS_CLOSED, QUIC_SS_ESTABLISHING } from "../../socket/numbers.js";
import { parsePskFile } from "../../socket/psk-file.js";
import { setsockopt } from "../../socket/sockopt.js";
import type { MessageTls } from "../../socket/tls-messages.js";
import { closeError } from "../errors.js";
import { fileOf } from "./descriptors.js";
import type { SocketFile } from "./socket-file.js";
import { opsOf } from "./socket-ops.js";
import { handshakeError, type SocketError, socketError } from "./system-error.js";
import { type ClientSessionOptions, QuicTlsSession, type ServerSessionOptions } from "./tls-session.js";
import type { WaitOptions } from "./waiting.js";

export interface HandshakeOptions extends WaitOptions {
  /** Milliseconds; default 10,000. SO_RCVTIMEO bounds the wait for each message beside it. */
  timeoutMillis?: number;
}

export type ClientHandshakeOptions = HandshakeOptions & ClientSessionOptions;
export type ServerHandshakeOptions = HandshakeOptions & ServerSessionOptions;

const DEFAULT_TIMEOUT_MILLIS = 10_000;
const MILLIS_PER_SECOND = 1000;

/**
 * The client's handshake, after `connect`: with the pre-shared keys of a file, or with null by certificate. `options` has
 * the rest. Rejects with EACCES (TLS failed, `cause` says how), ETIMEDOUT, ECONNREFUSED, EPROTONOSUPPORT (no common
 * version), EIO (another error of the peer), EINVAL, the system's error for the file, or the signal's reason.
 */
export function quic_client_handshake(
  sd: number,
  pskFile: string | null,
  hostname?: string | null,
  alpns?: string | null,
  options?: HandshakeOptions & Partial<ClientSessionOptions>,
): Promise<void>;
export function quic_client_handshake(sd: number, options: ClientHandshakeOptions): Promise<void>;
export async function quic_client_handshake(
  sd: number,
  first: string | null | ClientHandshakeOptions,
  hostname: string | null = null,
  alpns: string | null = null,
  rest: HandshakeOptions & Partial<ClientSessionOptions> = {},
): Promise<void> {
  const file = fileOf(sd, "quic_client_handshake");
  const isOptions = typeof first === "object" && first !== null;
  const options = isOptions ? first : { serverName: hostname ?? "", ...named(alpns), ...rest };
  const keys = typeof first === "string" ? { psk: await pskOf(first) } : {};
  await drive(file, new QuicTlsSession(false, forSocket(file, { ...options, ...keys })), options);
}

/**
 * The server's handshake, on an accepted socket: with a private key and a certificate, both PEM files, or with null for
 * the certificate by a file of pre-shared keys. Rejects as the client's does, and with EKEYREJECTED for a client whose
 * identity is in no line of the file.
 */
export function quic_server_handshake(
  sd: number,
  pkeyOrPskFile: string,
  certFile: string | null,
  alpns?: string | null,
  options?: HandshakeOptions & Partial<ServerSessionOptions>,
): Promise<void>;
export function quic_server_handshake(sd: number, options: ServerHandshakeOptions): Promise<void>;
export async function quic_server_handshake(
  sd: number,
  first: string | ServerHandshakeOptions,
  certFile: string | null = null,
  alpns: string | null = null,
  rest: HandshakeOptions & Partial<ServerSessionOptions> = {},
): Promise<void> {
  const file = fileOf(sd, "quic_server_handshake");
  const options: ServerHandshakeOptions = typeof first === "object" ? first : { ...named(alpns), ...rest };
  const keys = typeof first === "object" ? {} : await keysOf(first, certFile);
  await drive(file, new QuicTlsSession(true, forSocket(file, { ...options, ...keys })), options);
}

/** The handshake of a session that was prepared. Rejects as `quic_client_handshake` and `quic_server_handshake`. */
export async function quic_handshake(
  sd: number,
  session: QuicTlsSession,
  options: HandshakeOptions = {},
): Promise<void> {
  await drive(fileOf(sd, "quic_handshake"), session, options);
}

function named(alpns: string | null): { alpn?: string } {
  return alpns === null ? {} : { alpn: alpns };
}

async function pskOf(path: string): Promise<TlsPsk[]> {
  const keys = parsePskFile(await readFile(path, "utf8"));
  if (typeof keys === "string") throw socketError("psk", -EINVAL, `${path}: ${keys}`);
  return keys;
}

async function keysOf(path: string, certFile: string | null): Promise<Partial<ServerSessionOptions>> {
  if (certFile === null) return { psk: await pskOf(path) };
  const [key, cert] = await Promise.all([readFile(path, "utf8"), readFile(certFile, "utf8")]);
  return { key, cert };
}

/** What the socket's options say and the caller did not. */
function forSocket<O extends ClientSessionOptions | ServerSessionOptions>(file: SocketFile, options: O): O {
  const { sock, earlyTickets } = file;
  const earlyData = sock.isServer ? earlyTickets !== null : (sock.tls?.offersEarlyData ?? false);
  const { payload_cipher_type: cipherType, certificate_request: certificateRequest } = sock.settings.config;
  return { cipherType, certificateRequest, earlyData, ...options };
}

/** Takes the steps of a session until it is complete; at a client also its tickets, until the connection ends. */
async function drive(file: SocketFile, session: QuicTlsSession, options: HandshakeOptions): Promise<void> {
  const { sock } = file;
  const { tls } = sock;
  if (session.alpn.length === 0) session.alpn = sock.alpn.filter((name) => name !== "");
  if (tls === null || sock.state !== QUIC_SS_ESTABLISHING || session.isServer !== sock.isServer) {
    throw socketError("handshake", -EINVAL);
  }
  options.signal?.throwIfAborted();
  const { transportParams, earlyAlpn } = tls;
  const version = file.conn?.versions.current ?? 0;
  // a client's may be of the engine's making, with the server's parameters around it, or the library's own
  const kept = sock.ticket.length > 0 ? sock.ticket : null;
  const ticket = sock.isServer ? null : (tls.ticket ?? kept);
  const ticketKey = sock.isServer && kept !== null ? { ticketKey: kept } : {};
  session.start({ transportParams, ticket, earlyAlpn, version, ...ticketKey });
  await new Driver(file, tls, session).run(options);
  const waitSeconds = sock.isServer ? 0 : sock.settings.config.receive_session_ticket;
  if (waitSeconds > 0) await ticketOf(file, waitSeconds * MILLIS_PER_SECOND);
}

class Driver {
  private isComplete = false;
  private end: ((error: unknown) => void) | null = null;
  private quiet: NodeJS.Timeout | null = null;
  private stop = (): void => {};

  constructor(
    private readonly file: SocketFile,
    private readonly tls: MessageTls,
    private readonly session: QuicTlsSession,
  ) {}

  run({ signal, timeoutMillis = DEFAULT_TIMEOUT_MILLIS }: HandshakeOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => this.end?.(signal?.reason);
      const timer = setTimeout(() => this.end?.(timedOut()), timeoutMillis);
      this.end = (error) => {
        this.end = null;
        clearTimeout(timer);
        if (this.quiet !== null) clearTimeout(this.quiet);
        signal?.removeEventListener("abort", onAbort);
        if (error !== null || this.file.sock.isServer) this.release();
        if (error === null) resolve();
        else reject(error as Error);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.begin();
    });
  }

  private begin(): void {
    const { file, tls, session } = this;
    tls.sendsLater = false; // the library says so before it says that it is done
    this.stop = file.onWake(() => this.onWake());
    session.onResults = () => this.advance();
    tls.onMessage = (level, bytes) => this.receive(level, bytes);
    this.waitQuietly();
    for (const { level, bytes } of file.sock.list.takeHandshake()) session.steps?.receive(level, bytes);
    this.advance();
  }

  private receive(level: number, bytes: Uint8Array): void {
    this.session.steps?.receive(level, bytes);
    if (this.end !== null) this.waitQuietly();
    this.advance();
  }

  /** SO_RCVTIMEO, from the last message on. */
  private waitQuietly(): void {
    const { receiveTimeoutMillis } = this.file;
    if (this.quiet !== null) clearTimeout(this.quiet);
    if (receiveTimeoutMillis > 0) this.quiet = setTimeout(() => this.end?.(timedOut()), receiveTimeoutMillis);
  }

  private onWake(): void {
    if (this.file.sock.state !== QUIC_SS_CLOSED) return;
    if (this.isComplete) this.release();
    else this.end?.(whyClosed(this.file));
  }

  /** Takes every step that there is now. */
  private advance(): void {
    const { steps } = this.session;
    if (steps === null) return;
    let step = steps.next();
    while (step !== null && step.op !== QUIC_HANDSHAKE_OP_RECVMSG) {
      if (steps.info !== null) this.tls.info = steps.info;
      this.take(step);
      step = steps.next();
    }
    this.session.settle();
    for (const ticket of steps.tickets.splice(0)) this.tls.keepTicket(ticket);
    if (this.isComplete || step !== null) return;
    const { alert } = steps;
    this.isComplete = alert === null;
    if (alert !== null) this.tls.fail(alert.alert, alert.message);
    this.end?.(alert === null ? null : handshakeError("handshake", alert));
  }

  private take(step: HandshakeStep): void {
    const { file, tls } = this;
    if (step.op === QUIC_HANDSHAKE_OP_SENDMSG) tls.send(step.level, step.data, false);
    else if (step.op !== QUIC_HANDSHAKE_OP_RECVMSG && step.name !== QUIC_SOCKOPT_CONNECTION_CLOSE) {
      setsockopt(file.sock, step.name, step.value, opsOf(file));
    }
  }

  private release(): void {
    this.stop();
    this.tls.onMessage = () => {};
    this.session.close();
  }
}

/** Until the server's ticket is there, or the time is over, or the connection. */
function ticketOf(file: SocketFile, timeoutMillis: number): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stop();
      clearTimeout(timer);
      resolve();
    };
    const look = (): void => {
      if (file.sock.newTicket.length > 0 || file.sock.state === QUIC_SS_CLOSED) done();
    };
    const timer = setTimeout(done, timeoutMillis);
    const stop = file.onWake(look);
    look();
  });
}

function timedOut(): SocketError {
  return socketError("handshake", -ETIMEDOUT);
}

/** The connection ended before its handshake. */
function whyClosed({ conn }: SocketFile): SocketError {
  const info = conn?.closeInfo ?? null;
  const cause = info === null ? null : closeError(info, "the peer");
  const errno = info === null ? EINVAL : errnoOf(info.type, Number(info.code));
  return socketError("handshake", -errno, cause?.message ?? "", cause ?? undefined);
}

function errnoOf(type: string, code: number): number {
  if (type === "idle-timeout" || type === "handshake-timeout") return ETIMEDOUT;
  if (type === "version-negotiation") return EPROTONOSUPPORT;
  if (type !== "transport") return EIO;
  if (code === CONNECTION_REFUSED) return ECONNREFUSED;
  return isCryptoError(code) ? EACCES : EIO;
}
