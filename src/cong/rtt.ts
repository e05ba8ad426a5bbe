/**
 * Round-trip time of one path (RFC 9002 §5), and the periods that follow from it alone: of a probe timeout, of the time
 * threshold of loss and of persistent congestion. Until the first sample it stands at the initial RTT.
 */

import { DOUBLE } from "../base/double.js";
import {
  GRANULARITY_MICROS,
  INITIAL_RTT_MICROS,
  PERSISTENT_CONGESTION_THRESHOLD,
  TIME_THRESHOLD_DEN,
  TIME_THRESHOLD_NUM,
} from "../proto/limits.js";

export class Rtt {
  /** 0 until the first sample. */
  latestRttMicros = DOUBLE;
  /** Infinity until the first sample. */
  minRttMicros = Infinity;
  smoothedRttMicros = DOUBLE;
  rttVarMicros = DOUBLE;
  /** When the first sample was taken; -1: none yet. */
  firstSampleMicros = DOUBLE;

  constructor(initialRttMicros: number = INITIAL_RTT_MICROS) {
    this.reset(initialRttMicros);
  }

  get hasSample(): boolean {
    return this.firstSampleMicros >= 0;
  }

  /** Back to no sample: a new connection attempt or a new path. */
  reset(initialRttMicros: number): void {
    this.latestRttMicros = 0;
    this.minRttMicros = Infinity;
    this.smoothedRttMicros = initialRttMicros;
    this.rttVarMicros = initialRttMicros / 2;
    this.firstSampleMicros = -1;
  }

  /** Takes a sample. `ackDelayMicros` is already capped as RFC 9002 §5.3 asks. */
  update(latestRttMicros: number, ackDelayMicros: number, nowMicros: number): void {
    const latest = Math.max(1, latestRttMicros); // two events in one clock tick: rates divide by it
    this.latestRttMicros = latest;
    if (!this.hasSample) {
      this.minRttMicros = latest;
      this.smoothedRttMicros = latest;
      this.rttVarMicros = latest / 2;
      this.firstSampleMicros = nowMicros;
      return;
    }
    if (latest < this.minRttMicros) this.minRttMicros = latest;
    const adjusted = latest >= this.minRttMicros + ackDelayMicros ? latest - ackDelayMicros : latest;
    this.rttVarMicros = 0.75 * this.rttVarMicros + 0.25 * Math.abs(this.smoothedRttMicros - adjusted);
    this.smoothedRttMicros = 0.875 * this.smoothedRttMicros + 0.125 * adjusted;
  }

  /** RFC 9002 §5.2: the path may have changed under persistent congestion, so the minimum starts anew. */
  onPersistentCongestion(): void {
    this.minRttMicros = this.latestRttMicros;
  }

  /** PTO without max_ack_delay and without backoff (RFC 9002 §6.2.1). */
  get ptoBaseMicros(): number {
    return this.smoothedRttMicros + Math.max(4 * this.rttVarMicros, GRANULARITY_MICROS);
  }

  /** A packet older than this is lost once a later one was acknowledged (RFC 9002 §6.1.2). */
  get lossDelayMicros(): number {
    const rtt = Math.max(this.latestRttMicros, this.smoothedRttMicros);
    return Math.max((rtt * TIME_THRESHOLD_NUM) / TIME_THRESHOLD_DEN, GRANULARITY_MICROS);
  }

  persistentCongestionMicros(maxAckDelayMicros: number): number {
    return (this.ptoBaseMicros + maxAckDelayMicros) * PERSISTENT_CONGESTION_THRESHOLD;
  }
}
