import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { fromHex, toHex } from "../base/bytes.js";
import { decodePn, pnLength, writePn } from "./number.js";

/** RFC 9000 §A.3 as it stands there, in bigint. */
function modelDecode(truncated: number, lengthBytes: number, largest: number): number {
  const expected = BigInt(largest) + 1n;
  const window = 1n << BigInt(8 * lengthBytes);
  const half = window / 2n;
  const candidate = (expected & ~(window - 1n)) | BigInt(truncated);
  if (candidate <= expected - half && candidate < (1n << 62n) - window) return Number(candidate + window);
  if (candidate > expected + half && candidate >= window) return Number(candidate - window);
  return Number(candidate);
}

const LENGTHS = [1, 2, 3, 4] as const;

describe("packet numbers", () => {
  test("RFC 9000 §A.2 the length of the examples", () => {
    assert.equal(pnLength(0xac5c02, 0xabe8b3), 2);
    assert.equal(pnLength(0xace8fe, 0xabe8b3), 3);
  });

  test("RFC 9000 §17.1 the range is more than twice the distance", () => {
    for (const acked of [-1, 0, 2 ** 40]) {
      assert.equal(pnLength(acked + 2 ** 15 - 1, acked), 2);
      assert.equal(pnLength(acked + 2 ** 15, acked), 3);
      assert.equal(pnLength(acked + 2 ** 23 - 1, acked), 3);
      assert.equal(pnLength(acked + 2 ** 23, acked), 4);
    }
  });

  test("RFC 9000 §A.3 the example", () => assert.equal(decodePn(0x9b32, 2, 0xa82f30ea), 0xa82f9b32));

  test("RFC 9000 §17.1 the first packets of a space", () => {
    assert.equal(pnLength(0, -1), 2);
    for (const length of LENGTHS) {
      assert.equal(decodePn(0, length, -1), 0);
      assert.equal(decodePn(1, length, -1), 1);
      assert.equal(decodePn(2, length, 0), 2);
    }
  });

  test("RFC 9000 §17.1 the window edges at 2^8, 2^16, 2^24 and 2^32", () => {
    for (const length of LENGTHS) {
      const window = 2 ** (8 * length);
      for (const base of [0, window, 3 * window, 2 ** 40]) {
        for (const nearBase of [-2, -1, 0, 1, 2]) {
          const largest = base + nearBase - 1;
          if (largest < -1) continue;
          for (const distance of [-window / 2, -window / 2 + 1, -1, 0, 1, window / 2 - 1, window / 2]) {
            const pn = largest + 1 + distance;
            if (pn < 0) continue;
            assert.equal(decodePn(pn % window, length, largest), modelDecode(pn % window, length, largest));
            if (distance > -window / 2)
              assert.equal(decodePn(pn % window, length, largest), pn, `${length} ${pn} ${largest}`);
          }
        }
      }
    }
  });

  test("any field, any largest: as in RFC 9000 §A.3", () => {
    const largest = fc.oneof(fc.integer({ min: -1, max: 100_000 }), fc.integer({ min: -1, max: 2 ** 52 }));
    fc.assert(
      fc.property(fc.constantFrom(...LENGTHS), fc.nat({ max: 2 ** 32 - 1 }), largest, (length, field, received) => {
        const truncated = field % 2 ** (8 * length);
        const expected = modelDecode(truncated, length, received);
        assert.equal(decodePn(truncated, length, received), expected);
        assert.equal(
          decodePn(truncated | 0, length, received),
          length === 4 ? expected : modelDecode(truncated, length, received),
        );
      }),
      { numRuns: 1000 },
    );
  });

  test("RFC 9000 §17.1 what is sent is understood by every peer between the acknowledged packet and this one", () => {
    const sent = fc.tuple(
      fc.integer({ min: -1, max: 2 ** 45 }),
      fc.integer({ min: 1, max: 2 ** 30 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
    );
    fc.assert(
      fc.property(sent, ([largestAcked, distance, share]) => {
        const pn = largestAcked + distance;
        const length = pnLength(pn, largestAcked);
        const buf = new Uint8Array(6);
        assert.equal(writePn(buf, 1, pn, length), 1 + length);
        const field = Number.parseInt(toHex(buf.subarray(1, 1 + length)), 16);
        assert.equal(buf[0] | buf[1 + length], 0);
        const peerLargest = largestAcked + Math.floor(share * (distance - 1));
        assert.equal(decodePn(field, length, peerLargest), pn);
      }),
      { numRuns: 1000 },
    );
  });

  test("the low bytes go out in network order", () => {
    const buf = new Uint8Array(4);
    for (const [length, hex] of [
      [1, "44"],
      [2, "3344"],
      [3, "223344"],
      [4, "f1223344"],
    ] as const) {
      writePn(buf, 0, 0x5f1223344, length);
      assert.equal(toHex(buf.subarray(0, length)), toHex(fromHex(hex)));
    }
  });
});
