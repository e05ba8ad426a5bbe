/**
 * The loss detection timer and the probe timeout (RFC 9002 §6.2 and A.8, A.9): when it fires, for which space, and what
 * becomes of the packets that wait there. A PTO declares nothing lost; it hands frames of the oldest packets back so
 * that the probes carry them.
 */

import { MAX_PTO_MICROS } from "../proto/limits.js";
import { SPACE_APP, SPACE_HANDSHAKE, SPACE_INITIAL, SPACES, type SpaceId } from "../proto/space.js";
import { detectLost } from "./loss.js";
import type { Recovery } from "./recovery.js";
import {
  type FrameFates,
  SENT_ELICITING,
  SENT_HANDED_BACK,
  SENT_MTU_PROBE,
  SENT_OUTSTANDING,
  SENT_STATE_MASK,
  type SentPackets,
} from "./sent.js";

/** Datagrams that probe the space whose timer fired (RFC 9002 §6.2.4 allows two). */
const PROBES = 2;

/** When and for what the timer fires. One object per connection, rewritten. */
export class LossTimer {
  /** Infinity: not set. */
  micros = Infinity;
  space: SpaceId = SPACE_INITIAL;
  /** It fires for the time threshold, not for a PTO. */
  isLoss = false;
  /** A client's PTO without anything in flight, to free a server from its amplification limit (RFC 9002 §6.2.2.1). */
  isAntiDeadlock = false;

  private set(micros: number, space: SpaceId): void {
    this.micros = micros;
    this.space = space;
  }

  /** SetLossDetectionTimer of A.8. */
  arm(recovery: Recovery): void {
    this.set(Infinity, SPACE_INITIAL);
    this.isLoss = false;
    this.isAntiDeadlock = false;
    const { timeMicros } = recovery.loss;
    for (let space = 0; space < SPACES; space++) {
      if (timeMicros[space] < this.micros) this.set(timeMicros[space], space as SpaceId);
    }
    if (this.micros !== Infinity) {
      this.isLoss = true;
      return;
    }
    if (recovery.amplificationBlocked) return;
    const { sent } = recovery;
    // Application data is left alone until the handshake is confirmed (RFC 9002 §6.2.1).
    const lastSpace = recovery.handshakeConfirmed ? SPACE_APP : SPACE_HANDSHAKE;
    let waiting = false;
    for (let id = 0; id <= lastSpace; id++) {
      const space = id as SpaceId;
      if (sent[space].elicitingCount === 0) continue;
      waiting = true;
      const micros = sent[space].lastElicitingMicros + backedOff(recovery.ptoMicros(space), recovery.ptoCount);
      if (micros < this.micros) this.set(micros, space);
    }
    // A.8 asks whether nothing at all is in flight. A client whose only packets are 0-RTT or 1-RTT ones has no PTO for
    // these and would wait for ever for a server that may not send, so here it counts the spaces that have a PTO.
    if (waiting || recovery.peerAddressValidated || recovery.lastEventMicros < 0) return;
    this.isAntiDeadlock = true;
    this.set(recovery.lastEventMicros + backedOff(recovery.ptoMicros(SPACE_INITIAL), recovery.ptoCount), SPACE_INITIAL);
  }
}

function backedOff(ptoMicros: number, ptoCount: number): number {
  return Math.min(ptoMicros * 2 ** ptoCount, MAX_PTO_MICROS);
}

/** OnLossDetectionTimeout of A.9; the timer of `recovery` is due. */
export function onTimer(recovery: Recovery, timer: LossTimer, nowMicros: number): void {
  const { space } = timer;
  if (timer.isLoss) {
    detectLost(recovery, space, nowMicros);
    return;
  }
  const { probesLeft, sent, fates } = recovery;
  recovery.ptoCount++;
  recovery.ptoCountTotal++;
  if (timer.isAntiDeadlock) {
    probesLeft[recovery.hasHandshakeKeys ? SPACE_HANDSHAKE : SPACE_INITIAL] = 1;
    return;
  }
  probesLeft[space] = PROBES;
  handBack(sent[space], PROBES, fates);
  const other = space === SPACE_INITIAL ? SPACE_HANDSHAKE : SPACE_INITIAL;
  if (space !== SPACE_APP && sent[other].elicitingCount !== 0) {
    // The peer may be able to read only one of them; both fit into one datagram (RFC 9002 §6.2.4).
    probesLeft[other] = 1;
    handBack(sent[other], 1, fates);
  }
}

/** Hands back the frames of the oldest `packets` ack-eliciting packets that still wait and were not handed back. */
function handBack(sent: SentPackets, packets: number, fates: FrameFates): void {
  let left = packets;
  for (let pn = sent.firstOutstanding; pn < sent.next && left > 0; pn++) {
    const slot = pn & sent.mask;
    const flags = sent.flags[slot];
    if ((flags & SENT_STATE_MASK) !== SENT_OUTSTANDING) continue;
    if ((flags & (SENT_ELICITING | SENT_HANDED_BACK | SENT_MTU_PROBE)) !== SENT_ELICITING) continue;
    sent.flags[slot] = flags | SENT_HANDED_BACK;
    sent.tellLost(slot, fates);
    left--;
  }
}
