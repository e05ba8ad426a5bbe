/**
 * Datagrams that belong to no connection (RFC 9000 §5.2.2, §8.1): a client's first Initial becomes a connection, a
 * Retry or a refusal; unknown versions are answered; anything else may get a stateless reset. Every answer is smaller
 * than three times what it answers and is rate-limited.
 */

import { equalRange } from "../base/bytes.js";
import { localParamBytes, localParams, makeConfig, type ConnectionConfig } from "../conn/config.js";
import { Connection } from "../conn/connection.js";
import { STATE_OPEN } from "../conn/state.js";
import { spokenVersions } from "../conn/versions.js";
import { EarlyTickets } from "../crypto/early-tickets.js";
import type { ClientHello } from "../crypto/hello.js";
import { addressKey } from "../crypto/token.js";
import { randomReservedVersion } from "../frame/params.js";
import {
  DROP_BAD_TOKEN,
  DROP_CID_LENGTH,
  DROP_FORGED,
  DROP_KEYS_UNAVAILABLE,
  DROP_NONE,
  DROP_OTHER_ADDRESS,
  DROP_RATE_LIMITED,
  DROP_REFUSED,
  DROP_SMALL_INITIAL,
  DROP_UNKNOWN_CID,
  DROP_UNKNOWN_VERSION,
} from "../observe/drop-reason.js";
import { PACKET_INITIAL, PACKET_SHORT, PACKET_ZERO_RTT, type PacketHeader, parseHeader } from "../packet/header.js";
import { writeRetry } from "../packet/retry.js";
import { statelessResetBytes, writeStatelessReset } from "../packet/stateless-reset.js";
import { writeVersionNegotiation } from "../packet/version-negotiation.js";
import { type HelloNames, LEVEL_EARLY, type TlsContext, type TlsSession } from "../port/tls.js";
import { ADDR_COLS, type AddressProof, RX_COLS, RX_ECN, RX_LEN, RX_OFF, RX_SOURCE, type RxBatch } from "../port/udp.js";
import {
  INITIAL_DCID_BYTES,
  MAX_ACCEPT_QUEUE,
  MAX_HALF_OPEN,
  MIN_INITIAL_DATAGRAM_BYTES,
  RETRY_ABOVE_HALF_OPEN,
} from "../proto/limits.js";
import { ALERT_NO_APPLICATION_PROTOCOL } from "../proto/tls-alert.js";
import { CONNECTION_REFUSED, CRYPTO_ERROR, INVALID_TOKEN } from "../proto/transport-error.js";
import { VERSION_NEGOTIATION } from "../proto/version.js";
import { Attempt, ATTEMPT_FORGED, ATTEMPT_WAITS, Attempts, type HeldDatagram } from "./attempt.js";
import { EarlyHeld } from "./early-held.js";
import type { Endpoint } from "./endpoint.js";
import { type PreferredRows, preferredAddress } from "./preferred.js";
import { buildRefusal } from "./refuse.js";

/** RFC 9001 §8.1. */
export const NO_APPLICATION_PROTOCOL = CRYPTO_ERROR + ALERT_NO_APPLICATION_PROTOCOL;

export interface ListenOptions {
  tls: TlsContext;
  config?: Partial<ConnectionConfig>;
  /** `auto`: once more than RETRY_ABOVE_HALF_OPEN handshakes are half-open (RFC 9000 §8.1.2). */
  retry?: "auto" | "always" | "never";
  /** Connections at once, of this endpoint; more are refused. Default unlimited. */
  maxConnections?: number;
  /** Where clients should go after the handshake (RFC 9000 §9.6); the owner's sockets are there. */
  preferred?: PreferredRows;
  /** Accept 0-RTT (RFC 9001 §4.6), each ticket once; `tls` has to hand out tickets for it. Default false; `true` is a new
   *  list of tickets, of this listener's own. */
  earlyData?: boolean | EarlyTickets;
  /** What `Connection.owner` of its connections is. */
  owner?: unknown;
  /** Connections are offered to `accept` before TLS has answered: by a program that does the handshake itself. */
  acceptAtHello?: boolean;
}

/** A hello that nothing is known of. */
const UNREADABLE: HelloNames = { serverName: "", alpn: [] };

/** Options ready for use, of one that listens. */
export class Listener {
  readonly config: ConnectionConfig;
  /** Null: no 0-RTT. Tickets of other settings do not count. */
  readonly earlyTickets: EarlyTickets | null;

  constructor(readonly options: ListenOptions) {
    this.config = makeConfig(options.config);
    const { earlyData = false } = options;
    this.earlyTickets = earlyData === true ? new EarlyTickets() : earlyData || null;
  }
}

/** Somebody elsewhere who gets a client's first datagrams as they came, and makes the connection. */
export interface Taker {
  readonly options: Pick<ListenOptions, "retry" | "maxConnections">;
  /** `early`: 0-RTT packets that overtook the others. */
  take(attempt: Attempt, last: HeldDatagram, early: readonly HeldDatagram[]): void;
}

/** Says who gets a connection, when several share an endpoint. */
export interface Chooser {
  /** Asked before a ClientHello is read: `auto` and `always` as in ListenOptions. A listener's own `always` holds too. */
  readonly retry: "auto" | "always" | "never";
  /** Whether any listener accepts 0-RTT: packets that overtake their Initial are kept then. */
  readonly earlyData: boolean;
  /** QUIC versions of first flights; others are answered by a Version Negotiation packet. Empty = all of this build. */
  readonly versions: readonly number[];
  /** `hello` null: it cannot be read, and who is named will refuse it. A number: the transport error code that the client
   *  gets, NO_APPLICATION_PROTOCOL where nobody speaks with it. */
  choose(hello: ClientHello | null, addr: Int32Array): Listener | Taker | number;
}

export class Acceptor {
  private chooser: Chooser | null = null;
  private readonly halfOpen = new Set<Connection>();
  private readonly attempts: Attempts;
  private accepted: Connection[] = [];
  private readonly earlyHeld: EarlyHeld;
  /** Where the datagram in hand came in, and what is known of its sender already. */
  private socket = 0;
  private known: AddressProof | null = null;

  constructor(private readonly endpoint: Endpoint) {
    this.earlyHeld = new EarlyHeld(() => endpoint.countDrop(DROP_KEYS_UNAVAILABLE));
    this.attempts = new Attempts(() => endpoint.countDrop(DROP_REFUSED));
  }

  /** Clients that have begun and not finished their handshake. */
  get halfOpenCount(): number {
    return this.halfOpen.size + this.attempts.count;
  }

  /** Bytes of datagrams that wait for the rest of a ClientHello. */
  get attemptBytes(): number {
    return this.attempts.heldBytes;
  }

  listen(chooser: Chooser): void {
    if (this.chooser !== null) throw new Error("this endpoint already listens");
    this.chooser = chooser;
  }

  /** Another one decides from now on. */
  replace(chooser: Chooser): void {
    this.chooser = chooser;
  }

  stop(): void {
    this.chooser = null;
    this.earlyHeld.clear();
    this.attempts.clear();
  }

  nextDeadline(): number {
    return this.attempts.nextDeadline();
  }

  timeout(nowMicros: number): void {
    this.attempts.expire(nowMicros);
  }

  takeAccepted(): Connection | null {
    return this.accepted.shift() ?? null;
  }

  /** Notes how far a server connection has come: its hello was processed, its handshake is complete. */
  onProgress(conn: Connection): void {
    if (!this.halfOpen.has(conn)) return;
    const { handshakeState: handshake } = conn;
    if (handshake.isOfferable && !handshake.offered && conn.state === STATE_OPEN) {
      handshake.offered = this.accepted.length < MAX_ACCEPT_QUEUE;
      if (handshake.offered) this.accepted.push(conn);
      else conn.close("transport", BigInt(CONNECTION_REFUSED), "accept queue is full");
    }
    // one that failed counts until its closing period is over: a flood of failing first flights is a flood all the same
    if (handshake.complete) this.halfOpen.delete(conn);
  }

  onGone(conn: Connection): void {
    this.halfOpen.delete(conn);
  }

  newToken(version: number, addr: Int32Array): Uint8Array | null {
    if (this.chooser === null) return null;
    return this.endpoint.tokens.sealNewToken(version, addressKey(addr, 0), this.endpoint.wallSeconds());
  }

  /** Handles datagram `row`, whose destination id nobody has; returns a new connection that shall receive it, or null. */
  onUnknown(rx: RxBatch, row: number, nowMicros: number): Connection | null {
    const { endpoint } = this;
    const { header, cidBytes } = endpoint.bench;
    this.socket = rx.socket;
    this.known = rx.proof ?? null;
    const off = rx.rows[row * RX_COLS + RX_OFF];
    const lengthBytes = rx.rows[row * RX_COLS + RX_LEN];
    const drop = parseHeader(rx.buf, off, off + lengthBytes, cidBytes, header, this.chooser !== null);
    if (endpoint.onReset(rx.buf, off, off + lengthBytes, nowMicros)) return null;
    if (drop !== DROP_NONE && drop !== DROP_UNKNOWN_VERSION) {
      endpoint.countDrop(drop);
      return null;
    }
    const source = rx.rows[row * RX_COLS + RX_SOURCE];
    const addr = rx.sources.slice(source * ADDR_COLS, (source + 1) * ADDR_COLS);
    if (drop === DROP_UNKNOWN_VERSION || (header.isLong && !this.speaks(header.version))) {
      this.answerVersion(rx.buf, header, lengthBytes, addr, nowMicros);
      return null;
    }
    if (!endpoint.cids.isOurs(rx, row)) return this.dropped(DROP_UNKNOWN_CID);
    if (header.type === PACKET_SHORT) {
      this.answerReset(rx.buf, header, lengthBytes, addr, nowMicros);
      return null;
    }
    if (header.type !== PACKET_INITIAL) {
      if (header.type === PACKET_ZERO_RTT && this.holdEarly(rx, row, header, addr, nowMicros)) return null;
      return this.dropped(DROP_UNKNOWN_CID);
    }
    return this.onInitial(rx, row, header, addr, nowMicros);
  }

  /** Of the versions of this build, those that the listener may use; all, when it does not listen. */
  private speaks(version: number): boolean {
    return version === VERSION_NEGOTIATION || spokenVersions(this.chooser?.versions ?? []).includes(version);
  }

  private holdEarly(rx: RxBatch, row: number, header: PacketHeader, addr: Int32Array, nowMicros: number): boolean {
    if (this.chooser?.earlyData !== true || header.dcidLength < INITIAL_DCID_BYTES) return false;
    const dcid = rx.buf.slice(header.dcidStart, header.dcidStart + header.dcidLength);
    const bytes = rx.buf.slice(header.start, header.end);
    return this.earlyHeld.hold({ dcid, addr, bytes, ecn: rx.rows[row * RX_COLS + RX_ECN], atMicros: nowMicros });
  }

  private onInitial(
    rx: RxBatch,
    row: number,
    header: PacketHeader,
    addr: Int32Array,
    nowMicros: number,
  ): Connection | null {
    const { endpoint, chooser } = this;
    const { buf, rows } = rx;
    if (chooser === null) return this.dropped(DROP_REFUSED);
    if (rows[row * RX_COLS + RX_LEN] < MIN_INITIAL_DATAGRAM_BYTES) return this.dropped(DROP_SMALL_INITIAL); // RFC 9000 §14.1
    if (header.dcidLength < INITIAL_DCID_BYTES) return this.dropped(DROP_CID_LENGTH); // RFC 9000 §7.2
    const dcid = buf.slice(header.dcidStart, header.dcidStart + header.dcidLength);
    let attempt = this.attempts.find(dcid);
    if (attempt === null) {
      const proof = this.known?.validated === true ? this.known : this.readToken(buf, header, addr, nowMicros);
      if (proof === null || !this.mayBegin(chooser, buf, header, addr, proof, nowMicros)) return null;
      const { version } = header;
      const origin = { dcid, addr, socket: this.socket, version, proof, startedAtMicros: nowMicros };
      attempt = new Attempt(endpoint.aead, origin);
    } else if (!attempt.isFrom(addr, this.socket)) return this.dropped(DROP_OTHER_ADDRESS);
    return this.onAttempt(chooser, attempt, rx, row, nowMicros);
  }

  /** Whether one more client may begin now; else it has its answer. */
  private mayBegin(
    chooser: Chooser,
    buf: Uint8Array,
    header: PacketHeader,
    addr: Int32Array,
    proof: AddressProof,
    nowMicros: number,
  ): boolean {
    if (this.halfOpenCount >= MAX_HALF_OPEN) {
      this.refuse(buf, header, addr, CONNECTION_REFUSED, nowMicros);
      this.endpoint.counters.connectionsRefused++;
      this.dropped(DROP_REFUSED);
      return false;
    }
    if (proof.validated || !this.wantsRetry(chooser.retry)) return true;
    this.answerRetry(buf, header, addr);
    return false;
  }

  /** Datagram `row` of an attempt: the rest of a ClientHello, or a part that has to wait. */
  private onAttempt(
    chooser: Chooser,
    attempt: Attempt,
    rx: RxBatch,
    row: number,
    nowMicros: number,
  ): Connection | null {
    const { endpoint, attempts } = this;
    const { buf, rows } = rx;
    const off = rows[row * RX_COLS + RX_OFF];
    const end = off + rows[row * RX_COLS + RX_LEN];
    const ecn = rows[row * RX_COLS + RX_ECN];
    const state = attempt.read(endpoint.bench, buf.slice(off, end));
    if (state === ATTEMPT_FORGED) {
      if (attempt.held.length === 0) attempt.release();
      return this.dropped(DROP_FORGED);
    }
    if (state === ATTEMPT_WAITS && attempts.hold(attempt, buf.slice(off, end), ecn, nowMicros)) return null;
    attempts.take(attempt);
    const { addr, dcid, proof } = attempt.origin;
    const chosen = chooser.choose(attempt.hello, addr);
    const { header } = endpoint.bench;
    const answer = typeof chosen === "number" ? chosen : this.mayConnect(chosen);
    if (typeof chosen === "number" || answer !== 0) {
      endpoint.counters.connectionsRefused++;
      this.refuse(buf, header, addr, answer, nowMicros);
      this.dropped(DROP_REFUSED);
    } else if (chosen.options.retry === "always" && !proof.validated) {
      this.answerRetry(buf, header, addr);
    } else if (chosen instanceof Listener) {
      return this.start(chosen, attempt, buf, header, nowMicros);
    } else {
      const last = { bytes: buf.slice(off, end), ecn, atMicros: nowMicros };
      chosen.take(attempt, last, this.earlyHeld.take(dcid, addr, nowMicros));
    }
    attempt.release();
    return null;
  }

  private mayConnect({ options }: Listener | Taker): number {
    const { connectionCount, pressure } = this.endpoint;
    const isFull = pressure.refusesConnections || connectionCount >= (options.maxConnections ?? Infinity);
    return isFull ? CONNECTION_REFUSED : 0;
  }

  private dropped(reason: number): null {
    this.endpoint.countDrop(reason);
    return null;
  }

  private wantsRetry(retry: Chooser["retry"]): boolean {
    return retry === "always" || (retry === "auto" && this.halfOpenCount >= RETRY_ABOVE_HALF_OPEN);
  }

  /** What the token proves; null when the datagram is done with (RFC 9000 §8.1.3). */
  private readToken(buf: Uint8Array, header: PacketHeader, addr: Int32Array, nowMicros: number): AddressProof | null {
    const none: AddressProof = { validated: false, origDcid: null, retryScid: null };
    if (header.tokenEnd <= header.tokenStart) return none;
    const token = buf.slice(header.tokenStart, header.tokenEnd);
    const { tokens, wallSeconds } = this.endpoint;
    const opened = tokens.open(token, header.version, addressKey(addr, 0), wallSeconds());
    if (opened === null && !tokens.isRetryToken(token)) return none; // as if there were none
    if (opened?.kind === "other-version") return this.dropped(DROP_BAD_TOKEN); // RFC 9369 §4.1
    if (opened?.kind === "new") return { validated: true, origDcid: null, retryScid: null };
    const { dcidStart, dcidLength } = header;
    if (opened?.kind === "retry" && equalRange(buf, dcidStart, dcidStart + dcidLength, opened.retryScid)) {
      return { validated: true, origDcid: opened.odcid, retryScid: opened.retryScid };
    }
    // a Retry token that is stale or of another connection: the client will not take a second Retry
    this.endpoint.countDrop(DROP_BAD_TOKEN);
    this.refuse(buf, header, addr, INVALID_TOKEN, nowMicros);
    return null;
  }

  private start(
    listener: Listener,
    attempt: Attempt,
    buf: Uint8Array,
    header: PacketHeader,
    nowMicros: number,
  ): Connection {
    const { endpoint } = this;
    const { dcid, addr, socket, version, proof } = attempt.origin;
    const { hello } = attempt;
    const localCid = endpoint.newCid();
    const conn = new Connection(endpoint, {
      isServer: true,
      version,
      config: listener.config,
      startTls: (negotiated) => this.startTls(listener, conn, hello, proof, negotiated),
      origDcid: dcid,
      initialKeys: attempt.keys,
      localCid,
      peerCid: buf.slice(header.scidStart, header.scidStart + header.scidLength),
      addr,
      socket,
      token: null,
      addressValidated: proof.validated,
      remembered: null,
      earlyTickets: listener.earlyTickets,
      nowMicros,
    });
    attempt.keys = null;
    conn.owner = listener.options.owner ?? null;
    conn.handshakeState.offeredAtHello = conn.versions.keepsTls = listener.options.acceptAtHello === true;
    for (const { bytes, ecn } of this.earlyHeld.take(dcid, addr, nowMicros)) {
      if (!conn.undecryptable.hold(LEVEL_EARLY, bytes, 0, bytes.length, ecn)) conn.drop(DROP_KEYS_UNAVAILABLE);
    }
    endpoint.route(dcid, conn);
    endpoint.route(localCid, conn);
    endpoint.counters.connectionsAccepted++;
    endpoint.add(conn);
    this.halfOpen.add(conn);
    if (attempt.held.length > 0) conn.receive(batchOf(attempt), 0, attempt.held.length, nowMicros);
    attempt.release();
    return conn;
  }

  private startTls(
    listener: Listener,
    conn: Connection,
    hello: ClientHello | null,
    proof: AddressProof,
    version: number,
  ): TlsSession {
    const { config, options } = listener;
    const { localCid, origDcid } = conn;
    const params = localParams(config);
    params.originalDcid = proof.origDcid ?? origDcid;
    params.retryScid = proof.retryScid;
    params.initialScid = localCid;
    if (config.statelessReset) params.statelessResetToken = this.endpoint.resetToken(localCid);
    if (options.preferred !== undefined) {
      params.preferredAddress = preferredAddress(this.endpoint, conn, options.preferred);
    }
    return options.tls.newSession({
      transportParams: localParamBytes(params, config, true, version, this.endpoint.random),
      ticketScope: version,
      hello: hello ?? UNREADABLE,
    });
  }

  private answerVersion(
    buf: Uint8Array,
    header: PacketHeader,
    lengthBytes: number,
    addr: Int32Array,
    nowMicros: number,
  ): void {
    const { endpoint } = this;
    endpoint.countDrop(DROP_UNKNOWN_VERSION);
    // RFC 9000 §5.2.2, §6.1: only what could be a first flight is answered
    if (this.chooser === null || lengthBytes < MIN_INITIAL_DATAGRAM_BYTES) return;
    if (!endpoint.answers.allow(nowMicros)) return;
    const dcid = buf.subarray(header.dcidStart, header.dcidStart + header.dcidLength);
    const scid = buf.subarray(header.scidStart, header.scidStart + header.scidLength);
    const versions = [...spokenVersions(this.chooser.versions), randomReservedVersion(endpoint.random)]; // RFC 9000 §6.3
    const out = new Uint8Array(7 + dcid.length + scid.length + 4 * versions.length);
    const end = writeVersionNegotiation(out, 0, scid, dcid, versions, endpoint.randomBytes(1)[0]);
    endpoint.answers.push(out.slice(0, end), addr, this.socket);
    endpoint.counters.versionNegotiationsSent++;
  }

  private answerRetry(buf: Uint8Array, header: PacketHeader, addr: Int32Array): void {
    const { endpoint } = this;
    // not rationed: it is what keeps honest clients served during a flood, and a tenth of the size of what it answers
    if (!endpoint.answers.hasRoom) {
      endpoint.countDrop(DROP_RATE_LIMITED);
      return;
    }
    const odcid = buf.slice(header.dcidStart, header.dcidStart + header.dcidLength);
    const scid = buf.slice(header.scidStart, header.scidStart + header.scidLength);
    const retryScid = endpoint.newCid(INITIAL_DCID_BYTES); // the next Initial keys come from it, too
    const token = endpoint.tokens.sealRetryToken(
      odcid,
      retryScid,
      header.version,
      addressKey(addr, 0),
      endpoint.wallSeconds(),
    );
    const out = new Uint8Array(MIN_INITIAL_DATAGRAM_BYTES);
    const end = writeRetry(out, 0, header.version, scid, retryScid, token, odcid, endpoint.aead);
    endpoint.answers.push(out.slice(0, end), addr, this.socket);
    endpoint.counters.retriesSent++;
  }

  private answerReset(
    buf: Uint8Array,
    header: PacketHeader,
    lengthBytes: number,
    addr: Int32Array,
    nowMicros: number,
  ): void {
    const { endpoint } = this;
    endpoint.countDrop(DROP_UNKNOWN_CID);
    const resetBytes = statelessResetBytes(lengthBytes);
    if (resetBytes === 0 || !endpoint.sendsResets || !endpoint.answers.allow(nowMicros)) return;
    const cid = buf.slice(header.dcidStart, header.dcidStart + header.dcidLength);
    const out = new Uint8Array(resetBytes);
    writeStatelessReset(out, 0, resetBytes, endpoint.resetToken(cid), endpoint.random);
    endpoint.answers.push(out, addr, this.socket);
    endpoint.counters.statelessResetsSent++;
  }

  private refuse(buf: Uint8Array, header: PacketHeader, addr: Int32Array, code: number, nowMicros: number): void {
    const { endpoint } = this;
    if (!endpoint.answers.allow(nowMicros)) return;
    const answer = buildRefusal(endpoint, buf, header, code);
    if (answer === null) return;
    endpoint.answers.push(answer, addr, this.socket);
    endpoint.counters.refusalsSent++;
  }
}

/** The datagrams of an attempt, as if they came now. */
function batchOf(attempt: Attempt): RxBatch {
  const { held, heldBytes, origin } = attempt;
  const buf = new Uint8Array(heldBytes);
  const rows = new Int32Array(held.length * RX_COLS);
  let off = 0;
  for (const [i, { bytes, ecn }] of held.entries()) {
    buf.set(bytes, off);
    rows.set([off, bytes.length, 0, ecn], i * RX_COLS); // RX_OFF, RX_LEN, RX_SOURCE, RX_ECN
    off += bytes.length;
  }
  return { buf, rows, sources: origin.addr, count: held.length, sourceCount: 1, socket: origin.socket };
}
