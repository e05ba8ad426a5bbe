/** NewReno as RFC 9002 §7 and Appendix B write it, with HyStart++ (RFC 9406) in the initial slow start. */

import { DOUBLE } from "../base/double.js";
import { MAX_CWND_BYTES } from "../proto/limits.js";
import { type CongestionController, initialWindowBytes, minimumWindowBytes } from "./controller.js";
import { HyStart } from "./hystart.js";
import type { Rtt } from "./rtt.js";

const LOSS_REDUCTION_FACTOR = 0.5;

export class NewReno implements CongestionController {
  readonly name = "newreno";
  cwndBytes: number;
  ssthreshBytes = Infinity;
  recoveryStartMicros = DOUBLE;
  private datagramBytes: number;
  private readonly hystart = new HyStart();
  /** Acknowledged in congestion avoidance and not yet turned into growth (RFC 3465 §2.1). */
  private creditBytes = 0;
  private undoCwndBytes = 0;
  private undoSsthreshBytes = Infinity;

  constructor(datagramBytes: number) {
    this.datagramBytes = datagramBytes;
    this.recoveryStartMicros = -1;
    this.cwndBytes = initialWindowBytes(datagramBytes);
  }

  setDatagramBytes(bytes: number): void {
    this.datagramBytes = bytes;
    this.cwndBytes = Math.max(this.cwndBytes, minimumWindowBytes(bytes));
  }

  onRttSample(rtt: Rtt, largestSentMicros: number, nowMicros: number): void {
    if (this.ssthreshBytes !== Infinity) return;
    if (this.hystart.onRttSample(rtt.latestRttMicros, largestSentMicros, nowMicros))
      this.ssthreshBytes = this.cwndBytes;
  }

  onPacketsAcked(bytes: number, windowLimited: boolean): void {
    if (!windowLimited) return;
    if (this.cwndBytes < this.ssthreshBytes) {
      const growth = this.ssthreshBytes === Infinity ? this.hystart.growthBytes(bytes) : bytes;
      this.cwndBytes = Math.min(this.cwndBytes + Math.floor(growth), MAX_CWND_BYTES);
      return;
    }
    this.creditBytes += bytes;
    while (this.creditBytes >= this.cwndBytes) {
      this.creditBytes -= this.cwndBytes;
      this.cwndBytes = Math.min(this.cwndBytes + this.datagramBytes, MAX_CWND_BYTES);
    }
  }

  onCongestionEvent(sentMicros: number, nowMicros: number): boolean {
    if (sentMicros <= this.recoveryStartMicros) return false;
    this.undoCwndBytes = this.cwndBytes;
    this.undoSsthreshBytes = this.ssthreshBytes;
    this.recoveryStartMicros = nowMicros;
    this.ssthreshBytes = Math.floor(this.cwndBytes * LOSS_REDUCTION_FACTOR);
    this.cwndBytes = Math.max(this.ssthreshBytes, minimumWindowBytes(this.datagramBytes));
    this.creditBytes = 0;
    return true;
  }

  onPersistentCongestion(): void {
    this.cwndBytes = minimumWindowBytes(this.datagramBytes);
    this.recoveryStartMicros = -1;
    this.creditBytes = 0;
    this.undoCwndBytes = 0;
  }

  onSpuriousCongestion(): void {
    if (this.undoCwndBytes <= this.cwndBytes) return;
    this.cwndBytes = this.undoCwndBytes;
    this.ssthreshBytes = this.undoSsthreshBytes;
    this.undoCwndBytes = 0;
  }
}
