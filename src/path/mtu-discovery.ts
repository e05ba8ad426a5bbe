/**
 * The largest datagram that one path carries: datagram packetization layer path MTU discovery (RFC 8899 as RFC 9000 §14.3
 * profiles it). Sizes are bytes of UDP payload.
 *
 *   SEARCHING --(nothing left to try)--> COMPLETE --(MTU_RAISE_MICROS later)--> SEARCHING
 *       ^                                   |
 *       +----------(black hole: back to the base size)
 *
 * The search tries the upper bound first, then the size of Ethernet, then halves what is left. A probe that is lost is
 * no sign of congestion; a size has failed after MTU_PROBE_TRIES of them. Invariant: base <= currentBytes <= ceiling <=
 * the bound, one probe is on its way at most, and nothing but an acknowledged probe raises `currentBytes`.
 */

import {
  DEFAULT_DATAGRAM_BYTES,
  MIN_INITIAL_DATAGRAM_BYTES,
  MTU_PROBE_TRIES,
  MTU_RAISE_MICROS,
  MTU_SEARCH_STEP_BYTES,
} from "../proto/limits.js";

/** BASE_PLPMTU: every path carries it (RFC 9000 §14.3). */
const BASE_BYTES = MIN_INITIAL_DATAGRAM_BYTES;

export class MtuDiscovery {
  /** Largest size that is known to arrive. */
  currentBytes = BASE_BYTES;
  probesSent = 0;
  probesLost = 0;
  blackHoles = 0;

  /** What we and the peer allow. */
  private boundBytes: number;
  /** Nothing above it is tried until the raise timer; it falls with every size that failed. */
  private ceilingBytes: number;
  /** Size of the probe on its way; 0: none. */
  private probeBytes = 0;
  /** Probes of this size that were lost. */
  private triedBytes = 0;
  private lostTries = 0;
  /** Size that an ICMP message named; 0: none waits to be tried. */
  private hintBytes = 0;
  /** Largest size that failed by ICMP messages, which anyone can forge: its acknowledgement counts all the same; 0: none. */
  private doubtedBytes = 0;
  /** When a completed search begins anew; NaN: it was just completed and nobody has said yet what time it is. */
  private raiseAtMicros = NaN;

  /** @param boundBytes largest size to try, 1200 or more */
  constructor(boundBytes: number) {
    this.boundBytes = boundBytes;
    this.ceilingBytes = boundBytes;
  }

  /** The peer's max_udp_payload_size (RFC 9000 §18.2). */
  limit(maxBytes: number): void {
    this.boundBytes = Math.min(this.boundBytes, maxBytes);
    this.ceilingBytes = Math.min(this.ceilingBytes, this.boundBytes);
  }

  /** Size of the probe to send now; 0: none is wanted. */
  wantedBytes(nowMicros: number): number {
    if (this.probeBytes !== 0) return 0;
    if (this.isComplete) {
      if (Number.isNaN(this.raiseAtMicros)) this.raiseAtMicros = nowMicros + MTU_RAISE_MICROS;
      if (nowMicros < this.raiseAtMicros) return 0;
      this.ceilingBytes = this.boundBytes;
      this.raiseAtMicros = NaN;
      if (this.isComplete) return 0;
    }
    return this.candidate();
  }

  onProbeSent(bytes: number): void {
    if (bytes !== this.triedBytes) this.lostTries = 0;
    this.triedBytes = bytes;
    this.probeBytes = bytes;
    this.probesSent++;
  }

  /** A probe of `bytes` was acknowledged, perhaps after it had been declared lost. */
  onProbeAcked(bytes: number): void {
    if (bytes === this.probeBytes) this.probeBytes = 0;
    // one from before a black hole proves nothing about the path as it is now
    if (bytes > Math.max(this.ceilingBytes, this.doubtedBytes) || bytes <= this.currentBytes) return;
    this.ceilingBytes = Math.max(this.ceilingBytes, bytes);
    this.currentBytes = bytes;
  }

  /** The probe was lost (RFC 9000 §14.4). */
  onProbeLost(bytes: number): void {
    if (bytes !== this.probeBytes) return;
    this.probeBytes = 0;
    this.probesLost++;
    if (++this.lostTries >= MTU_PROBE_TRIES) this.fail(bytes);
  }

  /** Our own system refused to send the probe: larger than the interface, or a route, allows. */
  onProbeTooBig(bytes: number): void {
    if (bytes !== this.probeBytes) return;
    this.probeBytes = 0;
    this.probesLost++;
    this.fail(bytes);
  }

  /**
   * An ICMP message about a packet of ours says that the path carries `bytes` only. A hint: the probe on its way counts
   * as lost, and that size is tried next. Nothing proven changes by it, and a claim below the base is ignored (RFC 9000
   * §14.2.1).
   */
  onIcmpTooBig(bytes: number): void {
    const { probeBytes } = this;
    if (bytes < BASE_BYTES || bytes >= probeBytes) return;
    this.onProbeLost(probeBytes);
    if (this.ceilingBytes < probeBytes) this.doubtedBytes = Math.max(this.doubtedBytes, probeBytes);
    this.hintBytes = bytes;
  }

  /** Packets of `currentBytes` no longer arrive although smaller ones do: the search begins anew below that size. */
  onBlackHole(): void {
    if (this.currentBytes === BASE_BYTES) return;
    const failedBytes = this.currentBytes;
    this.blackHoles++;
    this.currentBytes = BASE_BYTES;
    this.probeBytes = this.doubtedBytes = 0;
    this.fail(failedBytes);
  }

  /** Whether what is left between the largest size that arrives and the smallest that does not is worth no probe. */
  private get isComplete(): boolean {
    const { ceilingBytes, currentBytes } = this;
    // the bound itself was not tried yet: a few bytes are worth one probe then
    if (ceilingBytes === this.boundBytes) return currentBytes === ceilingBytes;
    return ceilingBytes - currentBytes < MTU_SEARCH_STEP_BYTES;
  }

  private candidate(): number {
    const { ceilingBytes, currentBytes, hintBytes } = this;
    this.hintBytes = 0;
    if (hintBytes > currentBytes && hintBytes <= ceilingBytes) return hintBytes;
    if (ceilingBytes === this.boundBytes) return ceilingBytes;
    if (currentBytes < DEFAULT_DATAGRAM_BYTES && DEFAULT_DATAGRAM_BYTES <= ceilingBytes) return DEFAULT_DATAGRAM_BYTES;
    return Math.ceil((currentBytes + ceilingBytes) / 2);
  }

  private fail(bytes: number): void {
    this.lostTries = 0;
    this.ceilingBytes = Math.max(this.currentBytes, Math.min(this.ceilingBytes, bytes - 1));
    this.raiseAtMicros = NaN;
  }
}
