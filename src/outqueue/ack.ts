/**
 * What an ACK frame does to the packets of its space (RFC 9002 §5.1, A.7). The walk goes from the newest range to the
 * oldest and leaps over what was acknowledged before, so that it costs the ranges and the newly acknowledged packets,
 * however often a peer repeats itself.
 */

import { DOUBLE } from "../base/double.js";
import type { AckFrame } from "../frame/ack.js";
import { PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import {
  AckedRuns,
  type FrameFates,
  SENT_ACKED,
  SENT_ECT,
  SENT_ELICITING,
  SENT_HANDED_BACK,
  SENT_IN_FLIGHT,
  SENT_LOST,
  SENT_MTU_PROBE,
  SENT_OUTSTANDING,
  SENT_SKIPPED,
  SENT_STATE_MASK,
  type SentPackets,
} from "./sent.js";

/** What one ACK newly acknowledged. One object per connection, reused. */
export class AckSummary {
  packets = 0;
  ackEliciting = false;
  /** The largest newly acknowledged number and when it was sent; -1: none. */
  largest = -1;
  largestSentMicros = DOUBLE;
  /** Bytes that were in flight and were sent after the current recovery period began. */
  growthBytes = 0;
  /** Packets sent with an ECT(0) mark. */
  marked = 0;
  /** Packets that had been declared lost, and of these the ones that the latest congestion event counted. */
  late = 0;
  lateOfEvent = 0;
  /** When the oldest of the late ones was sent; Infinity: none. */
  lateSentMicros = Infinity;

  constructor() {
    this.reset();
  }

  reset(): void {
    this.packets = 0;
    this.ackEliciting = false;
    this.largest = -1;
    this.largestSentMicros = -1;
    this.growthBytes = 0;
    this.marked = 0;
    this.late = 0;
    this.lateOfEvent = 0;
    this.lateSentMicros = Infinity;
  }
}

/** Where the latest recovery period and the one before began, for sorting packets into them. */
export interface RecoveryPeriods {
  readonly recoveryStartMicros: number;
  readonly priorRecoveryMicros: number;
}

const runs = new AckedRuns(); // empty but during one markAcked

/**
 * Settles every packet that `ack` covers and sums them up in `summary`. Returns 0, or PROTOCOL_VIOLATION for a number
 * that was not sent (RFC 9000 §13.1) or was skipped (RFC 9000 §21.4).
 */
export function markAcked(
  sent: SentPackets,
  ack: AckFrame,
  periods: RecoveryPeriods,
  summary: AckSummary,
  fates: FrameFates,
): number {
  summary.reset();
  if (ack.largest >= sent.next) return PROTOCOL_VIOLATION;
  const { base } = sent;
  let error = 0;
  for (let i = 0; i < ack.count && error === 0; i++) {
    const last = ack.last[i];
    if (last < base) break;
    error = markRange(sent, Math.max(ack.first[i], base), last, periods, summary, fates);
  }
  runs.flush(sent.space, fates);
  if (error === 0 && ack.largest > sent.largestAcked) sent.largestAcked = ack.largest;
  return error;
}

/** Settles [first, last] from the newest to the oldest, leaping over what was acknowledged before. */
function markRange(
  sent: SentPackets,
  first: number,
  last: number,
  periods: RecoveryPeriods,
  summary: AckSummary,
  fates: FrameFates,
): number {
  const { flags, link, mask } = sent;
  let pn = last;
  while (pn >= first) {
    const slot = pn & mask;
    const state = flags[slot] & SENT_STATE_MASK;
    if (state === SENT_OUTSTANDING) {
      pn = ackOutstanding(sent, first, pn, periods, summary, fates);
      continue;
    }
    if (state === SENT_SKIPPED) return PROTOCOL_VIOLATION;
    const below = state === SENT_ACKED ? link[slot] : pn;
    if (state === SENT_LOST) ackLate(sent, slot, periods, summary, fates);
    // All of [first, last] is acknowledged when this loop ends, so the next walk may leap to its start.
    if (state === SENT_LOST || first < link[slot]) link[slot] = first;
    pn = below - 1;
  }
  return 0;
}

/** Settles the outstanding packets from `last` down to `first` or to one that is not; returns the number of that. */
function ackOutstanding(
  sent: SentPackets,
  first: number,
  last: number,
  periods: RecoveryPeriods,
  summary: AckSummary,
  fates: FrameFates,
): number {
  const { flags, link, mask, sizeBytes, sentMicros, delivery } = sent;
  const { recoveryStartMicros } = periods;
  if (summary.largest < 0) {
    summary.largest = last;
    summary.largestSentMicros = sentMicros[last & mask];
  }
  let pn = last;
  let eliciting = 0;
  let marked = 0;
  let bytes = 0;
  let growthBytes = 0;
  for (; pn >= first; pn--) {
    const slot = pn & mask;
    const packet = flags[slot];
    if ((packet & SENT_STATE_MASK) !== SENT_OUTSTANDING) break;
    if ((packet & SENT_IN_FLIGHT) !== 0) {
      bytes += sizeBytes[slot];
      if (sentMicros[slot] > recoveryStartMicros) growthBytes += sizeBytes[slot];
      if (delivery !== null) delivery.onAcked(slot, sizeBytes[slot], sentMicros[slot]);
    }
    if ((packet & SENT_ELICITING) !== 0) eliciting++;
    if ((packet & SENT_ECT) !== 0) marked++;
    sent.tellAcked(slot, runs, fates);
    flags[slot] = SENT_ACKED;
    link[slot] = first;
  }
  sent.bytesInFlight -= bytes;
  sent.elicitingCount -= eliciting;
  summary.packets += last - pn;
  summary.growthBytes += growthBytes;
  summary.marked += marked;
  if (eliciting !== 0) summary.ackEliciting = true;
  return pn;
}

/** A packet that was declared lost has arrived after all. */
function ackLate(
  sent: SentPackets,
  slot: number,
  periods: RecoveryPeriods,
  summary: AckSummary,
  fates: FrameFates,
): void {
  const flags = sent.flags[slot];
  const sentMicros = sent.sentMicros[slot];
  sent.tellAcked(slot, runs, fates);
  if ((flags & SENT_IN_FLIGHT) !== 0) {
    summary.late++;
    sent.delivery?.onAcked(slot, sent.sizeBytes[slot], sentMicros);
    if (sentMicros < summary.lateSentMicros) summary.lateSentMicros = sentMicros;
    const ofEvent = sentMicros <= periods.recoveryStartMicros && sentMicros > periods.priorRecoveryMicros;
    if (ofEvent) summary.lateOfEvent++;
  }
  if ((flags & SENT_ECT) !== 0) summary.marked++;
  sent.flags[slot] = SENT_ACKED;
}

/** Declares the packet in `slot` lost: out of flight, its frames handed back once. */
export function markLost(sent: SentPackets, slot: number, fates: FrameFates): void {
  const flags = sent.flags[slot];
  sent.leaveFlight(slot);
  if ((flags & (SENT_IN_FLIGHT | SENT_MTU_PROBE)) === SENT_IN_FLIGHT) sent.delivery?.onLost(slot, sent.sizeBytes[slot]);
  sent.flags[slot] = (flags & ~SENT_STATE_MASK) | SENT_LOST;
  if ((flags & SENT_HANDED_BACK) === 0) sent.tellLost(slot, fates);
}
