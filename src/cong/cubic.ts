/**
 * CUBIC (RFC 9438) with HyStart++ (RFC 9406) in the initial slow start. The RFC's formulas are in segments and seconds;
 * so are the fields here whose names end in Packets and Seconds. `windowBytes` keeps fractions, `cwndBytes` is whole.
 * An epoch is a stretch of congestion avoidance; time spent application-limited does not count in it (RFC 9438 §5.8).
 */

import { DOUBLE } from "../base/double.js";
import { MAX_CWND_BYTES } from "../proto/limits.js";
import { type CongestionController, initialWindowBytes, minimumWindowBytes } from "./controller.js";
import { HyStart } from "./hystart.js";
import type { Rtt } from "./rtt.js";

const C = 0.4;
const BETA = 0.7;
/** Additive increase that is as fair as Reno's at this beta (RFC 9438 §4.3). */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);
const MICROS_PER_SECOND = 1e6;

/** RFC 9438 §4.2: seconds from the start of an epoch at `cwndPackets` until the window is back at `wMaxPackets`. */
export function cubicK(wMaxPackets: number, cwndPackets: number): number {
  return Math.cbrt((wMaxPackets - cwndPackets) / C);
}

/** RFC 9438 §4.2: W_cubic at `seconds` of an epoch, packets. */
export function cubicWindow(seconds: number, kSeconds: number, wMaxPackets: number): number {
  const t = seconds - kSeconds;
  return C * t * t * t + wMaxPackets;
}

/** The fields that a spurious congestion event gives back (RFC 9438 §4.9). */
class CubicState {
  windowBytes = DOUBLE;
  ssthreshBytes = Infinity;
  wMaxPackets = DOUBLE;
  kSeconds = DOUBLE;
  /** -1: no epoch. */
  epochStartMicros = DOUBLE;
  wEstPackets = DOUBLE;
  /** Window before the latest reduction: up to here the Reno-friendly window grows with ALPHA, then with 1. */
  priorPackets = DOUBLE;

  constructor() {
    this.windowBytes = this.wMaxPackets = this.kSeconds = this.wEstPackets = this.priorPackets = 0;
    this.epochStartMicros = -1;
  }

  copyFrom(other: CubicState): void {
    this.windowBytes = other.windowBytes;
    this.ssthreshBytes = other.ssthreshBytes;
    this.wMaxPackets = other.wMaxPackets;
    this.kSeconds = other.kSeconds;
    this.epochStartMicros = other.epochStartMicros;
    this.wEstPackets = other.wEstPackets;
    this.priorPackets = other.priorPackets;
  }
}

export class Cubic implements CongestionController {
  readonly name = "cubic";
  recoveryStartMicros = DOUBLE;
  private datagramBytes: number;
  private readonly hystart = new HyStart();
  private readonly state = new CubicState();
  private readonly undo = new CubicState();
  /** Since when acknowledgements found the window unused; -1: they do not. */
  private idleSinceMicros = DOUBLE;

  constructor(datagramBytes: number) {
    this.datagramBytes = datagramBytes;
    this.recoveryStartMicros = this.idleSinceMicros = -1;
    this.state.windowBytes = initialWindowBytes(datagramBytes);
  }

  get cwndBytes(): number {
    return Math.floor(this.state.windowBytes);
  }

  get ssthreshBytes(): number {
    return this.state.ssthreshBytes;
  }

  setDatagramBytes(bytes: number): void {
    const { state } = this;
    const scale = this.datagramBytes / bytes;
    this.datagramBytes = bytes;
    state.windowBytes = Math.max(state.windowBytes, minimumWindowBytes(bytes));
    state.wMaxPackets *= scale;
    state.priorPackets *= scale;
    state.epochStartMicros = -1; // K and W_est are of the old unit; the next epoch computes them anew
    this.undo.windowBytes = 0;
  }

  onRttSample(rtt: Rtt, largestSentMicros: number, nowMicros: number): void {
    const { state } = this;
    if (state.ssthreshBytes !== Infinity) return;
    if (this.hystart.onRttSample(rtt.latestRttMicros, largestSentMicros, nowMicros)) {
      state.ssthreshBytes = this.cwndBytes;
    }
  }

  onPacketsAcked(bytes: number, windowLimited: boolean, rtt: Rtt, nowMicros: number): void {
    const { state } = this;
    if (!windowLimited) {
      if (this.idleSinceMicros < 0) this.idleSinceMicros = nowMicros;
      return;
    }
    if (this.idleSinceMicros >= 0) {
      if (state.epochStartMicros >= 0) state.epochStartMicros += nowMicros - this.idleSinceMicros;
      this.idleSinceMicros = -1;
    }
    if (this.cwndBytes < state.ssthreshBytes) {
      state.windowBytes += state.ssthreshBytes === Infinity ? this.hystart.growthBytes(bytes) : bytes;
    } else {
      this.avoidCongestion(bytes / this.datagramBytes, rtt, nowMicros);
    }
    if (state.windowBytes > MAX_CWND_BYTES) state.windowBytes = MAX_CWND_BYTES;
  }

  onCongestionEvent(sentMicros: number, nowMicros: number): boolean {
    if (sentMicros <= this.recoveryStartMicros) return false;
    const { state } = this;
    this.undo.copyFrom(state);
    this.recoveryStartMicros = nowMicros;
    const packets = state.windowBytes / this.datagramBytes;
    state.priorPackets = packets;
    // Fast convergence (RFC 9438 §4.7): a flow that did not get back to its last maximum leaves room to the others.
    state.wMaxPackets = packets < state.wMaxPackets ? (packets * (1 + BETA)) / 2 : packets;
    state.windowBytes = Math.max(state.windowBytes * BETA, minimumWindowBytes(this.datagramBytes));
    state.ssthreshBytes = this.cwndBytes;
    state.epochStartMicros = -1;
    this.idleSinceMicros = -1;
    return true;
  }

  onPersistentCongestion(): void {
    const { state } = this;
    state.windowBytes = minimumWindowBytes(this.datagramBytes);
    state.wMaxPackets = 0; // the epoch after this slow start begins with K = 0 (RFC 9438 §4.8)
    state.epochStartMicros = -1;
    this.recoveryStartMicros = -1;
    this.undo.windowBytes = 0;
  }

  onSpuriousCongestion(): void {
    if (this.undo.windowBytes <= this.state.windowBytes) return;
    this.state.copyFrom(this.undo);
    this.undo.windowBytes = 0;
  }

  private avoidCongestion(ackedPackets: number, rtt: Rtt, nowMicros: number): void {
    const { state } = this;
    const packets = state.windowBytes / this.datagramBytes;
    if (state.epochStartMicros < 0) this.startEpoch(packets, nowMicros);
    const seconds = (nowMicros - state.epochStartMicros) / MICROS_PER_SECOND;
    const alpha = state.wEstPackets >= state.priorPackets ? 1 : ALPHA;
    state.wEstPackets += (alpha * ackedPackets) / packets;

    if (cubicWindow(seconds, state.kSeconds, state.wMaxPackets) < state.wEstPackets) {
      state.windowBytes = Math.max(packets, state.wEstPackets) * this.datagramBytes;
      return;
    }
    const ahead = cubicWindow(seconds + rtt.smoothedRttMicros / MICROS_PER_SECOND, state.kSeconds, state.wMaxPackets);
    const target = Math.min(Math.max(ahead, packets), 1.5 * packets);
    state.windowBytes += ((target - packets) / packets) * ackedPackets * this.datagramBytes;
  }

  private startEpoch(packets: number, nowMicros: number): void {
    const { state } = this;
    state.epochStartMicros = nowMicros;
    state.wEstPackets = packets;
    if (state.wMaxPackets <= packets) {
      state.wMaxPackets = packets; // slow start ended without a loss, or passed the old maximum (RFC 9438 §4.10)
      state.kSeconds = 0;
      return;
    }
    state.kSeconds = cubicK(state.wMaxPackets, packets);
  }
}
