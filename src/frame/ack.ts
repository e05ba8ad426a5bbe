/**
 * ACK frames (RFC 9000 §19.3): what one says, and how it is written and read.
 *
 * Invariant: the ranges of an AckFrame are inclusive, descending and never touch; every number in them is >= 0.
 */

import type { Reader } from "../base/bytes.js";
import { varintLength, writeVarint } from "../base/varint.js";
import { MAX_ACK_RANGES, MAX_ACK_RANGES_SENT } from "../proto/limits.js";
import { FRAME_ACK, FRAME_ACK_ECN } from "./table.js";

/** One received ACK frame. The object is reused: it is valid during the handler's call only. */
export interface AckFrame {
  /** Largest packet number acknowledged. */
  largest: number;
  /** Raw field, before the peer's ack_delay_exponent; saturates at 2^53-1, so scale it by multiplication. */
  delay: number;
  /** Ranges in use. */
  count: number;
  /** Smallest and largest packet number of each range, both inclusive; index 0 is the newest. */
  readonly first: Float64Array;
  readonly last: Float64Array;
  hasEcn: boolean;
  ect0: number;
  ect1: number;
  ce: number;
}

/** Ranges to acknowledge, inclusive and ascending, as `pnspace/received` keeps them. */
export interface AckRanges {
  readonly first: Float64Array;
  readonly last: Float64Array;
  readonly count: number;
  /** Ranges that end below this number were told often enough: only the newest is written whatever it is. */
  readonly toldBelow: number;
}

/** Cumulative ECN counts of one packet number space (RFC 9000 §19.3.2). */
export interface AckEcn {
  readonly ect0: number;
  readonly ect1: number;
  readonly ce: number;
}

export function newAckFrame(): AckFrame {
  const first = new Float64Array(MAX_ACK_RANGES);
  const last = new Float64Array(MAX_ACK_RANGES);
  return { largest: 0, delay: 0, count: 0, first, last, hasEcn: false, ect0: 0, ect1: 0, ce: 0 };
}

/**
 * Reads the body of an ACK frame after its type. False when it is cut or says a negative number. Every range is
 * checked; those beyond the newest {@link MAX_ACK_RANGES} are not kept. Numbers above 2^53-1 were never sent: reading
 * them saturated still ends in an error, here or where the largest is compared with what was sent.
 */
export function readAck(reader: Reader, hasEcn: boolean, ack: AckFrame): boolean {
  const largest = reader.varint();
  ack.largest = largest;
  ack.delay = reader.varint();
  const more = reader.varint();
  let first = largest - reader.varint();
  // A range takes two bytes or more: a count that cannot be true costs nothing.
  if (first < 0 || more > reader.remaining / 2) return false;
  ack.first[0] = first;
  ack.last[0] = largest;
  ack.count = Math.min(more + 1, MAX_ACK_RANGES);
  for (let index = 1; index <= more; index++) {
    const last = first - reader.varint() - 2;
    first = last - reader.varint();
    if (first < 0) return false;
    if (index >= MAX_ACK_RANGES) continue;
    ack.first[index] = first;
    ack.last[index] = last;
  }
  ack.hasEcn = hasEcn;
  ack.ect0 = hasEcn ? reader.varint() : 0;
  ack.ect1 = hasEcn ? reader.varint() : 0;
  ack.ce = hasEcn ? reader.varint() : 0;
  return reader.ok;
}

/**
 * Writes an ACK frame: the newest ranges first, as many as fit below `limit`, {@link MAX_ACK_RANGES_SENT} at most, down
 * to what the peer was told often enough.
 *
 * @param delay the ACK Delay field, already shifted by our ack_delay_exponent
 * @returns the position after the frame, or -1 when there is nothing to acknowledge or not even one range fits
 */
export function writeAck(
  buf: Uint8Array,
  pos: number,
  limit: number,
  ranges: AckRanges,
  delay: number,
  ecn: AckEcn | null,
): number {
  const newest = ranges.count - 1;
  if (newest < 0) return -1;
  const largest = ranges.last[newest];
  let first = ranges.first[newest];
  const ecnBytes = ecn === null ? 0 : varintLength(ecn.ect0) + varintLength(ecn.ect1) + varintLength(ecn.ce);
  const room = limit - ecnBytes;
  const fixedBytes = 2 + varintLength(largest) + varintLength(delay) + varintLength(largest - first);
  if (pos + fixedBytes > room) return -1;

  buf[pos] = ecn === null ? FRAME_ACK : FRAME_ACK_ECN;
  let at = writeVarint(buf, pos + 1, largest);
  at = writeVarint(buf, at, delay);
  const countAt = at++; // MAX_ACK_RANGES_SENT - 1 fits into one byte
  at = writeVarint(buf, at, largest - first);

  const oldest = Math.max(0, newest - MAX_ACK_RANGES_SENT + 1);
  let index = newest - 1;
  for (; index >= oldest && ranges.last[index] >= ranges.toldBelow; index--) {
    const gap = first - ranges.last[index] - 2;
    const length = ranges.last[index] - ranges.first[index];
    if (at + varintLength(gap) + varintLength(length) > room) break;
    at = writeVarint(buf, writeVarint(buf, at, gap), length);
    first = ranges.first[index];
  }
  writeVarint(buf, countAt, newest - 1 - index);
  if (ecn === null) return at;
  at = writeVarint(buf, at, ecn.ect0);
  at = writeVarint(buf, at, ecn.ect1);
  return writeVarint(buf, at, ecn.ce);
}
