/**
 * A datagram with one 1-RTT packet that is sent for the sake of a path: validation and MTU probes. It carries no data
 * and need not go where the data goes.
 *
 *   openLonePacket { sent.note* · frames are written at `builder.pos` · closeLonePacket | cancelLonePacket }
 *
 * Invariant: nothing is left of a packet that was cancelled, its number included.
 */

import { pnLength } from "../packet/number.js";
import type { Path } from "../path/path.js";
import { LEVEL_APP } from "../port/tls.js";
import { ECN_ECT0, ECN_NOT_ECT, TX_FLAG_PROBE } from "../port/udp.js";
import { SPACE_APP } from "../proto/space.js";
import type { Connection } from "./connection.js";
import { onElicitingSent } from "./idle.js";

/** Packets that a key must still be able to seal: this one, and those that an exhausted key is closed with. */
const MIN_SEAL_BUDGET = 8;

/** Whether a packet may be numbered and sealed beside those that carry data. */
export function mayOpenLonePacket({ recovery, keys }: Connection): boolean {
  return !recovery.sent[SPACE_APP].full && keys.sealBudget(LEVEL_APP) >= MIN_SEAL_BUDGET;
}

/** Begins a datagram of at most `maxBytes`, the packet in it to `dcid`. False: the batch or `maxBytes` has no room for it. */
export function openLonePacket(conn: Connection, dcid: Uint8Array, maxBytes: number, nowMicros: number): boolean {
  const { builder } = conn.host.bench;
  if (!builder.beginDatagram(maxBytes)) return false;
  const pnspace = conn.space(SPACE_APP);
  const pn = pnspace.peekPn();
  if (!builder.openShort(dcid, pn, pnLength(pn, pnspace.largestAcked), conn.keys.keyPhase, 0)) {
    builder.endDatagram(0, ECN_NOT_ECT, 0);
    return false;
  }
  conn.recovery.sent[SPACE_APP].open(pn, nowMicros);
  return true;
}

export function cancelLonePacket(conn: Connection): void {
  const { builder } = conn.host.bench;
  conn.recovery.sent[SPACE_APP].abort();
  builder.cancelPacket();
  builder.endDatagram(0, ECN_NOT_ECT, 0);
}

/**
 * Ends packet and datagram, padded to `bytes` as far as `maxBytes` allows, and counts them on `path`; returns the size.
 * A probe of the MTU takes room in the congestion window. Validation does not: the window is that of the path which
 * carries the data, and validation has a pace of its own (RFC 9000 §8.2.1).
 *
 * @param dest row of the path's address in the batch
 * @param flags TX_FLAG_*
 */
export function closeLonePacket(
  conn: Connection,
  path: Path,
  bytes: number,
  dest: number,
  flags: number,
  nowMicros: number,
): number {
  const { recovery, keys, counters } = conn;
  const { builder } = conn.host.bench;
  keys.onSealed(LEVEL_APP, conn.space(SPACE_APP).takePn(), 1);
  const packetBytes = builder.closePacket(keys.writeKey(LEVEL_APP), keys.writeHp(LEVEL_APP));
  const sentBytes = packetBytes + builder.padLastPacket(bytes);
  const marked = recovery.beginDatagram();
  recovery.onPacketSent(SPACE_APP, sentBytes, true, flags === TX_FLAG_PROBE, nowMicros);
  builder.endDatagram(dest, marked ? ECN_ECT0 : ECN_NOT_ECT, flags);
  path.onDatagramSent(sentBytes);
  counters.packetsSent++;
  counters.bytesSent += sentBytes;
  onElicitingSent(conn, nowMicros);
  return sentBytes;
}
