/**
 * One packet number space (RFC 9000 §12.3): the numbers we take for sending, the numbers that arrived, the marks they
 * carried, and when to acknowledge them.
 *
 * Invariant: a number is taken once and numbers only grow. In the application space some are left out at random: an
 * ACK for one of them proves that the peer acknowledges what it never received (RFC 9000 §21.4).
 */

import { u32At } from "../base/bytes.js";
import { ECN_CE } from "../port/udp.js";
import type { Random } from "../port/random.js";
import {
  ACK_ELICITING_THRESHOLD,
  MAX_ACK_DELAY_MILLIS,
  MAX_ACK_RANGES_SENT,
  SKIP_PN_FIRST_PERIOD,
  SKIP_PN_LEAST_PERIOD,
  SKIP_PN_MAX_PERIOD,
} from "../proto/limits.js";
import { SPACE_APP, SPACE_HANDSHAKE, SPACE_INITIAL, type SpaceId } from "../proto/space.js";
import { AckPolicy } from "./ack-policy.js";
import { EcnCounts } from "./ecn.js";
import { ReceivedPns } from "./received.js";

/**
 * No connection goes on from this packet number: the RFC allows 2^62-1 (RFC 9000 §12.3), a number is exact to 2^53-1, and a
 * batch is asked about once.
 */
export const MAX_PN = 2 ** 53 - 2 ** 16;

/** A random distance to the next skipped number, in packets: 1 or more, `meanPackets` on average. */
export type SkipDistance = (meanPackets: number) => number;

export class PnSpace {
  readonly id: SpaceId;
  readonly received = new ReceivedPns();
  readonly ackPolicy: AckPolicy;
  readonly ecn = new EcnCounts();
  /** The next number to send, if it is not to be skipped; public for tests. */
  nextPn = 0;
  /** Largest of our numbers that the peer acknowledged, -1 before the first. */
  largestAcked = -1;
  private readonly skip: SkipDistance | null;
  private skipMeanPackets = SKIP_PN_FIRST_PERIOD;
  private skipPn = Infinity;
  private largestEliciting = -1;
  /** Out-of-order packets make an ACK due at once when the peer could declare one lost: so many later; 0 = never. */
  private reorderingPackets = 1;
  private ackFrequencySeq = -1;
  /** Largest number in the last ACK frame that we sent, -1 before the first. */
  private reportedPn = -1;
  private lastWasMarkedCe = false;

  /** `skip` chooses which numbers are left out; null = none, as in the short-lived spaces. */
  constructor(id: SpaceId, skip: SkipDistance | null) {
    this.id = id;
    this.skip = skip;
    this.ackPolicy = new AckPolicy(id !== SPACE_APP, MAX_ACK_DELAY_MILLIS * 1000, ACK_ELICITING_THRESHOLD);
    if (skip !== null) this.skipPn = skip(this.skipMeanPackets);
  }

  /** The number of the packet that is built now. The caller has asked `isExhausted`. */
  takePn(): number {
    if (this.nextPn === this.skipPn) this.leaveOut();
    return this.nextPn++;
  }

  /** What `takePn` would return, without taking it: for choosing the encoded length first. */
  peekPn(): number {
    return this.nextPn === this.skipPn ? this.nextPn + 1 : this.nextPn;
  }

  /** Numbers from `nextPn` on, none of them to be skipped. */
  get plainPackets(): number {
    return this.skipPn - this.nextPn;
  }

  /** Takes `packets` numbers, at most `plainPackets`. */
  takePlain(packets: number): void {
    this.nextPn += packets;
  }

  /** No number is left: the connection ends without another packet (RFC 9000 §12.3). */
  get isExhausted(): boolean {
    return this.nextPn >= MAX_PN;
  }

  /**
   * A packet whose number `received` took as new was processed: notes its mark and when it has to be acknowledged
   * (RFC 9000 §13.2.1). `ecn` is a code point of port/udp.
   */
  onPacket(pn: number, ackEliciting: boolean, ecn: number, nowMicros: number): void {
    this.ecn.onPackets(ecn, 1);
    const isMarkedCe = ecn === ECN_CE;
    let urgent = false;
    if (ackEliciting) {
      urgent = (isMarkedCe && this.wantsMark) || this.isOutOfOrder(pn);
      if (pn > this.largestEliciting) this.largestEliciting = pn;
    }
    this.lastWasMarkedCe = isMarkedCe;
    this.ackPolicy.onPacket(ackEliciting, urgent, nowMicros);
  }

  /** Whether a packet that follows the largest number is in order for acknowledging: no gap among ack-eliciting ones. */
  get isInOrder(): boolean {
    const { largestEliciting } = this;
    if (largestEliciting < 0 || largestEliciting !== this.received.largest) return false;
    return this.reorderingPackets <= 1 || this.firstUnreported > largestEliciting;
  }

  /**
   * The next `packets` numbers arrived, all ack-eliciting and marked alike but not CE, where `isInOrder` was true: the
   * same as recording and processing each of them.
   */
  onRun(packets: number, ecn: number, nowMicros: number): void {
    this.received.extend(packets, nowMicros);
    this.largestEliciting = this.received.largest;
    this.lastWasMarkedCe = false;
    this.ecn.onPackets(ecn, packets);
    this.ackPolicy.onPackets(packets, nowMicros);
  }

  /** An ACK frame with all that is known went into a packet. */
  onAckSent(): void {
    this.reportedPn = this.received.largest;
    this.received.onTold();
    this.ackPolicy.onAckSent();
  }

  /** ACK_FREQUENCY with valid values; one that is not newer than the last says nothing (draft-ietf-quic-ack-frequency §4). */
  onAckFrequency(seq: number, thresholdPackets: number, maxAckDelayMicros: number, reorderingPackets: number): void {
    if (seq <= this.ackFrequencySeq) return;
    this.ackFrequencySeq = seq;
    this.ackPolicy.configure(maxAckDelayMicros, thresholdPackets + 1);
    this.reorderingPackets = reorderingPackets;
  }

  /** A peer that waits for many packets hears of the first of several CE marks at once (draft-ietf-quic-ack-frequency §6.3). */
  private get wantsMark(): boolean {
    return !this.lastWasMarkedCe || this.ackPolicy.thresholdPackets <= ACK_ELICITING_THRESHOLD;
  }

  /**
   * Whether the peer wants to hear at once of `pn` and of the gaps around it (RFC 9000 §13.2.1, draft-ietf-quic-ack-frequency
   * §6.2). With more gaps than an ACK frame names, each new one is told at once whatever the peer asked for.
   */
  private isOutOfOrder(pn: number): boolean {
    const { largestEliciting, received } = this;
    const threshold = received.count >= MAX_ACK_RANGES_SENT ? 1 : this.reorderingPackets;
    if (threshold === 1) return pn < largestEliciting || !received.isContiguous(largestEliciting, pn);
    if (threshold === 0) return false;
    return pn <= this.reportedPn - threshold || Math.max(pn, largestEliciting) - this.firstUnreported >= threshold;
  }

  /** The smallest missing number that the peer could not declare lost by our last ACK frame. */
  private get firstUnreported(): number {
    return this.received.firstMissingAbove(this.reportedPn - this.reorderingPackets);
  }

  private leaveOut(): void {
    if (this.skip === null) return;
    this.nextPn++;
    this.skipMeanPackets = Math.min(2 * this.skipMeanPackets, SKIP_PN_MAX_PERIOD);
    this.skipPn = this.nextPn + this.skip(this.skipMeanPackets);
  }
}

/** A space whose keys are gone: no number is new in it (RFC 9001 §4.9). It never changes, so one serves all connections. */
export const CLOSED_SPACE = closedSpace();

function closedSpace(): PnSpace {
  const space = new PnSpace(SPACE_INITIAL, null);
  space.received.close();
  return space;
}

const skipWord = new Uint8Array(4);

/** How many packets may be in flight now. */
export interface SkipWindow {
  readonly windowPackets: number;
}

/**
 * Distances spread evenly over 1 .. 2 * mean - 1, from unpredictable bytes. The mean is the one asked for, or two windows if that
 * is less: whoever acknowledges what did not arrive meets a hole within four, however old the connection is.
 */
export function randomSkip(random: Random, window: SkipWindow): SkipDistance {
  return (meanPackets) => {
    const mean = Math.min(meanPackets, Math.max(SKIP_PN_LEAST_PERIOD, Math.floor(2 * window.windowPackets)));
    random.fill(skipWord, 0, 4);
    return 1 + (u32At(skipWord, 0) % (2 * mean - 1));
  };
}

/** The three of a connection. Only 1-RTT packets are many enough to skip numbers among them. */
export function newSpaces(
  random: Random,
  window: SkipWindow,
  acks: { readonly maxAckDelayMillis: number; readonly ackThresholdPackets: number },
): [PnSpace, PnSpace, PnSpace] {
  const app = new PnSpace(SPACE_APP, randomSkip(random, window));
  app.ackPolicy.configure(acks.maxAckDelayMillis * 1000, acks.ackThresholdPackets);
  return [new PnSpace(SPACE_INITIAL, null), new PnSpace(SPACE_HANDSHAKE, null), app];
}
