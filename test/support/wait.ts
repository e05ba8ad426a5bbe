/** Waiting for what must come, in tests: not for a time. */

import { setTimeout as sleep } from "node:timers/promises";

const STEP_MILLIS = 5;

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
