/**
 * Connection ids that a program does not want to be used any more (RFC 9000 §5.1.2): the peer is asked to retire ours, by
 * Retire Prior To in the frames of those that take their place; we retire the peer's. Invariant: one of each side is left.
 */

import { DETAIL_PEER_IDS } from "../port/transport.js";
import type { Connection } from "./connection.js";
import { addId } from "./handshake.js";

/** False while the peer owes too many. */
export function demandLocalIds(conn: Connection, priorTo: number): boolean {
  const count = conn.localIds.demandBelow(priorTo);
  for (let i = 0; i < count; i++) addId(conn);
  conn.host.schedule(conn);
  return count > 0;
}

export function retirePeerIds(conn: Connection, priorTo: number): boolean {
  conn.peerIds.retireBelow(priorTo);
  conn.events.noteDetail(DETAIL_PEER_IDS, 0, conn.peerIds.lowestSeq);
  conn.host.schedule(conn);
  return true;
}
