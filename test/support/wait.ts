/** Waiting for what must come, in tests: not for a time. */

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";

const STEP_MILLIS = 5;
/** Between looks that cost much. */
const SELDOM_MILLIS = 250;

/** A function that waits until `look` finds something, which it returns, and throws when that takes longer than `limitMillis`. */
export function untilWithin(limitMillis: number) {
  return async <T>(look: () => T | undefined | null | false, millis = limitMillis): Promise<T> => {
    for (const end = performance.now() + millis; performance.now() < end; await sleep(STEP_MILLIS)) {
      const found = look();
      if (found !== undefined && found !== null && found !== false) return found;
    }
    throw new Error(`not within ${millis} ms: ${look}`);
  };
}

/** Waits until what `look` finds equals `wanted`; fails with the difference after `limitMillis`. Each look may be a full collection. */
export async function untilEqual<T>(look: () => T, wanted: T, limitMillis: number): Promise<void> {
  const end = performance.now() + limitMillis;
  let found = look();
  while (!isDeepStrictEqual(found, wanted) && performance.now() < end) {
    await sleep(SELDOM_MILLIS);
    found = look();
  }
  assert.deepEqual(found, wanted);
}
