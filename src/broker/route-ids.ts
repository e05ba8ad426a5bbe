/**
 * Connection ids of a shared port. Eight bytes:
 *
 *   0        route       of the program, 1 to 255; in the clear, the kernel steers by it. 0: of nobody
 *   1        generation  4 bits, of the key below · 4 bits of the nonce
 *   2..3     nonce       16 bits more, random
 *   4..7     check       SipHash-2-4 of bytes 0..3 and the whole generation, under the key of (route, generation)
 *
 * The key derives from the host's own, and the program gets its own alone: it can make ids of its route and of no other,
 * and the host, which derives it again, tells who made an id without keeping any. A route that is given to another program
 * has another generation (32 random bits) and with it another key.
 *
 * Invariant: 2^-32 of the ids that somebody without the key makes up are taken for real.
 */

import { createHmac } from "node:crypto";
import type { Random } from "../port/random.js";
import { LOCAL_CID_BYTES } from "../proto/limits.js";
import { type SipKey, sipHash, sipKey } from "./siphash.js";

export const ROUTES_MAX = 255;
/** Of the host's key; a route's has 16. */
export const HOST_KEY_BYTES = 32;
export const ROUTE_KEY_BYTES = 16;

const GENERATION_SHIFT = 4;
const NONCE_MASK = 0x0f;
const CHECK_AT = 4;

/** What a program needs to make its ids. */
export interface Route {
  /** 1 to ROUTES_MAX. */
  readonly route: number;
  /** 0 to 2^32-1. */
  readonly generation: number;
  readonly key: Uint8Array;
}

/** The route of a program, from the host's key. */
export function deriveRoute(hostKey: Uint8Array, route: number, generation: number): Route {
  const label = Buffer.alloc(5);
  label[0] = route;
  label.writeUInt32BE(generation, 1);
  const key = createHmac("sha256", hostKey).update("netquic route").update(label).digest();
  return { route, generation, key: new Uint8Array(key.subarray(0, ROUTE_KEY_BYTES)) };
}

export class RouteIds {
  readonly route: number;
  readonly generation: number;
  private readonly key: SipKey;

  constructor({ route, generation, key }: Route) {
    this.route = route;
    this.generation = generation | 0;
    this.key = sipKey(key);
  }

  /** Fills `cid` (LOCAL_CID_BYTES) with a fresh id. */
  make(cid: Uint8Array, random: Random): void {
    random.fill(cid, 0, CHECK_AT);
    cid[0] = this.route;
    cid[1] = ((this.generation & NONCE_MASK) << GENERATION_SHIFT) | (cid[1] & NONCE_MASK);
    const check = this.check(cid, 0);
    for (let i = 0; i < LOCAL_CID_BYTES - CHECK_AT; i++) cid[CHECK_AT + i] = check >>> (8 * i);
  }

  /** Whether the LOCAL_CID_BYTES from `at` are an id of this route. */
  made(buf: Uint8Array, at: number): boolean {
    if (buf[at] !== this.route) return false;
    return this.check(buf, at) === wordAt(buf, at + CHECK_AT);
  }

  private check(buf: Uint8Array, at: number): number {
    return sipHash(this.key, wordAt(buf, at) | 0, this.generation);
  }
}

/** Little-endian. */
function wordAt(buf: Uint8Array, at: number): number {
  return (buf[at] | (buf[at + 1] << 8) | (buf[at + 2] << 16) | (buf[at + 3] << 24)) >>> 0;
}
