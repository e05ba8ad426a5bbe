/** Time for the engine: monotonic microseconds, handed in as an argument wherever one is needed. */
export interface Clock {
  /** Monotonic time in microseconds since an arbitrary epoch; never goes back. */
  nowMicros(): number;
  /** Wall clock in seconds since 1970, for tokens and certificates only. */
  wallSeconds(): number;
}
