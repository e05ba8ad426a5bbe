/**
 * The path MTU of a connection: brings together what `path/mtu-discovery` wants to know, what `outqueue/black-hole` has
 * noticed, and the datagrams that answer both (RFC 9000 §14.3, §14.4). Called once per transmit, before any data, so
 * that a probe finds room in the congestion window. No timer wakes a connection for it: probes leave along with activity.
 */

import { unreachable } from "../base/unreachable.js";
import { writePing } from "../frame/control.js";
import { REC_MTU_PROBE } from "../outqueue/sent.js";
import { pnLength } from "../packet/number.js";
import { LEVEL_APP } from "../port/tls.js";
import { ECN_ECT0, ECN_NOT_ECT, TX_FLAG_PROBE } from "../port/udp.js";
import { MTU_PROBE_AFTER_BYTES } from "../proto/limits.js";
import { SPACE_APP } from "../proto/space.js";
import type { Connection } from "./connection.js";
import { onElicitingSent } from "./idle.js";

/** The congestion window holds this many probes at least before one is sent. */
const WINDOW_PROBES = 2;
/** Packets that a key must still be able to seal: the probe, and those that an exhausted key is closed with. */
const MIN_SEAL_BUDGET = 8;

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
  const { keys, recovery } = conn;
  return (
    conn.handshakeState.confirmed &&
    conn.path.validated &&
    (conn.streamOut.streamBytesSent >= MTU_PROBE_AFTER_BYTES || conn.datagrams.used) &&
    recovery.ptoCount === 0 &&
    keys.sealBudget(LEVEL_APP) >= MIN_SEAL_BUDGET &&
    !recovery.sent[SPACE_APP].full
  );
}

/** A datagram of exactly `bytes` with a PING and PADDING. */
function sendProbe(conn: Connection, bytes: number, dest: number, nowMicros: number): void {
  const { path, recovery, keys, counters } = conn;
  const { builder } = conn.host.bench;
  if (!builder.beginDatagram(bytes)) return;
  const pnspace = conn.space(SPACE_APP);
  const sent = recovery.sent[SPACE_APP];
  const pn = pnspace.peekPn();
  const pnBytes = pnLength(pn, pnspace.largestAcked);
  if (!builder.openShort(conn.peerIds.current, pn, pnBytes, keys.keyPhase, 0)) unreachable("no room for a probe");
  sent.open(pn, nowMicros);
  sent.note(REC_MTU_PROBE, bytes, path.number, 0);
  builder.pos = writePing(builder.buf, builder.pos, builder.limit);
  pnspace.takePn();
  keys.onSealed(LEVEL_APP, pn, 1);
  builder.closePacket(keys.writeKey(LEVEL_APP), keys.writeHp(LEVEL_APP));
  builder.padLastPacket(bytes);
  const marked = recovery.beginDatagram();
  recovery.onPacketSent(SPACE_APP, bytes, true, true, nowMicros);
  sent.markLastMtuProbe();
  builder.endDatagram(dest, marked ? ECN_ECT0 : ECN_NOT_ECT, TX_FLAG_PROBE);
  path.mtu.onProbeSent(bytes);
  path.onDatagramSent(bytes);
  counters.packetsSent++;
  counters.bytesSent += bytes;
  onElicitingSent(conn, nowMicros);
}
