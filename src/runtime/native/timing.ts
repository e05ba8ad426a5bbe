/**
 * What the hot calls of the addon cost this thread (addon/timing.h), for benchmarks: what is left of the thread's CPU time
 * is JavaScript, the event loop and garbage collection. Off until `start`; each thread counts its own.
 */

import { loadAddon } from "./addon.js";

interface TimingAddon {
  timingStart(on: boolean): void;
  timingRead(box: Float64Array): void;
}

/** In the order of the addon's cells. */
const CALLS = ["udpRecv", "udpSend", "aeadSeal", "aeadUnmask", "aeadOpen", "aeadScatter"] as const;
export type TimedCall = (typeof CALLS)[number];

export interface NativeTiming {
  /** CPU time of this thread since it began. */
  threadNanos: number;
  /** Reading the clock costs this much; each timed call reads it twice, once within what it counts. */
  clockNanos: number;
  /** Since `start`. */
  calls: Record<TimedCall, number>;
  nanos: Record<TimedCall, number>;
}

/** Counts from zero. */
export function startTiming(): void {
  loadAddon<TimingAddon>().timingStart(true);
}

export function stopTiming(): void {
  loadAddon<TimingAddon>().timingStart(false);
}

export function readTiming(): NativeTiming {
  const box = new Float64Array(2 + 2 * CALLS.length);
  loadAddon<TimingAddon>().timingRead(box);
  const cells = (first: number): Record<TimedCall, number> =>
    Object.fromEntries(CALLS.map((call, i) => [call, box[first + 2 * i]])) as Record<TimedCall, number>;
  return { threadNanos: box[0] as number, clockNanos: box[1] as number, calls: cells(2), nanos: cells(3) };
}
