import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Heap, type HeapItem } from "./heap.js";

class Item implements HeapItem {
  heapKey = Infinity;
  heapIndex = -1;
}

test("the smallest key is on top after any sequence of updates and removals", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(15), fc.oneof(fc.nat(50), fc.constant(Infinity))), { maxLength: 200 }),
      (steps) => {
        const heap = new Heap<Item>();
        const items = Array.from({ length: 16 }, () => new Item());
        for (const [at, key] of steps) {
          heap.update(items[at] as Item, key);
          const keys = items.filter((item) => item.heapIndex >= 0).map((item) => item.heapKey);
          assert.equal(heap.size, keys.length);
          assert.equal(heap.peek()?.heapKey ?? Infinity, Math.min(Infinity, ...keys));
        }
      },
    ),
  );
});
