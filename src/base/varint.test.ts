import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Reader, toHex } from "./bytes.js";
import {
  MAX_VARINT,
  MAX_VARINT_BIG,
  prefixedRoom,
  varintEnd,
  varintLength,
  varintLengthAt,
  varintLengthBig,
  writeVarint,
  writeVarintBig,
  writeVarintSized,
} from "./varint.js";

const LENGTHS = [1, 2, 4, 8] as const;
/** Every power of two with its neighbours, where encodings change. */
const EDGES = Array.from({ length: 63 }, (_, bits) => 1n << BigInt(bits))
  .flatMap((power) => [power - 1n, power, power + 1n])
  .filter((value) => value <= MAX_VARINT_BIG);

/** RFC 9000 §16, written the slow way. */
function modelBytes(value: bigint, lengthBytes: number): Uint8Array {
  const out = new Uint8Array(lengthBytes);
  let left = value;
  for (let i = lengthBytes - 1; i >= 0; i--, left >>= 8n) out[i] = Number(left & 0xffn);
  out[0] |= Math.log2(lengthBytes) << 6;
  return out;
}

function modelLength(value: bigint): 1 | 2 | 4 | 8 {
  return LENGTHS.find((length) => value < 1n << BigInt(8 * length - 2)) ?? 8;
}

function readerOver(bytes: Uint8Array): Reader {
  const reader = new Reader();
  reader.reset(bytes, 0, bytes.length);
  return reader;
}

function checkOne(value: bigint): void {
  const length = modelLength(value);
  const expected = toHex(modelBytes(value, length));
  const buf = new Uint8Array(8);
  assert.equal(varintLengthBig(value), length);
  assert.equal(writeVarintBig(buf, 0, value), length);
  assert.equal(toHex(buf.subarray(0, length)), expected);
  assert.equal(varintLengthAt(buf[0]), length);
  assert.equal(readerOver(buf.slice(0, length)).varintBig(), value);
  if (value <= BigInt(MAX_VARINT)) {
    assert.equal(varintLength(Number(value)), length);
    assert.equal(writeVarint(buf.fill(0), 0, Number(value)), length);
    assert.equal(toHex(buf.subarray(0, length)), expected);
  }
  for (const wide of LENGTHS.filter((candidate) => candidate >= length)) {
    const bytes = modelBytes(value, wide);
    const asNumber = value > BigInt(MAX_VARINT) ? MAX_VARINT : Number(value);
    const reader = readerOver(bytes);
    assert.equal(reader.varint(), asNumber, `${value} in ${wide} bytes`);
    assert.equal(reader.pos, wide);
    assert.equal(readerOver(bytes).varintBig(), value);
    if (value > BigInt(MAX_VARINT)) continue;
    assert.equal(writeVarintSized(buf, 0, Number(value), wide), wide);
    assert.equal(toHex(buf.subarray(0, wide)), toHex(bytes));
  }
}

describe("varint", () => {
  test("RFC 9000 §A.1 the sample values", () => {
    const samples: [string, bigint][] = [
      ["c2197c5eff14e88c", 151288809941952652n],
      ["9d7f3e7d", 494878333n],
      ["7bbd", 15293n],
      ["25", 37n],
    ];
    for (const [hex, value] of samples) {
      assert.equal(toHex(modelBytes(value, hex.length / 2)), hex);
      checkOne(value);
    }
    const reader = readerOver(Uint8Array.of(0x40, 0x25));
    assert.equal(reader.varint(), 37, "a longer form than needed is read");
  });

  test("RFC 9000 §16 every power of two and its neighbours, up to 2^62-1", () => {
    for (const value of EDGES) checkOne(value);
  });

  test("values above 2^53-1 saturate as numbers and stay exact as bigint", () => {
    for (const value of [2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, MAX_VARINT_BIG]) {
      const bytes = modelBytes(value, 8);
      assert.equal(readerOver(bytes).varint(), MAX_VARINT);
      assert.equal(readerOver(bytes).varintBig(), value);
    }
    assert.equal(readerOver(modelBytes(2n ** 53n - 2n, 8)).varint(), 2 ** 53 - 2);
  });

  test("what cannot be written is refused, not cut", () => {
    const buf = new Uint8Array(8);
    assert.throws(() => writeVarint(buf, 0, 2 ** 53), /netquic bug/);
    assert.throws(() => writeVarint(buf, 0, Number.NaN), /netquic bug/);
    assert.throws(() => writeVarintSized(buf, 0, 64, 1), /netquic bug/);
    assert.throws(() => writeVarintSized(buf, 0, 2 ** 30, 4), /netquic bug/);
    assert.throws(() => writeVarintBig(buf, 0, MAX_VARINT_BIG + 1n), /netquic bug/);
    assert.throws(() => writeVarintBig(buf, 0, -1n), /netquic bug/);
    assert.equal(toHex(buf), "0000000000000000");
  });

  test("as many bytes as fit behind their own length", () => {
    for (const room of [1, 2, 63, 64, 65, 66, 67, 1200, 16384, 16385, 16386, 16387, 16388, 16389, 65527]) {
      const fits = prefixedRoom(room);
      assert.ok(fits + varintLength(fits) <= room, `${room}`);
      assert.ok(fits + 1 + varintLength(fits + 1) > room, `${room}`);
    }
    assert.ok(prefixedRoom(0) < 0);
  });

  test("any value, any length", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, MAX_VARINT_BIG), fc.nat(61), (value, shift) => checkOne(value >> BigInt(shift))),
    );
  });
});

test("RFC 9000 §16 varintEnd is the first value that takes more bytes", () => {
  for (const value of [0, 1, 63, 64, 2 ** 14 - 1, 2 ** 14, 2 ** 30 - 1, 2 ** 30 - 2]) {
    const end = varintEnd(value);
    assert.equal(varintLength(end - 1), varintLength(value));
    assert.ok(varintLength(end) > varintLength(value));
  }
  assert.equal(varintEnd(2 ** 30), Infinity);
});
