/**
 * The QUIC bit of the packets that we send (RFC 9287 §3.1): 1 until the peer has said in this handshake that it takes
 * both, then drawn anew for each batch. A batch is sealed and sent at once, so trains stay what `transmit` would send.
 */

import { u32At } from "../base/bytes.js";
import { FIXED_BIT } from "../packet/header.js";
import type { Random } from "../port/random.js";

const DRAWN_BITS = 32;
const word = new Uint8Array(4); // valid during one draw only

export class QuicBit {
  /** The peer's parameters allow both. */
  isFree = false;
  private bits = 0;
  private left = 0;

  /** The bit of the next batch, FIXED_BIT or 0. */
  next(random: Random): number {
    if (!this.isFree) return FIXED_BIT;
    if (this.left === 0) {
      random.fill(word, 0, word.length);
      this.bits = u32At(word, 0);
      this.left = DRAWN_BITS;
    }
    this.left--;
    return ((this.bits >>> this.left) & 1) === 1 ? FIXED_BIT : 0;
  }
}
