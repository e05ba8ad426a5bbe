/**
 * Datagrams out of a connection. Each asks, in this order: closing? amplification limit, congestion window, pacer. Then
 * the packets of all levels that have something to say are coalesced (RFC 9000 §12.2), sealed in one batch at the end.
 */

import { writeAck } from "../frame/ack.js";
import { writePing } from "../frame/control.js";
import { pnLength } from "../packet/number.js";
import { sealBatch } from "../crypto/seal.js";
import { PACKET_HANDSHAKE, PACKET_INITIAL, PACKET_ZERO_RTT } from "../packet/header.js";
import { ECN_ECT0, ECN_NOT_ECT, type TxBatch } from "../port/udp.js";
import { LEVEL_APP, LEVEL_EARLY, LEVEL_INITIAL, type Level } from "../port/tls.js";
import { MIN_INITIAL_DATAGRAM_BYTES } from "../proto/limits.js";
import { SPACE_APP, SPACE_HANDSHAKE, SPACE_INITIAL, SPACES, type SpaceId, spaceLevel } from "../proto/space.js";
import { REC_ACK, REC_PING, type SentPackets } from "../outqueue/sent.js";
import { AEAD_LIMIT_REACHED, INTERNAL_ERROR } from "../proto/transport-error.js";
import { DEADLINE_PACING } from "../timer/deadlines.js";
import { closeTransport, vanish } from "./close.js";
import { transmitClose } from "./transmit-close.js";
import type { Connection } from "./connection.js";
import { destRow } from "./dest-row.js";
import { discardLevel } from "./handshake.js";
import { onElicitingSent } from "./idle.js";
import { transmitMoves } from "./path-frames.js";
import { tendPathMtu } from "./path-mtu.js";
import { STATE_CLOSING, STATE_OPEN } from "./state.js";
import { sendTrain } from "./train.js";

/** Less room than this in a datagram is not worth another packet: header, tag and a few bytes of frames. */
const MIN_PACKET_BYTES = 64;

/** Long packet type by level. */
const TYPE_OF_LEVEL = [PACKET_INITIAL, PACKET_ZERO_RTT, PACKET_HANDSHAKE] as const;

const BUILT = 0;
const NOTHING = 1;
const NO_ROOM = 2;

/** What the packets of one datagram were, until it is complete and they are recorded. */
class Pending {
  maxBytes = 0;
  readonly sizeBytes = new Int32Array(SPACES);
  /** 1 = yes. */
  readonly ackEliciting = new Uint8Array(SPACES);
  /** Spaces written, in order; the last is the one that padding enlarges. */
  readonly order = new Uint8Array(SPACES);
  count = 0;
}
const pending = new Pending(); // valid during one buildDatagram only

/** Appends datagrams to `tx`. True when more could be sent at once if the batch had room. */
export function transmitConnection(conn: Connection, tx: TxBatch, nowMicros: number): boolean {
  if (conn.state === STATE_CLOSING) return transmitClose(conn, tx, nowMicros);
  if (!isOpen(conn) || endsExhausted(conn, nowMicros)) return false;
  // the peer learns of new keys by a packet of them, and owes an answer to a PING
  if (conn.keys.takeWantedUpdate(nowMicros)) conn.control.sendPing();
  const { builder } = conn.host.bench;
  builder.beginBatch(tx, conn.quicBit.next(conn.host.random), conn.keys.appTagBytes);
  const hadRoom = transmitMoves(conn, tx, nowMicros);
  const dest = hadRoom ? destRow(tx, conn.path.addr, conn.path.socket) : -1;
  if (dest < 0) {
    if (builder.seal.count > 0) sealBatch(conn.host.aead, builder.seal);
    return true;
  }
  tendPathMtu(conn, dest, nowMicros);
  const alive = writableSpaces(conn);
  conn.streamOut.setFlight(conn.recovery.cc.cwndBytes / conn.path.maxDatagramBytes);
  let result = BUILT;
  const maySendTrains = alive === 1 << SPACE_APP && conn.host.bench.sendsTrains;
  while (result === BUILT && isOpen(conn)) {
    if (maySendTrains) sendTrain(conn, dest, nowMicros);
    result = buildDatagram(conn, alive, dest, nowMicros);
  }
  if (builder.seal.count > 0) {
    sealBatch(conn.host.aead, builder.seal);
    afterSeal(conn, nowMicros);
  }
  if (!isOpen(conn)) return transmitClose(conn, tx, nowMicros);
  const wants = conn.streamOut.hasPending() && !holdsStreams(conn);
  if (result === NOTHING && !wants && !conn.datagrams.out.hasPending) conn.recovery.onAppLimited();
  return result === NO_ROOM;
}

/** RFC 9000 §12.3: without packet numbers the connection ends, and nothing says so to the peer. */
function endsExhausted(conn: Connection, nowMicros: number): boolean {
  if (!conn.space(SPACE_APP).isExhausted) return false;
  const reason = "no packet number is left";
  vanish(conn, { type: "transport", remote: false, code: BigInt(INTERNAL_ERROR), frameType: 0, reason }, nowMicros);
  return true;
}

/** Asked again while packets are built, because using up a key closes the connection. */
function isOpen(conn: Connection): boolean {
  return conn.state === STATE_OPEN;
}

/** Bit per space that has keys; they do not change while packets are built. */
function writableSpaces(conn: Connection): number {
  let alive = 0;
  for (let space = 0; space < SPACES; space++) {
    if (conn.keys.canWrite(writeLevel(conn, space as SpaceId))) alive |= 1 << space;
  }
  return alive;
}

/** Application data goes in 0-RTT until there are 1-RTT keys (RFC 9000 §17.2.3). A server never has a key to write it. */
function writeLevel(conn: Connection, space: SpaceId): Level {
  const level = spaceLevel(space);
  return level === LEVEL_APP && !conn.keys.canWrite(LEVEL_APP) ? LEVEL_EARLY : level;
}

function buildDatagram(conn: Connection, alive: number, dest: number, nowMicros: number): number {
  const { path, recovery } = conn;
  const { builder } = conn.host.bench;
  const urgent = urgentSpaces(conn, alive, nowMicros);
  const data = dataSpaces(conn, alive, urgent);
  const mayElicit = data !== 0 && congestionOpen(conn, nowMicros);
  const wanted = (mayElicit ? data : 0) | urgent;
  if (wanted === 0) return NOTHING;
  const allowance = path.sendAllowance();
  // an Initial needs room for its padding (RFC 9000 §14.1), so a server near its limit waits for more from the client
  if (allowance < MIN_INITIAL_DATAGRAM_BYTES) {
    recovery.setAmplificationBlocked(true);
    return NOTHING;
  }
  pending.maxBytes = Math.min(path.maxDatagramBytes, allowance);
  // one of the two probes has the size that every path carries, so that a black hole does not swallow both
  if (recovery.probes(SPACE_APP) === 1) pending.maxBytes = Math.min(pending.maxBytes, MIN_INITIAL_DATAGRAM_BYTES);
  if (!builder.beginDatagram(pending.maxBytes)) return NO_ROOM;
  pending.count = 0;
  for (let space: SpaceId = SPACE_INITIAL; space < SPACES; space++) {
    if ((wanted & (1 << space)) !== 0) fillSpace(conn, space as SpaceId, mayElicit, nowMicros);
  }
  if (pending.count > 0) return finishDatagram(conn, dest, nowMicros);
  builder.endDatagram(dest, ECN_NOT_ECT, 0); // nothing fitted: an empty datagram is dropped
  return NOTHING;
}

/** Whether new ack-eliciting data may leave now (RFC 9002 §7, §7.7). Arms the pacing deadline when only that waits. */
function congestionOpen(conn: Connection, nowMicros: number): boolean {
  const { recovery } = conn;
  if (recovery.sent[SPACE_APP]?.full === true) return false;
  if (!recovery.canSend(conn.path.maxDatagramBytes + conn.path.reservedBytes)) {
    conn.counters.cwndBlocked++;
    return false;
  }
  const delay = recovery.pacingDelay(nowMicros, conn.path.maxDatagramBytes);
  if (delay <= 0) return true;
  conn.deadlines.set(DEADLINE_PACING, nowMicros + delay);
  return false;
}

/** Bit per space that has to send now, whatever the congestion window says. */
function urgentSpaces(conn: Connection, alive: number, nowMicros: number): number {
  let urgent = 0;
  for (let space = 0; space < SPACES; space++) {
    if ((alive & (1 << space)) === 0) continue;
    if (
      conn.recovery.probes(space as SpaceId) > 0 ||
      conn.space(space as SpaceId).ackPolicy.isDue(nowMicros) ||
      mustSendCrypto(conn, space as SpaceId)
    ) {
      urgent |= 1 << space;
    }
  }
  return urgent;
}

/**
 * Handshake data that waits for the congestion window while nothing of its space is outstanding: then the space has no
 * PTO either, and what fills the window may be packets that the peer cannot read, or not acknowledge, without this
 * data. One packet of it leaves whatever the window says; it also joins the probes of other spaces (RFC 9002 §6.2.4).
 */
function mustSendCrypto(conn: Connection, space: SpaceId): boolean {
  if (space === SPACE_APP || !conn.cryptoOut[space].hasPending) return false;
  const { recovery } = conn;
  if (recovery.sent[space]?.elicitingCount === 0) return true;
  return recovery.probes(SPACE_INITIAL) > 0 || recovery.probes(SPACE_HANDSHAKE) > 0 || recovery.probes(SPACE_APP) > 0;
}

/** Bit per space that has data for the congestion window to let out. What Nagle's rule holds goes with a packet of `urgent`. */
function dataSpaces(conn: Connection, alive: number, urgent: number): number {
  let data = 0;
  for (let space = 0; space < SPACES; space++) {
    if (conn.cryptoOut[space as SpaceId].hasPending) data |= 1 << space;
  }
  if (conn.control.hasPending() || conn.datagrams.out.hasPending) data |= 1 << SPACE_APP;
  if (conn.streamOut.hasPending() && ((urgent | data) !== 0 || !holdsStreams(conn))) data |= 1 << SPACE_APP;
  return data & alive;
}

/** Nagle's rule, where the owner wants it. Early data does not wait. */
function holdsStreams(conn: Connection): boolean {
  if (!conn.streamOut.mayHold) return false;
  const fullBytes = conn.path.maxDatagramBytes - MIN_PACKET_BYTES;
  return conn.keys.canWrite(LEVEL_APP) && conn.streamOut.holdsBack(fullBytes, conn.recovery.bytesInFlight);
}

/** Writes one packet of this space into the open datagram, if there is room and anything to say. */
function fillSpace(conn: Connection, space: SpaceId, mayElicit: boolean, nowMicros: number): void {
  const { recovery } = conn;
  const { builder } = conn.host.bench;
  const pnspace = conn.space(space);
  const sent = recovery.sent[space] as SentPackets;
  const probing = recovery.probes(space) > 0;
  if (probing ? sent.fullForProbes : sent.fullForAcks) return;
  if (pending.count > 0 && pending.maxBytes - builder.datagramBytes < MIN_PACKET_BYTES) return;
  const pn = pnspace.peekPn();
  const level = writeLevel(conn, space);
  if (!openPacket(conn, level, pn, pnLength(pn, pnspace.largestAcked))) return;
  sent.open(pn, nowMicros);
  const start = builder.pos;
  let pos = writeAcks(conn, space, start, sent, nowMicros);
  const afterAck = pos;
  if (probing && space === SPACE_APP) pos = conn.control.fillProbe(builder.buf, pos, builder.limit, sent);
  if (mayElicit || probing || mustSendCrypto(conn, space)) pos = writeData(conn, space, pos, sent, nowMicros);
  if (probing && pos === afterAck) {
    const next = writePing(builder.buf, pos, builder.limit);
    if (next > 0) {
      sent.note(REC_PING, 0, 0, 0);
      pos = next;
    }
  }
  if (pos === start) {
    sent.abort();
    builder.cancelPacket();
    return;
  }
  pnspace.takePn();
  builder.pos = pos;
  if (level === LEVEL_EARLY) conn.counters.earlyPacketsSent++;
  conn.keys.onSealed(level, pn, 1);
  // the last packet that the key may seal is kept for the close (RFC 9001 §6.6)
  if (conn.keys.sealBudget(level) <= 1) closeTransport(conn, AEAD_LIMIT_REACHED, 0, "AEAD confidentiality limit");
  pending.sizeBytes[space] = builder.closePacket(conn.keys.writeKey(level), conn.keys.writeHp(level));
  pending.ackEliciting[space] = pos > afterAck ? 1 : 0;
  pending.order[pending.count++] = space;
  if (pos > afterAck && probing) recovery.onProbeSent(space);
}

function openPacket(conn: Connection, level: Level, pn: number, pnBytes: number): boolean {
  const { builder } = conn.host.bench;
  const dcid = conn.peerIds.current;
  if (level === LEVEL_APP) return builder.openShort(dcid, pn, pnBytes, conn.keys.keyPhase, 0);
  const token = level === LEVEL_INITIAL ? conn.token : null;
  return builder.openLong(TYPE_OF_LEVEL[level], conn.versions.of(level), dcid, conn.localCid, token, pn, pnBytes);
}

function writeAcks(conn: Connection, space: SpaceId, pos: number, sent: SentPackets, nowMicros: number): number {
  const { builder } = conn.host.bench;
  const pnspace = conn.space(space);
  const { received, ecn } = pnspace;
  if (!pnspace.ackPolicy.hasNew) return pos;
  const delayMicros = space === SPACE_APP ? Math.max(0, nowMicros - received.largestTimeMicros) : 0;
  const delay = Math.floor(delayMicros / 2 ** conn.config.ackDelayExponent);
  const next = writeAck(builder.buf, pos, builder.limit, received, delay, ecn.any ? ecn : null);
  if (next < 0) return pos;
  sent.note(REC_ACK, received.largest, 0, 0);
  pnspace.onAckSent();
  conn.counters.acksSent++;
  return next;
}

function writeData(conn: Connection, space: SpaceId, pos: number, sent: SentPackets, nowMicros: number): number {
  const { buf, limit, gather } = conn.host.bench.builder;
  let at = conn.cryptoOut[space].fill(buf, pos, limit, sent);
  if (space !== SPACE_APP) return at;
  at = conn.control.fill(buf, at, limit, sent);
  if (conn.datagrams.out.hasPending) at = conn.datagrams.out.fill(buf, at, limit, sent, isFullSize(conn, at));
  return conn.streamOut.fill(buf, at, limit, sent, nowMicros, gather);
}

/** Whether frames at `at` are the first of a packet that is alone in a datagram of the path's size. */
function isFullSize(conn: Connection, at: number): boolean {
  return (
    at === conn.host.bench.builder.payloadStart &&
    pending.count === 0 &&
    pending.maxBytes === conn.path.maxDatagramBytes
  );
}

/** Pads, closes and records the datagram. */
function finishDatagram(conn: Connection, dest: number, nowMicros: number): number {
  const { path, recovery, counters } = conn;
  const { builder } = conn.host.bench;
  const { order, count, sizeBytes, ackEliciting } = pending;
  const hasInitial = order[0] === SPACE_INITIAL;
  let padded = 0;
  // RFC 9000 §14.1: every Initial of a client, and an ack-eliciting one of a server; §8.2.2: every PATH_RESPONSE
  const isLarge = hasInitial && (!conn.isServer || ackEliciting[SPACE_INITIAL] === 1);
  if (isLarge || conn.control.takeAnswered()) {
    padded = builder.padLastPacket(MIN_INITIAL_DATAGRAM_BYTES);
  }
  const marked = recovery.beginDatagram();
  let elicits = false;
  for (let i = 0; i < count; i++) {
    const space = order[i] as SpaceId;
    const isPadded = padded > 0 && i === count - 1;
    const bytes = (sizeBytes[space] as number) + (isPadded ? padded : 0);
    const eliciting = ackEliciting[space] === 1;
    elicits ||= eliciting;
    // The few bytes that make an ACK-only packet long enough to be sampled are not counted although they are PADDING
    // (RFC 9002 §2): nobody has to acknowledge them, and to a peer with an empty connection id every ACK has some.
    recovery.onPacketSent(space, bytes, eliciting, eliciting || isPadded, nowMicros);
    counters.packetsSent++;
  }
  const bytes = builder.endDatagram(dest, marked ? ECN_ECT0 : ECN_NOT_ECT, 0);
  path.onDatagramSent(bytes);
  counters.bytesSent += bytes;
  if (elicits) onElicitingSent(conn, nowMicros);
  return BUILT;
}

/** Keys that sending has worn out or made obsolete. */
function afterSeal(conn: Connection, nowMicros: number): void {
  const { keys } = conn;
  if (keys.needsUpdate) keys.initiateUpdate(nowMicros);
  // RFC 9001 §4.9.1: a client is done with Initial keys when it first sends a Handshake packet
  if (!conn.isServer && keys.canWrite(LEVEL_INITIAL) && conn.space(SPACE_HANDSHAKE).nextPn > 0) {
    discardLevel(conn, LEVEL_INITIAL, nowMicros);
  }
}
