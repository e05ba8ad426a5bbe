/**
 * The clock of the machine for the engine. The epoch is CLOCK_MONOTONIC's, so that times of several threads and of the
 * addon compare; performance.now costs a third of process.hrtime and neither goes back.
 */

import type { Clock } from "../port/clock.js";

const EPOCH_SAMPLES = 5;
const EPOCH_MICROS = epochMicros();

/** What performance.now counts from: of several looks at both clocks the one with the least between them. */
function epochMicros(): number {
  let epoch = 0;
  let least = Infinity;
  for (let i = 0; i < EPOCH_SAMPLES; i++) {
    const before = Number(process.hrtime.bigint()) / 1000;
    const counted = performance.now() * 1000;
    const between = Number(process.hrtime.bigint()) / 1000 - before;
    if (between < least) epoch = before + between / 2 - counted;
    least = Math.min(least, between);
  }
  return epoch;
}

export const systemClock: Clock = {
  nowMicros(): number {
    return Math.floor(EPOCH_MICROS + performance.now() * 1000);
  },
  wallSeconds(): number {
    return Math.floor(Date.now() / 1000);
  },
};
