import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { FILE_READY, type FileSource } from "../port/file.js";
import { HeldBytes } from "./held.js";
import { SendBuffer } from "./send-buffer.js";

const LIMIT = 10_000;
const WRITTEN = 1;
const SENT = 2;
const LOST = 3;
const ACKED = 4;
const FILL = 5;

type Step = { what: number; at: number; length: number };
const steps = fc.array(
  fc.record({
    what: fc.nat(FILL),
    at: fc.nat(12_000),
    length: fc.integer({ min: 1, max: 3000 }),
  }) as fc.Arbitrary<Step>,
  { maxLength: 60 },
);

/** A state for each byte. */
class Model {
  readonly states: number[] = [];

  get base(): number {
    const index = this.states.findIndex((state) => state !== ACKED);
    return index < 0 ? this.states.length : index;
  }

  get next(): number {
    const index = this.states.indexOf(WRITTEN);
    return index < 0 ? this.states.length : index;
  }

  firstLost(): [number, number] | null {
    const start = this.states.indexOf(LOST);
    if (start < 0) return null;
    let end = start;
    while (this.states[end] === LOST) end++;
    return [start, end];
  }
}

/** A file that wants room for `wantedBytes` and has `hasBytes`. */
class Source implements FileSource {
  readonly state = FILE_READY;
  readonly error = null;
  givenBytes = 0;
  refusedBytes = 0;

  constructor(
    private readonly offset: number,
    readonly wantedBytes: number,
    private readonly hasBytes: number,
  ) {}

  read(into: Uint8Array, start: number, end: number): number {
    assert.ok(start >= 0 && end > start && end <= into.length);
    const count = Math.min(end - start, this.hasBytes);
    for (let index = 0; index < count; index++) into[start + index] = (this.offset + index) * 5;
    this.givenBytes += count;
    this.refusedBytes += end - start - count;
    return count;
  }

  close(): void {}
}

function apply(buffer: SendBuffer, model: Model, { what, at, length }: Step): void {
  const { states } = model;
  if (what === 0) {
    const bytes = Uint8Array.from({ length }, (_, index) => (states.length + index) * 5);
    const taken = buffer.write(bytes, 0, length);
    assert.equal(taken, Math.min(length, LIMIT - (states.length - model.base)));
    for (let index = 0; index < taken; index++) states.push(WRITTEN);
    return;
  }
  if (what === FILL) {
    const source = new Source(states.length, length, at % 2 === 0 ? length : at);
    const taken = buffer.fill(source);
    assert.ok(taken <= LIMIT - (states.length - model.base));
    assert.ok(taken === source.givenBytes && source.givenBytes + source.refusedBytes <= length);
    for (let index = 0; index < taken; index++) states.push(WRITTEN);
    return;
  }
  if (what === 1) {
    const end = Math.min(states.length, model.next + length);
    for (let offset = model.next; offset < end; offset++) states[offset] = SENT;
    buffer.next = end;
    return;
  }
  const lost = model.firstLost();
  if (what === 2 && lost !== null) {
    const count = Math.min(length, lost[1] - lost[0]);
    for (let offset = lost[0]; offset < lost[0] + count; offset++) states[offset] = SENT;
    buffer.onResent(count);
    return;
  }
  const start = Math.min(at, model.next);
  const end = Math.min(start + length, model.next);
  for (let offset = start; offset < end; offset++) {
    if (what === 3) states[offset] = ACKED;
    else if (states[offset] === SENT) states[offset] = LOST;
  }
  if (what === 3) buffer.onAcked(start, end - start);
  else buffer.onLost(start, end - start);
}

describe("SendBuffer", () => {
  test("keeps every byte until it is acknowledged, and only what is lost and not acknowledged is sent again", () => {
    fc.assert(
      fc.property(steps, (list) => {
        const held = new HeldBytes(0);
        const buffer = new SendBuffer(LIMIT, held);
        const model = new Model();
        for (const step of list) {
          apply(buffer, model, step);
          assert.deepEqual([buffer.base, buffer.next, buffer.end], [model.base, model.next, model.states.length]);
          const lost = model.firstLost();
          assert.deepEqual(buffer.hasLost ? [buffer.lostStart, buffer.lostEnd] : null, lost);
          const kept = buffer.end - buffer.base;
          const bytes = new Uint8Array(kept);
          if (kept > 0) buffer.copyOut(buffer.base, kept, bytes, 0);
          assert.ok(bytes.every((byte, index) => byte === (((buffer.base + index) * 5) & 0xff)));
          assert.ok(kept === 0 ? held.sendBytes === 0 : held.sendBytes >= kept && held.sendBytes <= LIMIT);
        }
        buffer.drop();
        assert.deepEqual([held.total, buffer.hasLost, buffer.end], [0, false, buffer.next]);
      }),
      { numRuns: 60 },
    );
  });

  test("a file that says it gave more than there was room for is a bug, and nothing of it is sent", () => {
    for (const lie of [101, -1, Number.NaN]) {
      const buffer = new SendBuffer(LIMIT, new HeldBytes(0));
      const source = new Source(0, 100, 0);
      source.read = () => lie;
      assert.throws(() => buffer.fill(source), /netquic bug: a file gave/);
      assert.equal(buffer.end, 0);
    }
  });

  test("a file that has nothing now leaves no memory behind", () => {
    const held = new HeldBytes(0);
    const buffer = new SendBuffer(LIMIT, held);
    assert.equal(buffer.fill(new Source(0, 100, 0)), 0);
    assert.deepEqual([buffer.end, held.sendBytes], [0, 0]);
  });
});
