/**
 * Whether the congestion window is in use: only then may it grow (RFC 9002 §7.8). The fullest moment of each flight is
 * remembered until that flight is acknowledged, because acknowledgements arrive when the flight is smaller already.
 */

import { DOUBLE } from "../base/double.js";

export class WindowUse {
  /** When the remembered moment was; packets sent before it belong to the same flight. */
  private flightMicros = DOUBLE;
  private mostBytes = 0;
  private filled = false;
  private pacingHeld = false;
  private ackedSentMicros = DOUBLE;

  constructor() {
    this.flightMicros = this.ackedSentMicros = -1;
  }

  /** `bytesInFlight` includes the packet just sent; `datagramBytes` is what one more would take. */
  onPacketSent(bytesInFlight: number, cwndBytes: number, datagramBytes: number, nowMicros: number): void {
    const filled = bytesInFlight + datagramBytes > cwndBytes;
    const newFlight = this.ackedSentMicros >= this.flightMicros;
    if (!newFlight && !filled && (this.filled || bytesInFlight <= this.mostBytes)) return;
    if (newFlight) this.pacingHeld = false;
    this.flightMicros = nowMicros;
    this.mostBytes = bytesInFlight;
    this.filled = filled;
  }

  /** The pacer made the sender wait although the window had room. */
  onPacingHeld(): void {
    this.pacingHeld = true;
  }

  onPacketsAcked(largestSentMicros: number): void {
    if (largestSentMicros > this.ackedSentMicros) this.ackedSentMicros = largestSentMicros;
  }

  /** In slow start a half-filled window may grow, as it doubles while a flight is acknowledged. */
  isLimited(cwndBytes: number, inSlowStart: boolean): boolean {
    if (this.filled) return true;
    return (inSlowStart || this.pacingHeld) && cwndBytes < 2 * this.mostBytes;
  }
}
