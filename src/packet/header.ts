/**
 * The part of a packet's header that is not protected (RFC 9000 §17, RFC 8999), read into a reused object: where things
 * are, not copies of them.
 *
 * Invariant: after DROP_NONE every range of the header lies inside the datagram, and a packet that has a packet number
 * is long enough for a header protection sample. Whatever the answer, `end` lies in (start, end of the datagram], so
 * that a walk over coalesced packets (RFC 9000 §12.2) always goes on or ends.
 *
 * Reserved bits and the packet number are under header protection and not looked at here (RFC 9000 §17.2).
 */

import { Reader } from "../base/bytes.js";
import {
  DROP_CID_LENGTH,
  DROP_FIXED_BIT,
  DROP_NONE,
  DROP_TRUNCATED,
  DROP_UNKNOWN_VERSION,
  DROP_ZERO_LENGTH,
} from "../observe/drop-reason.js";
import { SAMPLE_BYTES, TAG_BYTES } from "../port/aead.js";
import { MAX_CID_BYTES } from "../proto/limits.js";
import { VERSION_NEGOTIATION, versionRow, wireRow } from "../proto/version.js";

/** The first four are in the order of the type bits of a long header, see `longTypeBits`. */
export const PACKET_INITIAL = 0;
export const PACKET_ZERO_RTT = 1;
export const PACKET_HANDSHAKE = 2;
export const PACKET_RETRY = 3;
export const PACKET_VERSION_NEGOTIATION = 4;
export const PACKET_SHORT = 5;
export type PacketType =
  | typeof PACKET_INITIAL
  | typeof PACKET_ZERO_RTT
  | typeof PACKET_HANDSHAKE
  | typeof PACKET_RETRY
  | typeof PACKET_VERSION_NEGOTIATION
  | typeof PACKET_SHORT;

export const HEADER_FORM_BIT = 0x80;
export const FIXED_BIT = 0x40;
/** RFC 9001 §5.4.2: the sample starts as if the packet number had four bytes. */
export const SAMPLE_OFFSET_BYTES = 4;

/** Offsets are into the buffer that was parsed. Fields that a type does not have are 0 or empty ranges. */
export class PacketHeader {
  type: PacketType = PACKET_SHORT;
  /** 0 in version negotiation and, as it is not there, in short headers. */
  version = 0;
  isLong = false;
  firstByte = 0;
  start = 0;
  dcidStart = 0;
  dcidLength = 0;
  scidStart = 0;
  scidLength = 0;
  /** Initial: the token. Retry: the Retry token, between the ids and the integrity tag. */
  tokenStart = 0;
  tokenEnd = 0;
  /** First byte of the protected packet number. Retry: of the integrity tag. Version negotiation: of the versions. */
  pnOffset = 0;
  /** One past this packet. */
  end = 0;
}

/** Type bits of a long header, in their place in the first byte (RFC 9000 §17.2, RFC 9369 §3.2). */
export function longTypeBits(version: number, type: number): number {
  return ((type + wireRow(version).initialType) & 3) << 4;
}

/**
 * Writes what every long header begins with (RFC 8999 §5.1) and returns the position after it: first byte, version and
 * both connection ids, up to 255 bytes each.
 */
export function writeLongHead(
  buf: Uint8Array,
  pos: number,
  firstByte: number,
  version: number,
  dcid: Uint8Array,
  scid: Uint8Array,
): number {
  buf[pos] = firstByte;
  buf[pos + 1] = version >>> 24;
  buf[pos + 2] = version >>> 16;
  buf[pos + 3] = version >>> 8;
  buf[pos + 4] = version;
  return writeCid(buf, writeCid(buf, pos + 5, dcid), scid);
}

const reader = new Reader();

/**
 * Parses the packet at `start` of a datagram that ends at `end`.
 *
 * @param shortDcidLength length of the destination connection ids that we issue, bytes
 * @param mayLackFixedBit a fixed bit of 0 is no reason to drop it (RFC 9287 §3)
 * @returns DROP_NONE or why to drop it. DROP_UNKNOWN_VERSION comes with version and connection ids, of up to 255 bytes
 *   (RFC 8999 §5.1). A short header that is only too short to be opened, as a stateless reset may be, has its ids too.
 */
export function parseHeader(
  buf: Uint8Array,
  start: number,
  end: number,
  shortDcidLength: number,
  out: PacketHeader,
  mayLackFixedBit = false,
): number {
  out.start = start;
  out.end = end;
  out.scidStart = out.scidLength = 0;
  out.tokenStart = out.tokenEnd = 0;
  if (start >= end) return DROP_ZERO_LENGTH;
  const first = buf[start];
  out.firstByte = first;
  if ((first & HEADER_FORM_BIT) !== 0) return parseLong(buf, start, end, out, mayLackFixedBit);

  out.type = PACKET_SHORT;
  out.isLong = false;
  out.version = 0;
  out.dcidStart = start + 1;
  out.dcidLength = 0;
  out.pnOffset = end;
  if (start + 1 + shortDcidLength > end) return DROP_TRUNCATED;
  out.dcidLength = shortDcidLength;
  out.pnOffset = start + 1 + shortDcidLength;
  if ((first & FIXED_BIT) === 0 && !mayLackFixedBit) return DROP_FIXED_BIT;
  return hasSample(out.pnOffset, end) ? DROP_NONE : DROP_TRUNCATED;
}

/** Whether a bit that must be 0 is set in a first byte without header protection (RFC 9000 §17.2, §17.3.1). It counts
 *  only once the packet is authenticated: then it is a PROTOCOL_VIOLATION (RFC 9001 §9.5). */
export function hasReservedBits(firstByte: number): boolean {
  return (firstByte & ((firstByte & HEADER_FORM_BIT) !== 0 ? 0x0c : 0x18)) !== 0;
}

function parseLong(buf: Uint8Array, start: number, end: number, out: PacketHeader, mayLackFixedBit: boolean): number {
  reader.reset(buf, start + 1, end);
  out.isLong = true;
  out.version = reader.u32();
  out.pnOffset = end;
  out.dcidLength = reader.u8();
  out.dcidStart = reader.skip(out.dcidLength);
  out.scidLength = reader.u8();
  out.scidStart = reader.skip(out.scidLength);
  if (!reader.ok) {
    out.dcidLength = out.scidLength = 0;
    return DROP_TRUNCATED;
  }
  if (out.version === VERSION_NEGOTIATION) {
    // The other bits of the first byte mean nothing here, the fixed bit included (RFC 9000 §17.2.1).
    out.type = PACKET_VERSION_NEGOTIATION;
    out.pnOffset = reader.pos;
    return DROP_NONE;
  }
  const row = versionRow(out.version);
  if (row === null) return DROP_UNKNOWN_VERSION;
  out.type = (((out.firstByte >> 4) - row.initialType) & 3) as PacketType;
  if ((out.firstByte & FIXED_BIT) === 0 && !mayLackFixedBit) return DROP_FIXED_BIT;
  if (out.dcidLength > MAX_CID_BYTES || out.scidLength > MAX_CID_BYTES) return DROP_CID_LENGTH;
  return out.type === PACKET_RETRY ? parseRetry(end, out) : parseNumbered(out);
}

/** RFC 9000 §17.2.5: what is left is the token and the integrity tag. */
function parseRetry(end: number, out: PacketHeader): number {
  if (reader.remaining < TAG_BYTES) return DROP_TRUNCATED;
  out.tokenStart = reader.pos;
  out.tokenEnd = end - TAG_BYTES;
  out.pnOffset = out.tokenEnd;
  return DROP_NONE;
}

function parseNumbered(out: PacketHeader): number {
  if (out.type === PACKET_INITIAL) {
    const tokenStart = reader.skip(reader.varint());
    if (!reader.ok) return DROP_TRUNCATED;
    out.tokenStart = tokenStart;
    out.tokenEnd = reader.pos;
  }
  const lengthBytes = reader.varint();
  if (!reader.ok || lengthBytes > reader.remaining) return DROP_TRUNCATED;
  out.pnOffset = reader.pos;
  out.end = reader.pos + lengthBytes;
  return hasSample(out.pnOffset, out.end) ? DROP_NONE : DROP_TRUNCATED;
}

function hasSample(pnOffset: number, end: number): boolean {
  return end - pnOffset >= SAMPLE_OFFSET_BYTES + SAMPLE_BYTES;
}

function writeCid(buf: Uint8Array, pos: number, cid: Uint8Array): number {
  buf[pos] = cid.length;
  for (let i = 0; i < cid.length; i++) buf[pos + 1 + i] = cid[i];
  return pos + 1 + cid.length;
}
