/**
 * Damage that a UDP checksum did not catch, or an attacker on the path: flipped bits, cut and extended datagrams, the
 * head of one with the tail of another.
 */

import type { Datagram } from "./datagram.js";
import { NOWHERE, type NetNode, type NetSink } from "./node.js";
import type { Prng } from "./prng.js";

const MAX_FLIPS = 8;
const MAX_EXTENSION_BYTES = 64;
/** First bytes swapped by a header swap: flags, version, the start of the connection id. */
const HEADER_BYTES = 16;
const KINDS = ["flip", "flip", "truncate", "extend", "splice", "header"] as const;

export class Corrupt implements NetNode {
  next: NetSink = NOWHERE;
  /** How many datagrams were damaged. */
  damaged = 0;
  private previous = new Uint8Array(0);

  /** `chance` 0..1. */
  constructor(
    private readonly prng: Prng,
    public chance: number,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    if (this.prng.chance(this.chance)) this.damage(datagram);
    if (this.chance > 0) this.previous = datagram.bytes.slice(0, datagram.length);
    this.next.push(datagram, nowMicros);
  }

  private damage(datagram: Datagram): void {
    const { prng, previous } = this;
    this.damaged++;
    switch (prng.pick(KINDS)) {
      case "flip":
        for (let left = prng.range(1, MAX_FLIPS); left > 0; left--) {
          datagram.bytes[prng.below(datagram.length)] ^= 1 << prng.below(8);
        }
        return;
      case "truncate":
        datagram.length = prng.range(1, datagram.length);
        return;
      case "extend": {
        const end = datagram.length + prng.range(1, MAX_EXTENSION_BYTES);
        datagram.reserve(end);
        prng.fill(datagram.bytes, datagram.length, end);
        datagram.length = end;
        return;
      }
      case "splice": {
        const cut = prng.below(Math.min(datagram.length, previous.length) + 1);
        datagram.reserve(previous.length);
        datagram.bytes.set(previous.subarray(cut), cut);
        datagram.length = Math.max(1, previous.length, cut);
        return;
      }
      case "header":
        datagram.bytes.set(previous.subarray(0, Math.min(HEADER_BYTES, previous.length, datagram.length)));
    }
  }
}
