/** Socket addresses as bytes, as options take them: sockaddr_in (16) and sockaddr_in6 (28). */

import { ADDR_COLS, ADDR_IP3, ADDR_PORT } from "../port/udp.js";
import { AF_INET, AF_INET6 } from "./numbers.js";

const IN_BYTES = 16;
const IN6_BYTES = 28;
/** The third word of every IPv4-mapped address (RFC 4291 §2.5.5.2). */
const MAPPED = 0xffff;

/** An address row of port/udp, or null for what is none. The family stands in the byte order of the host, here little-endian. */
export function rowOfSockaddr(bytes: Uint8Array): Int32Array | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 2) return null;
  const family = view.getUint16(0, true);
  const row = new Int32Array(ADDR_COLS);
  if (family === AF_INET && bytes.length >= IN_BYTES) {
    row[ADDR_IP3 - 1] = MAPPED;
    row[ADDR_IP3] = view.getInt32(4);
  } else if (family === AF_INET6 && bytes.length >= IN6_BYTES) {
    for (let i = 0; i < 4; i++) row[i] = view.getInt32(8 + 4 * i);
  } else return null;
  row[ADDR_PORT] = view.getUint16(2);
  return row;
}

export function sockaddrOfRow(row: Int32Array): Uint8Array {
  const isIpv4 = row[0] === 0 && row[1] === 0 && row[2] === MAPPED;
  const bytes = new Uint8Array(isIpv4 ? IN_BYTES : IN6_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, isIpv4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, row[ADDR_PORT] as number);
  if (isIpv4) view.setInt32(4, row[ADDR_IP3] as number);
  else for (let i = 0; i < 4; i++) view.setInt32(8 + 4 * i, row[i] as number);
  return bytes;
}
