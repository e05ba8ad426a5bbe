/** The server's preferred address (RFC 9000 §9.6, §18.2) as an address row, and which of them a client does not go to. */

import { ADDR_COLS, ADDR_IP0, ADDR_IP2, ADDR_IP3, ADDR_PORT } from "../port/udp.js";
import type { Connection } from "./connection.js";

const MAPPED = 0xffff;

/** Whether the peer's address in a row is IPv4. */
export function isIpv4(row: Int32Array): boolean {
  return row[ADDR_IP0] === 0 && row[ADDR_IP0 + 1] === 0 && row[ADDR_IP2] === MAPPED;
}

/** The address of that family which the server prefers; null when it gave none, or one that a client stays away from. */
export function preferredRow(conn: Connection, wantsIpv4: boolean): Int32Array | null {
  const preferred = conn.handshakeState.peerParams?.preferredAddress ?? null;
  if (preferred === null || conn.config.preferredAddress !== "use") return null;
  if (conn.moves.own?.preferredSettled === true && isIpv4(conn.path.addr) === wantsIpv4) return null;
  const row = new Int32Array(ADDR_COLS);
  if (wantsIpv4) {
    row[ADDR_IP2] = MAPPED;
    row[ADDR_IP3] = word(preferred.ipv4, 0);
  } else for (let i = 0; i < 4; i++) row[ADDR_IP0 + i] = word(preferred.ipv6, 4 * i);
  row[ADDR_PORT] = wantsIpv4 ? preferred.ipv4Port : preferred.ipv6Port;
  return isAllowed(row, conn.path.addr) ? row : null;
}

/**
 * Whether the server prefers an address of the other family and none of this one: a client that has not moved yet goes there by
 * `migrate`, once it has a socket of that family.
 */
export function prefersOtherFamily(conn: Connection): boolean {
  if (conn.isServer || conn.moves.own !== null) return false;
  const isHere = isIpv4(conn.path.addr);
  return preferredRow(conn, isHere) === null && preferredRow(conn, !isHere) !== null;
}

/**
 * RFC 9000 §21.5.3, §21.5.6: a server might use its clients to reach hosts that it cannot reach itself. What is for this
 * host or link only is taken from a server that is there, too; multicast, and what is no address, never.
 */
function isAllowed(row: Int32Array, present: Int32Array): boolean {
  if (row[ADDR_PORT] === 0) return false;
  const scope = scopeOf(row);
  return scope === SCOPE_GLOBAL || (scope !== SCOPE_NONE && scope === scopeOf(present));
}

const SCOPE_NONE = 0;
const SCOPE_HOST = 1;
const SCOPE_LINK = 2;
const SCOPE_GLOBAL = 3;

function scopeOf(row: Int32Array): number {
  const last = row[ADDR_IP3];
  if (isIpv4(row)) {
    const first = last >>> 24;
    if (first === 0 || first >= 224) return SCOPE_NONE;
    if (first === 127) return SCOPE_HOST;
    return last >>> 16 === 0xa9fe ? SCOPE_LINK : SCOPE_GLOBAL;
  }
  const first = row[ADDR_IP0];
  if ((first | row[ADDR_IP0 + 1] | row[ADDR_IP2]) === 0 && last >>> 0 <= 1) return last === 1 ? SCOPE_HOST : SCOPE_NONE;
  if (first >>> 24 === 0xff) return SCOPE_NONE;
  return first >>> 22 === 0xfe80 >>> 6 ? SCOPE_LINK : SCOPE_GLOBAL;
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}
