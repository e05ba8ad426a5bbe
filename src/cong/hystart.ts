/**
 * HyStart++ (RFC 9406): ends the initial slow start when the round-trip time rises, before a queue overflows. A rise
 * starts conservative slow start, a quarter of the growth for five rounds; if the rise was jitter, slow start resumes.
 * Rounds are told apart by send times. Section 4.3's limit L is infinite, because we pace.
 */

import { DOUBLE } from "../base/double.js";

const MIN_RTT_THRESH_MICROS = 4_000;
const MAX_RTT_THRESH_MICROS = 16_000;
const MIN_RTT_DIVISOR = 8;
const RTT_SAMPLES_PER_ROUND = 8;
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;

export class HyStart {
  private roundStartMicros = DOUBLE;
  private lastRoundMinMicros = Infinity;
  private roundMinMicros = Infinity;
  private samples = 0;
  /** Minimum RTT that conservative slow start began with; Infinity outside of it. */
  private cssBaselineMicros = Infinity;
  private cssRounds = 0;

  constructor() {
    this.roundStartMicros = -1;
  }

  get inConservativeSlowStart(): boolean {
    return this.cssBaselineMicros !== Infinity;
  }

  /** What `ackedBytes` add to the window during slow start. */
  growthBytes(ackedBytes: number): number {
    return this.inConservativeSlowStart ? ackedBytes / CSS_GROWTH_DIVISOR : ackedBytes;
  }

  /** Takes an RTT sample during slow start. Returns true when slow start is over. */
  onRttSample(latestRttMicros: number, largestSentMicros: number, nowMicros: number): boolean {
    if (latestRttMicros < this.roundMinMicros) this.roundMinMicros = latestRttMicros;
    this.samples++;
    if (this.samples >= RTT_SAMPLES_PER_ROUND) this.judge();
    if (largestSentMicros < this.roundStartMicros) return false;
    this.roundStartMicros = nowMicros;
    this.lastRoundMinMicros = this.roundMinMicros;
    this.roundMinMicros = Infinity;
    this.samples = 0;
    return this.inConservativeSlowStart && ++this.cssRounds >= CSS_ROUNDS;
  }

  private judge(): void {
    if (this.inConservativeSlowStart) {
      if (this.roundMinMicros < this.cssBaselineMicros) this.cssBaselineMicros = Infinity;
      return;
    }
    const thresh = Math.max(
      MIN_RTT_THRESH_MICROS,
      Math.min(this.lastRoundMinMicros / MIN_RTT_DIVISOR, MAX_RTT_THRESH_MICROS),
    );
    if (this.roundMinMicros >= this.lastRoundMinMicros + thresh) {
      this.cssBaselineMicros = this.roundMinMicros;
      this.cssRounds = 0;
    }
  }
}
