/** Stateless resets (RFC 9000 §10.3): random bytes that look like a short header packet and end in a token. */

import type { Random } from "../port/random.js";
import { RESET_TOKEN_BYTES } from "../proto/params.js";
import { FIXED_BIT } from "./header.js";

/** The shortest datagram that can be one: a first byte, 38 unpredictable bits and the token. */
export const MIN_STATELESS_RESET_BYTES = 21;
/** What we answer a longer datagram with: as long as a short packet with little in it. */
const USUAL_RESET_BYTES = 43;
/** And a shorter one with so much less, as far as it goes: whoever sends our resets back gets five, not 23. */
const SHRINK_BYTES = 6;

/**
 * Size of the reset that answers a datagram of `triggerBytes`, or 0 for no answer. Always smaller than what it answers,
 * so that two endpoints cannot bounce resets for ever (RFC 9000 §10.3.3).
 */
export function statelessResetBytes(triggerBytes: number): number {
  if (triggerBytes > USUAL_RESET_BYTES) return USUAL_RESET_BYTES;
  if (triggerBytes <= MIN_STATELESS_RESET_BYTES) return 0;
  return Math.max(triggerBytes - SHRINK_BYTES, MIN_STATELESS_RESET_BYTES);
}

/** Writes a reset of `lengthBytes` (at least 21) and returns the position after it. */
export function writeStatelessReset(
  buf: Uint8Array,
  pos: number,
  lengthBytes: number,
  token: Uint8Array,
  random: Random,
): number {
  const tokenStart = pos + lengthBytes - RESET_TOKEN_BYTES;
  random.fill(buf, pos, tokenStart);
  buf[pos] = (buf[pos] & 0x3f) | FIXED_BIT;
  buf.set(token, tokenStart);
  return tokenStart + RESET_TOKEN_BYTES;
}

/** Where the token would be if the datagram [start, end) were a stateless reset, or -1: too short for one. Any first
 *  byte is possible, a long header's too (RFC 9000 §10.3). */
export function statelessResetTokenStart(start: number, end: number): number {
  return end - start < MIN_STATELESS_RESET_BYTES ? -1 : end - RESET_TOKEN_BYTES;
}
