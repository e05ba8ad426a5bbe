/**
 * What BBR knows of its path (draft-ietf-ccwg-bbr §5.5): rounds, the most it delivered in a microsecond, its least
 * round-trip time, the bounds that losses have shown, and how much its ACKs are aggregated.
 */

import type { RateSample } from "./delivery-rate.js";

/** Share of a bound that is left after losses in a probe. */
export const BETA = 0.7;
/** Share of the long-term bound that is left free for others while not probing. */
export const HEADROOM = 0.15;
const LOSS_THRESHOLD = 0.02;
const FULL_BANDWIDTH_GROWTH = 1.25;
const FULL_BANDWIDTH_ROUNDS = 3;
const MIN_RTT_MICROS = 10_000_000;
const PROBE_RTT_INTERVAL_MICROS = 5_000_000;
const EXTRA_ACKED_ROUNDS = 10;

export class BbrModel {
  /** Bandwidth to send with: the most seen, within the short-term bound; 0: no sample yet. */
  bytesPerMicro = 0;
  latestBytesPerMicro = 0;
  inflightLatestBytes = 0;
  /** Bounds by losses: the long-term one while probing, the short-term ones within a cycle. */
  inflightLongBytes = Infinity;
  inflightShortBytes = Infinity;
  private shortBytesPerMicro = Infinity;

  roundStart = false;
  lossRoundStart = false;
  lossInRound = false;
  private roundEndBytes = 0;
  private lossRoundEndBytes = 0;

  minRttMicros = Infinity;
  private minRttStampMicros = 0;
  /** When the least RTT of the probing interval was seen. */
  probeRttMinMicros = 0;
  private probeRttMinDelayMicros = Infinity;
  probeRttExpired = false;

  /** The bandwidth stopped growing: in this probe, or once and for all. */
  fullBandwidthNow = false;
  fullBandwidthReached = false;
  private fullBytesPerMicro = 0;
  private fullRounds = 0;

  extraAckedBytes = 0;
  private extraAckedPrior = 0;
  private extraAckedCurrent = 0;
  private extraAckedRounds = 0;
  private extraAckedFromMicros = 0;
  private extraAckedDelivered = 0;

  /** The most of this probing cycle and of the one before. */
  private maxCurrent = 0;
  private maxPrior = 0;

  private undoInflightLong = Infinity;
  private undoInflightShort = Infinity;
  private undoShortBytesPerMicro = Infinity;

  get maxBytesPerMicro(): number {
    return Math.max(this.maxCurrent, this.maxPrior);
  }

  /** Rounds, latest signals and the bandwidth, from the sample of an ACK. */
  beginAck(sample: RateSample, deliveredBytes: number): void {
    const { priorBytes, bytesPerMicro } = sample;
    this.latestBytesPerMicro = Math.max(this.latestBytesPerMicro, bytesPerMicro);
    this.inflightLatestBytes = Math.max(this.inflightLatestBytes, sample.deliveredBytes);
    this.lossRoundStart = priorBytes >= this.lossRoundEndBytes;
    if (this.lossRoundStart) this.lossRoundEndBytes = deliveredBytes;
    this.roundStart = priorBytes >= this.roundEndBytes;
    if (this.roundStart) this.roundEndBytes = deliveredBytes;
    if (bytesPerMicro >= this.maxBytesPerMicro || !sample.appLimited) {
      this.maxCurrent = Math.max(this.maxCurrent, bytesPerMicro);
    }
    this.bound();
  }

  /** The latest signals begin anew with each round; the bandwidth follows its bounds. */
  endAck(sample: RateSample): void {
    if (this.lossRoundStart) {
      this.latestBytesPerMicro = sample.bytesPerMicro;
      this.inflightLatestBytes = sample.deliveredBytes;
    }
    this.bound();
  }

  startRound(deliveredBytes: number): void {
    this.roundEndBytes = deliveredBytes;
  }

  /** More of the packet's flight was lost than a shallow buffer explains. */
  isInflightTooHigh(sample: RateSample): boolean {
    return sample.lostSinceBytes > sample.inFlightBytes * LOSS_THRESHOLD;
  }

  /** A probing cycle is over: what was seen in the one before the last is forgotten. */
  advanceMaxBandwidth(): void {
    if (this.maxCurrent === 0) return; // no sample in this cycle
    this.maxPrior = this.maxCurrent;
    this.maxCurrent = 0;
  }

  adaptLowerBounds(cwndBytes: number): void {
    if (!this.lossInRound) return;
    if (this.shortBytesPerMicro === Infinity) this.shortBytesPerMicro = this.maxBytesPerMicro;
    if (this.inflightShortBytes === Infinity) this.inflightShortBytes = cwndBytes;
    this.shortBytesPerMicro = Math.max(this.latestBytesPerMicro, BETA * this.shortBytesPerMicro);
    this.inflightShortBytes = Math.max(this.inflightLatestBytes, BETA * this.inflightShortBytes);
  }

  resetLowerBounds(): void {
    this.shortBytesPerMicro = this.inflightShortBytes = Infinity;
  }

  resetCongestionSignals(): void {
    this.lossInRound = false;
    this.latestBytesPerMicro = 0;
    this.inflightLatestBytes = 0;
  }

  saveBounds(): void {
    this.undoInflightLong = this.inflightLongBytes;
    this.undoInflightShort = this.inflightShortBytes;
    this.undoShortBytesPerMicro = this.shortBytesPerMicro;
  }

  /** The losses since `saveBounds` were none. */
  restoreBounds(): void {
    this.lossInRound = false;
    this.resetFullBandwidth(0);
    this.inflightLongBytes = Math.max(this.inflightLongBytes, this.undoInflightLong);
    this.inflightShortBytes = Math.max(this.inflightShortBytes, this.undoInflightShort);
    this.shortBytesPerMicro = Math.max(this.shortBytesPerMicro, this.undoShortBytesPerMicro);
  }

  resetFullBandwidth(bytesPerMicro: number): void {
    this.fullBytesPerMicro = bytesPerMicro;
    this.fullRounds = 0;
    this.fullBandwidthNow = false;
  }

  /** The pipe is full when three rounds in a row brought less than a quarter more. */
  checkFullBandwidth(sample: RateSample): void {
    if (this.fullBandwidthNow || !this.roundStart || sample.appLimited || sample.bytesPerMicro === 0) return;
    if (sample.bytesPerMicro >= this.fullBytesPerMicro * FULL_BANDWIDTH_GROWTH) {
      this.resetFullBandwidth(sample.bytesPerMicro);
      return;
    }
    this.fullRounds++;
    this.fullBandwidthNow = this.fullRounds >= FULL_BANDWIDTH_ROUNDS;
    if (this.fullBandwidthNow) this.fullBandwidthReached = true;
  }

  restartAggregation(deliveredBytes: number, nowMicros: number): void {
    this.extraAckedFromMicros = nowMicros;
    this.extraAckedDelivered = deliveredBytes;
  }

  /** How much more than the bandwidth explains is acknowledged at once: the window has to hold that, too. */
  updateAggregation(sample: RateSample, deliveredBytes: number, cwndBytes: number, nowMicros: number): void {
    const expected = this.bytesPerMicro * (nowMicros - this.extraAckedFromMicros);
    let extra = deliveredBytes - this.extraAckedDelivered - expected;
    if (extra <= 0) {
      this.restartAggregation(deliveredBytes - sample.ackedBytes, nowMicros);
      extra = sample.ackedBytes;
    }
    if (this.roundStart && ++this.extraAckedRounds >= EXTRA_ACKED_ROUNDS / 2) {
      this.extraAckedRounds = 0;
      this.extraAckedPrior = this.extraAckedCurrent;
      this.extraAckedCurrent = 0;
    }
    this.extraAckedCurrent = Math.max(this.extraAckedCurrent, Math.min(extra, cwndBytes));
    this.extraAckedBytes = Math.max(this.extraAckedCurrent, this.extraAckedPrior);
  }

  /** @param rttMicros -1: the ACK gave none */
  updateMinRtt(rttMicros: number, nowMicros: number): void {
    this.probeRttExpired = nowMicros > this.probeRttMinMicros + PROBE_RTT_INTERVAL_MICROS;
    if (this.probeRttMinDelayMicros === Infinity) this.probeRttExpired = false;
    if (rttMicros >= 0 && (rttMicros < this.probeRttMinDelayMicros || this.probeRttExpired)) {
      this.probeRttMinDelayMicros = rttMicros;
      this.probeRttMinMicros = nowMicros;
    }
    const isExpired = nowMicros > this.minRttStampMicros + MIN_RTT_MICROS;
    if (this.probeRttMinDelayMicros < this.minRttMicros || isExpired) {
      this.minRttMicros = this.probeRttMinDelayMicros;
      this.minRttStampMicros = this.probeRttMinMicros;
    }
  }

  private bound(): void {
    this.bytesPerMicro = Math.min(this.maxBytesPerMicro, this.shortBytesPerMicro);
  }
}
