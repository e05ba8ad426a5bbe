import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MAX_ACK_RANGES } from "../proto/limits.js";
import { PN_DUPLICATE, PN_NEW, PN_TOO_OLD, ReceivedPns } from "./received.js";

/** The obvious way: a set, and the same two rules for what is forgotten. */
class Model {
  seen = new Set<number>();
  floor = 0;

  record(pn: number): number {
    if (pn < this.floor) return PN_TOO_OLD;
    if (this.seen.has(pn)) return PN_DUPLICATE;
    this.seen.add(pn);
    const ranges = this.ranges();
    if (ranges.length <= MAX_ACK_RANGES) return PN_NEW;
    if (ranges[0][1] === pn && ranges[0][0] === pn) {
      this.seen.delete(pn);
      return PN_TOO_OLD;
    }
    this.forget(ranges[0][1] + 1);
    return PN_NEW;
  }

  forgetBelow(pn: number): void {
    this.forget(Math.min(pn, Math.max(-1, ...this.seen)));
  }

  ranges(): [number, number][] {
    const out: [number, number][] = [];
    for (const pn of [...this.seen].sort((a, b) => a - b)) {
      const top = out.at(-1);
      if (top !== undefined && top[1] === pn - 1) top[1] = pn;
      else out.push([pn, pn]);
    }
    return out;
  }

  private forget(floor: number): void {
    if (floor <= this.floor) return;
    this.floor = floor;
    for (const pn of this.seen) if (pn < floor) this.seen.delete(pn);
  }
}

const operation = fc.oneof(
  { weight: 20, arbitrary: fc.record({ record: fc.integer({ min: 0, max: 700 }) }) },
  { weight: 1, arbitrary: fc.record({ forget: fc.integer({ min: 0, max: 800 }) }) },
);

test("ReceivedPns agrees with a set of numbers", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 400, size: "max" }), (operations) => {
      const received = new ReceivedPns();
      const model = new Model();
      for (const op of operations) {
        if ("record" in op) assert.equal(received.record(op.record, 0), model.record(op.record));
        else {
          received.forgetBelow(op.forget);
          model.forgetBelow(op.forget);
        }
      }
      const got: [number, number][] = [];
      for (let i = 0; i < received.count; i++) got.push([received.first[i], received.last[i]]);
      assert.deepEqual(got, model.ranges());
      assert.equal(received.largest, Math.max(-1, ...model.seen));
    }),
    { numRuns: 60 },
  );
});
