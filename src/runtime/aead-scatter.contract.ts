/** `scatter` of the aead port: pieces of opened packets end to end into a ring, run against an implementation. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type AeadPort, SCATTER_COLS } from "../port/aead.js";

const RING_BYTES = 1000;
/** What the ring holds where nothing is copied to. */
const OLD = 0xee;

function source(): Uint8Array {
  return new Uint8Array(3000).map((_, i) => (i * 7) >> 2);
}

/** The ring after a call with these rows, or null when they were refused. */
function scattered(port: AeadPort, rows: readonly (readonly [off: number, length: number])[], to: number) {
  const ring = new Uint8Array(RING_BYTES).fill(OLD);
  const batch = { buf: source(), rows: Int32Array.from(rows.flat()), count: rows.length, ring, to };
  return port.scatter(batch) ? ring : null;
}

/** The same, byte by byte. */
function expected(rows: readonly (readonly [off: number, length: number])[], to: number): Uint8Array {
  const ring = new Uint8Array(RING_BYTES).fill(OLD);
  const buf = source();
  let at = to;
  for (const [off, length] of rows) for (let i = 0; i < length; i++) ring[at++ % RING_BYTES] = buf[off + i] as number;
  return ring;
}

export function aeadScatterContract(name: string, make: () => AeadPort): void {
  describe(`aead port, scatter: ${name}`, () => {
    const port = make();
    // a few pieces and many may take different ways
    for (const count of [1, 3, 4, 10]) {
      const length = RING_BYTES / 10 - 3;
      const rows = Array.from({ length: count }, (_, i) => [i * 200 + 5, length + (i % 3)] as const);
      test(`${count} pieces follow each other, over the end of the ring and up to it`, () => {
        for (const to of [0, 1, RING_BYTES - 1, RING_BYTES - length, RING_BYTES - 2 * length - 1, 555]) {
          assert.deepEqual(scattered(port, rows, to), expected(rows, to), `from ${to}`);
        }
      });

      test(`a bad one behind ${count - 1} good ones is refused`, () => {
        const good = rows.slice(1);
        const bad: [string, readonly [number, number]][] = [
          ["beyond the buffer", [2999, 2]],
          ["a negative offset", [-1, 2]],
          ["a negative length", [0, -2]],
          ["a sum beyond 31 bits", [0x7fffffff, 0x7fffffff]],
          ["more than the ring holds", [0, RING_BYTES + 1 - good.reduce((sum, [, bytes]) => sum + bytes, 0)]],
        ];
        for (const [what, row] of bad) assert.equal(scattered(port, [...good, row], 7), null, what);
        for (const to of [-1, RING_BYTES, RING_BYTES + 1]) assert.equal(scattered(port, rows, to), null, `to ${to}`);
      });
    }

    test("the whole ring at once, and pieces without bytes", () => {
      const rows = [
        [0, 0],
        [10, 400],
        [500, 0],
        [1000, 600],
        [3000, 0],
      ] as const;
      for (const to of [0, 400, 999]) assert.deepEqual(scattered(port, rows, to), expected(rows, to));
    });

    test("a table with fewer rows than its count is refused, and so is an empty ring", () => {
      const ring = new Uint8Array(RING_BYTES);
      const short = { buf: source(), rows: new Int32Array(4 * SCATTER_COLS), count: 5, ring, to: 0 };
      assert.equal(port.scatter(short), false);
      assert.equal(port.scatter({ ...short, count: 1, ring: new Uint8Array(0) }), false);
    });
  });
}
