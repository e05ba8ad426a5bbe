/**
 * The path MTU of a connection: brings together what `path/mtu-discovery` wants to know, what `outqueue/black-hole` has
 * noticed, and the datagrams that answer both (RFC 9000 §14.3, §14.4). Called once per transmit, before any data, so
 * that a probe finds room in the congestion window. No timer wakes a connection for it: probes leave along with activity.
 */

import { writePing } from "../frame/control.js";
import { REC_MTU_PROBE } from "../outqueue/sent.js";
import { TX_FLAG_PROBE } from "../port/udp.js";
import { MTU_PROBE_AFTER_BYTES } from "../proto/limits.js";
import { SPACE_APP } from "../proto/space.js";
import type { Connection } from "./connection.js";
import { closeLonePacket, mayOpenLonePacket, openLonePacket } from "./lone-packet.js";

/** The congestion window holds this many probes at least before one is sent. */
const WINDOW_PROBES = 2;

/** Leaves a black hole, and sends the next probe if one is wanted; `dest` is the row of the path's address. */
export function tendPathMtu(conn: Connection, dest: number, nowMicros: number): void {
  const { path, recovery } = conn;
  const { mtu } = path;
  if (recovery.blackHole.found) {
    mtu.onBlackHole();
    recovery.blackHole.onLeft(recovery.sent[SPACE_APP]);
    takePathMtu(conn);
  }
  path.reservedBytes = 0;
  const bytes = mtu.wantedBytes(nowMicros);
  if (bytes === 0 || !mayProbe(conn) || recovery.cc.cwndBytes < WINDOW_PROBES * bytes) return;
  if (recovery.canSend(bytes)) sendProbe(conn, bytes, dest, nowMicros);
  else path.reservedBytes = bytes; // data waits until what is in flight has made room
}

/** Datagrams have the size from now on that discovery found. */
export function takePathMtu({ path, recovery }: Connection): void {
  if (path.maxDatagramBytes === path.mtu.currentBytes) return;
  path.maxDatagramBytes = path.mtu.currentBytes;
  recovery.setDatagramBytes(path.maxDatagramBytes);
}

/** Probes go to a proven address of a confirmed connection that sends enough, or datagrams, to profit from the answer. */
function mayProbe(conn: Connection): boolean {
  return (
    conn.handshakeState.confirmed &&
    conn.path.validated &&
    (conn.streamOut.streamBytesSent >= MTU_PROBE_AFTER_BYTES || conn.datagrams.used) &&
    conn.recovery.ptoCount === 0 &&
    mayOpenLonePacket(conn)
  );
}

/** A datagram of exactly `bytes` with a PING and PADDING. */
function sendProbe(conn: Connection, bytes: number, dest: number, nowMicros: number): void {
  const { path, recovery } = conn;
  const { builder } = conn.host.bench;
  if (!openLonePacket(conn, conn.peerIds.current, bytes, nowMicros)) return;
  const sent = recovery.sent[SPACE_APP];
  sent.note(REC_MTU_PROBE, bytes, path.number, 0);
  builder.pos = writePing(builder.buf, builder.pos, builder.limit);
  closeLonePacket(conn, path, bytes, dest, TX_FLAG_PROBE, nowMicros);
  sent.markLastMtuProbe();
  path.mtu.onProbeSent(bytes);
}
