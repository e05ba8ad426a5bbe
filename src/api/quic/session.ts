/** QuicSession of `node:quic`: what users hold of one connection. Everything happens in its core. */

import type { X509Certificate } from "node:crypto";
import { STREAM_BIDI, STREAM_UNI, type StreamKind, type Transport, type TransportStats } from "../../port/transport.js";
import { MAX_DATAGRAMS_OUT } from "../../proto/limits.js";
import { ConnectionDetails } from "../../runtime/loop.js";
import { announcedHere, announcedThere } from "../../runtime/announced.js";
import { invalidState, invalidType, toCode } from "../errors.js";
import { type StreamBody, sendBody } from "./body.js";
import type { QuicEndpoint } from "./endpoint.js";
import { faces } from "./faces.js";
import { type MigrateOptions, SessionMoves, type SessionPath } from "./migrate.js";
import { OptionReader } from "../option-reader.js";
import type { CloseRequest, SessionCore } from "./session-core.js";
import { type SessionStats, sessionStats } from "./stats.js";
import { checked, type PriorityOptions, type QuicStream } from "./stream.js";
import { type SessionTransportParams, sessionTransportParams } from "./transport-params.js";
import type { CloseOptions, OpenedInfo, SessionCallbacks } from "./types.js";

export interface CreateStreamOptions {
  /** Written, then ended; absent: `stream.writer` or `ext.toDuplex()` writes. */
  body?: StreamBody;
  /** Wait when the peer allows no more streams now, else reject; default true for bidirectional, false for the others. */
  waitUntilAvailable?: boolean;
  priority?: NonNullable<PriorityOptions["level"]>;
  incremental?: boolean;
  /** Ends the wait, and destroys the stream when it aborts later. */
  signal?: AbortSignal;
}

export class QuicSession {
  readonly #core: SessionCore;
  /** What node:quic does not have. */
  readonly ext: QuicSessionExt;

  /** Sessions come from `connect` and `listen`. */
  constructor(core: SessionCore) {
    this.#core = core;
    this.ext = new QuicSessionExt(core);
  }

  /** Fulfilled when the handshake is complete and the certificate is accepted. */
  get opened(): Promise<OpenedInfo> {
    return this.#core.opened.promise;
  }

  /** Fulfilled when the session ended with code 0; rejects with why it ended else. */
  get closed(): Promise<void> {
    return this.#core.closed.promise;
  }

  get closing(): boolean {
    return this.#core.closing && !this.#core.destroyed;
  }

  get destroyed(): boolean {
    return this.#core.destroyed;
  }

  get endpoint(): QuicEndpoint | null {
    return this.#core.destroyed ? null : this.#core.endpoint.face;
  }

  /** Where it is now: it changes when an end moves. */
  get path(): SessionPath | undefined {
    return this.#core.destroyed ? undefined : { local: this.#core.local, remote: this.#core.remote };
  }

  /** SNI; false when the client sent none, null before the handshake. */
  get servername(): string | false | null {
    const name = this.#core.info?.serverName;
    return name === undefined ? null : name === "" ? false : name;
  }

  /** Null before the handshake. */
  get alpnProtocol(): string | null {
    return this.#core.info?.alpn ?? null;
  }

  get peerCertificate(): X509Certificate | undefined {
    return this.#core.peerCertificate;
  }

  /** This side's certificate, undefined when it has none. */
  get certificate(): X509Certificate | undefined {
    return this.#core.ownCertificate;
  }

  /** What this side has announced (RFC 9000 §18.2). */
  get localTransportParams(): SessionTransportParams {
    return sessionTransportParams(announcedHere(this.#core.transport));
  }

  /** And the peer; undefined before its hello. */
  get remoteTransportParams(): SessionTransportParams | undefined {
    const params = announcedThere(this.#core.transport);
    return params === null ? undefined : sessionTransportParams(params);
  }

  get stats(): SessionStats {
    return sessionStats(this.#core.transport.stats());
  }

  get onstream(): SessionCallbacks["onstream"] {
    return this.#core.callbacks.onstream;
  }
  set onstream(callback: SessionCallbacks["onstream"]) {
    this.#core.callbacks.onstream = checked("onstream", callback);
    this.#core.offerHeld();
  }

  get onerror(): SessionCallbacks["onerror"] {
    return this.#core.callbacks.onerror;
  }
  set onerror(callback: SessionCallbacks["onerror"]) {
    this.#core.callbacks.onerror = checked("onerror", callback);
  }

  get onhandshake(): SessionCallbacks["onhandshake"] {
    return this.#core.callbacks.onhandshake;
  }
  set onhandshake(callback: SessionCallbacks["onhandshake"]) {
    this.#core.callbacks.onhandshake = checked("onhandshake", callback);
  }

  get onearlyrejected(): SessionCallbacks["onearlyrejected"] {
    return this.#core.callbacks.onearlyrejected;
  }
  set onearlyrejected(callback: SessionCallbacks["onearlyrejected"]) {
    this.#core.callbacks.onearlyrejected = checked("onearlyrejected", callback);
  }

  get onsessionticket(): SessionCallbacks["onsessionticket"] {
    return this.#core.callbacks.onsessionticket;
  }
  set onsessionticket(callback: SessionCallbacks["onsessionticket"]) {
    this.#core.callbacks.onsessionticket = checked("onsessionticket", callback);
  }

  get onnewtoken(): SessionCallbacks["onnewtoken"] {
    return this.#core.callbacks.onnewtoken;
  }
  set onnewtoken(callback: SessionCallbacks["onnewtoken"]) {
    this.#core.callbacks.onnewtoken = checked("onnewtoken", callback);
  }

  get onkeylog(): SessionCallbacks["onkeylog"] {
    return this.#core.callbacks.onkeylog;
  }
  set onkeylog(callback: SessionCallbacks["onkeylog"]) {
    this.#core.callbacks.onkeylog = checked("onkeylog", callback);
  }

  get onpathvalidation(): SessionCallbacks["onpathvalidation"] {
    return this.#core.callbacks.onpathvalidation;
  }
  set onpathvalidation(callback: SessionCallbacks["onpathvalidation"]) {
    this.#core.callbacks.onpathvalidation = checked("onpathvalidation", callback);
  }

  get ondatagram(): SessionCallbacks["ondatagram"] {
    return this.#core.callbacks.ondatagram;
  }
  set ondatagram(callback: SessionCallbacks["ondatagram"]) {
    this.#core.callbacks.ondatagram = checked("ondatagram", callback);
  }

  get ondatagramstatus(): SessionCallbacks["ondatagramstatus"] {
    return this.#core.callbacks.ondatagramstatus;
  }
  set ondatagramstatus(callback: SessionCallbacks["ondatagramstatus"]) {
    this.#core.callbacks.ondatagramstatus = checked("ondatagramstatus", callback);
  }

  /** Bytes that the largest datagram may have now; 0 when the peer takes none, or is not known yet. Follows the path. */
  get maxDatagramSize(): number {
    return this.#core.destroyed ? 0 : this.#core.transport.datagrams.maxBytes;
  }

  /** Datagrams that may wait to be sent, 1 to 1024; what happens to more says `datagramDropPolicy`. */
  get maxPendingDatagrams(): number {
    return this.#core.maxPendingDatagrams;
  }
  set maxPendingDatagrams(count: number) {
    if (!(Number.isInteger(count) && count >= 1 && count <= MAX_DATAGRAMS_OUT)) {
      throw invalidType("maxPendingDatagrams", `a whole number from 1 to ${MAX_DATAGRAMS_OUT}`, count);
    }
    this.#core.setMaxPendingDatagrams(count);
  }

  /**
   * Sends a datagram (RFC 9221): it arrives whole, late, or not at all. Resolves to its id, for `ondatagramstatus`, or to
   * 0n when it cannot be sent: empty, too large, or the peer takes none. `ext.sendDatagram` says why.
   */
  async sendDatagram(
    datagram: string | ArrayBufferView | ArrayBuffer | Promise<string | ArrayBufferView | ArrayBuffer>,
    encoding: BufferEncoding = "utf8",
  ): Promise<bigint> {
    const bytes = datagramBytes(await datagram, encoding);
    if (bytes.length === 0 || bytes.length > this.maxDatagramSize) return 0n;
    return BigInt(this.#core.sendDatagram(bytes));
  }

  /** Opens a stream that both sides write. Rejects with `ERR_QUIC_OPEN_STREAM_FAILED` or `ERR_INVALID_STATE`. */
  createBidirectionalStream(options?: CreateStreamOptions): Promise<QuicStream> {
    return this.#create(STREAM_BIDI, options);
  }

  /** Opens a stream that this side alone writes. */
  createUnidirectionalStream(options?: CreateStreamOptions): Promise<QuicStream> {
    return this.#create(STREAM_UNI, options);
  }

  /**
   * Takes new keys for what is sent, and so makes the peer do the same (RFC 9001 §6): now, or as soon as the RFC allows,
   * which one call at a time can wait for. `ext.stats().keyUpdates` counts. @throws `ERR_INVALID_STATE` once closed, or without keys.
   */
  updateKey(): void {
    const { destroyed, transport } = this.#core;
    if (!destroyed && transport.updateKeys()) return;
    const isPlain = !destroyed && transport.stats().plaintext;
    throw invalidState(isPlain ? "the packets of this session are not encrypted" : "the session is closed");
  }

  /** Lets open streams finish, opens no more, then closes. Returns `closed`, which rejects when `code` is not 0. */
  close(options?: CloseOptions): Promise<void> {
    return this.#core.close(readClose(options));
  }

  /** Closes at once, streams included. `closed` rejects with `error` when one is given. */
  destroy(error?: unknown, options?: CloseOptions): void {
    this.#core.destroy(error ?? undefined, readClose(options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #create(kind: StreamKind, given: CreateStreamOptions | undefined): Promise<QuicStream> {
    const reader = new OptionReader(given, "options");
    const body = reader.raw("body");
    const wait = reader.boolean("waitUntilAvailable") ?? kind === STREAM_BIDI;
    const level = reader.oneOf("priority", ["high", "default", "low"]);
    const incremental = reader.boolean("incremental") ?? false;
    const signal = reader.signal("signal");
    reader.finish();
    signal?.throwIfAborted();
    const core = await this.#core.openStream(kind, wait, signal);
    if (level !== undefined || incremental) core.face.setPriority({ level: level ?? "default", incremental });
    if (signal !== undefined) {
      const onAbort = (): void => core.destroy(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      core.closed.promise.catch(() => {}).finally(() => signal.removeEventListener("abort", onAbort));
    }
    if (body !== undefined) sendBody(core, body);
    return core.face;
  }
}

faces.session = (core) => new QuicSession(core);

/** `session.ext`: what is ours. */
export class QuicSessionExt {
  readonly #core: SessionCore;

  constructor(core: SessionCore) {
    this.#core = core;
  }

  /** The connection below, for façades of other kinds. */
  get transport(): Transport {
    return this.#core.transport;
  }

  /**
   * As `session.sendDatagram`, at once and not a promise. The bytes are copied. @throws `ERR_QUIC_DATAGRAM_TOO_LARGE`,
   * `ERR_QUIC_NO_DATAGRAMS` when the peer takes none, `ERR_INVALID_STATE` once the session is closed.
   */
  sendDatagram(datagram: string | ArrayBufferView | ArrayBuffer): bigint {
    return BigInt(this.#core.sendDatagram(datagramBytes(datagram, "utf8")));
  }

  /**
   * Client: moves to another local address (RFC 9000 §9) and resolves to the new `path` when the server has answered there;
   * streams notice nothing. Waits for the end of the handshake. @throws `ERR_NETQUIC_PATH_FAILED` when nothing answers,
   * `ERR_NETQUIC_MIGRATION_REFUSED`, `ERR_INVALID_STATE`, or the system's error when there is no such address here.
   */
  migrate(options?: MigrateOptions): Promise<SessionPath> {
    this.#core.moves ??= new SessionMoves(this.#core);
    return this.#core.moves.migrate(options);
  }

  /** Memory of what was written and is not acknowledged yet, over all streams, bytes. */
  get sendHeldBytes(): number {
    return new ConnectionDetails(this.#core.transport).sendHeldBytes;
  }

  /** Counters as numbers, times in microseconds. */
  stats(): TransportStats {
    return this.#core.transport.stats();
  }

  /** Names that the handshake agent gave the peer by its certificate (docs/agent.md); none before the handshake is complete. */
  get peerTags(): readonly string[] {
    return this.#core.info?.tags ?? [];
  }

  /** What runs below: TLS library, key exchange, version of QUIC, datapath and how the socket sends and receives. */
  get runtime(): RuntimeInfo {
    const { info, endpoint, setup } = this.#core;
    const { tls } = setup;
    return {
      tls: tls.name,
      tlsVersion: tls.version,
      group: info?.group ?? "",
      resumed: info?.resumed ?? false,
      version: info?.version ?? 0,
      ...endpoint.rungs,
    };
  }
}

interface RuntimeInfo {
  tls: string;
  tlsVersion: string;
  group: string;
  resumed: boolean;
  /** As on the wire; 0 before the handshake is complete. */
  version: number;
  datapath: string;
  udp: string;
}

/** A copy that the queue keeps. */
function datagramBytes(given: unknown, encoding: BufferEncoding): Uint8Array {
  if (typeof given === "string") return Uint8Array.from(Buffer.from(given, encoding));
  if (ArrayBuffer.isView(given)) return new Uint8Array(given.buffer, given.byteOffset, given.byteLength).slice();
  if (given instanceof ArrayBuffer || given instanceof SharedArrayBuffer) return new Uint8Array(given).slice();
  throw invalidType("datagram", "a string, an ArrayBufferView or an ArrayBuffer", given);
}

function readClose(given: CloseOptions | undefined): CloseRequest {
  const reader = new OptionReader(given, "options");
  const code = reader.raw("code") ?? 0n;
  const type = reader.oneOf("type", ["transport", "application"]) ?? "transport";
  const reason = reader.string("reason") ?? "";
  reader.finish();
  return { type, code: toCode(code, "options.code"), reason };
}
