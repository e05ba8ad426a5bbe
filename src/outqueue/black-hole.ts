/**
 * Notices that a path stopped carrying large datagrams (RFC 8899 §4.3, RFC 9000 §14.3): in MTU_BLACK_HOLE_ROUNDS flights
 * one after the other the last large packets were lost, later and smaller ones arrived, and no large one did. An
 * acknowledged large packet ends the suspicion, so ordinary losses do not add up. Large is what exceeds the base size.
 *
 * Looks at packets only when some were lost or a suspicion is there; a healthy path pays one comparison per ACK.
 */

import type { AckFrame } from "../frame/ack.js";
import { MIN_INITIAL_DATAGRAM_BYTES, MTU_BLACK_HOLE_ROUNDS } from "../proto/limits.js";
import { SENT_ACKED, SENT_OUTSTANDING, SENT_STATE_MASK, type SentPackets } from "./sent.js";

export class BlackHole {
  private rounds = 0;
  /** Losses of packets below this number belong to a flight that was counted. */
  private nextRoundPn = 0;

  get found(): boolean {
    return this.rounds >= MTU_BLACK_HOLE_ROUNDS;
  }

  /** Large packets were lost, `pn` the last of them. */
  onLargeLost(sent: SentPackets, pn: number): void {
    for (let later = pn + 1; later <= sent.largestAcked; later++) {
      const slot = later & sent.mask;
      if ((sent.flags[slot] & SENT_STATE_MASK) === SENT_ACKED && isLarge(sent, slot)) {
        this.rounds = 0;
        return;
      }
    }
    if (pn < this.nextRoundPn) return;
    this.rounds++;
    this.nextRoundPn = sent.next;
  }

  /** Before `ack` settles packets: whether it acknowledges a large one that is newer than all acknowledged before. */
  onAck(sent: SentPackets, ack: AckFrame): void {
    if (this.rounds === 0) return;
    for (let i = 0; i < ack.count; i++) {
      const last = Math.min(ack.last[i], sent.next - 1);
      for (let pn = Math.max(ack.first[i], sent.largestAcked + 1, sent.base); pn <= last; pn++) {
        const slot = pn & sent.mask;
        if ((sent.flags[slot] & SENT_STATE_MASK) !== SENT_OUTSTANDING || !isLarge(sent, slot)) continue;
        this.rounds = 0;
        return;
      }
    }
  }

  /** Datagrams have the base size from here on; what is in flight does not count. */
  onLeft(sent: SentPackets): void {
    this.rounds = 0;
    this.nextRoundPn = sent.next;
  }
}

export function isLarge(sent: SentPackets, slot: number): boolean {
  return sent.sizeBytes[slot] > MIN_INITIAL_DATAGRAM_BYTES;
}
