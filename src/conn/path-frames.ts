/**
 * PATH_CHALLENGE and PATH_RESPONSE in datagrams of their own (RFC 9000 §8.2): to the paths that carry no data, and to the
 * connection's own while it is in validation. They leave whatever the congestion window says.
 */

import { writePathChallenge, writePathResponse } from "../frame/control.js";
import type { Migration } from "../path/migration.js";
import type { Path } from "../path/path.js";
import type { TxBatch } from "../port/udp.js";
import { MIN_INITIAL_DATAGRAM_BYTES } from "../proto/limits.js";
import type { Connection } from "./connection.js";
import { destRow, hasDestRoom } from "./dest-row.js";
import { cancelLonePacket, closeLonePacket, mayOpenLonePacket, openLonePacket } from "./lone-packet.js";
import { setPathDeadline } from "./moves.js";
import { cidOf, claimCid } from "./path-cids.js";

/** Appends the datagrams that paths need. False = the batch is full. */
export function transmitMoves(conn: Connection, tx: TxBatch, nowMicros: number): boolean {
  const { moves } = conn;
  // from the end, because an answer may take an idle one out of the list
  for (let i = moves.probed.length - 1; i >= 0; i--) {
    if (!answer(conn, tx, moves.probed[i], nowMicros)) return false;
  }
  if (waitsForAcks(conn) && !answer(conn, tx, conn.path, nowMicros)) return false;
  const { previous, own } = moves;
  if (own !== null && !challengeOwn(conn, tx, own, nowMicros)) return false;
  if (previous === null) return true;
  const owed = previous.responses.count;
  if (!answer(conn, tx, previous, nowMicros)) return false;
  moves.answeredPrevious += owed - previous.responses.count;
  return challenge(conn, tx, previous, nowMicros);
}

/**
 * The window is full and nothing comes back: the peer may acknowledge nothing here before it knows that we are here. An
 * answer that then waited for the window would come after the peer has given up, each time.
 */
function waitsForAcks({ path, recovery }: Connection): boolean {
  if (path.responses.count === 0 || recovery.ptoCount === 0) return false;
  return !recovery.canSend(path.maxDatagramBytes + path.reservedBytes);
}

/** What the peer asked on `path`; without an id for it the answer waits. False = the batch is full. */
function answer(conn: Connection, tx: TxBatch, path: Path, nowMicros: number): boolean {
  const { responses } = path;
  if (responses.count === 0 || (path !== conn.path && !claimCid(conn, path, nowMicros))) return true;
  for (let data = responses.peek(); data !== null; data = responses.peek()) {
    if (!hasRoom(conn, tx, path)) return false;
    sendAlone(conn, tx, path, writePathResponse, data, nowMicros);
    responses.pop();
  }
  return true;
}

/** Both paths are asked, the connection's and the one that it left (RFC 9000 §9.3.3). False = the batch is full. */
function challenge(conn: Connection, tx: TxBatch, previous: Path, nowMicros: number): boolean {
  const { moves } = conn;
  const { newer, older } = moves;
  if (newer?.isDue(nowMicros) === true) {
    if (!hasRoom(conn, tx, conn.path)) return false;
    // what the limit of an address that is not validated does not let go counts as a try: it may not be repeated either
    const bytes = sendAlone(conn, tx, conn.path, writePathChallenge, newer.take(nowMicros), nowMicros);
    moves.sentSmall ||= bytes < MIN_INITIAL_DATAGRAM_BYTES;
  }
  if (older?.isDue(nowMicros) === true) {
    if (!hasRoom(conn, tx, previous)) return false;
    claimCid(conn, previous, nowMicros); // the peer may have demanded back the one that it had
    sendAlone(conn, tx, previous, writePathChallenge, older.take(nowMicros), nowMicros);
  }
  setPathDeadline(conn);
  return true;
}

/** A client asks the paths that it wants to use (RFC 9000 §9.1), a server those to its preferred address (§9.6.2). False = the batch is full. */
function challengeOwn(conn: Connection, tx: TxBatch, own: Migration, nowMicros: number): boolean {
  for (const { path, challenge: question } of own.attempts) {
    if (!question.isDue(nowMicros)) continue;
    if (!hasRoom(conn, tx, path)) return false;
    if (path !== conn.path) claimCid(conn, path, nowMicros); // the server may have demanded back the one that it had
    sendAlone(conn, tx, path, writePathChallenge, question.take(nowMicros), nowMicros);
  }
  setPathDeadline(conn);
  return true;
}

/** For one datagram and its address. */
function hasRoom(conn: Connection, tx: TxBatch, { socket }: Path): boolean {
  return conn.host.bench.builder.roomFor(MIN_INITIAL_DATAGRAM_BYTES) > 0 && hasDestRoom(tx, socket);
}

/** A datagram of one frame, padded as far as the path allows (RFC 9000 §8.2.1, §8.2.2); returns its size, 0 for none. */
function sendAlone(
  conn: Connection,
  tx: TxBatch,
  path: Path,
  write: typeof writePathChallenge,
  data: Uint8Array,
  nowMicros: number,
): number {
  const dcid = cidOf(conn, path);
  const maxBytes = Math.min(MIN_INITIAL_DATAGRAM_BYTES, path.sendAllowance());
  if (dcid === null || !mayOpenLonePacket(conn) || !openLonePacket(conn, dcid, maxBytes, nowMicros)) return 0;
  const { builder } = conn.host.bench;
  const next = write(builder.buf, builder.pos, builder.limit, data);
  if (next < 0) {
    cancelLonePacket(conn);
    return 0;
  }
  builder.pos = next;
  return closeLonePacket(conn, path, MIN_INITIAL_DATAGRAM_BYTES, destRow(tx, path.addr, path.socket), 0, nowMicros);
}
