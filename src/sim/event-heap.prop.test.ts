import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EventHeap } from "./event-heap.js";

test("events fire by time, and of one time in the order in which they were scheduled", () => {
  const step = fc.oneof(fc.nat(20), fc.constant("fire" as const));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = new EventHeap();
      const model: { at: number; order: number }[] = [];
      const fired: number[] = [];
      let order = 0;
      for (const step of steps) {
        if (step !== "fire") {
          const mine = order++;
          heap.add(step, { onTimer: () => fired.push(mine) }, null);
          model.push({ at: step, order: mine });
          continue;
        }
        model.sort((a, b) => a.at - b.at || a.order - b.order);
        assert.equal(heap.nextMicros, model[0]?.at ?? Infinity);
        const expected = model.shift();
        if (expected === undefined) continue;
        assert.equal(heap.fire(), expected.at);
        assert.equal(fired.at(-1), expected.order);
        assert.equal(heap.size, model.length);
      }
    }),
  );
});

test("times are rounded up to whole microseconds, so that a deadline is never met early", () => {
  const heap = new EventHeap();
  heap.add(10.25, { onTimer: () => {} }, null);
  assert.equal(heap.nextMicros, 11);
});
