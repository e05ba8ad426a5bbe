/**
 * How often the peer acknowledges what we send (draft-ietf-quic-ack-frequency, the sender's half). It is asked for fewer
 * ACK frames only while the congestion window is large, so that small windows, slow start's beginning and recovery from a
 * collapse have what RFC 9000 §13.2 gives everybody: a share of the window per ACK, the packet threshold of our loss
 * detection as reordering, and a share of the round trip as delay, at most the usual max_ack_delay (§8.1, §9).
 *
 * Invariant: `maxAckDelayMicros` of recovery is at least the delay of every request that the peer may have taken (§7). It
 * never falls below what the peer announced, either: shorter delays would let the PTO fire whenever an event loop is late
 * (6 to 10 times in 512 MiB over loopback, not once with it). One request is on its way at a time.
 */

import { DOUBLE } from "../base/double.js";
import { writeAckFrequency } from "../frame/control.js";
import {
  ACK_ELICITING_THRESHOLD,
  ACK_FREQUENCY_MAX_PACKETS,
  ACK_FREQUENCY_MIN_PACKETS,
  ACK_FREQUENCY_RTT_SHARE,
  ACK_FREQUENCY_WINDOW_SHARE,
  MAX_ACK_DELAY_MILLIS,
  PACKET_THRESHOLD,
} from "../proto/limits.js";
import { REC_ACK_FREQUENCY, type SentPackets } from "./sent.js";

/** Of `Recovery`: what requests follow from, and what follows from them. */
export interface AckSender {
  readonly cc: { readonly cwndBytes: number };
  readonly rtt: { readonly smoothedRttMicros: number };
  maxAckDelayMicros: number;
}

/** Weight of the latest ACK frame in the number of packets that one covers. */
const COVERED_WEIGHT = 1 / 8;
/** Delays within this factor of what was asked for are not worth a frame. */
const SAME_DELAY = 2;

export class AckFrequency {
  /** Requests sent; also the sequence number of the next one. */
  requests = 0;
  /** A request is to be written. */
  isWanted = false;
  private readonly sender: AckSender;
  /** min_ack_delay of the peer; Infinity: it takes no requests. */
  private minDelayMicros = Infinity;
  /** max_ack_delay that the peer announced. */
  private ownDelayMicros = 0;
  /** What was asked last, or is wanted: packets that elicit one ACK, and the delay. */
  private packets = ACK_ELICITING_THRESHOLD;
  private delayMicros = 0;
  private isInFlight = false;
  private notBeforeMicros = 0;
  private largestAcked = -1;
  /** Packets that an ACK frame of the peer covers, on average. */
  private coveredPackets = DOUBLE;

  constructor(sender: AckSender) {
    this.sender = sender;
    this.coveredPackets = ACK_ELICITING_THRESHOLD;
  }

  /** From the peer's transport parameters; `minDelayMicros` is at most `maxDelayMicros`. */
  allow(minDelayMicros: number, maxDelayMicros: number): void {
    this.minDelayMicros = minDelayMicros;
    this.ownDelayMicros = this.delayMicros = maxDelayMicros;
  }

  /** The peer waits for more packets than RFC 9000 says: who needs an answer at once has to ask for it (§5). */
  get isReduced(): boolean {
    return this.packets > ACK_ELICITING_THRESHOLD;
  }

  /**
   * An ACK up to `largestAcked` came, and window and round trip may be others: asks anew when it pays, once in a round trip at
   * most. A peer that takes packets in large batches sends few ACK frames by itself, and would only wait for a timer.
   */
  reconsider(datagramBytes: number, largestAcked: number, nowMicros: number): void {
    const newlyAcked = largestAcked - this.largestAcked;
    if (newlyAcked > 0) this.coveredPackets += (newlyAcked - this.coveredPackets) * COVERED_WEIGHT;
    this.largestAcked = Math.max(this.largestAcked, largestAcked);
    if (this.minDelayMicros === Infinity || nowMicros < this.notBeforeMicros) return;
    if (this.isWanted || this.isInFlight) return;
    const { cc, rtt } = this.sender;
    const packets = packetsFor(cc.cwndBytes / datagramBytes);
    if (!this.isReduced && this.coveredPackets >= packets) return;
    const delayMicros =
      packets === ACK_ELICITING_THRESHOLD ? this.ownDelayMicros : this.delayFor(rtt.smoothedRttMicros);
    if (packets === this.packets && !this.isOtherDelay(delayMicros)) return;
    this.packets = packets;
    this.delayMicros = delayMicros;
    this.isWanted = true;
    this.notBeforeMicros = nowMicros + rtt.smoothedRttMicros;
  }

  /** Writes the request that is wanted; -1 when it does not fit. */
  fill(buf: Uint8Array, pos: number, limit: number, sent: SentPackets): number {
    const reordering = this.isReduced ? PACKET_THRESHOLD : 1;
    const next = writeAckFrequency(buf, pos, limit, this.requests, this.packets - 1, this.delayMicros, reordering);
    if (next < 0) return next;
    sent.note(REC_ACK_FREQUENCY, this.requests++, 0, 0);
    this.isWanted = false;
    this.isInFlight = true;
    this.sender.maxAckDelayMicros = Math.max(this.sender.maxAckDelayMicros, this.delayMicros);
    return next;
  }

  onAcked(seq: number): void {
    if (seq !== this.requests - 1) return; // one before: the peer may have taken either
    this.isInFlight = false;
    this.isWanted = false;
    this.sender.maxAckDelayMicros = Math.max(this.delayMicros, this.ownDelayMicros);
  }

  onLost(seq: number): void {
    if (seq !== this.requests - 1) return;
    this.isInFlight = false;
    this.isWanted = true;
  }

  private delayFor(smoothedRttMicros: number): number {
    const wanted = Math.round(smoothedRttMicros * ACK_FREQUENCY_RTT_SHARE);
    const most = Math.max(this.ownDelayMicros, MAX_ACK_DELAY_MILLIS * 1000);
    return Math.min(Math.max(wanted, this.minDelayMicros), most);
  }

  private isOtherDelay(delayMicros: number): boolean {
    return delayMicros > this.delayMicros * SAME_DELAY || delayMicros * SAME_DELAY < this.delayMicros;
  }
}

/** Packets that one ACK is to cover, a power of two so that windows which come and go ask seldom. */
function packetsFor(windowPackets: number): number {
  const share = windowPackets * ACK_FREQUENCY_WINDOW_SHARE;
  if (share < ACK_FREQUENCY_MIN_PACKETS) return ACK_ELICITING_THRESHOLD;
  return Math.min(2 ** Math.floor(Math.log2(share)), ACK_FREQUENCY_MAX_PACKETS);
}
