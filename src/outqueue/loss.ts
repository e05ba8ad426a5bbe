/**
 * Which packets are lost (RFC 9002 §6.1, A.10), and what the congestion controller is told of it: one congestion event
 * per detection (B.8), and persistent congestion (RFC 9002 §7.6). Both thresholds fall with the packet number, so a scan stops at
 * the first packet that is neither acknowledged nor lost; nothing below `firstOutstanding` is looked at again.
 */

import { PACKET_THRESHOLD } from "../proto/limits.js";
import { perSpace, SPACES, type SpaceId } from "../proto/space.js";
import { markLost } from "./ack.js";
import { isLarge } from "./black-hole.js";
import type { Recovery } from "./recovery.js";
import {
  SENT_ACKED,
  SENT_ECT,
  SENT_ELICITING,
  SENT_IN_FLIGHT,
  SENT_MTU_PROBE,
  SENT_OUTSTANDING,
  SENT_SKIPPED,
  SENT_STATE_MASK,
  type SentPackets,
} from "./sent.js";

/** What loss detection remembers between scans. */
export class LossState {
  /** By space: when the next packet is lost by time; Infinity: none waits. */
  readonly timeMicros = perSpace(Infinity);
  /** By space: send time of the latest packet acknowledged. */
  readonly ackedSentMicros = perSpace(-1);
  /** By space: send time of the first of the lost packets since which nothing sent was acknowledged; Infinity: none. */
  readonly runStartMicros = perSpace(Infinity);

  resetSpace(space: SpaceId): void {
    this.timeMicros[space] = Infinity;
    this.runStartMicros[space] = Infinity;
  }
}

/** Declares lost what is, and sets the space's loss time. */
export function detectLost(recovery: Recovery, space: SpaceId, nowMicros: number): void {
  const { loss, fates, rtt } = recovery;
  const sent = recovery.sent[space];
  loss.timeMicros[space] = Infinity;
  const lossDelay = rtt.lossDelayMicros;
  const floor = reorderFloor(sent);
  let lostPackets = 0;
  let lastLostMicros = -1;
  let lastLargePn = -1;
  let persistent = false;
  let pn = sent.firstOutstanding;
  for (; pn <= sent.largestAcked; pn++) {
    const slot = pn & sent.mask;
    const flags = sent.flags[slot];
    const state = flags & SENT_STATE_MASK;
    if (state === SENT_ACKED) loss.runStartMicros[space] = Infinity;
    if (state !== SENT_OUTSTANDING) continue;
    const sentMicros = sent.sentMicros[slot];
    if (pn > floor && sentMicros + lossDelay > nowMicros) {
      loss.timeMicros[space] = sentMicros + lossDelay;
      break;
    }
    markLost(sent, slot, fates);
    if ((flags & SENT_IN_FLIGHT) === 0) continue;
    if ((flags & SENT_ECT) !== 0) recovery.ecn.onMarkedLost();
    if ((flags & SENT_MTU_PROBE) !== 0) {
      sent.flags[slot] &= ~SENT_IN_FLIGHT; // nothing was counted that an acknowledgement could take back
      continue;
    }
    if (isLarge(sent, slot)) lastLargePn = pn;
    recovery.packetsLost++;
    recovery.bytesLost += sent.sizeBytes[slot];
    lostPackets++;
    lastLostMicros = sentMicros;
    if ((flags & SENT_ELICITING) !== 0 && extendsLongRun(recovery, space, sentMicros)) persistent = true;
  }
  if (pn > sent.firstOutstanding) sent.firstOutstanding = pn;
  if (lastLargePn >= 0) recovery.blackHole.onLargeLost(sent, lastLargePn);
  if (lostPackets !== 0) recovery.onLoss(lostPackets, lastLostMicros, persistent, nowMicros);
}

/** The largest number that at least PACKET_THRESHOLD packets sent later and up to the largest acknowledged follow. */
function reorderFloor(sent: SentPackets): number {
  let pn = sent.largestAcked;
  let later = PACKET_THRESHOLD;
  while (later > 0) {
    pn--;
    // Numbers that we skipped were not packets (RFC 9002 A.10).
    const skipped = pn >= sent.base && (sent.flags[pn & sent.mask] & SENT_STATE_MASK) === SENT_SKIPPED;
    if (!skipped) later--;
  }
  return pn;
}

/**
 * Counts an ack-eliciting lost packet to its run. True when the run is longer than the persistent congestion period
 * (RFC 9002 §7.6.2). An acknowledgement in another space for a packet sent after the run began ends the run, also when
 * it was sent after this packet: only its latest is remembered, and then the network does deliver.
 */
function extendsLongRun(recovery: Recovery, space: SpaceId, sentMicros: number): boolean {
  const { loss, rtt } = recovery;
  if (!rtt.hasSample || sentMicros <= rtt.firstSampleMicros) return false;
  let start = loss.runStartMicros[space];
  for (let other = 0; other < SPACES; other++) {
    if (other !== space && loss.ackedSentMicros[other] >= start) start = Infinity;
  }
  if (start === Infinity) start = sentMicros;
  loss.runStartMicros[space] = start;
  return sentMicros - start > rtt.persistentCongestionMicros(recovery.maxAckDelayMicros);
}
