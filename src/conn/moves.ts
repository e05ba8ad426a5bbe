/**
 * The peer at another address (RFC 9000 §9): a NAT that rebinds, or a client that migrates. The server follows the newest
 * packet that is more than a probe, asks both addresses for a PATH_RESPONSE (§8.2, §9.3.3), and goes back when the new
 * one does not answer. A client drops what comes from elsewhere, because servers do not move.
 *
 * Invariant: `previous` is the last address that was validated, and is there exactly while the path of the connection is
 * in validation; then, and only then, its connection id is kept. At most one other address, `stray`, is remembered, and
 * no address that is not validated gets more than three times of what came from it.
 */

import { writePathChallenge, writePathResponse } from "../frame/control.js";
import { hasSameIp, Path } from "../path/path.js";
import { PathChallenge, PathResponses, VALIDATION_FAILED } from "../path/validation.js";
import type { TxBatch } from "../port/udp.js";
import { INITIAL_RTT_MICROS, MIN_INITIAL_DATAGRAM_BYTES } from "../proto/limits.js";
import { SPACE_APP } from "../proto/space.js";
import { DEADLINE_PATH } from "../timer/deadlines.js";
import type { Connection } from "./connection.js";
import { destRow, hasDestRoom } from "./dest-row.js";
import { cancelLonePacket, closeLonePacket, mayOpenLonePacket, openLonePacket } from "./lone-packet.js";
import { STATE_OPEN } from "./state.js";

/** PTO of a path without an RTT sample, in initial RTTs (RFC 9002 §6.2.2). */
const PTO_INITIAL_RTTS = 3;

export class Moves {
  /** Where the datagrams in hand came from, when that was not the connection's path; else null. */
  arrival: Path | null = null;
  previous: Path | null = null;
  /** How often the peer was followed. */
  count = 0;
  /** How many of its addresses were validated, and how often the way led back to the one before. */
  validated = 0;
  returns = 0;
  /** What the peer asked on the connection's path. */
  readonly responses = new PathResponses();
  stray: Path | null = null;
  /** What `stray` asked. */
  answers: PathResponses | null = null;
  /** Our challenges to the connection's path and to the previous one; made with the first move. */
  newer: PathChallenge | null = null;
  older: PathChallenge | null = null;
  /** A challenge was smaller than 1200 bytes: its answer proves the address, and no path MTU (RFC 9000 §8.2.1). */
  sentSmall = false;
}

/** The path that a datagram from elsewhere belongs to, or null when it is to be dropped. */
export function arrivalPath(conn: Connection, sources: Int32Array, row: number): Path | null {
  const { moves } = conn;
  if (!conn.isServer || conn.state !== STATE_OPEN || !conn.handshakeState.confirmed) return null;
  if (moves.previous?.matches(sources, row) === true) return moves.previous;
  if (moves.stray?.matches(sources, row) === true) return moves.stray;
  const path = new Path(conn.config.maxDatagramBytes);
  path.setAddress(sources, row);
  path.number = moves.count + 1;
  moves.stray = path;
  moves.answers = null;
  return path;
}

/** A PATH_CHALLENGE arrived; the answer takes the way back (RFC 9000 §8.2.2). */
export function onPathChallenge(conn: Connection, buf: Uint8Array, start: number): void {
  const { moves } = conn;
  const isStray = moves.arrival !== null && moves.arrival === moves.stray;
  if (isStray) (moves.answers ??= new PathResponses()).onChallenge(buf, start);
  else if (moves.arrival === null || moves.arrival === conn.path) moves.responses.onChallenge(buf, start);
  // what the previous path asks goes unanswered: its next packet that is no probe brings us back there
}

/** The newest packet so far, and more than a probe, came from `path` (RFC 9000 §9.3). */
export function follow(conn: Connection, path: Path, nowMicros: number): void {
  const { moves, peerIds } = conn;
  moves.count++;
  if (path === moves.previous) {
    goBack(conn);
    return;
  }
  moves.previous ??= conn.path;
  moves.stray = null;
  for (let data = moves.answers?.peek() ?? null; data !== null; data = moves.answers?.peek() ?? null) {
    moves.responses.onChallenge(data, 0);
    moves.answers?.pop();
  }
  const maxPayloadBytes = conn.handshakeState.peerParams?.maxUdpPayloadBytes;
  if (maxPayloadBytes !== undefined) path.mtu.limit(maxPayloadBytes);
  if (hasSameIp(path, moves.previous)) path.continueMtu(moves.previous);
  peerIds.moveOn();
  takePath(conn, path);
  startChallenges(conn, nowMicros);
}

function takePath(conn: Connection, path: Path): void {
  conn.path = path;
  conn.recovery.setDatagramBytes(path.maxDatagramBytes);
  conn.recovery.setAmplificationBlocked(false);
}

function startChallenges(conn: Connection, nowMicros: number): void {
  const { moves, recovery } = conn;
  const initialPto = PTO_INITIAL_RTTS * INITIAL_RTT_MICROS + recovery.maxAckDelayMicros;
  const ptoMicros = Math.max(recovery.ptoMicros(SPACE_APP), initialPto);
  moves.newer ??= new PathChallenge(conn.host.random);
  moves.older ??= new PathChallenge(conn.host.random);
  moves.newer.start(nowMicros, ptoMicros);
  moves.older.start(nowMicros, ptoMicros);
  moves.sentSmall = false;
  setDeadline(conn);
}

/** The previous address is the peer's after all (RFC 9000 §9.3.2). */
function goBack(conn: Connection): void {
  const { moves } = conn;
  moves.returns++;
  conn.peerIds.moveBack();
  takePath(conn, moves.previous as Path);
  endValidation(conn);
}

function endValidation(conn: Connection): void {
  const { moves } = conn;
  moves.previous = null;
  moves.newer?.stop();
  moves.older?.stop();
  conn.deadlines.clear(DEADLINE_PATH);
}

/** RFC 9000 §8.2.3: on whatever path it came. */
export function onPathResponse(conn: Connection, buf: Uint8Array, start: number, nowMicros: number): void {
  const { moves, path, recovery } = conn;
  if (moves.previous === null) return;
  if (moves.newer?.onResponse(buf, start) !== true) {
    if (moves.older?.onResponse(buf, start) === true) setDeadline(conn);
    return;
  }
  if (!path.validated) {
    path.validated = true;
    recovery.setAmplificationBlocked(false);
    if (!hasSameIp(path, moves.previous)) recovery.onNewPath(nowMicros);
  }
  if (moves.sentSmall) {
    startChallenges(conn, nowMicros); // now at the size that every path has to carry
    return;
  }
  moves.validated++;
  conn.peerIds.settleMove();
  endValidation(conn);
}

/** DEADLINE_PATH has come. */
export function onPathTimeout(conn: Connection, nowMicros: number): void {
  const { newer, older } = conn.moves;
  newer?.onTimeout(nowMicros);
  older?.onTimeout(nowMicros);
  if (newer?.state === VALIDATION_FAILED && conn.moves.previous !== null) goBack(conn);
  else setDeadline(conn);
}

function setDeadline(conn: Connection): void {
  const { newer, older } = conn.moves;
  const atMicros = Math.min(newer?.deadlineMicros ?? Infinity, older?.deadlineMicros ?? Infinity);
  conn.deadlines.set(DEADLINE_PATH, atMicros);
}

/** Appends the datagrams that validation needs, whatever the congestion window says. False = the batch is full. */
export function transmitMoves(conn: Connection, tx: TxBatch, nowMicros: number): boolean {
  const { moves } = conn;
  const { previous, stray, answers } = moves;
  if (stray !== null && answers !== null) {
    for (let data = answers.peek(); data !== null; data = answers.peek()) {
      if (!hasRoom(conn, tx)) return false;
      sendAlone(conn, tx, stray, conn.peerIds.spare, writePathResponse, data, nowMicros);
      answers.pop();
    }
  }
  if (previous === null) return true;
  const { newer, older, sentSmall } = moves;
  if (newer?.isDue(nowMicros) === true) {
    if (!hasRoom(conn, tx)) return false;
    // what the limit of an address that is not validated does not let go counts as a try: it may not be repeated either
    const data = newer.take(nowMicros);
    const bytes = sendAlone(conn, tx, conn.path, conn.peerIds.current, writePathChallenge, data, nowMicros);
    moves.sentSmall = sentSmall || bytes < MIN_INITIAL_DATAGRAM_BYTES;
  }
  if (older?.isDue(nowMicros) === true) {
    if (!hasRoom(conn, tx)) return false;
    const data = older.take(nowMicros);
    sendAlone(conn, tx, previous, conn.peerIds.kept, writePathChallenge, data, nowMicros);
  }
  setDeadline(conn);
  return true;
}

/** For one datagram and its address. */
function hasRoom(conn: Connection, tx: TxBatch): boolean {
  return conn.host.bench.builder.roomFor(MIN_INITIAL_DATAGRAM_BYTES) > 0 && hasDestRoom(tx);
}

/** A datagram of one frame, padded as far as the path allows (RFC 9000 §8.2.1, §8.2.2); returns its size, 0 for none. */
function sendAlone(
  conn: Connection,
  tx: TxBatch,
  path: Path,
  dcid: Uint8Array,
  write: typeof writePathChallenge,
  data: Uint8Array,
  nowMicros: number,
): number {
  const maxBytes = Math.min(MIN_INITIAL_DATAGRAM_BYTES, path.sendAllowance());
  if (!mayOpenLonePacket(conn) || !openLonePacket(conn, dcid, maxBytes, nowMicros)) return 0;
  const { builder } = conn.host.bench;
  const next = write(builder.buf, builder.pos, builder.limit, data);
  if (next < 0) {
    cancelLonePacket(conn);
    return 0;
  }
  builder.pos = next;
  return closeLonePacket(conn, path, MIN_INITIAL_DATAGRAM_BYTES, destRow(tx, path.addr), 0, nowMicros);
}
