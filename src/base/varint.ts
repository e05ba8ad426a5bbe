/**
 * Variable-length integers (RFC 9000 §16): the two top bits of the first byte say 1, 2, 4 or 8 bytes, the rest is the
 * value in network order. Reading is `Reader.varint` in `base/bytes`; this is the writing side and the lengths.
 *
 * Invariant: values are integers in 0..2^53-1. The wire goes to 2^62-1: what is read above 2^53-1 saturates, and where
 * all 62 bits count (application error codes) the bigint forms are used.
 */

import { unreachable } from "./unreachable.js";

/** Larger values on the wire read as this. */
export const MAX_VARINT = 2 ** 53 - 1;
/** What the wire can carry. */
export const MAX_VARINT_BIG = (1n << 62n) - 1n;

const TWO_BYTES = 0x40;
const FOUR_BYTES = 0x4000;
const EIGHT_BYTES = 0x40000000;
const WORD = 2 ** 32;

/** Bytes of the shortest encoding of `value`. */
export function varintLength(value: number): 1 | 2 | 4 | 8 {
  if (value < TWO_BYTES) return 1;
  if (value < FOUR_BYTES) return 2;
  return value < EIGHT_BYTES ? 4 : 8;
}

/** The first value above `value` whose encoding is longer; Infinity: there is none. */
export function varintEnd(value: number): number {
  if (value < TWO_BYTES) return TWO_BYTES;
  if (value < FOUR_BYTES) return FOUR_BYTES;
  return value < EIGHT_BYTES ? EIGHT_BYTES : Infinity;
}

/** Bytes of the shortest encoding of a value in 0..2^62-1. */
export function varintLengthBig(value: bigint): 1 | 2 | 4 | 8 {
  return value <= BigInt(MAX_VARINT) ? varintLength(Number(value)) : 8;
}

/** Bytes of the encoding whose first byte is `firstByte`. */
export function varintLengthAt(firstByte: number): number {
  return 1 << (firstByte >> 6);
}

/**
 * The varint at `pos`, without a check of its bounds: eight bytes from there on can be read. Above 2^53-1 it is not exact
 * and equals no number below. For parsers that look at a few bytes; others use `Reader`.
 */
export function varintAt(bytes: DataView, pos: number): number {
  const first = bytes.getUint8(pos);
  if (first < 0x40) return first;
  if (first < 0x80) return bytes.getUint16(pos) & 0x3fff;
  const high = bytes.getUint32(pos) & 0x3fffffff;
  return first < 0xc0 ? high : high * WORD + bytes.getUint32(pos + 4);
}

/** The most bytes that fit into `roomBytes` together with their length as a varint before them; 0 or less = none. */
export function prefixedRoom(roomBytes: number): number {
  let count = roomBytes - 1;
  while (count > 0 && count + varintLength(count) > roomBytes) count--;
  return count;
}

/** Writes the shortest form at `pos` and returns the position after it. The caller has checked that it fits. */
export function writeVarint(buf: Uint8Array, pos: number, value: number): number {
  if (value < TWO_BYTES) {
    buf[pos] = value;
    return pos + 1;
  }
  if (value < FOUR_BYTES) {
    buf[pos] = (value >> 8) | 0x40;
    buf[pos + 1] = value;
    return pos + 2;
  }
  return writeVarintSized(buf, pos, value, value < EIGHT_BYTES ? 4 : 8);
}

/** Writes `value` in exactly `lengthBytes` bytes, for fields that are patched later. */
export function writeVarintSized(buf: Uint8Array, pos: number, value: number, lengthBytes: 1 | 2 | 4 | 8): number {
  if (!(value >= 0 && value <= MAX_VARINT) || varintLength(value) > lengthBytes) unreachable(`varint ${value}`);
  if (lengthBytes === 1) {
    buf[pos] = value;
  } else if (lengthBytes === 2) {
    buf[pos] = (value >> 8) | 0x40;
    buf[pos + 1] = value;
  } else if (lengthBytes === 4) {
    writeWord(buf, pos, value | 0x80000000);
  } else {
    writeWord(buf, pos, Math.floor(value / WORD) | 0xc0000000);
    writeWord(buf, pos + 4, value | 0); // the low word; % costs 20 ns on doubles
  }
  return pos + lengthBytes;
}

/** The shortest form of a value in 0..2^62-1. */
export function writeVarintBig(buf: Uint8Array, pos: number, value: bigint): number {
  if (value < 0n || value > MAX_VARINT_BIG) unreachable(`varint ${value}`);
  if (value <= BigInt(MAX_VARINT)) return writeVarint(buf, pos, Number(value));
  writeWord(buf, pos, Number(value >> 32n) | 0xc0000000);
  writeWord(buf, pos + 4, Number(value & 0xffffffffn));
  return pos + 8;
}

function writeWord(buf: Uint8Array, pos: number, value: number): void {
  buf[pos] = value >>> 24;
  buf[pos + 1] = value >>> 16;
  buf[pos + 2] = value >>> 8;
  buf[pos + 3] = value;
}
