/**
 * The TLS handshake of one connection (RFC 9001 §4): CRYPTO bytes in order go through the framer to the provider, its
 * results become keys, CRYPTO data to send, peer parameters and events. Results may come at once or later; the pump is
 * the same. The verdict on transport parameters comes before any alert of the TLS library (ROBUSTNESS 3).
 */

import { TlsFramer } from "../crypto/tls-framer.js";
import { checkHandshakeCids, decodeParams, type HandshakeCids } from "../frame/params.js";
import { FRAME_CRYPTO } from "../frame/table.js";
import { CryptoIn } from "../inqueue/crypto.js";
import {
  LEVEL_APP,
  LEVEL_EARLY,
  LEVEL_HANDSHAKE,
  LEVEL_INITIAL,
  type Level,
  type TlsInfo,
  type TlsResult,
  type TlsSession,
} from "../port/tls.js";
import type { TransportParams } from "../proto/params.js";
import { ALERT_MISSING_EXTENSION } from "../proto/tls-alert.js";
import { levelSpace, SPACE_HANDSHAKE, SPACE_INITIAL } from "../proto/space.js";
import {
  CRYPTO_ERROR,
  INTERNAL_ERROR,
  PROTOCOL_VIOLATION,
  VERSION_NEGOTIATION_ERROR,
  TRANSPORT_PARAMETER_ERROR,
} from "../proto/transport-error.js";
import type { HeldBytes } from "../stream/held.js";
import { DEADLINE_HANDSHAKE } from "../timer/deadlines.js";
import { closeTransport } from "./close.js";
import type { Connection } from "./connection.js";
import {
  decideEarly,
  EARLY_ACCEPTED,
  expireEarly,
  onEarlyAnswer,
  onEarlyKey,
  onParamsAfterEarly,
  settleEarly,
} from "./early.js";
import { tryPreferred } from "./migrate.js";
import { sealSessionTicket } from "./session-ticket.js";
import { STATE_OPEN } from "./state.js";
import { chooseVersion } from "./versions.js";

const NO_BYTES = new Uint8Array(0);

export class HandshakeState {
  /** RFC 9001 §4.1.1. */
  complete = false;
  /** RFC 9001 §4.1.2. */
  confirmed = false;
  /** The peer's parameters, valid; null before its hello. */
  peerParams: TransportParams | null = null;
  /** Set when keys of a level became readable, so that held packets can be tried. */
  unlocked = false;
  /** The server answered. */
  started = false;
  /** The connection is for `accept` as soon as TLS has the ClientHello, not when it has answered it. */
  offeredAtHello = false;
  readonly framer: TlsFramer;
  /** By level; null for 0-RTT, which has none, and for levels whose keys are gone. */
  readonly input: [CryptoIn | null, null, CryptoIn | null, CryptoIn];
  private highestRead: Level = LEVEL_INITIAL;

  /** Results came between doors: the next transmit pumps. */
  late: boolean;
  /** Handed to `accept`. */
  offered = false;
  private session: TlsSession | null = null;
  /** The start of a ClientHello that is not whole yet. */
  private hello = NO_BYTES;
  private helloBytes = 0;

  /** `startTls` makes the session when there is something for it to do: a forged Initial costs none. */
  constructor(
    private readonly isServer: boolean,
    private startTls: (() => TlsSession) | null,
    private readonly onLate: () => void,
    held: HeldBytes,
  ) {
    this.framer = new TlsFramer(isServer);
    this.late = !isServer; // a client's first flight waits in its session
    this.input = [
      new CryptoIn(LEVEL_INITIAL, held),
      null,
      new CryptoIn(LEVEL_HANDSHAKE, held),
      new CryptoIn(LEVEL_APP, held),
    ];
  }

  /** The TLS session; null once released. */
  get tls(): TlsSession | null {
    if (this.session !== null || this.startTls === null) return this.session;
    this.session = this.startTls();
    this.startTls = null; // it holds what the session was made from
    this.session.onResults = () => {
      if (this.late) return;
      this.late = true;
      this.onLate();
    };
    return this.session;
  }

  /** In-order bytes for TLS. A server's session begins with a whole ClientHello: a part must not cost what one costs. */
  putTls(level: Level, bytes: Uint8Array): void {
    if (this.waitsForHello && this.framer.hasPartial(level)) {
      this.keepHello(bytes);
      return;
    }
    const { tls } = this;
    if (this.helloBytes > 0) tls?.put(level, this.hello.slice(0, this.helloBytes));
    this.hello = NO_BYTES;
    this.helloBytes = 0;
    tls?.put(level, bytes);
  }

  /** In one piece, because a peer may send crumbs; the framer bounds what a message has. */
  private keepHello(bytes: Uint8Array): void {
    const needed = this.helloBytes + bytes.length;
    if (needed > this.hello.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.hello.length));
      larger.set(this.hello.subarray(0, this.helloBytes));
      this.hello = larger;
    }
    this.hello.set(bytes, this.helloBytes);
    this.helloBytes = needed;
  }

  /** The next result of TLS, null when there is none now. */
  takeTls(): TlsResult | null {
    return this.waitsForHello ? null : (this.tls?.take() ?? null);
  }

  private get waitsForHello(): boolean {
    return this.isServer && this.startTls !== null;
  }

  /** Whether the connection may be offered to `accept`. */
  get isOfferable(): boolean {
    return this.started || (this.offeredAtHello && this.session !== null);
  }

  /** The highest level whose packets can be read: lower ones may not bring new CRYPTO data (RFC 9001 §4.1.3). */
  get readLevel(): Level {
    return this.highestRead;
  }

  onReadKeys(level: Level): void {
    if (level > this.highestRead) this.highestRead = level;
    this.unlocked = true;
  }

  /** CRYPTO frames of this level mean nothing any more. */
  closeInput(level: typeof LEVEL_INITIAL | typeof LEVEL_HANDSHAKE): void {
    this.input[level]?.discard();
    this.input[level] = null;
  }

  /** TLS has nothing more to say or to hear. */
  closeTls(): void {
    this.hello = NO_BYTES;
    this.helloBytes = 0;
    this.startTls = null;
    this.session?.close();
    this.session = null;
  }

  release(): void {
    this.closeTls();
    for (const input of this.input) input?.discard();
  }
}

/** That of a connection which begins, or begins again. */
export function newHandshake(conn: Connection): HandshakeState {
  const startTls = (): TlsSession => conn.versions.newTls();
  const onLate = (): void => {
    conn.host.lateTls.push(conn);
    conn.host.schedule(conn);
  };
  return new HandshakeState(conn.isServer, startTls, onLate, conn.cryptoHeld);
}

/** A CRYPTO frame arrived at `level`. True = what it puts in order may go to TLS, see `feedTls`. */
export function takeCrypto(
  conn: Connection,
  level: Level,
  offset: number,
  buf: Uint8Array,
  start: number,
  end: number,
): boolean {
  const { handshakeState: handshake } = conn;
  const input = handshake.input[level];
  if (input === null) return false;
  // RFC 9369 §4.1: a server sends no CRYPTO frame before it has chosen, and then in the version that it chose
  if (!conn.isServer && !conn.versions.settled) conn.versions.settle(conn.versions.current);
  if (level < handshake.readLevel && offset + (end - start) > input.highest) {
    closeTransport(conn, PROTOCOL_VIOLATION, FRAME_CRYPTO, "CRYPTO data at a level that is over");
    return false;
  }
  const error = input.push(offset, buf, start, end);
  if (error !== 0) {
    closeTransport(conn, error, FRAME_CRYPTO, "more CRYPTO data than the buffer holds");
    return false;
  }
  return true;
}

/** Gives TLS what is in order at `level`. True = results may be there, see `pumpTls`. */
export function feedTls(conn: Connection, level: Level, nowMicros: number): boolean {
  const input = conn.handshakeState.input[level];
  if (input === null) return false;
  for (let bytes = input.take(); bytes !== null && conn.state === STATE_OPEN; bytes = input.take()) {
    if (!feed(conn, level, bytes, nowMicros)) return false;
  }
  return true;
}

function feed(conn: Connection, level: Level, bytes: Uint8Array, nowMicros: number): boolean {
  const { handshakeState: handshake } = conn;
  const { framer } = handshake;
  const verdict = framer.push(level, bytes, 0, bytes.length);
  if (verdict !== 0) {
    closeTransport(conn, verdict, FRAME_CRYPTO, "TLS message not allowed here");
    return false;
  }
  if (framer.earlyDataAccepted !== null) onEarlyAnswer(conn, framer.earlyDataAccepted);
  if (framer.sawParamsMessage && handshake.peerParams === null && !takePeerParams(conn)) return false;
  decideEarly(conn, nowMicros);
  handshake.putTls(level, bytes);
  return true;
}

/** Parses and checks the peer's parameters as soon as its hello is complete (RFC 9000 §7.3, §7.4). */
function takePeerParams(conn: Connection): boolean {
  const { framer } = conn.handshakeState;
  if (framer.peerParams === null) {
    closeTransport(conn, CRYPTO_ERROR + ALERT_MISSING_EXTENSION, FRAME_CRYPTO, "no quic_transport_parameters");
    return false;
  }
  const { params, error } = decodeParams(framer.peerParams, !conn.isServer);
  const wrong = params === null ? error : checkHandshakeCids(params, handshakeCids(conn));
  if (params === null || wrong !== "") {
    closeTransport(conn, TRANSPORT_PARAMETER_ERROR, FRAME_CRYPTO, wrong);
    return false;
  }
  const other = conn.versions.verdict(params.versionInformation);
  if (other !== "") {
    closeTransport(conn, VERSION_NEGOTIATION_ERROR, FRAME_CRYPTO, other);
    return false;
  }
  if (conn.isServer) chooseVersion(conn, params.versionInformation);
  conn.handshakeState.peerParams = params;
  framer.peerParams = null;
  onParamsAfterEarly(conn, params);
  applyPeerParams(conn, params);
  return conn.state === STATE_OPEN;
}

function applyPeerParams(conn: Connection, params: TransportParams): void {
  const { recovery, peerIds } = conn;
  conn.streams.applyPeerParams(params);
  recovery.maxAckDelayMicros = params.maxAckDelayMillis * 1000;
  recovery.ackDelayExponent = params.ackDelayExponent;
  agree(conn, params);
  conn.localIds.peerLimit = params.activeConnectionIdLimit;
  conn.path.mtu.limit(params.maxUdpPayloadBytes);
  conn.datagrams.out.peerMaxBytes = params.maxDatagramFrameBytes;
  if (params.statelessResetToken !== null) peerIds.setResetToken(params.statelessResetToken);
  const preferred = params.preferredAddress;
  if (preferred === null) return;
  // the id is ours to keep even if we do not move there (RFC 9000 §9.6); it may not be one that is known already
  const wrong = peerIds.onNew(1, 0, preferred.connectionId, preferred.statelessResetToken);
  if (wrong !== 0) closeTransport(conn, TRANSPORT_PARAMETER_ERROR, FRAME_CRYPTO, "connection id of preferred_address");
}

/** What holds because both sides ask for it. */
export function agree(conn: Connection, params: TransportParams): void {
  const { config, recovery } = conn;
  const { minAckDelayMicros } = params;
  if (minAckDelayMicros !== null && config.ackFrequency) {
    conn.control.ackFrequency.allow(minAckDelayMicros, recovery.maxAckDelayMicros);
  }
  if (params.disable1RttEncryption && config.disable1RttEncryption) conn.keys.usePlain();
  conn.quicBit.isFree = params.greaseQuicBit && config.grease;
}

/** The ids that the packets carried (RFC 9000 §7.3). */
function handshakeCids(conn: Connection): HandshakeCids {
  const initialScid = conn.peerScid ?? conn.peerIds.current;
  if (conn.isServer) return { initialScid, originalDcid: null, retryScid: null };
  return { initialScid, originalDcid: conn.origDcid, retryScid: conn.retryScid };
}

/** Takes every result that TLS has now. */
export function pumpTls(conn: Connection, nowMicros: number): void {
  const { handshakeState: handshake } = conn;
  handshake.late = false;
  while (conn.state === STATE_OPEN) {
    const result = handshake.takeTls();
    if (result === null) break;
    onResult(conn, result, nowMicros);
  }
  // a client sends no TLS message in 1-RTT (RFC 9001 §4.1.3, §6), and the library's state is large
  if (conn.isServer && handshake.complete && handshake.tls?.sendsLater !== true) handshake.closeTls();
}

function onResult(conn: Connection, result: TlsResult, nowMicros: number): void {
  const { handshakeState: handshake, keys } = conn;
  switch (result.kind) {
    case "send":
      handshake.started = true;
      if (result.level === LEVEL_APP) conn.early.noteTickets(result.bytes, nowMicros);
      else if (result.level === LEVEL_INITIAL) handshake.framer.noteSent(result.bytes);
      if (conn.cryptoOut[levelSpace(result.level)].push(result.bytes)) return;
      closeTransport(
        conn,
        INTERNAL_ERROR,
        0,
        "the TLS handshake is too large to be sent: shorten the certificate chain",
      );
      return;
    case "secret":
      keys.install(result.level, result.direction, result.aead, result.secret, conn.versions.of(result.level));
      onSecret(conn, result.level, result.direction);
      return;
    case "peer-params":
      return; // the framer has parsed the same bytes before TLS saw them
    case "done":
      onComplete(conn, result.info, nowMicros);
      return;
    case "ticket":
      onTicket(conn, result.bytes);
      return;
    case "keylog":
      conn.events.noteKeylog(result.line);
      return;
    case "alert":
      closeTransport(conn, CRYPTO_ERROR + result.alert, FRAME_CRYPTO, result.message);
  }
}

function onSecret(conn: Connection, level: Level, direction: "read" | "write"): void {
  if (level === LEVEL_EARLY) {
    onEarlyKey(conn);
    conn.handshakeState.unlocked = true;
    return;
  }
  if (conn.isServer) settleEarly(conn);
  if (direction === "read") onReadSecret(conn, level);
  if (level === LEVEL_HANDSHAKE) conn.recovery.hasHandshakeKeys = true;
}

/** Client: bound to what 0-RTT has to know next time. */
function onTicket(conn: Connection, tls: Uint8Array): void {
  const { handshake: info } = conn;
  const { peerParams: params, framer } = conn.handshakeState;
  if (info === null || params === null) return;
  const { ticketAllowsEarlyData: allowsEarlyData } = framer;
  const { version, alpn } = info;
  conn.events.noteTicket(sealSessionTicket({ allowsEarlyData, version, alpn, params, tls }));
}

function onReadSecret(conn: Connection, level: Level): void {
  const { handshakeState: handshake } = conn;
  const lower = level === LEVEL_APP ? LEVEL_HANDSHAKE : LEVEL_INITIAL;
  if (handshake.framer.hasPartial(lower)) {
    closeTransport(conn, PROTOCOL_VIOLATION, FRAME_CRYPTO, "TLS message continues past its level");
    return;
  }
  handshake.onReadKeys(level);
}

function onComplete(conn: Connection, info: TlsInfo, nowMicros: number): void {
  const { handshakeState: handshake } = conn;
  handshake.complete = true;
  handshake.unlocked = true; // 1-RTT packets may be opened from now on (RFC 9001 §5.7)
  conn.counters.handshakeCompletedAtMicros = nowMicros;
  conn.deadlines.clear(DEADLINE_HANDSHAKE);
  const { early } = conn;
  conn.handshake = {
    ...info,
    version: conn.versions.current,
    earlyDataAttempted: early.attempted,
    earlyDataAccepted: early.status === EARLY_ACCEPTED,
  };
  conn.events.noteHandshake(conn.handshake);
  conn.versions.dropTls();
  issueIds(conn, nowMicros);
  if (!conn.isServer) return;
  early.issueTickets(handshake.framer.hello?.serverName ?? "", info.alpn, conn.versions.current, nowMicros);
  handshake.framer.hello = null;
  expireEarly(conn, nowMicros);
  conn.control.sendHandshakeDone();
  const token = conn.host.newToken(conn.versions.current, conn.path.addr);
  if (token !== null) conn.control.sendNewToken(token);
  confirmHandshake(conn, nowMicros);
}

/** RFC 9001 §4.1.2, §4.9.2: the server confirms when complete, the client when HANDSHAKE_DONE arrives. */
export function confirmHandshake(conn: Connection, nowMicros: number): void {
  const { handshakeState: handshake } = conn;
  if (handshake.confirmed) return;
  handshake.confirmed = true;
  conn.counters.handshakeConfirmedAtMicros = nowMicros;
  conn.recovery.handshakeConfirmed = true;
  conn.keys.phases.onConfirmed();
  discardLevel(conn, LEVEL_INITIAL, nowMicros);
  discardLevel(conn, LEVEL_HANDSHAKE, nowMicros);
  conn.events.noteConfirmed();
  tryPreferred(conn, nowMicros);
}

/** Forgets keys, CRYPTO data and sent packets of Initial or Handshake (RFC 9001 §4.9, RFC 9002 §6.4). */
export function discardLevel(
  conn: Connection,
  level: typeof LEVEL_INITIAL | typeof LEVEL_HANDSHAKE,
  nowMicros: number,
): void {
  if (conn.keys.wasDiscarded(level)) return;
  conn.keys.discard(level);
  const space = level === LEVEL_INITIAL ? SPACE_INITIAL : SPACE_HANDSHAKE;
  conn.closeSpace(space, nowMicros);
  conn.handshakeState.closeInput(level);
  conn.undecryptable.take(level);
}

/** Gives the peer as many of our ids as it will store (RFC 9000 §5.1.1). */
export function issueIds(conn: Connection, nowMicros: number): void {
  if (!conn.handshakeState.complete) return;
  for (let missing = conn.localIds.toIssue(nowMicros); missing > 0; missing--) addId(conn);
}

/** One more id of ours that leads to the connection; its frame is to be sent. */
export function addId(conn: Connection): void {
  const cid = conn.host.newCid();
  conn.localIds.add(cid, conn.host.resetToken(cid));
  conn.host.route(cid, conn);
}
