/**
 * Heads of the frames that carry data: STREAM (RFC 9000 §19.8) and CRYPTO (§19.6). The data itself is copied behind the
 * head by whoever holds it. `base/varint` prefixedRoom says how much data fits behind a length field.
 */

import { varintAt, varintLength, varintLengthAt, writeVarint } from "../base/varint.js";
import { FRAME_CRYPTO, FRAME_STREAM, STREAM_FIN_BIT, STREAM_LEN_BIT, STREAM_OFF_BIT } from "./table.js";

/** Type and three varints. */
const MAX_STREAM_HEAD_BYTES = 25;

/** Bytes of type, stream id and offset, without the length field. */
export function streamHeaderLength(id: number, offset: number): number {
  return 1 + varintLength(id) + (offset === 0 ? 0 : varintLength(offset));
}

/**
 * Writes the head of a STREAM frame and returns where its data starts. The caller has checked that it fits.
 *
 * @param lengthBytes bytes of data, or -1 for a frame without length field, which runs to the end of the packet
 */
export function writeStreamHeader(
  buf: Uint8Array,
  pos: number,
  id: number,
  offset: number,
  lengthBytes: number,
  fin: boolean,
): number {
  let type = FRAME_STREAM;
  if (fin) type |= STREAM_FIN_BIT;
  if (lengthBytes >= 0) type |= STREAM_LEN_BIT;
  if (offset !== 0) type |= STREAM_OFF_BIT;
  buf[pos] = type;
  let at = writeVarint(buf, pos + 1, id);
  if (offset !== 0) at = writeVarint(buf, at, offset);
  return lengthBytes >= 0 ? writeVarint(buf, at, lengthBytes) : at;
}

/**
 * Where the data starts in a payload [pos, end) that is nothing but one STREAM frame of stream `id` at `offset`, without
 * FIN and up to the last byte; -1 for any other payload, and for ones so short that they gain nothing. What this takes,
 * `decode` takes for the same.
 */
export function plainStreamData(bytes: DataView, pos: number, end: number, id: number, offset: number): number {
  if (end - pos <= MAX_STREAM_HEAD_BYTES) return -1; // so that no read below leaves the payload
  const type = bytes.getUint8(pos);
  if ((type & ~STREAM_LEN_BIT) !== (FRAME_STREAM | STREAM_OFF_BIT)) return -1;
  let at = pos + 1;
  if (varintAt(bytes, at) !== id) return -1;
  at += varintLengthAt(bytes.getUint8(at));
  if (varintAt(bytes, at) !== offset) return -1;
  at += varintLengthAt(bytes.getUint8(at));
  if ((type & STREAM_LEN_BIT) === 0) return at;
  const lengthBytes = varintAt(bytes, at);
  at += varintLengthAt(bytes.getUint8(at));
  return at + lengthBytes === end ? at : -1;
}

/** Bytes of type and offset of a CRYPTO frame, without the length field. */
export function cryptoHeaderLength(offset: number): number {
  return 1 + varintLength(offset);
}

/** Writes the head of a CRYPTO frame and returns where its data starts. The caller has checked that it fits. */
export function writeCryptoHeader(buf: Uint8Array, pos: number, offset: number, lengthBytes: number): number {
  buf[pos] = FRAME_CRYPTO;
  return writeVarint(buf, writeVarint(buf, pos + 1, offset), lengthBytes);
}
