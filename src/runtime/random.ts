/**
 * Node's CSPRNG for the engine. A connection asks for 8 bytes at a time, and a call into the CSPRNG costs microseconds,
 * so small requests are served from a pool; bytes handed out are wiped from it.
 */

import { randomFillSync } from "node:crypto";
import type { Random } from "../port/random.js";

const POOL_BYTES = 4096;

const pool = new Uint8Array(POOL_BYTES);
let poolAt = POOL_BYTES; // bytes before it are used up

export const systemRandom: Random = {
  fill(buf: Uint8Array, start: number, end: number): void {
    if (!(start >= 0 && start <= end && end <= buf.length)) throw new RangeError(`[${start}, ${end}) of ${buf.length}`);
    const bytes = end - start;
    if (bytes > POOL_BYTES / 4) {
      randomFillSync(buf, start, bytes);
      return;
    }
    if (poolAt + bytes > POOL_BYTES) {
      randomFillSync(pool);
      poolAt = 0;
    }
    for (let i = start; i < end; i++, poolAt++) {
      buf[i] = pool[poolAt];
      pool[poolAt] = 0;
    }
  },
};
