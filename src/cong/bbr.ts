/**
 * BBR version 3 (draft-ietf-ccwg-bbr): a model of the path, its bandwidth and least round-trip time, decides how fast
 * to send and how much may be in flight; loss only bounds the model. This file is the state machine that probes the
 * path; `bbr-model.ts` is what it knows. The draft's names are kept where they say enough.
 *
 * Departures: loss is looked at once an ACK, at its newest packet, not packet by packet; an ECN-CE mark counts as a round
 * with loss, because RFC 9002 §7.1 asks for a response and the draft names none.
 */

import { MAX_CWND_BYTES } from "../proto/limits.js";
import { BETA, BbrModel, HEADROOM } from "./bbr-model.js";
import { type CongestionController, initialWindowBytes, minimumWindowBytes } from "./controller.js";
import type { DeliveryRate, RateSample } from "./delivery-rate.js";
import type { Rtt } from "./rtt.js";

const STARTUP = 0;
const DRAIN = 1;
const DOWN = 2;
const CRUISE = 3;
const REFILL = 4;
const UP = 5;
const PROBE_RTT = 6;
type State = typeof STARTUP | typeof DRAIN | typeof DOWN | typeof CRUISE | typeof REFILL | typeof UP | typeof PROBE_RTT;

/** By state. */
const PACING_GAIN = [2.77, 0.5, 0.9, 1, 1, 1.25, 1];
const CWND_GAIN = [2, 2, 2, 2, 2, 2.25, 0.5];

/** Where the ACKs of a bandwidth probe are. */
const ACKS_INIT = 0;
const ACKS_REFILLING = 1;
const ACKS_PROBE_STARTING = 2;
const ACKS_PROBE_FEEDBACK = 3;
const ACKS_PROBE_STOPPING = 4;

const PACING_MARGIN = 0.99;
const MIN_PIPE_PACKETS = 4;
const STARTUP_LOSS_EVENTS = 6;
const PROBE_RTT_MICROS = 200_000;
const PROBE_WAIT_MICROS = 2_000_000;
const PROBE_WAIT_SPREAD_MICROS = 1_000_000;
/** Rounds after which a flow of Reno in our place would probe, at most. */
const RENO_ROUNDS = 63;
const MAX_UP_ROUNDS = 30;
const FIRST_RTT_MICROS = 1000;

export class Bbr implements CongestionController {
  readonly name = "bbr";
  readonly ssthreshBytes = Infinity;
  cwndBytes: number;
  /** What the pacer is to let through. */
  pacingBytesPerMicro: number;
  recoveryStartMicros = -1;
  private datagramBytes: number;
  private minPipeBytes: number;
  private readonly model = new BbrModel();
  private state: State = STARTUP;
  private ackPhase = ACKS_INIT;
  private cycleStartMicros = 0;
  private probeWaitMicros = 0;
  private roundsSinceProbe = 0;
  private upRounds = 0;
  /** Packets by which the upper bound grows in a round of probing. */
  private upGrowthPackets = 0;
  /** Losses of packets sent while probing still count against the upper bound. */
  private probeSamples = false;
  private lossEvents = 0;
  private priorCwndBytes = 0;
  private probeRttDoneMicros = -1;
  private probeRttRoundDone = false;
  private idleRestart = false;
  private undoState: State = STARTUP;

  constructor(datagramBytes: number) {
    this.datagramBytes = datagramBytes;
    this.minPipeBytes = MIN_PIPE_PACKETS * datagramBytes;
    this.cwndBytes = initialWindowBytes(datagramBytes);
    this.pacingBytesPerMicro = (PACING_GAIN[STARTUP] as number) * (this.cwndBytes / FIRST_RTT_MICROS);
  }

  setDatagramBytes(bytes: number): void {
    this.datagramBytes = bytes;
    this.minPipeBytes = MIN_PIPE_PACKETS * bytes;
    this.cwndBytes = Math.max(this.cwndBytes, minimumWindowBytes(bytes));
  }

  /** For tests and logs. */
  get phase(): string {
    return ["startup", "drain", "probe-down", "probe-cruise", "probe-refill", "probe-up", "probe-rtt"][
      this.state
    ] as string;
  }

  onRttSample(): void {} // samples of the RTT come with those of the rate

  onPacketsAcked(): void {} // as above

  onCongestionEvent(sentMicros: number, nowMicros: number): boolean {
    this.model.lossInRound = true;
    if (sentMicros <= this.recoveryStartMicros) return false;
    this.recoveryStartMicros = nowMicros;
    this.undoState = this.state;
    this.model.saveBounds();
    return true;
  }

  onPersistentCongestion(): void {
    this.saveCwnd();
    this.cwndBytes = minimumWindowBytes(this.datagramBytes);
    this.recoveryStartMicros = -1;
  }

  onSpuriousCongestion(): void {
    const { model, undoState } = this;
    model.restoreBounds();
    if (this.state === PROBE_RTT || this.state === undoState) return;
    if (undoState === STARTUP) this.state = STARTUP;
    else if (undoState === UP) this.enterUp();
  }

  /** A packet is about to leave while nothing is in flight. */
  onRestart(delivery: DeliveryRate, nowMicros: number): void {
    if (!delivery.isAppLimited) return;
    this.idleRestart = true;
    this.model.restartAggregation(delivery.deliveredBytes, nowMicros);
    if (this.isProbingBandwidth) this.pacingBytesPerMicro = this.model.bytesPerMicro * PACING_MARGIN;
    else if (this.state === PROBE_RTT) this.checkProbeRttDone(delivery, nowMicros);
  }

  /** After each ACK that acknowledged or lost something; `inFlightBytes` is what is left. */
  onRateSample(delivery: DeliveryRate, inFlightBytes: number, rtt: Rtt, nowMicros: number): void {
    const { model } = this;
    const { sample } = delivery;
    this.onLosses(sample, delivery, nowMicros);
    if (sample.ackedBytes === 0) return;
    model.beginAck(sample, delivery.deliveredBytes);
    if (model.roundStart) this.roundsSinceProbe++;
    if (model.lossRoundStart) {
      if (!this.isProbing) model.adaptLowerBounds(this.cwndBytes);
      model.lossInRound = false;
    }
    if (model.fullBandwidthReached) model.updateAggregation(sample, delivery.deliveredBytes, this.cwndBytes, nowMicros);
    model.checkFullBandwidth(sample);
    this.checkStartupDone(sample);
    if (this.state === DRAIN && inFlightBytes <= this.inflightBytes(1)) this.startDown(delivery, nowMicros);
    this.updateCycle(sample, delivery, inFlightBytes, nowMicros);
    model.updateMinRtt(sample.rttMicros, nowMicros);
    this.checkProbeRtt(delivery, inFlightBytes, nowMicros);
    model.endAck(sample);
    this.setPacingRate(rtt);
    this.setCwnd(sample, delivery);
  }

  // --- Startup and Drain ------------------------------------------------------------------------------------------

  private checkStartupDone(sample: RateSample): void {
    const { model } = this;
    if (this.state !== STARTUP) return;
    if (sample.lostBytes > 0) this.lossEvents++;
    if (model.roundStart) {
      const isLossy = this.lossEvents >= STARTUP_LOSS_EVENTS && model.isInflightTooHigh(sample);
      if (isLossy && !model.fullBandwidthReached) {
        model.fullBandwidthReached = true;
        model.inflightLongBytes = Math.max(this.inflightBytes(1), model.inflightLatestBytes);
      }
      this.lossEvents = 0;
    }
    if (model.fullBandwidthReached) this.state = DRAIN;
  }

  // --- ProbeBW ------------------------------------------------------------------------------------------------------

  private get isProbingBandwidth(): boolean {
    return this.state >= DOWN && this.state <= UP;
  }

  /** States that try how much more there is: losses do not lower the short-term bounds in them. */
  private get isProbing(): boolean {
    return this.state === STARTUP || this.state === REFILL || this.state === UP;
  }

  private updateCycle(sample: RateSample, delivery: DeliveryRate, inFlightBytes: number, nowMicros: number): void {
    const { model } = this;
    if (!model.fullBandwidthReached) return;
    this.adaptLongTermModel(sample);
    if (this.state === REFILL) {
      if (!model.roundStart) return;
      this.probeSamples = true;
      this.startUp(delivery, nowMicros);
    } else if (this.state === UP) {
      if (this.isTimeToGoDown(sample, inFlightBytes)) this.startDown(delivery, nowMicros);
    } else if (this.state === DOWN || this.state === CRUISE) {
      if (this.isTimeToProbe(nowMicros)) this.startRefill(delivery);
      else if (this.state === DOWN && this.isDrained(inFlightBytes)) this.state = CRUISE;
    }
  }

  private startDown(delivery: DeliveryRate, nowMicros: number): void {
    const { model } = this;
    model.resetCongestionSignals();
    // any spread will do, and the engine's only source of it here is the time
    const spread = (Math.imul(nowMicros | 0, 0x9e3779b1) >>> 0) / 2 ** 32;
    this.roundsSinceProbe = spread < 0.5 ? 0 : 1;
    this.probeWaitMicros = PROBE_WAIT_MICROS + spread * PROBE_WAIT_SPREAD_MICROS;
    this.cycleStartMicros = nowMicros;
    this.ackPhase = ACKS_PROBE_STOPPING;
    model.startRound(delivery.deliveredBytes);
    this.state = DOWN;
  }

  private startRefill(delivery: DeliveryRate): void {
    const { model } = this;
    model.resetLowerBounds();
    this.upRounds = 0;
    this.ackPhase = ACKS_REFILLING;
    model.startRound(delivery.deliveredBytes);
    this.state = REFILL;
  }

  private startUp(delivery: DeliveryRate, nowMicros: number): void {
    this.model.startRound(delivery.deliveredBytes);
    this.cycleStartMicros = nowMicros;
    this.enterUp();
  }

  private enterUp(): void {
    const { model } = this;
    this.ackPhase = ACKS_PROBE_STARTING;
    model.resetFullBandwidth(model.latestBytesPerMicro);
    this.state = UP;
    this.raiseSlope();
  }

  private raiseSlope(): void {
    this.upGrowthPackets = 2 ** this.upRounds;
    this.upRounds = Math.min(this.upRounds + 1, MAX_UP_ROUNDS);
  }

  private isTimeToProbe(nowMicros: number): boolean {
    if (nowMicros > this.cycleStartMicros + this.probeWaitMicros) return true;
    const renoRounds = Math.min(this.targetBytes() / this.datagramBytes, RENO_ROUNDS);
    return this.roundsSinceProbe >= renoRounds;
  }

  private isDrained(inFlightBytes: number): boolean {
    return inFlightBytes <= this.headroomBytes() && inFlightBytes <= this.inflightBytes(1);
  }

  private isTimeToGoDown(sample: RateSample, inFlightBytes: number): boolean {
    const { model } = this;
    if (this.isCwndLimited(sample, inFlightBytes) && this.cwndBytes >= model.inflightLongBytes) {
      model.resetFullBandwidth(sample.bytesPerMicro);
      return false;
    }
    return model.fullBandwidthNow;
  }

  private isCwndLimited(sample: RateSample, inFlightBytes: number): boolean {
    return inFlightBytes + sample.ackedBytes + sample.lostBytes + this.datagramBytes > this.cwndBytes;
  }

  private adaptLongTermModel(sample: RateSample): void {
    const { model } = this;
    if (model.roundStart) {
      if (this.ackPhase === ACKS_PROBE_STARTING) this.ackPhase = ACKS_PROBE_FEEDBACK;
      else if (this.ackPhase === ACKS_PROBE_STOPPING) {
        this.probeSamples = false;
        this.ackPhase = ACKS_INIT;
        if (this.isProbingBandwidth && !sample.appLimited) model.advanceMaxBandwidth();
      }
    }
    if (model.inflightLongBytes === Infinity || model.isInflightTooHigh(sample)) return;
    if (sample.inFlightBytes > model.inflightLongBytes) model.inflightLongBytes = sample.inFlightBytes;
    if (this.state !== UP || this.cwndBytes < model.inflightLongBytes) return;
    const growthBytes = this.upGrowthPackets * this.datagramBytes;
    model.inflightLongBytes += (sample.ackedBytes * growthBytes) / this.cwndBytes;
    if (model.roundStart) this.raiseSlope();
  }

  /** Too many of what a probe sent did not arrive: the upper bound is what was in flight then. */
  private onLosses(sample: RateSample, delivery: DeliveryRate, nowMicros: number): void {
    const { model } = this;
    if (sample.lostBytes === 0) return;
    model.lossInRound = true;
    if (!this.probeSamples || !model.isInflightTooHigh(sample)) return;
    this.probeSamples = false;
    if (!sample.appLimited) {
      model.inflightLongBytes = Math.max(sample.inFlightBytes - sample.lostBytes, this.targetBytes() * BETA);
    }
    if (this.state === UP) this.startDown(delivery, nowMicros);
  }

  // --- ProbeRTT -----------------------------------------------------------------------------------------------------

  private checkProbeRtt(delivery: DeliveryRate, inFlightBytes: number, nowMicros: number): void {
    const { model } = this;
    if (this.state !== PROBE_RTT && model.probeRttExpired && !this.idleRestart) {
      this.saveCwnd();
      this.state = PROBE_RTT;
      this.probeRttDoneMicros = -1;
      this.ackPhase = ACKS_PROBE_STOPPING;
      model.startRound(delivery.deliveredBytes);
    }
    if (this.state === PROBE_RTT) {
      delivery.onAppLimited(inFlightBytes);
      if (this.probeRttDoneMicros < 0) {
        if (inFlightBytes <= this.probeRttBytes()) {
          this.probeRttDoneMicros = nowMicros + PROBE_RTT_MICROS;
          this.probeRttRoundDone = false;
          model.startRound(delivery.deliveredBytes);
        }
      } else {
        if (model.roundStart) this.probeRttRoundDone = true;
        if (this.probeRttRoundDone) this.checkProbeRttDone(delivery, nowMicros);
      }
    }
    this.idleRestart = false;
  }

  private checkProbeRttDone(delivery: DeliveryRate, nowMicros: number): void {
    const { model } = this;
    if (this.probeRttDoneMicros < 0 || nowMicros <= this.probeRttDoneMicros) return;
    model.probeRttMinMicros = nowMicros;
    this.cwndBytes = Math.max(this.cwndBytes, this.priorCwndBytes);
    model.resetLowerBounds();
    if (!model.fullBandwidthReached) {
      this.state = STARTUP;
      return;
    }
    this.startDown(delivery, nowMicros);
    this.state = CRUISE;
  }

  private saveCwnd(): void {
    this.priorCwndBytes = this.state === PROBE_RTT ? Math.max(this.priorCwndBytes, this.cwndBytes) : this.cwndBytes;
  }

  // --- what leaves ----------------------------------------------------------------------------------------------------

  private setPacingRate(rtt: Rtt): void {
    const { model } = this;
    const gain = PACING_GAIN[this.state] as number;
    // before the first sample of the rate, the initial window in one RTT is all that is known
    const bandwidth = model.bytesPerMicro > 0 ? model.bytesPerMicro : this.cwndBytes / rtt.smoothedRttMicros;
    const rate = gain * bandwidth * PACING_MARGIN;
    if (model.fullBandwidthReached || rate > this.pacingBytesPerMicro) this.pacingBytesPerMicro = rate;
  }

  private setCwnd(sample: RateSample, delivery: DeliveryRate): void {
    const { model, state } = this;
    const gain = CWND_GAIN[state] as number;
    const most = this.quantized(this.bdpBytes(gain) + model.extraAckedBytes, state);
    let cwnd = this.cwndBytes;
    if (model.fullBandwidthReached) cwnd = Math.min(cwnd + sample.ackedBytes, most);
    else if (cwnd < most || delivery.deliveredBytes < initialWindowBytes(this.datagramBytes)) cwnd += sample.ackedBytes;
    cwnd = Math.max(cwnd, this.minPipeBytes);
    if (state === PROBE_RTT) cwnd = Math.min(cwnd, this.probeRttBytes());
    this.cwndBytes = Math.floor(Math.min(cwnd, this.modelBoundBytes(), MAX_CWND_BYTES));
  }

  private modelBoundBytes(): number {
    const { model, state } = this;
    let bound = Infinity;
    if (state === CRUISE || state === PROBE_RTT) bound = this.headroomBytes();
    else if (this.isProbingBandwidth) bound = model.inflightLongBytes;
    return Math.max(Math.min(bound, model.inflightShortBytes), this.minPipeBytes);
  }

  private headroomBytes(): number {
    const { inflightLongBytes } = this.model;
    if (inflightLongBytes === Infinity) return Infinity;
    const left = Math.max(this.datagramBytes, HEADROOM * inflightLongBytes);
    return Math.max(inflightLongBytes - left, this.minPipeBytes);
  }

  private bdpBytes(gain: number): number {
    const { minRttMicros, bytesPerMicro } = this.model;
    if (minRttMicros === Infinity) return initialWindowBytes(this.datagramBytes);
    return gain * bytesPerMicro * minRttMicros;
  }

  private inflightBytes(gain: number): number {
    return this.quantized(this.bdpBytes(gain), this.state);
  }

  /** Room for what is sent and acknowledged in bursts. */
  private quantized(bytes: number, state: State): number {
    const burstBytes = Math.min(this.pacingBytesPerMicro * 1000, 64 * 1024);
    const least = Math.max(bytes, 3 * Math.max(burstBytes, 2 * this.datagramBytes), this.minPipeBytes);
    return state === UP ? least + 2 * this.datagramBytes : least;
  }

  private targetBytes(): number {
    return Math.min(this.inflightBytes(1), this.cwndBytes);
  }

  private probeRttBytes(): number {
    return Math.max(this.bdpBytes(CWND_GAIN[PROBE_RTT] as number), this.minPipeBytes);
  }
}
