/**
 * What the streams of one connection hold, by kind: the stream part of its ledger. Rings are charged by their capacity,
 * not by their payload, and out-of-order ranges by what they take.
 */

import { MIN_RING_BYTES, RING_STEP_BYTES } from "../proto/limits.js";
import { powerOfTwoAtLeast } from "./ring.js";

const GAP_BYTES = 16;

export class HeldBytes {
  sendBytes = 0;
  recvBytes = 0;
  /** Ranges waiting above a gap, over all streams. */
  recvRanges = 0;
  /** Receive rings double while all of them together stay below this, then grow in tight steps: a quarter of the
   *  connection's window. Rings are then never more than 1.25 x what flow control allows, plus this quarter. */
  generousBytes: number;

  constructor(generousBytes: number) {
    this.generousBytes = generousBytes;
  }

  get total(): number {
    return this.sendBytes + this.recvBytes + this.recvRanges * GAP_BYTES;
  }

  /** Capacity for a receive ring that has `capacity` now and must take `need` bytes; it had `hint` when last in use. */
  recvCapacity(capacity: number, need: number, hint: number): number {
    const generous = powerOfTwoAtLeast(Math.max(need, hint, MIN_RING_BYTES));
    if (this.recvBytes - capacity + generous <= this.generousBytes) return generous;
    const tight = Math.max(need, capacity * 1.25);
    return Math.ceil(tight / RING_STEP_BYTES) * RING_STEP_BYTES;
  }
}
