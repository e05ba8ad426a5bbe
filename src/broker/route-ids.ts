/**
 * Connection ids of a shared port. Eight bytes, 64 bits from the first:
 *
 *   8   route       of the program, 1 to 255; in the clear, the kernel steers by it. 0: of nobody
 *   4   generation  of the route: its lowest bits
 *   24  nonce       random
 *   28  check       of the 36 bits before, by one block of AES-128 under the key of (route, generation)
 *
 * The key derives from the host's own, and the program gets its own alone: it can make ids of its route and of no other,
 * and the host, which derives it again, tells who made an id without keeping any. A route that is given to another program
 * has another generation (32 random bits) and with it another key.
 *
 * Invariant: 2^-28 of the ids that somebody without the key makes up are taken for real.
 */

import { type Cipher, createCipheriv, createHmac } from "node:crypto";
import { equalRange } from "../base/bytes.js";
import type { Random } from "../port/random.js";
import { LOCAL_CID_BYTES } from "../proto/limits.js";

export const ROUTES_MAX = 255;
/** Of the host's key; a route's has 16. */
export const HOST_KEY_BYTES = 32;
export const ROUTE_KEY_BYTES = 16;

const GENERATION_SHIFT = 4;
const LOW_BITS = 0x0f;
/** Where the check begins, in the lower half of its byte. */
const CHECK_AT = 4;
const BLOCK_BYTES = 16;

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
  private readonly generation: number;
  private readonly cipher: Cipher;
  private readonly block = new Uint8Array(BLOCK_BYTES);
  /** The id that was asked for last, and the answer: packets of one connection come in rows. */
  private readonly asked = new Uint8Array(LOCAL_CID_BYTES);
  private answer = false;

  constructor({ route, generation, key }: Route) {
    this.route = route;
    this.generation = generation & LOW_BITS;
    this.cipher = createCipheriv("aes-128-ecb", key, null).setAutoPadding(false);
  }

  /** Fills `cid` (LOCAL_CID_BYTES) with a fresh id. */
  make(cid: Uint8Array, random: Random): void {
    random.fill(cid, 0, LOCAL_CID_BYTES);
    cid[0] = this.route;
    cid[1] = (this.generation << GENERATION_SHIFT) | (cid[1] & LOW_BITS);
    const check = this.check(cid, 0);
    cid[CHECK_AT] = (cid[CHECK_AT] & ~LOW_BITS) | (check[0] & LOW_BITS);
    for (let i = 1; i < LOCAL_CID_BYTES - CHECK_AT; i++) cid[CHECK_AT + i] = check[i];
  }

  /** Whether the LOCAL_CID_BYTES from `at` are an id of this route. */
  made(buf: Uint8Array, at: number): boolean {
    if (buf[at] !== this.route) return false;
    if (equalRange(buf, at, at + LOCAL_CID_BYTES, this.asked)) return this.answer;
    for (let i = 0; i < LOCAL_CID_BYTES; i++) this.asked[i] = buf[at + i];
    const check = this.check(buf, at);
    let wrong = (buf[at + CHECK_AT] ^ check[0]) & LOW_BITS;
    for (let i = 1; i < LOCAL_CID_BYTES - CHECK_AT; i++) wrong |= buf[at + CHECK_AT + i] ^ check[i];
    this.answer = wrong === 0;
    return this.answer;
  }

  private check(buf: Uint8Array, at: number): Uint8Array {
    for (let i = 0; i < CHECK_AT; i++) this.block[i] = buf[at + i];
    this.block[CHECK_AT] = buf[at + CHECK_AT] & ~LOW_BITS;
    return this.cipher.update(this.block);
  }
}
