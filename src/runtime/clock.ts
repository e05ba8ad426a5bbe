/**
 * The clock of the machine for the engine. The epoch is CLOCK_MONOTONIC's, so that times of several threads and of the
 * addon compare; performance.now costs a third of process.hrtime and neither goes back.
 */

import type { Clock } from "../port/clock.js";

const EPOCH_MICROS = Number(process.hrtime.bigint() / 1000n) - performance.now() * 1000;

export const systemClock: Clock = {
  nowMicros(): number {
    return Math.floor(EPOCH_MICROS + performance.now() * 1000);
  },
  wallSeconds(): number {
    return Math.floor(Date.now() / 1000);
  },
};
