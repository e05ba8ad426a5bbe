import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { HeldBytes } from "./held.js";
import { RecvBuffer } from "./recv-buffer.js";

const SPAN = 20_000;

type Step = { read: boolean; at: number; length: number };
const steps = fc.array(
  fc.record({ read: fc.boolean(), at: fc.nat(SPAN), length: fc.integer({ min: 1, max: 6000 }) }) as fc.Arbitrary<Step>,
  { maxLength: 50 },
);

describe("RecvBuffer", () => {
  test("reassembles pieces in any order; where they overlap the first copy of a byte stays", () => {
    fc.assert(
      fc.property(steps, fc.nat(40_000), (list, generous) => {
        const held = new HeldBytes(generous);
        const buffer = new RecvBuffer(held);
        const model: number[] = []; // the first copy of each byte
        let readOffset = 0;
        let salt = 0;
        let peak = 0; // most bytes spanned since the buffer was last empty: what it may keep room for
        for (const { read, at, length } of list) {
          if (read) {
            const bytes = new Uint8Array(length);
            const count = buffer.read(bytes, 0, length);
            assert.deepEqual([...bytes.subarray(0, count)], model.slice(readOffset, readOffset + count));
            readOffset += count;
          } else {
            salt++;
            const frame = Uint8Array.from({ length: length + 2 }, (_, index) => index * 3 + salt);
            for (let index = 0; index < length; index++) model[at + index] ??= frame[index + 1];
            buffer.receive(at, frame, 1, length + 1);
          }
          let inOrder = readOffset;
          while (model[inOrder] !== undefined) inOrder++;
          assert.deepEqual([buffer.readOffset, buffer.readable], [readOffset, inOrder - readOffset]);
          assert.equal(buffer.rangeCount, rangesAbove(model, inOrder));
          const spanned = model.length - readOffset;
          assert.equal(held.recvRanges, buffer.rangeCount);
          peak = spanned === 0 ? 0 : Math.max(peak, spanned);
          if (spanned === 0) assert.equal(held.recvBytes, 0);
          assert.ok(held.recvBytes >= spanned && held.recvBytes <= Math.max(generous, 1.25 * peak + 1024));
        }
        buffer.discard();
        assert.equal(held.total, 0);
      }),
      { numRuns: 60 },
    );
  });
});

/** Runs of bytes above `from`. */
function rangesAbove(model: number[], from: number): number {
  let count = 0;
  for (let at = from; at < model.length; at++) {
    if (model[at] !== undefined && (at === from || model[at - 1] === undefined)) count++;
  }
  return count;
}
