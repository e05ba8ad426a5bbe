/** Unpredictable bytes for the engine: a CSPRNG in production, a seeded generator in the simulator. */
export interface Random {
  /** Fills `buf[start, end)`. */
  fill(buf: Uint8Array, start: number, end: number): void;
}
