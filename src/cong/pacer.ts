/**
 * Pacing (RFC 9002 §7.7): a token bucket that fills at gain * cwnd / smoothed RTT. A burst is what the path carries in
 * a few milliseconds, from one initial window to one GSO train; on fast paths it is never less than what two timer
 * ticks let through, so that a timer of one millisecond does not limit the rate, nor pacing a path of tiny RTT.
 */

import { DOUBLE } from "../base/double.js";
import { INITIAL_WINDOW_PACKETS, PACING_BURST_PACKETS } from "../proto/limits.js";

/** A burst is what the rate gives in this time, where that lies between an initial window and a train. */
const BURST_MICROS = 4_000;
/** No burst is smaller than what the rate gives in this time: two ticks of a timer. */
const LEAST_BURST_MICROS = 2_000;
/** A sender that has to wait waits for this much, not for one packet: a wake-up should be worth it. */
const QUANTUM_MICROS = 1_000;

export class Pacer {
  /** 0: not set yet, only the first burst goes out unhindered. */
  bytesPerMicro = DOUBLE;
  private datagramBytes: number;
  private burstBytes = DOUBLE;
  private tokenBytes = DOUBLE;
  private filledMicros = DOUBLE;

  constructor(datagramBytes: number) {
    this.datagramBytes = datagramBytes;
    this.bytesPerMicro = this.filledMicros = 0;
    this.burstBytes = INITIAL_WINDOW_PACKETS * datagramBytes;
    this.tokenBytes = this.burstBytes;
  }

  /** Bursts follow with the next rate. */
  setDatagramBytes(bytes: number): void {
    this.datagramBytes = bytes;
  }

  /** Sets the rate from now on, as a window that is sent once in a round trip. */
  setRate(gain: number, cwndBytes: number, smoothedRttMicros: number, nowMicros: number): void {
    this.setBytesPerMicro((gain * cwndBytes) / smoothedRttMicros, nowMicros);
  }

  /** The same for a controller that says the rate itself. */
  setBytesPerMicro(rate: number, nowMicros: number): void {
    this.fill(nowMicros);
    const most = Math.min(rate * BURST_MICROS, PACING_BURST_PACKETS * this.datagramBytes);
    this.bytesPerMicro = rate;
    this.burstBytes = Math.max(INITIAL_WINDOW_PACKETS * this.datagramBytes, most, rate * LEAST_BURST_MICROS);
    if (this.tokenBytes > this.burstBytes) this.tokenBytes = this.burstBytes;
  }

  /** Microseconds until `bytes` may be sent; 0: now. */
  delayMicros(nowMicros: number, bytes: number): number {
    this.fill(nowMicros);
    if (this.tokenBytes >= bytes) return 0;
    const wanted = Math.max(bytes, Math.min(this.bytesPerMicro * QUANTUM_MICROS, this.burstBytes));
    return Math.ceil((wanted - this.tokenBytes) / this.bytesPerMicro);
  }

  /** Datagrams of `bytes` each that may be sent one after the other now. */
  datagramsNow(nowMicros: number, bytes: number): number {
    this.fill(nowMicros);
    return Math.floor(this.tokenBytes / bytes);
  }

  onSent(bytes: number, nowMicros: number): void {
    this.fill(nowMicros);
    this.tokenBytes -= bytes;
    // Probes are not paced; they may draw on the future, but not for longer than a burst.
    if (this.tokenBytes < -this.burstBytes) this.tokenBytes = -this.burstBytes;
  }

  private fill(nowMicros: number): void {
    if (nowMicros <= this.filledMicros) return;
    this.tokenBytes = Math.min(this.tokenBytes + (nowMicros - this.filledMicros) * this.bytesPerMicro, this.burstBytes);
    this.filledMicros = nowMicros;
  }
}
