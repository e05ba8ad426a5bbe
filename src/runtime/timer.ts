/**
 * The one timer of an event loop's turn. Node's setTimeout cannot do less than about 1.13 ms and is late by up to a
 * millisecond; setImmediate turns around in 3 µs but burns the core; a fine timer, where the datapath has one, is late by
 * some 50 µs and costs a system call. So a deadline that is nearer than a fine timer could meet it is met by turning, a near
 * one by the fine timer (else by turning), a far one by setTimeout. Waking early is harmless (the owner checks and arms
 * again), so a later deadline leaves the timer alone.
 */

import type { FineTimer } from "../port/clock.js";

/** Nearer than this the loop turns until the time has come. */
const TURN_BELOW_MICROS = 50;
/** The same where there is no fine timer: pacing gaps at 500 Mbit/s and above. */
const TURN_BELOW_COARSE_MICROS = 1000;
/** Farther than this a millisecond more or less does not matter: pacing waits for 4 ms at most. */
const FINE_BELOW_MICROS = 8000;
/** The longest delay that setTimeout takes; beyond it, it fires at once. */
const TIMEOUT_MAX_MILLIS = 2 ** 31 - 1;

export class LoopTimer {
  private readonly onTime: () => void;
  private newFine: ((onTime: () => void) => FineTimer) | null;
  private fine: FineTimer | null = null;
  private timeout: ReturnType<typeof setTimeout> | null = null;
  private immediate: ReturnType<typeof setImmediate> | null = null;
  /** The fine timer is what waits; else it may still go off, for nothing. */
  private fineArmed = false;
  /** The deadline it is armed for, Infinity when it is not. */
  private armedMicros = Infinity;

  /** `onTime` runs at or near the deadline, sometimes before it. `newFine` is called when it is first of use. */
  constructor(onTime: () => void, newFine: ((onTime: () => void) => FineTimer) | null = null) {
    this.onTime = onTime;
    this.newFine = newFine;
  }

  /**
   * Makes `onTime` run at `deadlineMicros` (Infinity: not at all). `mayTurn` allows turning, which keeps the process
   * alive while it lasts; nothing else does: a socket that is referenced is what keeps an endpoint alive.
   */
  arm(deadlineMicros: number, nowMicros: number, mayTurn: boolean): void {
    if (this.armedMicros <= deadlineMicros) return;
    this.cancel();
    if (deadlineMicros === Infinity) return;
    this.armedMicros = deadlineMicros;
    const delayMicros = deadlineMicros - nowMicros;
    if (delayMicros < TURN_BELOW_MICROS && mayTurn) this.turn();
    else if (delayMicros < FINE_BELOW_MICROS && this.openFine()) {
      this.fineArmed = true;
      this.fine?.arm(delayMicros);
    } else if (delayMicros < TURN_BELOW_COARSE_MICROS && mayTurn) this.turn();
    else {
      const delayMillis = Math.min(Math.max(Math.ceil(delayMicros / 1000), 1), TIMEOUT_MAX_MILLIS);
      this.timeout = setTimeout(() => this.fire(), delayMillis).unref();
    }
  }

  cancel(): void {
    if (this.timeout !== null) clearTimeout(this.timeout);
    if (this.immediate !== null) clearImmediate(this.immediate);
    this.timeout = null;
    this.immediate = null;
    this.fineArmed = false;
    this.armedMicros = Infinity;
  }

  /** For good. */
  close(): void {
    this.cancel();
    this.fine?.close();
    this.fine = null;
    this.newFine = null;
  }

  private turn(): void {
    this.immediate = setImmediate(() => this.fire());
  }

  /** Whether there is a fine timer, which is tried once. */
  private openFine(): boolean {
    const { newFine } = this;
    this.newFine = null;
    if (newFine === null) return this.fine !== null;
    try {
      this.fine = newFine(() => {
        if (this.fineArmed) this.fire();
      });
    } catch {
      return false; // no descriptor left: the others do
    }
    return true;
  }

  private fire(): void {
    this.timeout = null;
    this.immediate = null;
    this.fineArmed = false;
    this.armedMicros = Infinity;
    this.onTime();
  }
}
