/**
 * Datagrams that no connection sends: Retry, Version Negotiation, stateless reset, refusal. They wait in a bounded queue
 * and all but Retry are rate-limited by one token bucket, so that a flood costs a counted drop.
 */

import { appendDatagram } from "../conn/close.js";
import type { TxBatch } from "../port/udp.js";
import { MAX_STATELESS_QUEUED, STATELESS_BURST, STATELESS_PER_SECOND } from "../proto/limits.js";

interface Answer {
  datagram: Uint8Array;
  addr: Int32Array;
  socket: number;
}

export class Answers {
  private tokens = STATELESS_BURST;
  private queue: Answer[] = [];

  constructor(private filledAtMicros: number) {}

  get pending(): boolean {
    return this.queue.length > 0;
  }

  /** Whether one more answer may wait. */
  get hasRoom(): boolean {
    return this.queue.length < MAX_STATELESS_QUEUED;
  }

  /** Whether one more answer may be made now; takes the token if so. */
  allow(nowMicros: number): boolean {
    const earned = ((nowMicros - this.filledAtMicros) * STATELESS_PER_SECOND) / 1e6;
    if (earned >= 1) {
      this.tokens = Math.min(STATELESS_BURST, this.tokens + earned);
      this.filledAtMicros = nowMicros;
    }
    if (this.tokens < 1 || !this.hasRoom) return false;
    this.tokens--;
    return true;
  }

  push(datagram: Uint8Array, addr: Int32Array, socket: number): void {
    this.queue.push({ datagram, addr, socket });
  }

  /** Moves answers into the batch; false when it has no room for all. */
  flush(tx: TxBatch): boolean {
    let sent = 0;
    while (sent < this.queue.length) {
      const { datagram, addr, socket } = this.queue[sent] as Answer;
      if (!appendDatagram(tx, datagram, addr, socket)) break;
      sent++;
    }
    if (sent > 0) this.queue = this.queue.slice(sent);
    return this.queue.length === 0;
  }
}
