/**
 * What a socket says about sizes on the way to a destination, told to the connections whose path leads there. The kernel
 * knows addresses and no connections, and anyone can forge an ICMP message (RFC 9000 §14.2.1): it must quote a packet that
 * this connection may have sent, and even then it moves the search of the path MTU on, and nothing else.
 */

import type { Connection } from "../conn/connection.js";
import { STATE_OPEN } from "../conn/state.js";
import { ADDR_IP0, ADDR_IP1, ADDR_IP2 } from "../port/udp.js";

/** Where the destination connection id stands (RFC 8999 §5). */
const SHORT_DCID_AT = 1;
const LONG_DCID_AT = 6;
const IPV4_HEADERS_BYTES = 20 + 8;
const IPV6_HEADERS_BYTES = 40 + 8;

/** A datagram of `bytes` did not leave this host: if it was a probe, it failed. Returns whether `conn` may go on. */
export function applyTooBig(conn: Connection, dest: Int32Array, bytes: number, socket: number): boolean {
  if (!isOnPath(conn, dest, socket)) return false;
  conn.path.mtu.onProbeTooBig(bytes);
  return true;
}

/** A router says that its next link carries IP packets of `mtuBytes` (0: it does not say). */
export function applyIcmpTooBig(conn: Connection, dest: Int32Array, mtuBytes: number, socket: number): boolean {
  if (mtuBytes === 0 || !isOnPath(conn, dest, socket)) return false;
  const isIpv4 = dest[ADDR_IP0] === 0 && dest[ADDR_IP1] === 0 && dest[ADDR_IP2] === 0xffff;
  conn.path.mtu.onIcmpTooBig(mtuBytes - (isIpv4 ? IPV4_HEADERS_BYTES : IPV6_HEADERS_BYTES));
  return true;
}

/**
 * Whether `quoted` begins as packets of `conn` do: with a connection id that its peer has issued (RFC 9000 §14.2.1). Nobody
 * beside the path knows one. A message that quotes too little is not believed; where the peer wants no id there is none to ask for.
 */
export function isQuoted(conn: Connection, quoted: Uint8Array): boolean {
  const isLong = quoted.length > 0 && (quoted[0] & 0x80) !== 0;
  return conn.peerIds.isHeld(quoted, isLong ? LONG_DCID_AT : SHORT_DCID_AT);
}

function isOnPath(conn: Connection, dest: Int32Array, socket: number): boolean {
  return conn.state === STATE_OPEN && conn.path.matches(dest, 0, socket);
}
