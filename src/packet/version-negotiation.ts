/** Version Negotiation packets (RFC 9000 §17.2.1, RFC 8999 §6): unprotected, and one fills its datagram. */

import { u32At } from "../base/bytes.js";
import { VERSION_NEGOTIATION } from "../proto/version.js";
import { FIXED_BIT, HEADER_FORM_BIT, PACKET_VERSION_NEGOTIATION, type PacketHeader, writeLongHead } from "./header.js";

/**
 * Writes the answer to a packet of an unknown version and returns the position after it.
 *
 * @param dcid the source connection id of that packet, up to 255 bytes, byte for byte
 * @param scid its destination connection id
 * @param randomByte for the unused bits; the fixed bit is set, for whoever shares the port
 */
export function writeVersionNegotiation(
  buf: Uint8Array,
  pos: number,
  dcid: Uint8Array,
  scid: Uint8Array,
  versions: readonly number[],
  randomByte: number,
): number {
  const firstByte = HEADER_FORM_BIT | FIXED_BIT | (randomByte & 0x3f);
  let at = writeLongHead(buf, pos, firstByte, VERSION_NEGOTIATION, dcid, scid);
  for (const version of versions) {
    buf[at++] = version >>> 24;
    buf[at++] = version >>> 16;
    buf[at++] = version >>> 8;
    buf[at++] = version;
  }
  return at;
}

/** The versions of a parsed packet, or null when the list is empty or not of whole versions: then it is dropped. */
export function readVersions(buf: Uint8Array, header: PacketHeader): number[] | null {
  const bytes = header.end - header.pnOffset;
  if (header.type !== PACKET_VERSION_NEGOTIATION || bytes === 0 || bytes % 4 !== 0) return null;
  const versions: number[] = [];
  for (let at = header.pnOffset; at < header.end; at += 4) {
    versions.push(u32At(buf, at));
  }
  return versions;
}
