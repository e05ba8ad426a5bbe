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
  SKIP_PN_FIRST_PERIOD,
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
    let urgent = false;
    if (ackEliciting) {
      urgent = ecn === ECN_CE || pn < this.largestEliciting || !this.received.isContiguous(this.largestEliciting, pn);
      if (pn > this.largestEliciting) this.largestEliciting = pn;
    }
    this.ackPolicy.onPacket(ackEliciting, urgent, nowMicros);
  }

  /** Whether a packet that follows the largest number is in order for acknowledging: no gap among ack-eliciting ones. */
  get isInOrder(): boolean {
    return this.largestEliciting >= 0 && this.largestEliciting === this.received.largest;
  }

  /**
   * The next `packets` numbers arrived, all ack-eliciting and marked alike but not CE, where `isInOrder` was true: the
   * same as recording and processing each of them.
   */
  onRun(packets: number, ecn: number, nowMicros: number): void {
    this.received.extend(packets, nowMicros);
    this.largestEliciting = this.received.largest;
    this.ecn.onPackets(ecn, packets);
    this.ackPolicy.onPackets(packets, nowMicros);
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

/** Distances spread evenly over 1 .. 2 * mean - 1, from unpredictable bytes. */
export function randomSkip(random: Random): SkipDistance {
  return (meanPackets) => {
    random.fill(skipWord, 0, 4);
    return 1 + (u32At(skipWord, 0) % (2 * meanPackets - 1));
  };
}

/** The three of a connection. Only 1-RTT packets are many enough to skip numbers among them. */
export function newSpaces(random: Random): [PnSpace, PnSpace, PnSpace] {
  return [
    new PnSpace(SPACE_INITIAL, null),
    new PnSpace(SPACE_HANDSHAKE, null),
    new PnSpace(SPACE_APP, randomSkip(random)),
  ];
}
