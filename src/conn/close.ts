/**
 * How a connection ends (RFC 9000 §10). Closing it releases keys and buffers at once: what the closing period needs is
 * the sealed CONNECTION_CLOSE datagram, which is kept and sent again, ever less often, while packets still arrive.
 */

import { ECN_NOT_ECT, TX_COLS, TX_DEST, TX_ECN, TX_FLAGS, TX_LEN, TX_OFF, type TxBatch } from "../port/udp.js";
import type { CloseInfo, CloseType } from "../port/transport.js";
import { SPACE_APP } from "../proto/space.js";
import { DEADLINE_CLOSE } from "../timer/deadlines.js";
import type { Connection } from "./connection.js";
import { destRow } from "./dest-row.js";
import { STATE_CLOSED, STATE_CLOSING, STATE_DRAINING, STATE_OPEN } from "./state.js";

export class CloseState {
  info: CloseInfo | null = null;
  /** CONNECTION_CLOSE still has to be built and sent for the first time. */
  pending = false;
  /** The sealed datagram, once built. */
  datagram: Uint8Array | null = null;
  /** It shall be sent (again). */
  resend = false;
  private arrived = 0;
  private nextReply = 1;

  /** A datagram arrived while closing; after 1, 2, 4, 8, ... of them one answer goes out (RFC 9000 §10.2.1). */
  onDatagram(): void {
    if (++this.arrived < this.nextReply) return;
    this.nextReply *= 2;
    this.arrived = 0;
    this.resend = this.datagram !== null;
  }
}

/** A transport error of the peer's, or our own decision: CONNECTION_CLOSE 0x1c follows. */
export function closeTransport(conn: Connection, code: number, frameType: number, reason: string): void {
  startClosing(conn, { type: "transport", remote: false, code: BigInt(code), frameType, reason });
}

/**
 * A frame of `type` made us close (RFC 9000 §19.19). Who closes knows its kind, and not which of the types of one kind it
 * was: STREAM has eight.
 */
export function blameFrame(conn: Connection, type: number): void {
  const { info } = conn.closing;
  if (info !== null && !info.remote && info.frameType !== 0) info.frameType = type;
}

/** The application's own end: CONNECTION_CLOSE 0x1d, or 0x1c where it asks for a transport code. */
export function closeByUser(conn: Connection, type: CloseType, code: bigint, reason: string): void {
  startClosing(conn, { type, remote: false, code, frameType: 0, reason });
}

function startClosing(conn: Connection, info: CloseInfo): void {
  if (conn.state !== STATE_OPEN) return;
  conn.state = STATE_CLOSING;
  conn.closing.info = info;
  conn.closing.pending = true;
  conn.events.noteClosed(info);
}

/** The peer closed: nothing is sent from now on (RFC 9000 §10.2.2). */
export function onPeerClose(conn: Connection, info: CloseInfo, nowMicros: number): void {
  if (conn.state === STATE_CLOSED || conn.state === STATE_DRAINING) return;
  const wasOpen = conn.state === STATE_OPEN;
  conn.state = STATE_DRAINING;
  conn.closing.pending = false;
  conn.closing.datagram = null;
  conn.closing.resend = false;
  if (wasOpen) {
    conn.closing.info = info;
    conn.events.noteClosed(info);
    startPeriod(conn, nowMicros);
    conn.release();
  }
}

/** Ends at once and in silence: idle timeout, stateless reset, handshake timeout, abandon. */
export function vanish(conn: Connection, info: CloseInfo, nowMicros: number): void {
  if (conn.state === STATE_CLOSED) return;
  const wasOpen = conn.state === STATE_OPEN;
  conn.state = STATE_CLOSED;
  conn.counters.closedAtMicros ||= nowMicros;
  conn.deadlines.clearAll();
  if (wasOpen) {
    conn.closing.info = info;
    conn.events.noteClosed(info);
  }
  conn.release();
  // the end was told before: nobody drains any more
  if (!conn.events.pending) conn.streams.clear();
}

/** The application wants to hear no more of it. */
export function abandon(conn: Connection): void {
  const info: CloseInfo = { type: "application", remote: false, code: 0n, frameType: 0, reason: "abandoned" };
  // nobody says what time it is; the last event of the connection is the nearest that is known
  vanish(conn, info, Math.max(conn.counters.createdAtMicros, conn.recovery.lastEventMicros));
}

/** Closing and draining last three PTOs or more from their start (RFC 9000 §10.2). */
export function startPeriod(conn: Connection, nowMicros: number): void {
  conn.counters.closedAtMicros = nowMicros;
  conn.deadlines.clearAll();
  conn.deadlines.set(DEADLINE_CLOSE, nowMicros + conn.config.closePtos * conn.recovery.ptoMicros(SPACE_APP));
}

/** Puts the kept datagram into the batch. False = no room, call again. */
export function resendClose(conn: Connection, tx: TxBatch): boolean {
  const { closing, path } = conn;
  const { datagram } = closing;
  if (datagram === null || !closing.resend) return true;
  if (datagram.length > path.sendAllowance()) {
    closing.resend = false;
    return true;
  }
  if (!appendDatagram(tx, datagram, path.addr, path.socket)) return false;
  closing.resend = false;
  path.onDatagramSent(datagram.length);
  conn.counters.bytesSent += datagram.length;
  conn.counters.packetsSent++;
  return true;
}

/** Copies a finished datagram into a batch; false when it is full. Also for the endpoint's stateless answers. */
export function appendDatagram(tx: TxBatch, datagram: Uint8Array, addr: Int32Array, socket: number): boolean {
  if (tx.used + datagram.length > tx.buf.length || (tx.count + 1) * TX_COLS > tx.rows.length) return false;
  const dest = destRow(tx, addr, socket);
  if (dest < 0) return false;
  tx.buf.set(datagram, tx.used);
  const row = tx.count * TX_COLS;
  tx.rows[row + TX_OFF] = tx.used;
  tx.rows[row + TX_LEN] = datagram.length;
  tx.rows[row + TX_DEST] = dest;
  tx.rows[row + TX_ECN] = ECN_NOT_ECT;
  tx.rows[row + TX_FLAGS] = 0;
  tx.count++;
  tx.used += datagram.length;
  return true;
}

/** The closing or draining period is over: what waits to be told can still be read, all else is gone. */
export function finish(conn: Connection, nowMicros: number): void {
  conn.state = STATE_CLOSED;
  conn.deadlines.clearAll();
  conn.closing.datagram = null;
  conn.counters.closedAtMicros ||= nowMicros;
  if (!conn.events.pending) conn.streams.clear();
}
