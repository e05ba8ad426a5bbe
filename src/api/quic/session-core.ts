/**
 * One connection between the engine's events and the QuicSession that users hold. It implements the handler of
 * port/transport; no method of it throws, whatever users' callbacks do: what they throw destroys this session only.
 *
 *     opening --handshake--> open --close()--> closing (streams finish) --> destroyed
 *        |                    |                   |                          |
 *        +--------------------+-------------------+-- error, destroy(), peer-+
 */

import { createHash, randomInt, X509Certificate } from "node:crypto";
import type { SocketAddress } from "node:net";
import type { TlsProvider } from "../../port/tls.js";
import { IdMap } from "../../base/id-map.js";
import {
  type CloseInfo,
  type CloseType,
  type DatagramFate,
  type HandshakeInfo,
  type PathValidation,
  STREAM_BIDI,
  type StreamKind,
  T_BLOCKED,
  T_TOO_LARGE,
  type TransportHandler,
} from "../../port/transport.js";
import { ALERT_BAD_CERTIFICATE, ALERT_CERTIFICATE_EXPIRED, localAlertText } from "../../proto/tls-alert.js";
import { CRYPTO_ERROR, INTERNAL_ERROR } from "../../proto/transport-error.js";
import type { Connection } from "../../runtime/loop.js";
import { verifyErrorCode } from "../../runtime/native/tls-verify.js";
import { closeError, datagramTooLarge, invalidState, noDatagrams, QuicError } from "../errors.js";
import { localOf, remoteOf, remoteText } from "../address.js";
import { Deferred } from "../deferred.js";
import type { EndpointCore } from "./endpoint-core.js";
import { writeKeylogFile } from "../environment.js";
import { faces } from "./faces.js";
import type { SessionMoves } from "./migrate.js";
import type { QuicSession } from "./session.js";
import { StreamCore } from "./stream-core.js";
import { callUser, type OpenedInfo, type SessionCallbacks, warnOfThrow } from "./types.js";

/** Peers choose the ids of their streams. */
const STREAM_SECRET = randomInt(2 ** 30);

/** Resolved values of CloseOptions. */
export interface CloseRequest {
  type: CloseType;
  code: bigint;
  reason: string;
}

/** A stream that waits until the peer allows one more. */
interface OpenRequest {
  resolve(stream: StreamCore): void;
  reject(error: unknown): void;
}

export interface DatagramQueueOptions {
  maxPending: number;
  dropsOldest: boolean;
}

export interface SessionSetup {
  callbacks: SessionCallbacks;
  tls: TlsProvider;
  /** Acceptable certificates by SHA-256, lower-case hex; null = TLS has verified. */
  pins: readonly string[] | null;
  /** Lines go to `onkeylog`. */
  keylog: boolean;
  /** PEM of this side's certificate, by the name that the client asked for. */
  ownCertificate: (serverName: string) => string | undefined;
  datagramQueue: DatagramQueueOptions;
  /** The session is gone: gives back what it had alone. */
  release: () => void;
}

/** By DATAGRAM_* of port/transport. */
const DATAGRAM_STATUS = ["acknowledged", "lost", "abandoned"] as const;

type FourAddresses = [SocketAddress, SocketAddress, SocketAddress, SocketAddress];

const PLAIN_CLOSE: CloseRequest = { type: "transport", code: 0n, reason: "" };

export class SessionCore implements TransportHandler {
  readonly face: QuicSession;
  readonly callbacks: SessionCallbacks;
  readonly opened = new Deferred<OpenedInfo>();
  readonly closed = new Deferred<void>();
  info: HandshakeInfo | null = null;
  closing = false;
  destroyed = false;
  maxPendingDatagrams = 0;
  /** Made with the first move. */
  moves: SessionMoves | null = null;
  private readonly streams = new IdMap<StreamCore>(STREAM_SECRET);
  private readonly waiting: [OpenRequest[], OpenRequest[]] = [[], []];
  /** Streams of the peer that nobody was told of, for want of `onstream`. */
  private readonly held: StreamCore[] = [];
  private closeRequest = PLAIN_CLOSE;
  private closeSent = false;
  private isOpened = false;

  constructor(
    readonly endpoint: EndpointCore,
    readonly transport: Connection,
    readonly setup: SessionSetup,
  ) {
    this.callbacks = { ...setup.callbacks };
    this.setMaxPendingDatagrams(setup.datagramQueue.maxPending);
    transport.owner = this;
    this.face = faces.session(this);
  }

  nowMicros(): number {
    return this.endpoint.nowMicros();
  }

  get remote(): SocketAddress {
    return remoteOf(this.transport.path.addr);
  }

  get local(): SocketAddress {
    const { addr, socket } = this.transport.path;
    return this.localAt(addr, socket);
  }

  get peerText(): string {
    return remoteText(this.transport.path.addr);
  }

  get peerCertificate(): X509Certificate | undefined {
    const leaf = this.info?.peerCertificates[0];
    return leaf === undefined ? undefined : new X509Certificate(leaf);
  }

  get ownCertificate(): X509Certificate | undefined {
    const pem = this.info === null ? undefined : this.setup.ownCertificate(this.info.serverName);
    return pem === undefined ? undefined : new X509Certificate(pem);
  }

  // --- the user ------------------------------------------------------------------------------------------------------

  /** Opens a stream now, or when the peer allows it. Rejects when `wait` is false and the limit is reached. */
  openStream(kind: StreamKind, wait: boolean, signal: AbortSignal | undefined): Promise<StreamCore> {
    if (this.destroyed || this.closing) return Promise.reject(invalidState("the session is closed or closing"));
    const queue = this.waiting[kind];
    if (queue.length === 0) {
      const id = this.transport.open(kind);
      if (id >= 0) return Promise.resolve(this.add(id));
      if (id !== T_BLOCKED) return Promise.reject(invalidState("the session is closed"));
    }
    // before the handshake nobody knows the limit, so everybody waits for it
    if (!wait && this.info !== null) {
      const kindName = kind === STREAM_BIDI ? "bidirectional" : "unidirectional";
      const message = `the peer allows no more ${kindName} streams now; close one, or wait with waitUntilAvailable`;
      return Promise.reject(new QuicError(message, { code: "ERR_QUIC_OPEN_STREAM_FAILED", type: "transport" }));
    }
    return this.waitForStream(queue, signal);
  }

  /** Lets streams finish, then closes. */
  close(request: CloseRequest): Promise<void> {
    if (!this.destroyed && !this.closing) {
      this.closing = true;
      this.closeRequest = request;
      this.refuseWaiting(() => invalidState("the session is closing"));
      for (const stream of this.streams.values()) stream.recv?.keepAside();
      this.closeWhenIdle();
    }
    return this.closed.promise;
  }

  /** A callback threw `error`: the peer is told INTERNAL_ERROR. */
  failBy(error: unknown): void {
    this.destroy(error, { type: "transport", code: BigInt(INTERNAL_ERROR), reason: "" });
  }

  /** Closes at once. `closed` rejects with `error` when there is one. */
  destroy(error: unknown, request: CloseRequest = PLAIN_CLOSE): void {
    if (this.destroyed) return;
    this.sendClose(request);
    this.finish(error);
  }

  /** Queues a datagram, which is the session's from then on. Throws when it cannot be sent. */
  sendDatagram(bytes: Uint8Array): number {
    const { transport } = this;
    if (this.destroyed || this.closing) throw invalidState("the session is closed or closing");
    if (transport.datagrams.maxBytes === 0) throw this.info === null ? notOpened() : noDatagrams();
    const id = transport.datagrams.send(bytes);
    if (id === T_TOO_LARGE) throw datagramTooLarge(bytes.length, transport.datagrams.maxBytes);
    if (id < 0) throw invalidState("the session is closed");
    return id;
  }

  setMaxPendingDatagrams(count: number): void {
    this.maxPendingDatagrams = count;
    this.transport.datagrams.setQueue(count, this.setup.datagramQueue.dropsOldest);
  }

  /** Hands streams over that came while there was no `onstream`. */
  offerHeld(): void {
    const { onstream } = this.callbacks;
    if (onstream === undefined) return;
    for (const stream of this.held.splice(0)) {
      callUser(onstream, this.face, [stream.face], (error) => this.onStreamThrow(stream, error));
    }
  }

  // --- the engine ----------------------------------------------------------------------------------------------------

  onHandshake(info: HandshakeInfo): void {
    if (this.destroyed) return;
    this.info = info;
    const alert = this.pinAlert(info);
    if (alert !== 0) {
      // before this turn's first 1-RTT packet leaves
      this.transport.close("transport", BigInt(CRYPTO_ERROR + alert), this.pinReason(alert));
      return;
    }
    const opened = this.openedInfo(info);
    if (opened.earlyDataAttempted && !opened.earlyDataAccepted && !this.transport.isServer) {
      this.call("onearlyrejected", []);
    }
    this.call("onhandshake", [opened]);
    this.isOpened = true;
    this.opened.resolve(opened);
  }

  onHandshakeConfirmed(): void {
    this.moves?.onConfirmed();
    this.endpoint.onConfirmed(this.transport);
  }

  onStream(id: number): void {
    if (this.destroyed || this.closing) {
      this.refuse(id);
      return;
    }
    const core = this.add(id);
    // one that sets `onstream` after `await session.opened` is in time for a stream of the same turn
    if (this.callbacks.onstream === undefined && this.held.length === 0) setImmediate(() => this.dropHeld());
    this.held.push(core);
    this.offerHeld();
  }

  onReadable(id: number): void {
    this.streams.get(id)?.onReadable();
  }

  onWritable(id: number): void {
    this.streams.get(id)?.onWritable();
  }

  onReset(id: number, code: bigint): void {
    this.streams.get(id)?.onReset(code);
  }

  onStopSending(id: number, code: bigint): void {
    this.streams.get(id)?.onStopSending(code);
  }

  onSendDone(id: number): void {
    this.streams.get(id)?.onSendDone();
  }

  onStreamClosed(id: number): void {
    const stream = this.streams.get(id);
    if (stream === undefined) return;
    this.streams.delete(id);
    stream.onClosed();
    if (this.closing) this.closeWhenIdle();
  }

  onStreamsAvailable(kind: StreamKind): void {
    const queue = this.waiting[kind];
    while (queue.length > 0) {
      const id = this.transport.open(kind);
      if (id < 0) return;
      queue.shift()?.resolve(this.add(id));
    }
  }

  onTicket(bytes: Uint8Array): void {
    this.call("onsessionticket", [bytes]);
  }

  onNewToken(bytes: Uint8Array): void {
    this.call("onnewtoken", [bytes, this.remote]);
  }

  onDatagram(bytes: Uint8Array, early: boolean): void {
    this.call("ondatagram", [bytes, early]);
  }

  onDatagramFate(id: number, fate: DatagramFate): void {
    this.call("ondatagramstatus", [BigInt(id), DATAGRAM_STATUS[fate]]);
  }

  onPathValidation(validation: PathValidation): void {
    const { result, path, socket, oldPath, oldSocket, preferred } = validation;
    const addresses = [this.localAt(path, socket), remoteOf(path), this.localAt(oldPath, oldSocket), remoteOf(oldPath)];
    this.call("onpathvalidation", [result, ...(addresses as FourAddresses), preferred]);
    this.moves?.onResult(validation);
  }

  onKeylog(line: string): void {
    writeKeylogFile(line);
    if (this.setup.keylog) this.call("onkeylog", [`${line}\n`]);
  }

  onClosed(info: CloseInfo): void {
    if (this.destroyed) return;
    this.finish(closeError(info, this.peerText));
  }

  /** The socket broke, or the endpoint was destroyed. */
  onEndpointGone(error: unknown): void {
    this.finish(error);
  }

  /** Calls a user's function of this session; what it throws destroys the session. */
  call<K extends Exclude<keyof SessionCallbacks, "onerror" | "onstream">>(
    name: K,
    args: Parameters<NonNullable<SessionCallbacks[K]>>,
  ): void {
    const callback = this.callbacks[name] as ((this: QuicSession, ...args: unknown[]) => unknown) | undefined;
    callUser(callback, this.face, args as unknown[], (error) => this.failBy(error));
  }

  // --- inside ----------------------------------------------------------------------------------------------------------

  private localAt(row: Int32Array, socket: number): SocketAddress {
    return localOf(row, this.endpoint.addressOf(socket));
  }

  private add(id: number): StreamCore {
    const stream = new StreamCore(this, id);
    this.streams.set(id, stream);
    return stream;
  }

  private dropHeld(): void {
    const held = this.held.splice(0);
    if (held.length === 0 || this.destroyed) return;
    process.emitWarning("a stream came, but the session has no onstream callback; it was destroyed", {
      type: "NetquicWarning",
    });
    for (const stream of held) stream.destroy();
  }

  /** A failed `onstream` ends its stream; a stream that the peer reset makes its reader throw, which is no news. */
  private onStreamThrow(stream: StreamCore, error: unknown): void {
    if (!stream.isOwnError(error) && stream.callbacks.onerror === undefined) warnOfThrow("onstream", error);
    stream.destroy(error);
  }

  /** A stream of the peer that came too late. */
  private refuse(id: number): void {
    this.transport.stopSending(id, 0n);
    this.transport.reset(id, 0n);
  }

  private waitForStream(queue: OpenRequest[], signal: AbortSignal | undefined): Promise<StreamCore> {
    return new Promise((resolve, reject) => {
      const request: OpenRequest = { resolve, reject };
      queue.push(request);
      if (signal === undefined) return;
      const onAbort = (): void => {
        queue.splice(queue.indexOf(request), 1);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      request.resolve = (stream) => {
        signal.removeEventListener("abort", onAbort);
        resolve(stream);
      };
      request.reject = (error) => {
        signal.removeEventListener("abort", onAbort);
        reject(error as Error);
      };
    });
  }

  /** The error is made when somebody waits: its stack trace is dear. */
  private refuseWaiting(error: () => unknown): void {
    for (const queue of this.waiting) for (const request of queue.splice(0)) request.reject(error());
  }

  private closeWhenIdle(): void {
    if (this.streams.size === 0 && !this.destroyed) this.sendClose(this.closeRequest);
  }

  private sendClose(request: CloseRequest): void {
    if (this.closeSent) return;
    this.closeSent = true;
    this.transport.close(request.type, request.code, request.reason);
  }

  private finish(error: unknown): void {
    if (this.destroyed) return;
    this.destroyed = true;
    const reason = error ?? null;
    // an error is made when somebody waits for one: its stack trace is dear
    if (!this.isOpened) this.opened.reject(reason ?? notOpened());
    this.refuseWaiting(() => reason ?? invalidState("the session is closed"));
    this.moves?.onEnd(reason ?? invalidState("the session is closed"));
    for (const stream of this.streams.values()) stream.onSessionEnd(reason);
    this.streams.clear();
    if (reason === null) this.closed.resolve();
    else {
      callUser(this.callbacks.onerror, this.face, [reason], (thrown) => warnOfThrow("onerror", thrown));
      this.closed.reject(reason);
    }
    this.setup.release();
    this.endpoint.onSessionGone(this);
  }

  private openedInfo(info: HandshakeInfo): OpenedInfo {
    const verified = this.setup.pins !== null;
    return {
      local: this.local,
      remote: this.remote,
      servername: info.serverName,
      protocol: info.alpn,
      cipher: info.cipher,
      cipherVersion: "TLSv1.3",
      validationErrorReason: verified ? "" : info.verifyError,
      validationErrorCode: verified ? 0 : verifyErrorCode(info.verifyError),
      earlyDataAttempted: info.earlyDataAttempted,
      earlyDataAccepted: info.earlyDataAccepted,
    };
  }

  /** 0, or the TLS alert for a certificate that is not pinned or not valid today. */
  private pinAlert(info: HandshakeInfo): number {
    const { pins } = this.setup;
    if (pins === null) return 0;
    const leaf = info.peerCertificates[0];
    if (leaf === undefined) return ALERT_BAD_CERTIFICATE;
    if (!pins.includes(createHash("sha256").update(leaf).digest("hex"))) return ALERT_BAD_CERTIFICATE;
    try {
      const { validFrom, validTo } = new X509Certificate(leaf);
      const now = Date.now();
      return now >= Date.parse(validFrom) && now <= Date.parse(validTo) ? 0 : ALERT_CERTIFICATE_EXPIRED;
    } catch {
      return ALERT_BAD_CERTIFICATE; // what Node cannot read is not accepted
    }
  }

  private pinReason(alert: number): string {
    if (alert === ALERT_CERTIFICATE_EXPIRED) return localAlertText(alert);
    return "bad_certificate: the certificate's SHA-256 is not among ext.serverCertificateHashes";
  }
}

function notOpened(): QuicError {
  const code = "ERR_QUIC_CONNECTION_FAILED";
  return new QuicError("the session was closed before its handshake was complete", { code, type: "transport" });
}
