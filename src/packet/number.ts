/** Packet numbers on the wire: the low 1 to 4 bytes, completed by the receiver (RFC 9000 §17.1, Appendix A). */

/** Longest field. */
export const MAX_PN_BYTES = 4;
/** Numbers that two, three bytes can tell apart on both sides of the expected one (RFC 9000 §A.2). */
const TWO_BYTE_DISTANCE = 2 ** 15;
const THREE_BYTE_DISTANCE = 2 ** 23;
/** Numbers that a field of so many bytes can tell apart. */
const WINDOW = [1, 2 ** 8, 2 ** 16, 2 ** 24, 2 ** 32];

/**
 * Bytes to send of packet number `pn`, when `largestAcked` (-1 = none) is the largest that the peer acknowledged in
 * this space. Never 1: the byte saved would make a packet that is overtaken by 128 others unreadable.
 */
export function pnLength(pn: number, largestAcked: number): 2 | 3 | 4 {
  const distance = pn - largestAcked;
  if (distance < TWO_BYTE_DISTANCE) return 2;
  return distance < THREE_BYTE_DISTANCE ? 3 : 4;
}

/** Writes the low `lengthBytes` (1..4) bytes of `pn`; returns the position after them. */
export function writePn(buf: Uint8Array, pos: number, pn: number, lengthBytes: number): number {
  for (let shift = 8 * (lengthBytes - 1), at = pos; shift >= 0; shift -= 8, at++) buf[at] = (pn | 0) >>> shift;
  return pos + lengthBytes;
}

/**
 * The full packet number: the one with these low bytes that is closest to `largestReceived` + 1 (RFC 9000 §A.3).
 *
 * @param truncated value of the field, 0..2^32-1; taken as unsigned even when it comes as an int32
 * @param largestReceived largest number authenticated in this space, -1 = none
 */
export function decodePn(truncated: number, lengthBytes: number, largestReceived: number): number {
  // A table and a mask: 2 ** x and % on doubles cost 80 ns here, once per packet received.
  const window = WINDOW[lengthBytes];
  const expected = largestReceived + 1;
  const candidate = expected - ((expected & (window - 1)) >>> 0) + (truncated >>> 0);
  if (candidate <= expected - window / 2) return candidate + window;
  return candidate > expected + window / 2 && candidate >= window ? candidate - window : candidate;
}
