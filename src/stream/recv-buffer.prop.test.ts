import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { HeldBytes } from "./held.js";
import { RecvBuffer } from "./recv-buffer.js";
import type { BytePieces } from "./ring.js";

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

/** What a waiting reader may do, between pieces that arrive in order or ahead. */
const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("run" as const), length: fc.integer({ min: 1, max: 3_000 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("ahead" as const), length: fc.integer({ min: 1, max: 3_000 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("expect" as const), length: fc.integer({ min: 1, max: 9_000 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("read" as const), length: fc.nat(9_000) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("elsewhere" as const), length: fc.nat(9_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("back" as const), length: fc.constant(0) }) },
);

/** The byte of the stream at `offset`. */
const content = (offset: number): number => (offset * 7 + (offset >> 8)) & 255;
const piece = (offset: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => content(offset + i));

/** Bytes as a run brings them: in two pieces. */
class Run implements BytePieces {
  constructor(private readonly bytes: Uint8Array) {}
  copyTo(ring: Uint8Array, pos: number): void {
    this.bytes.forEach((byte, i) => (ring[(pos + i) % ring.length] = byte));
  }
}

describe("RecvBuffer with a reader that waits", () => {
  test("the reader gets every byte once and in order, wherever it wanted it and whatever it reads into", () => {
    let direct = 0;
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), fc.nat(20_000), (actions, generous) => {
        const held = new HeldBytes(generous);
        const buffer = new RecvBuffer(held);
        let into: Uint8Array = new Uint8Array(0);
        let expected = 0; // room of what was named last, 0 for nothing
        for (const { kind, length } of actions) {
          const from = buffer.readOffset;
          if (kind === "run") {
            if (buffer.rangeCount > 0) buffer.receive(buffer.end, piece(buffer.end, length), 0, length);
            else buffer.append(new Run(piece(buffer.end, length)), length);
            if (buffer.readable > 0 && held.recvBytes === 0) direct++;
          } else if (kind === "ahead") {
            buffer.receive(buffer.end + length, piece(buffer.end + length, 100), 0, 100);
          } else if (kind === "expect" || kind === "back") {
            into = new Uint8Array(length + 3);
            expected = length;
            buffer.expect(kind === "back" ? null : into, 3, 3 + length);
          } else {
            const target = kind === "read" && expected > 0 ? into : new Uint8Array(length + 3);
            const end = kind === "read" && expected > 0 ? Math.min(3 + expected, 3 + length) : 3 + length;
            const count = buffer.read(target, 3, end);
            assert.deepEqual(target.subarray(3, 3 + count), piece(from, count));
            assert.equal(count, Math.min(end - 3, buffer.end - from));
            if (count > 0) expected = 0;
          }
          assert.ok(buffer.readable >= 0);
        }
        const rest = new Uint8Array(buffer.readable);
        const from = buffer.readOffset;
        assert.equal(buffer.read(rest, 0, rest.length), rest.length);
        assert.deepEqual(rest, piece(from, rest.length));
        buffer.discard();
        assert.equal(held.total, 0);
      }),
      { numRuns: 800 },
    );
    assert.ok(direct > 40, `${direct} runs went to their reader`);
  });

  test("an array that was transferred away gets nothing, and its bytes come as zeros, never as another's", () => {
    const used = new RecvBuffer(new HeldBytes(1 << 20));
    used.receive(0, new Uint8Array(4096).fill(0xaa), 0, 4096); // a ring that goes to the pool
    used.discard();
    const buffer = new RecvBuffer(new HeldBytes(1 << 20));
    const gone = new Uint8Array(1000);
    buffer.expect(gone, 0, 1000);
    buffer.append(new Run(piece(0, 200)), 200);
    structuredClone(null, { transfer: [gone.buffer] });
    buffer.append(new Run(piece(200, 200)), 200);
    const into = new Uint8Array(400).fill(1);
    assert.equal(buffer.read(into, 0, 400), 400);
    assert.deepEqual(into.subarray(0, 200), new Uint8Array(200));
    assert.deepEqual(into.subarray(200), piece(200, 200));
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
