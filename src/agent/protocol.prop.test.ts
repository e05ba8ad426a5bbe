import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Codec } from "./codec.js";
import { decode, encode, fromAgent, toAgent } from "./protocol.js";

function check<T>(codec: Codec<T>, frame: Uint8Array): void {
  const message = decode(codec, frame);
  if (message !== null) assert.deepEqual(encode(codec, message), frame);
}

test("what is decoded encodes to the same bytes, whatever they were", () => {
  const kinds = fc.constantFrom(1, 2, 3, 4, 5, 6, 7, 64, 65);
  // zeros are short lengths and absent fields: they lead deep into a message
  const byte = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(kinds, fc.array(byte, { maxLength: 80 }), (kind, rest) => {
      const frame = Uint8Array.of(kind, ...rest);
      check(toAgent, frame);
      check(fromAgent, frame);
    }),
    { numRuns: 3000 },
  );
});
