/**
 * The one timer of an event loop's turn. Node's setTimeout cannot do less than about 1.13 ms and is late by up to a
 * millisecond; setImmediate turns around in 3 µs but burns the core. So a near deadline is met by turning, a far one by
 * setTimeout. Waking early is harmless (the owner checks and arms again), so a later deadline leaves the timer alone.
 */

/** Nearer than this the loop turns until the time has come: pacing gaps at 500 Mbit/s and above. */
export const TURN_BELOW_MICROS = 1000;
/** The longest delay that setTimeout takes; beyond it, it fires at once. */
const TIMEOUT_MAX_MILLIS = 2 ** 31 - 1;

export class LoopTimer {
  private readonly onTime: () => void;
  private timeout: ReturnType<typeof setTimeout> | null = null;
  private immediate: ReturnType<typeof setImmediate> | null = null;
  /** The deadline it is armed for, Infinity when it is not. */
  private armedMicros = Infinity;

  /** `onTime` runs at or near the deadline, sometimes before it. */
  constructor(onTime: () => void) {
    this.onTime = onTime;
  }

  /**
   * Makes `onTime` run at `deadlineMicros` (Infinity: not at all). `mayTurn` allows turning, which keeps the process
   * alive while it lasts; the timeout never does: a socket that is referenced is what keeps an endpoint alive.
   */
  arm(deadlineMicros: number, nowMicros: number, mayTurn: boolean): void {
    if (this.armedMicros <= deadlineMicros) return;
    this.cancel();
    if (deadlineMicros === Infinity) return;
    this.armedMicros = deadlineMicros;
    const delayMicros = deadlineMicros - nowMicros;
    if (delayMicros < TURN_BELOW_MICROS && mayTurn) {
      this.immediate = setImmediate(() => this.fire());
      return;
    }
    const delayMillis = Math.min(Math.max(Math.ceil(delayMicros / 1000), 1), TIMEOUT_MAX_MILLIS);
    this.timeout = setTimeout(() => this.fire(), delayMillis).unref();
  }

  cancel(): void {
    if (this.timeout !== null) clearTimeout(this.timeout);
    if (this.immediate !== null) clearImmediate(this.immediate);
    this.timeout = null;
    this.immediate = null;
    this.armedMicros = Infinity;
  }

  private fire(): void {
    this.timeout = null;
    this.immediate = null;
    this.armedMicros = Infinity;
    this.onTime();
  }
}
