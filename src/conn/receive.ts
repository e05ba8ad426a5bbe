/**
 * A datagram into a connection (RFC 9000 §12): walk its coalesced packets, take protection off, refuse duplicates, hand
 * out frames. Short-header packets of one receive batch are collected and opened together; anything with a long header
 * first flushes them, so that packets are processed in the order in which they came.
 */

import { equalRange } from "../base/bytes.js";
import {
  DROP_BAD_TOKEN,
  DROP_DUPLICATE,
  DROP_FORGED,
  DROP_KEYS_DISCARDED,
  DROP_KEYS_UNAVAILABLE,
  DROP_NONE,
  DROP_OTHER_ADDRESS,
  DROP_SMALL_INITIAL,
  DROP_TRUNCATED,
  DROP_UNEXPECTED_TYPE,
  DROP_UNKNOWN_VERSION,
  DROP_WRONG_DCID,
  type DropReason,
} from "../observe/drop-reason.js";
import {
  PACKET_INITIAL,
  PACKET_RETRY,
  PACKET_SHORT,
  PACKET_VERSION_NEGOTIATION,
  PACKET_ZERO_RTT,
  hasReservedBits,
  type PacketHeader,
  parseHeader,
} from "../packet/header.js";
import { statelessResetTokenStart } from "../packet/stateless-reset.js";
import { hasSameLocal, type Path } from "../path/path.js";
import { PN_NEW } from "../pnspace/received.js";
import { DETAIL_KEY_PHASE } from "../port/transport.js";
import { LEVEL_APP, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_INITIAL, type Level } from "../port/tls.js";
import { datagramBytes, RX_COLS, RX_ECN, RX_LEN, RX_OFF, RX_SOURCE, type RxBatch } from "../port/udp.js";
import { MIN_INITIAL_DATAGRAM_BYTES } from "../proto/limits.js";
import { levelSpace, SPACE_APP } from "../proto/space.js";
import { KEY_UPDATE_ERROR, PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import { blameFrame, closeTransport, vanish } from "./close.js";
import type { Connection } from "./connection.js";
import { discardLevel, pumpTls } from "./handshake.js";
import { onPacketsProcessed } from "./idle.js";
import { onLocalChanged } from "./migrate.js";
import { arrivalPath, follow, onArrival } from "./moves.js";
import { onRetry } from "./retry.js";
import { onServedArrival } from "./served-preferred.js";
import { STATE_CLOSED, STATE_OPEN } from "./state.js";
import { onVersionNegotiation } from "./version-negotiation.js";
import { initialKeyCid, learnVersion } from "./versions.js";

/** Levels whose packets may come before their keys, in the order in which the keys come. */
const HELD_LEVELS = [LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_APP] as const;
const LEVEL_OF_TYPE: readonly Level[] = [LEVEL_INITIAL, LEVEL_EARLY, LEVEL_HANDSHAKE];

/** Takes datagrams [from, to) of the batch, all from one source. Call {@link endReceive} after the last ones. */
export function receiveDatagrams(conn: Connection, rx: RxBatch, from: number, to: number, nowMicros: number): void {
  const source = rx.rows[from * RX_COLS + RX_SOURCE];
  if (conn.path.matches(rx.sources, source, rx.socket)) {
    const isNewLocal = !conn.isServer && conn.path.isNewLocal(rx.sources, source);
    if (isNewLocal) takeAtNewLocal(conn, rx, from, to, nowMicros);
    else takeDatagrams(conn, conn.path, rx, from, to, nowMicros);
    return;
  }
  const path = arrivalPath(conn, rx, source);
  if (path === null) {
    for (let row = from; row < to; row++) conn.drop(DROP_OTHER_ADDRESS);
    return;
  }
  // what came from the path before is settled first, and nothing from elsewhere shares a batch with it
  flushShort(conn, nowMicros);
  conn.moves.arrival = path;
  takeDatagrams(conn, path, rx, from, to, nowMicros);
  flushShort(conn, nowMicros);
  conn.moves.arrival = null;
}

/** Client: only what can be read says where the server sees us. */
function takeAtNewLocal(conn: Connection, rx: RxBatch, from: number, to: number, nowMicros: number): void {
  flushShort(conn, nowMicros);
  const readBefore = conn.counters.packetsReceived;
  takeDatagrams(conn, conn.path, rx, from, to, nowMicros);
  flushShort(conn, nowMicros);
  if (conn.counters.packetsReceived === readBefore) return;
  const source = rx.rows[from * RX_COLS + RX_SOURCE];
  if (conn.path.noteLocal(rx.sources, source)) onLocalChanged(conn, rx.sources, source, nowMicros);
}

function takeDatagrams(conn: Connection, path: Path, rx: RxBatch, from: number, to: number, nowMicros: number): void {
  const bytes = datagramBytes(rx, from, to);
  path.onDatagramReceived(bytes);
  conn.counters.bytesReceived += bytes;
  conn.recovery.setAmplificationBlocked(false);
  for (let row = from; row < to; ) {
    if (isClosed(conn)) {
      // keys are gone: a CONNECTION_CLOSE cannot be read any more, the timer ends the period all the same
      conn.closing.onDatagram();
      row++;
      continue;
    }
    const next = collectShort(conn, rx, row, to, nowMicros);
    if (next === row) {
      const base = row++ * RX_COLS;
      const off = rx.rows[base + RX_OFF];
      walk(conn, rx.buf, off, off + rx.rows[base + RX_LEN], rx.rows[base + RX_ECN], nowMicros);
    } else row = next;
  }
}

/** Asked again for each datagram, because what those before it carried may close the connection. */
function isClosed(conn: Connection): boolean {
  return conn.state !== STATE_OPEN;
}

/**
 * Puts datagrams that are nothing but a 1-RTT packet straight into the batch to be opened, and opens it when it is full.
 * Returns the first that {@link walk} has to look at, `from` for none taken; `to` = all are taken.
 */
function collectShort(conn: Connection, rx: RxBatch, from: number, to: number, nowMicros: number): number {
  if (!canRead(conn, LEVEL_APP)) return from;
  const { bench } = conn.host;
  if (bench.opener.count === 0) bench.begin(rx.buf);
  const next = bench.opener.addShort(rx, from, to, 1 + bench.cidBytes, conn.config.grease);
  if (bench.opener.isFull) flushShort(conn, nowMicros);
  return next;
}

/** Opens what was collected and tries packets whose keys have come meanwhile. */
export function endReceive(conn: Connection, nowMicros: number): void {
  flushShort(conn, nowMicros);
  replayHeld(conn, nowMicros);
  routeResetToken(conn);
}

/** Tells the endpoint by which token a stateless reset for this connection would be known. */
function routeResetToken(conn: Connection): void {
  const token = conn.peerIds.currentToken;
  if (token === conn.resetToken) return;
  if (conn.resetToken !== null) conn.host.unrouteReset(conn.resetToken, conn);
  if (token !== null) conn.host.routeReset(token, conn);
  conn.resetToken = token;
}

function walk(conn: Connection, buf: Uint8Array, off: number, end: number, ecn: number, nowMicros: number): void {
  const { header, cidBytes } = conn.host.bench;
  let at = off;
  let firstDcid = -1;
  let firstDcidLength = 0;
  const droppedBefore = conn.counters.packetsDropped;
  while (at < end && conn.state === STATE_OPEN) {
    const drop = parseHeader(buf, at, end, cidBytes, header, conn.config.grease);
    if (drop !== DROP_NONE && !isShortPlain(conn, header, drop)) {
      conn.drop(drop);
      at = header.end;
      continue;
    }
    if (header.type === PACKET_VERSION_NEGOTIATION || header.type === PACKET_RETRY) {
      // they stand alone in a datagram (RFC 9000 §12.2)
      if (at === off) onUnprotected(conn, buf, header, nowMicros);
      return;
    }
    at = header.end;
    if (firstDcid < 0) {
      firstDcid = header.dcidStart;
      firstDcidLength = header.dcidLength;
    } else if (!sameDcid(buf, firstDcid, firstDcidLength, header)) {
      conn.drop(DROP_WRONG_DCID); // RFC 9000 §12.2
      continue;
    }
    if (header.type === PACKET_SHORT) addShort(conn, buf, header, ecn, nowMicros);
    else onLong(conn, buf, header, end - off, ecn, nowMicros);
  }
  // a stateless reset may look like any packet that cannot be read (RFC 9000 §10.3)
  const isRead = conn.counters.packetsDropped === droppedBefore;
  if (!isRead && conn.state === STATE_OPEN) tryReset(conn, buf, off, end, nowMicros);
}

/** A packet in the clear needs no sample (RFC 9001 §5.4.2). */
function isShortPlain(conn: Connection, header: PacketHeader, drop: DropReason): boolean {
  return conn.keys.isPlain && drop === DROP_TRUNCATED && header.type === PACKET_SHORT && header.dcidLength > 0;
}

/** RFC 9000 §14.1: an Initial of a client fills its datagram. §17.2.2: one of a server has no token. */
function checkInitial(conn: Connection, header: PacketHeader, datagramBytes: number): DropReason {
  if (header.type !== PACKET_INITIAL) return DROP_NONE;
  if (!conn.isServer) return header.tokenEnd > header.tokenStart ? DROP_BAD_TOKEN : DROP_NONE;
  return datagramBytes < MIN_INITIAL_DATAGRAM_BYTES ? DROP_SMALL_INITIAL : DROP_NONE;
}

function sameDcid(buf: Uint8Array, firstStart: number, firstLength: number, header: PacketHeader): boolean {
  if (header.dcidLength !== firstLength) return false;
  for (let i = 0; i < firstLength; i++) if (buf[firstStart + i] !== buf[header.dcidStart + i]) return false;
  return true;
}

function onUnprotected(conn: Connection, buf: Uint8Array, header: PacketHeader, nowMicros: number): void {
  const accepted =
    header.type === PACKET_RETRY
      ? onRetry(conn, buf, header, nowMicros)
      : onVersionNegotiation(conn, buf, header, nowMicros);
  if (accepted !== DROP_NONE) conn.drop(accepted);
}

function onLong(
  conn: Connection,
  buf: Uint8Array,
  header: PacketHeader,
  datagramBytes: number,
  ecn: number,
  nowMicros: number,
): void {
  flushShort(conn, nowMicros);
  if (conn.state !== STATE_OPEN) return;
  const bad = checkInitial(conn, header, datagramBytes);
  if (bad !== DROP_NONE) {
    conn.drop(bad);
    return;
  }
  const level = LEVEL_OF_TYPE[header.type] as Level;
  if (!conn.versions.admits(level, header.version)) {
    conn.drop(DROP_UNKNOWN_VERSION);
    return;
  }
  if (!conn.isServer && header.type === PACKET_ZERO_RTT) {
    conn.drop(DROP_UNEXPECTED_TYPE);
    return;
  }
  // RFC 9000 §7.2: once the peer's id is known, long headers carry it
  const { scidStart, scidLength } = header;
  if (conn.peerScid !== null && !equalRange(buf, scidStart, scidStart + scidLength, conn.peerScid)) {
    conn.drop(DROP_WRONG_DCID);
    return;
  }
  if (level === LEVEL_INITIAL) conn.keys.readInitial(header.version, initialKeyCid(conn));
  if (!canRead(conn, level)) {
    holdOrDrop(conn, level, buf, header, ecn);
    return;
  }
  const { bench } = conn.host;
  bench.begin(buf);
  bench.opener.add(header.start, header.pnOffset, header.end, ecn);
  processOpened(conn, level, nowMicros);
}

/** RFC 9001 §5.7: a server opens no 1-RTT packet before the handshake is complete, and here no client does either. */
function canRead(conn: Connection, level: Level): boolean {
  return conn.keys.canRead(level) && (level !== LEVEL_APP || conn.handshakeState.complete);
}

function holdOrDrop(conn: Connection, level: Level, buf: Uint8Array, header: PacketHeader, ecn: number): void {
  if (conn.keys.wasDiscarded(level)) {
    conn.drop(DROP_KEYS_DISCARDED);
    return;
  }
  const mayCome = level !== LEVEL_EARLY || conn.early.mayCome;
  const held = mayCome && conn.undecryptable.hold(level, buf, header.start, header.end, ecn);
  if (!held) conn.drop(DROP_KEYS_UNAVAILABLE);
}

function addShort(conn: Connection, buf: Uint8Array, header: PacketHeader, ecn: number, nowMicros: number): void {
  if (!canRead(conn, LEVEL_APP)) {
    holdOrDrop(conn, LEVEL_APP, buf, header, ecn);
    return;
  }
  const { bench } = conn.host;
  if (bench.opener.count === 0) bench.begin(buf);
  if (bench.opener.add(header.start, header.pnOffset, header.end, ecn)) return;
  flushShort(conn, nowMicros);
  bench.begin(buf);
  bench.opener.add(header.start, header.pnOffset, header.end, ecn);
}

function flushShort(conn: Connection, nowMicros: number): void {
  const { bench } = conn.host;
  if (bench.opener.count === 0) return;
  if (conn.state === STATE_OPEN) processOpened(conn, LEVEL_APP, nowMicros);
  else bench.clear();
}

/** Opens the rows of the opener, all of one level, and processes them in order. */
function processOpened(conn: Connection, level: Level, nowMicros: number): void {
  const { bench } = conn.host;
  const { opener } = bench;
  const { phases } = conn.keys;
  const { readPhase } = phases;
  const error = opener.run(conn.keys, level, conn.space(levelSpace(level)).received.largest);
  const count = opener.count;
  const receivedBefore = conn.counters.packetsReceived;
  for (let i = 0; i < count && conn.state === STATE_OPEN; ) {
    const isPlain = level === LEVEL_APP && conn.moves.arrival === null;
    const taken = isPlain ? bench.streamRun.receive(conn, i, nowMicros) : 0;
    i += taken;
    if (taken > 0) continue;
    if (opener.isOpen(i)) onOpened(conn, level, i, nowMicros);
    else onForged(conn, level, i, nowMicros);
    i++;
  }
  if (conn.counters.packetsReceived > receivedBefore && !isClosed(conn)) onPacketsProcessed(conn, nowMicros);
  if (level === LEVEL_APP && conn.moves.arrival === null && opener.isOpen(count - 1)) {
    conn.path.noteDcid(bench.rxBuf, opener.packetStart(count - 1) + 1, bench.cidBytes);
  }
  if (level === LEVEL_APP) phases.afterOpen(nowMicros, conn.recovery.ptoMicros(SPACE_APP));
  if (phases.readPhase !== readPhase) conn.events.noteDetail(DETAIL_KEY_PHASE, 0, phases.readPhase);
  if (error === KEY_UPDATE_ERROR) closeTransport(conn, error, 0, "a key update that is not allowed now");
  else if (error !== 0) closeTransport(conn, error, 0, "too many packets that could not be opened");
  bench.clear();
}

function onForged(conn: Connection, level: Level, row: number, nowMicros: number): void {
  const { opener, rxBuf } = conn.host.bench;
  conn.drop(DROP_FORGED);
  if (level === LEVEL_APP) tryReset(conn, rxBuf, opener.packetStart(row), opener.packetEnd(row), nowMicros);
}

/** RFC 9000 §10.3.1: the last 16 bytes of what cannot be read may be a stateless reset token. True = it was one. */
export function tryReset(conn: Connection, buf: Uint8Array, start: number, end: number, nowMicros: number): boolean {
  const at = statelessResetTokenStart(start, end);
  if (at < 0 || !conn.peerIds.isResetToken(buf, at)) return false;
  vanish(conn, { type: "stateless-reset", remote: true, code: 0n, frameType: 0, reason: "stateless reset" }, nowMicros);
  return true;
}

function onOpened(conn: Connection, level: Level, row: number, nowMicros: number): void {
  const { opener, decoder, frames, header, rxBuf, cidBytes } = conn.host.bench;
  const space = conn.space(levelSpace(level));
  const pn = opener.pn(row);
  const firstByte = opener.firstByte(row);
  const isShort = level === LEVEL_APP;
  if (hasReservedBits(firstByte)) {
    closeTransport(conn, PROTOCOL_VIOLATION, 0, "reserved header bits are set");
    return;
  }
  if (space.received.record(pn, nowMicros) !== PN_NEW) {
    conn.drop(DROP_DUPLICATE);
    return;
  }
  onFirstOfLevel(conn, level, header, nowMicros);
  conn.counters.packetsReceived++;
  const start = opener.packetStart(row);
  const dcidStart = isShort ? start + 1 : start + 6;
  const dcidEnd = isShort ? dcidStart + cidBytes : dcidStart + rxBuf[start + 5];
  frames.begin(conn, level, opener.keyPhase(row), nowMicros);
  frames.setDcid(rxBuf, dcidStart, dcidEnd);
  if (!decoder.decode(level, rxBuf, opener.payloadStart(row), opener.payloadEnd(row), frames)) {
    closeTransport(conn, decoder.errorCode, decoder.errorFrameType, decoder.errorReason);
    return;
  }
  if (conn.state !== STATE_OPEN) {
    blameFrame(conn, decoder.errorFrameType);
    return;
  }
  space.onPacket(pn, decoder.ackEliciting, opener.tag(row), nowMicros);
  const { arrival } = conn.moves;
  if (arrival === null || arrival === conn.path) return;
  const leads = isShort && decoder.nonProbing && pn === space.received.largest;
  onArrival(conn, arrival, rxBuf, dcidStart, nowMicros);
  if (!conn.isServer) return;
  if (!hasSameLocal(arrival, conn.path)) onServedArrival(conn, arrival, leads, nowMicros);
  else if (leads) follow(conn, arrival, nowMicros);
}

/** What the first authenticated packet of a level changes. Cheap when nothing does. */
function onFirstOfLevel(conn: Connection, level: Level, header: PacketHeader, nowMicros: number): void {
  if (level === LEVEL_APP) return;
  if (level === LEVEL_EARLY) conn.counters.earlyPacketsReceived++;
  if (conn.peerScid === null) {
    conn.peerScid = conn.host.bench.rxBuf.slice(header.scidStart, header.scidStart + header.scidLength);
    conn.peerIds.replaceFirst(conn.peerScid);
  }
  if (level === LEVEL_INITIAL && !conn.isServer) learnVersion(conn, header.version);
  if (level === LEVEL_HANDSHAKE && conn.isServer) {
    conn.path.validated = true; // RFC 9000 §8.1
    discardLevel(conn, LEVEL_INITIAL, nowMicros); // RFC 9001 §4.9.1
  }
}

/** Packets that waited for keys, as soon as their level can be read. */
function replayHeld(conn: Connection, nowMicros: number): void {
  while (conn.handshakeState.unlocked && conn.state === STATE_OPEN) {
    conn.handshakeState.unlocked = false;
    for (const level of HELD_LEVELS) {
      if (!canRead(conn, level)) continue;
      for (const held of conn.undecryptable.take(level)) {
        if (conn.state !== STATE_OPEN) return;
        walk(conn, held.bytes, 0, held.bytes.length, held.ecn, nowMicros);
        flushShort(conn, nowMicros);
      }
    }
  }
}

/** Results of TLS that came between datagrams. */
export function onLateTls(conn: Connection, nowMicros: number): void {
  if (conn.state === STATE_CLOSED) return;
  pumpTls(conn, nowMicros);
  replayHeld(conn, nowMicros);
}
