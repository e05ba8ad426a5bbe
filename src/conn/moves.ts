/**
 * The peer at another address (RFC 9000 §9): a NAT that rebinds, or a client that migrates. The server follows the newest
 * packet that is more than a probe, asks both addresses for a PATH_RESPONSE (§8.2, §9.3.3), and goes back when the new
 * one does not answer. A client drops what comes from elsewhere, because servers do not move; its own moves are `migrate`'s.
 *
 * Invariants: `previous` is the last address that was validated, and is there exactly while the path of the connection is
 * in validation. Addresses are remembered only for a packet that could be read, MAX_PROBED_PATHS of them beside these
 * two. Each path has a connection id of its own; one that is left gives it back, and nobody gets it again (§9.5). No
 * address that is not validated gets more than three times of what came from it.
 */

import type { Migration } from "../path/migration.js";
import { hasSameIp, Path } from "../path/path.js";
import { PathChallenge, VALIDATION_FAILED } from "../path/validation.js";
import type { PathValidationResult } from "../port/transport.js";
import type { RxBatch } from "../port/udp.js";
import { INITIAL_RTT_MICROS, MAX_PROBED_PATHS, PATH_MOVE_MICROS, PATH_MOVES_BURST } from "../proto/limits.js";
import { SPACE_APP } from "../proto/space.js";
import { DEADLINE_PATH } from "../timer/deadlines.js";
import type { Connection } from "./connection.js";
import { claimCid, leavePath } from "./path-cids.js";
import { STATE_OPEN } from "./state.js";

/** PTO of a path without an RTT sample, in initial RTTs (RFC 9002 §6.2.2). */
const PTO_INITIAL_RTTS = 3;
/** Shared by all connections whose peers stay where they are; never changed. */
const NO_PATHS: Path[] = [];

export class Moves {
  /** Where the datagrams in hand came from, when that was not the connection's path; else null. */
  arrival: Path | null = null;
  previous: Path | null = null;
  /** Other addresses of the peer, the one that was found last at the end. */
  probed: Path[] = NO_PATHS;
  /** For an address that no readable packet came from yet. */
  unproven: Path | null = null;
  /** Our challenges to the connection's path and to the previous one; made with the first move. */
  newer: PathChallenge | null = null;
  older: PathChallenge | null = null;
  /** A challenge was smaller than 1200 bytes: its answer proves the address, and no path MTU (RFC 9000 §8.2.1). */
  sentSmall = false;
  /** The number of the first packet that may have gone to the connection's path, while that is in validation. */
  firstPn = 0;
  /** Paths that there ever were, the first not counted. */
  paths = 0;
  /** A client's own moves, and those to a server's preferred address; made with the first. */
  own: Migration | null = null;

  /** How often the connection went to another path; how often it was not for want of a connection id (RFC 9000 §9.5). */
  count = 0;
  refused = 0;
  /** How often the peer was not followed because that had happened too often; the time up to which moves are used up. */
  deferred = 0;
  paidMicros = 0;
  /** How often another address got the id in use, because a NAT had changed it and no spare was there (RFC 9000 §9.5). */
  shared = 0;
  /** How many paths were validated and did not answer, and how often the way led back to the one before. */
  validated = 0;
  failed = 0;
  returns = 0;
  /** PATH_RESPONSE frames that were sent to the previous address. */
  answeredPrevious = 0;
}

/** The path that a datagram from elsewhere belongs to, or null when it is to be dropped. */
export function arrivalPath(conn: Connection, rx: RxBatch, row: number): Path | null {
  const { moves } = conn;
  const { sources, socket } = rx;
  if (conn.state !== STATE_OPEN || !conn.handshakeState.confirmed) return null;
  if (moves.previous?.matches(sources, row, socket) === true) return moves.previous;
  for (const path of moves.probed) if (path.matches(sources, row, socket)) return path;
  if (!conn.isServer) return null; // RFC 9000 §9
  moves.unproven ??= new Path(conn.config.maxDatagramBytes);
  const path = moves.unproven;
  path.setAddress(sources, row, socket);
  path.bytesReceived = 0;
  return path;
}

/** A packet that came on `path` was read; the id of ours that it carried is at `dcidStart`. */
export function onArrival(conn: Connection, path: Path, buf: Uint8Array, dcidStart: number, nowMicros: number): void {
  path.heardMicros = nowMicros;
  if (!conn.isServer) return;
  path.noteDcid(buf, dcidStart, conn.host.bench.cidBytes);
  path.sharesCid = path.hasSameDcid(conn.path);
  if (path === conn.moves.unproven) remember(conn, path);
}

function remember(conn: Connection, path: Path): void {
  const { moves } = conn;
  moves.unproven = null;
  if (moves.probed.length === MAX_PROBED_PATHS) leavePath(conn, moves.probed.shift() as Path);
  rememberPath(conn, path);
}

/** Counts it as a path, and what comes from there as arriving on it. */
export function rememberPath(conn: Connection, path: Path): void {
  const { moves } = conn;
  path.number = ++moves.paths;
  const maxPayloadBytes = conn.handshakeState.peerParams?.maxUdpPayloadBytes;
  if (maxPayloadBytes !== undefined) path.mtu.limit(maxPayloadBytes);
  if (moves.probed === NO_PATHS) moves.probed = [];
  moves.probed.push(path);
}

/** A PATH_CHALLENGE arrived; the answer takes the way back (RFC 9000 §8.2.2). */
export function onPathChallenge(conn: Connection, buf: Uint8Array, start: number): void {
  (conn.moves.arrival ?? conn.path).responses.onChallenge(buf, start);
}

/** Server: a packet on `path` was the newest, and more than a probe: the client is there now (RFC 9000 §9.3). */
export function follow(conn: Connection, path: Path, nowMicros: number): void {
  const { moves } = conn;
  if (path === moves.previous) {
    tellPath(conn, "aborted", conn.path, path, false);
    moves.count++;
    goBack(conn, nowMicros);
    return;
  }
  if (!takeMove(moves, nowMicros)) {
    moves.deferred++; // another packet from there will find time again
    return;
  }
  if (!claimCid(conn, path, nowMicros)) {
    moves.refused++; // the peer has chosen another id of ours, and left none of its own
    return;
  }
  moves.count++;
  moves.probed.splice(moves.probed.indexOf(path), 1);
  const left = conn.path;
  const isValidating = moves.previous !== null;
  if (!isValidating) moves.firstPn = conn.space(SPACE_APP).nextPn;
  moves.previous ??= left;
  if (hasSameIp(path, moves.previous)) path.continueMtu(moves.previous);
  takePath(conn, path);
  if (isValidating) {
    tellPath(conn, "aborted", left, moves.previous, false);
    leavePath(conn, left);
  }
  startChallenges(conn, nowMicros);
}

/** Each move costs two full datagrams and an id; whoever can copy packets could ask for one with each of them. */
function takeMove(moves: Moves, nowMicros: number): boolean {
  const paidMicros = Math.max(moves.paidMicros, nowMicros);
  if (paidMicros - nowMicros > (PATH_MOVES_BURST - 1) * PATH_MOVE_MICROS) return false;
  moves.paidMicros = paidMicros + PATH_MOVE_MICROS;
  return true;
}

/** Whether datagrams of the connection leave from that socket, or are waited for there. */
export function usesSocket({ path, moves }: Connection, socket: number): boolean {
  if (path.socket === socket || moves.previous?.socket === socket) return true;
  return moves.probed.some((probed) => probed.socket === socket);
}

/** Makes `path`, which has claimed an id, the connection's. */
export function takePath(conn: Connection, path: Path): void {
  const left = conn.path;
  left.cidSeq = path.cidSeq < 0 ? -1 : conn.peerIds.use(path.cidSeq);
  left.sharesCid = path.cidSeq < 0;
  path.cidSeq = -1;
  conn.path = path;
  conn.control.responses = path.responses;
  conn.recovery.setDatagramBytes(path.maxDatagramBytes);
  conn.recovery.setAmplificationBlocked(false);
}

/** RFC 9000 §8.2.4: the PTO now, or that of a path of which nothing is known, if that is longer. */
export function validationPtoMicros({ recovery }: Connection): number {
  const initialPto = PTO_INITIAL_RTTS * INITIAL_RTT_MICROS + recovery.maxAckDelayMicros;
  return Math.max(recovery.ptoMicros(SPACE_APP), initialPto);
}

function startChallenges(conn: Connection, nowMicros: number): void {
  const { moves } = conn;
  const ptoMicros = validationPtoMicros(conn);
  moves.newer ??= new PathChallenge(conn.host.random);
  moves.older ??= new PathChallenge(conn.host.random);
  moves.newer.start(nowMicros, ptoMicros);
  moves.older.start(nowMicros, ptoMicros);
  moves.sentSmall = false;
  setPathDeadline(conn);
}

/**
 * The previous address is the peer's after all (RFC 9000 §9.3.2). What was sent elsewhere says nothing about it, and what
 * was learned there neither: once the other address was proven, nothing is left of what was known of this one (§9.4).
 */
function goBack(conn: Connection, nowMicros: number): void {
  const { moves } = conn;
  const left = conn.path;
  const back = moves.previous as Path;
  moves.returns++;
  // the peer may have demanded the id of this path back meanwhile
  back.sharesCid = true;
  claimCid(conn, back, nowMicros);
  takePath(conn, back);
  if (left.validated && !hasSameIp(left, back)) conn.recovery.onNewPath(nowMicros);
  else conn.recovery.onReturn(moves.firstPn);
  endValidation(conn);
  leavePath(conn, left);
}

export function endValidation(conn: Connection): void {
  const { moves } = conn;
  moves.previous = null;
  moves.newer?.stop();
  moves.older?.stop();
  conn.deadlines.clear(DEADLINE_PATH);
}

/** RFC 9000 §8.2.3: on whatever path it came. */
export function onPathResponse(conn: Connection, buf: Uint8Array, start: number, nowMicros: number): void {
  const { moves, path } = conn;
  const { previous } = moves;
  if (previous === null) return;
  if (moves.newer?.onResponse(buf, start) !== true) {
    if (moves.older?.onResponse(buf, start) === true) setPathDeadline(conn);
    return;
  }
  if (!path.validated) onAddressProven(conn, path, previous, nowMicros);
  if (moves.sentSmall) {
    startChallenges(conn, nowMicros); // now at the size that every path has to carry
    return;
  }
  moves.validated++;
  tellPath(conn, "success", path, previous, false);
  endValidation(conn);
  leavePath(conn, previous);
}

function onAddressProven(conn: Connection, path: Path, previous: Path, nowMicros: number): void {
  const { recovery } = conn;
  path.validated = true;
  recovery.setAmplificationBlocked(false);
  if (hasSameIp(path, previous)) recovery.onNewPort();
  else recovery.onNewPath(nowMicros);
  const token = conn.host.newToken(conn.versions.current, path.addr);
  if (token !== null) conn.control.sendNewToken(token); // RFC 9000 §9.3
}

/** DEADLINE_PATH has come. */
export function onPathTimeout(conn: Connection, nowMicros: number): void {
  const { moves } = conn;
  moves.newer?.onTimeout(nowMicros);
  moves.older?.onTimeout(nowMicros);
  if (moves.newer?.state !== VALIDATION_FAILED || moves.previous === null) {
    setPathDeadline(conn);
    return;
  }
  moves.failed++;
  tellPath(conn, "failure", conn.path, moves.previous, false);
  goBack(conn, nowMicros);
}

export function setPathDeadline(conn: Connection): void {
  const { newer, older, own } = conn.moves;
  const atMicros = Math.min(newer?.deadlineMicros ?? Infinity, older?.deadlineMicros ?? Infinity);
  conn.deadlines.set(DEADLINE_PATH, Math.min(atMicros, own?.deadlineMicros ?? Infinity));
}

export function tellPath(
  conn: Connection,
  result: PathValidationResult,
  path: Path,
  oldPath: Path,
  preferred: boolean,
): void {
  const [to, from] = [path.addr.slice(), oldPath.addr.slice()];
  conn.events.notePathValidation({
    result,
    path: to,
    socket: path.socket,
    oldPath: from,
    oldSocket: oldPath.socket,
    preferred,
  });
}
