/**
 * Packets that came before their keys (RFC 9001 §5.7): copies, bounded in number and bytes, handed back
 * once their level can be read. A copy is made because the receive slab is reused.
 */

import type { Level } from "../port/tls.js";
import { MAX_UNDECRYPTABLE_BYTES, MAX_UNDECRYPTABLE_PACKETS } from "../proto/limits.js";

export interface HeldPacket {
  level: Level;
  bytes: Uint8Array;
  ecn: number;
}

export class Undecryptable {
  /** Packets that ever waited. */
  heldEver = 0;
  private held: HeldPacket[] = [];
  private heldBytesSum = 0;

  get heldBytes(): number {
    return this.heldBytesSum;
  }

  /** Keeps a copy of `buf[start, end)`; false when the bounds are reached and the packet is dropped. */
  hold(level: Level, buf: Uint8Array, start: number, end: number, ecn: number): boolean {
    const lengthBytes = end - start;
    if (this.held.length >= MAX_UNDECRYPTABLE_PACKETS) return false;
    if (this.heldBytesSum + lengthBytes > MAX_UNDECRYPTABLE_BYTES) return false;
    this.held.push({ level, bytes: buf.slice(start, end), ecn });
    this.heldBytesSum += lengthBytes;
    this.heldEver++;
    return true;
  }

  /** Takes the packets of one level out, in order of arrival. */
  take(level: Level): HeldPacket[] {
    if (this.held.length === 0) return this.held;
    const out = this.held.filter((packet) => packet.level === level);
    if (out.length === 0) return out;
    this.held = this.held.filter((packet) => packet.level !== level);
    for (const packet of out) this.heldBytesSum -= packet.bytes.length;
    return out;
  }

  clear(): void {
    this.held = [];
    this.heldBytesSum = 0;
  }
}
