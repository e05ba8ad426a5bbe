/**
 * Which packet numbers of one space have arrived: duplicate detection (RFC 9000 §12.3) and the ranges of the next ACK
 * frame (RFC 9000 §13.2.3). Ranges are inclusive, ascending and never touch; a packet that arrives in order writes one
 * number and allocates nothing.
 *
 * Invariant: numbers below the floor are never accepted again, so a range may be forgotten without letting a duplicate
 * in; the range of the largest number is always kept.
 */

import { ACK_RANGE_REPEATS, MAX_ACK_RANGES } from "../proto/limits.js";

export const PN_NEW = 0;
export const PN_DUPLICATE = 1;
/** Below what is still tracked, so a duplicate cannot be ruled out: the packet is dropped. */
export const PN_TOO_OLD = 2;
export type PnVerdict = typeof PN_NEW | typeof PN_DUPLICATE | typeof PN_TOO_OLD;

/** Rows after the first packet: an idle connection has a range or two, and 128 rows in three spaces are 6 KiB of nothing. */
const INITIAL_RANGES = 4;
const NO_ROWS = new Float64Array(0);

export class ReceivedPns {
  /** Range i is first[i]..last[i], both included; rows [0, count) are in use. */
  first = NO_ROWS;
  last = NO_ROWS;
  count = 0;
  /** Largest packet number received, -1 before the first. */
  largest = -1;
  /** When `largest` arrived, microseconds: the ACK Delay counts from here (RFC 9000 §13.2.5). */
  largestTimeMicros = 0;
  /** Everything below was in ACK_RANGE_REPEATS ACK frames since it last changed. */
  toldBelow = 0;
  /** Largest number in each of the last ACK frames, a ring. */
  private told = NO_ROWS;
  private nextTold = 0;
  private floor = 0;

  /** Records `pn`. Call it only after the packet was authenticated (RFC 9000 §12.3). */
  record(pn: number, nowMicros: number): PnVerdict {
    const { first, last } = this;
    if (pn < this.floor) return PN_TOO_OLD;
    let below = this.count - 1; // the range that starts at or below pn; -1 for none
    while (below >= 0 && pn < first[below]) below--;
    if (below >= 0 && pn <= last[below]) return PN_DUPLICATE;

    const above = below + 1;
    const joinsBelow = below >= 0 && pn === last[below] + 1;
    const joinsAbove = above < this.count && pn === first[above] - 1;
    if (!joinsBelow && !joinsAbove) {
      if (!this.insertAt(above, pn)) return PN_TOO_OLD;
    } else if (!joinsBelow) first[above] = pn;
    else if (!joinsAbove) last[below] = pn;
    else last[below] = this.removeAt(above);

    if (pn > this.largest) {
      this.largest = pn;
      this.largestTimeMicros = nowMicros;
    } else if (pn < this.toldBelow) this.tellAgain(pn);
    return PN_NEW;
  }

  /** Records the `packets` numbers that follow the largest; there is one. */
  extend(packets: number, nowMicros: number): void {
    this.largest += packets;
    this.last[this.count - 1] = this.largest;
    this.largestTimeMicros = nowMicros;
  }

  /** An ACK frame with all that is to be told went into a packet. */
  onTold(): void {
    if (this.told.length === 0) {
      if (this.count < 2) return; // nothing but the newest range: none is told again
      this.told = new Float64Array(ACK_RANGE_REPEATS);
    }
    const { told, nextTold } = this;
    this.toldBelow = told[nextTold];
    told[nextTold] = this.largest;
    this.nextTold = nextTold + 1 === ACK_RANGE_REPEATS ? 0 : nextTold + 1;
  }

  /** `pn` came so late that the ranges around it are not told any more. */
  private tellAgain(pn: number): void {
    this.toldBelow = pn;
    for (let i = 0; i < this.told.length; i++) this.told[i] = Math.min(this.told[i], pn);
  }

  /** Whether no number in (after, pn) is missing; forgotten ones count as received. `pn` itself was recorded. */
  isContiguous(after: number, pn: number): boolean {
    const { first } = this;
    let range = this.count - 1;
    while (range > 0 && pn < first[range]) range--;
    return first[range] <= Math.max(after + 1, this.floor);
  }

  /** The smallest number above `pn` that did not arrive; forgotten ones count as received. */
  firstMissingAbove(pn: number): number {
    const { first, last } = this;
    const least = Math.max(pn + 1, this.floor);
    let range = this.count - 1; // what is asked for is near the largest
    while (range >= 0 && first[range] > least) range--;
    return range >= 0 && last[range] >= least ? last[range] + 1 : least;
  }

  /**
   * Forgets what lies below `pn`, because the peer has our ACK of it (RFC 9000 §13.2.4). Numbers below it that are
   * still missing are taken for lost. The largest number stays, however large `pn` is.
   */
  forgetBelow(pn: number): void {
    const floor = Math.min(pn, this.largest);
    if (floor <= this.floor) return;
    this.floor = floor;
    let gone = 0;
    while (this.last[gone] < floor) gone++;
    this.remove(0, gone);
    if (this.first[0] < floor) this.first[0] = floor;
  }

  /** Forgets all ranges and takes no number any more: the keys of the space are gone. */
  close(): void {
    this.floor = Infinity;
    this.count = 0;
    this.first = this.last = this.told = NO_ROWS;
  }

  private insertAt(index: number, pn: number): boolean {
    if (this.count === MAX_ACK_RANGES) {
      if (index === 0) return false;
      this.floor = this.removeAt(0) + 1;
      index--;
    } else if (this.count === this.first.length) {
      this.grow();
    }
    const { first, last } = this;
    first.copyWithin(index + 1, index, this.count);
    last.copyWithin(index + 1, index, this.count);
    first[index] = last[index] = pn;
    this.count++;
    return true;
  }

  /** Removes one range and returns its largest packet number. */
  private removeAt(index: number): number {
    const largest = this.last[index];
    this.remove(index, 1);
    return largest;
  }

  private remove(index: number, ranges: number): void {
    if (ranges === 0) return;
    this.first.copyWithin(index, index + ranges, this.count);
    this.last.copyWithin(index, index + ranges, this.count);
    this.count -= ranges;
  }

  private grow(): void {
    const rows = Math.min(Math.max(INITIAL_RANGES, 2 * this.first.length), MAX_ACK_RANGES);
    const first = new Float64Array(rows);
    const last = new Float64Array(rows);
    first.set(this.first);
    last.set(this.last);
    this.first = first;
    this.last = last;
  }
}
