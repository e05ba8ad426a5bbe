/** What the two sides of a connection have announced to each other (RFC 9000 §7.4), for people who want to see it. */

import { localParams } from "../conn/config.js";
import type { Connection } from "../conn/connection.js";
import type { TransportParams } from "../proto/params.js";

/** This side's, without tokens and what a Retry added. */
export function announcedHere(conn: Connection): TransportParams {
  const params = localParams(conn.config);
  params.initialScid = conn.localCid;
  if (conn.isServer) params.originalDcid = conn.origDcid;
  return params;
}

/** The peer's, null before its hello. Parameters that it left out have their defaults. */
export function announcedThere(conn: Connection): TransportParams | null {
  return conn.handshakeState.peerParams;
}
