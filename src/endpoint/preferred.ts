/** The preferred_address parameter of one connection (RFC 9000 §9.6.1, §18.2): addresses, and an id that is for them. */

import type { Connection } from "../conn/connection.js";
import type { ConnectionHost } from "../conn/host.js";
import { ADDR_IP0, ADDR_IP3, ADDR_PORT } from "../port/udp.js";
import type { PreferredAddress } from "../proto/params.js";

/** Rows of ADDR_COLS words (port/udp), of which the first address counts; null = none of that family, one is there. */
export interface PreferredRows {
  ipv4: Int32Array | null;
  ipv6: Int32Array | null;
}

/** Takes a new id of `conn` for it, the first one after that of the handshake; once, if the parameters are made again. */
export function preferredAddress(host: ConnectionHost, conn: Connection, rows: PreferredRows): PreferredAddress {
  const known = conn.localIds.live[1]?.cid;
  const connectionId = known ?? host.newCid();
  if (known === undefined) {
    conn.localIds.addPreferred(connectionId);
    host.route(connectionId, conn);
  }
  return {
    ipv4: bytesOf(rows.ipv4, ADDR_IP3, ADDR_IP3),
    ipv4Port: rows.ipv4?.[ADDR_PORT] ?? 0,
    ipv6: bytesOf(rows.ipv6, ADDR_IP0, ADDR_IP3),
    ipv6Port: rows.ipv6?.[ADDR_PORT] ?? 0,
    connectionId,
    statelessResetToken: host.resetToken(connectionId),
  };
}

/** Words [first, last] in network order; zero where there is no row. */
function bytesOf(row: Int32Array | null, first: number, last: number): Uint8Array {
  const bytes = new Uint8Array(4 * (last - first + 1));
  const view = new DataView(bytes.buffer);
  for (let i = first; i <= last; i++) view.setInt32(4 * (i - first), row?.[i] ?? 0);
  return bytes;
}
