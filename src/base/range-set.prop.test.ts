import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { RangeSet } from "./range-set.js";

const SPAN = 60;
type Change = { add: boolean; start: number; length: number };
const changes = fc.array(
  fc.record({ add: fc.boolean(), start: fc.nat(SPAN), length: fc.nat(12) }) as fc.Arbitrary<Change>,
  { maxLength: 60 },
);

/** Ranges of a naive set, in order. */
function rangesOf(numbers: Set<number>): number[][] {
  const ranges: number[][] = [];
  for (let value = 0; value <= SPAN + 12; value++) {
    if (!numbers.has(value)) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === value) last[1] = value + 1;
    else ranges.push([value, value + 1]);
  }
  return ranges;
}

function rangesIn(set: RangeSet): number[][] {
  return Array.from({ length: set.count }, (_, index) => [set.start[index], set.end[index]]);
}

describe("RangeSet", () => {
  test("is a set of numbers in sorted ranges that never touch", () => {
    fc.assert(
      fc.property(changes, (list) => {
        const set = new RangeSet();
        const model = new Set<number>();
        for (const { add, start, length } of list) {
          const before = model.size;
          for (let value = start; value < start + length; value++) {
            if (add) model.add(value);
            else model.delete(value);
          }
          if (add) assert.equal(set.add(start, start + length), model.size - before);
          else set.remove(start, start + length);
          assert.deepEqual(rangesIn(set), rangesOf(model));
        }
      }),
    );
  });

  test("covers and find agree with the numbers", () => {
    fc.assert(
      fc.property(changes, fc.nat(SPAN), fc.nat(8), (list, start, length) => {
        const set = new RangeSet();
        for (const change of list) {
          if (change.add) set.add(change.start, change.start + change.length);
          else set.remove(change.start, change.start + change.length);
        }
        const ranges = rangesIn(set);
        const isIn = (value: number) => ranges.some(([from, to]) => value >= from && value < to);
        const wanted = Array.from({ length }, (_, at) => start + at);
        assert.equal(set.covers(start, start + length), wanted.every(isIn));
        const first = ranges.findIndex(([, to]) => to > start);
        assert.equal(set.find(start), first < 0 ? ranges.length : first);
      }),
    );
  });

  test("gives large arrays back when it is empty, keeps small ones", () => {
    const set = new RangeSet();
    for (let at = 0; at < 200; at += 2) set.add(at, at + 1);
    assert.ok(set.start.length >= 100);
    set.clear();
    assert.equal(set.start.length, 0);
    set.add(1, 2);
    set.removeFirst();
    assert.deepEqual([set.count, set.start.length], [0, 4]);
  });
});
