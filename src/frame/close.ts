/** The writer of CONNECTION_CLOSE (RFC 9000 §19.19), both for the transport (0x1c) and the application (0x1d). */

import { prefixedRoom, varintLength, varintLengthBig, writeVarint, writeVarintBig } from "../base/varint.js";
import { FRAME_CONNECTION_CLOSE, FRAME_CONNECTION_CLOSE_APP } from "./table.js";

/**
 * Writes the frame with as much of the reason as fits, cut between characters. Returns the position after it, or -1
 * when it does not fit even without a reason.
 *
 * @param code 0..2^62-1
 * @param frameType the frame that caused it, 0 = none or unknown; left out when `isApplication`
 * @param reason UTF-8
 */
export function writeConnectionClose(
  buf: Uint8Array,
  pos: number,
  limit: number,
  isApplication: boolean,
  code: bigint,
  frameType: number,
  reason: Uint8Array,
): number {
  const fixedBytes = 1 + varintLengthBig(code) + (isApplication ? 0 : varintLength(frameType));
  const room = prefixedRoom(limit - pos - fixedBytes);
  if (room < 0) return -1;
  const reasonBytes = reason.length <= room ? reason.length : cutUtf8(reason, room);
  buf[pos] = isApplication ? FRAME_CONNECTION_CLOSE_APP : FRAME_CONNECTION_CLOSE;
  let at = writeVarintBig(buf, pos + 1, code);
  if (!isApplication) at = writeVarint(buf, at, frameType);
  at = writeVarint(buf, at, reasonBytes);
  for (let i = 0; i < reasonBytes; i++) buf[at + i] = reason[i];
  return at + reasonBytes;
}

/** The most bytes, up to `maxBytes` < text.length, that do not end inside a character. */
function cutUtf8(text: Uint8Array, maxBytes: number): number {
  let count = maxBytes;
  while (count > 0 && (text[count] & 0xc0) === 0x80) count--;
  return count;
}
