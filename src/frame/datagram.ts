/** DATAGRAM frames (RFC 9221 §4): with a length, or without one up to the end of the packet. */

import { varintLength, writeVarint } from "../base/varint.js";
import { FRAME_DATAGRAM, FRAME_DATAGRAM_LENGTH, FRAME_PADDING } from "./table.js";

/** Bytes of a frame with `payloadBytes`. */
export function datagramFrameLength(payloadBytes: number, hasLength: boolean): number {
  return 1 + (hasLength ? varintLength(payloadBytes) : 0) + payloadBytes;
}

/**
 * Writes a frame with `payload` at `pos` and returns the position after it; -1 when it does not fit before `limit` or into
 * the peer's `maxFrameBytes`. One that fits only without its length goes to the end of the packet, behind PADDING.
 */
export function writeDatagram(
  buf: Uint8Array,
  pos: number,
  limit: number,
  payload: Uint8Array,
  maxFrameBytes: number,
): number {
  const whole = datagramFrameLength(payload.length, true);
  if (whole <= maxFrameBytes && pos + whole <= limit) {
    buf[pos] = FRAME_DATAGRAM_LENGTH;
    const at = writeVarint(buf, pos + 1, payload.length);
    buf.set(payload, at);
    return at + payload.length;
  }
  const bare = datagramFrameLength(payload.length, false);
  if (bare > maxFrameBytes || pos + bare > limit) return -1;
  buf.fill(FRAME_PADDING, pos, limit - bare);
  buf[limit - bare] = FRAME_DATAGRAM;
  buf.set(payload, limit - payload.length);
  return limit;
}
