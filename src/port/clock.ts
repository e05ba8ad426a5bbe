/** Time for the engine: monotonic microseconds, handed in as an argument wherever one is needed. */
export interface Clock {
  /** Monotonic time in microseconds since an arbitrary epoch; never goes back. */
  nowMicros(): number;
  /** Wall clock in seconds since 1970, for tokens and certificates only. */
  wallSeconds(): number;
}

/** One deadline, met within tens of microseconds where the event loop's own timers are late by a millisecond. */
export interface FineTimer {
  /** Calls back once, on the event loop, when so much time has passed; what was armed before is forgotten. */
  arm(delayMicros: number): void;
  /** Idempotent; nothing is called after it. */
  close(): void;
}
