/**
 * The first, small columns of the rings in `sent`: most connections never need larger ones, most rings are short-lived
 * (Initial and Handshake) or at rest. They go from one to the other through a bounded pool of the process: nine typed
 * arrays take 3 KB and 2 µs to make, and more to collect.
 */

import { POOLED_SENT_COLUMNS } from "../proto/limits.js";

export const FIRST_PACKETS = 16;
export const FIRST_RECORDS = 32;

/** What is in them is of no one: whoever takes them writes before reading. */
export class FirstColumns {
  readonly flags = new Uint8Array(FIRST_PACKETS);
  readonly sizeBytes = new Uint16Array(FIRST_PACKETS);
  readonly sentMicros = new Float64Array(FIRST_PACKETS);
  readonly link = new Float64Array(FIRST_PACKETS);
  readonly recordCount = new Uint16Array(FIRST_PACKETS);
  readonly kind = new Uint8Array(FIRST_RECORDS);
  readonly id = new Float64Array(FIRST_RECORDS);
  readonly offset = new Float64Array(FIRST_RECORDS);
  readonly length = new Float64Array(FIRST_RECORDS);
}

const pool: FirstColumns[] = [];

export function takeFirstColumns(): FirstColumns {
  return pool.pop() ?? new FirstColumns();
}

/** The giver keeps no reference to any of them. */
export function giveFirstColumns(columns: FirstColumns): void {
  if (pool.length < POOLED_SENT_COLUMNS) pool.push(columns);
}
