import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LEVEL_APP, LEVEL_HANDSHAKE, LEVEL_INITIAL } from "../port/tls.js";
import type { Level } from "../port/tls.js";
import { TlsFramer } from "./tls-framer.js";

const piece = fc.record({
  level: fc.constantFrom<Level>(LEVEL_INITIAL, LEVEL_HANDSHAKE, LEVEL_APP),
  bytes: fc.uint8Array({ maxLength: 40 }),
  type: fc.constantFrom(1, 2, 4, 5, 8, 11, 13, 15, 20, 24, 25),
  length: fc.integer({ min: 0, max: 60 }),
});

test("TlsFramer gives the same verdict however the bytes are cut, and never throws", () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.array(piece, { maxLength: 8 }),
      fc.integer({ min: 1, max: 5 }),
      (isServer, pieces, cut) => {
        const whole = new TlsFramer(isServer);
        const cutUp = new TlsFramer(isServer);
        for (const { level, bytes, type, length } of pieces) {
          const input = Uint8Array.of(type, 0, 0, length, ...bytes);
          const verdict = whole.push(level, input, 0, input.length);
          let other = 0;
          for (let at = 0; at < input.length; at += cut) {
            other = cutUp.push(level, input, at, Math.min(at + cut, input.length));
          }
          assert.equal(other, verdict);
          assert.equal(cutUp.hasPartial(level), whole.hasPartial(level));
          assert.deepEqual(cutUp.peerParams, whole.peerParams);
        }
      },
    ),
    { numRuns: 500 },
  );
});
