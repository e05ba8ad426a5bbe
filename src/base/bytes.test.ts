import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  concatBytes,
  equalBytes,
  equalBytesAt,
  equalConstantTimeAt,
  equalRange,
  fromHex,
  Reader,
  toHex,
  Writer,
} from "./bytes.js";
import { MAX_VARINT } from "./varint.js";

type Read = "u8" | "u16" | "u24" | "u32" | "varint";
const READS: readonly Read[] = ["u8", "u16", "u24", "u32", "varint"];

describe("Reader", () => {
  test("reads network order and stops where it was told", () => {
    const reader = new Reader();
    reader.reset(fromHex("ff 01 0203 040506 f7f8f9fa 7bbd 0b0c ff"), 1, 15);
    assert.equal(reader.remaining, 14);
    assert.equal(reader.u8(), 1);
    assert.equal(reader.u16(), 0x0203);
    assert.equal(reader.u24(), 0x040506);
    assert.equal(reader.u32(), 0xf7f8f9fa);
    assert.equal(reader.varint(), 15293);
    assert.equal(reader.skip(1), 13);
    assert.equal(toHex(reader.take(1)), "0c");
    assert.equal(reader.ok, true);
    assert.equal(reader.remaining, 0);
    assert.equal(reader.u8(), 0);
    assert.equal(reader.ok, false);
  });

  test("a read past the end gives 0, now and ever after", () => {
    for (const read of READS) {
      const width = { u8: 1, u16: 2, u24: 3, u32: 4, varint: 8 }[read];
      const buf = new Uint8Array(16).fill(0xff);
      for (let length = 0; length < width; length++) {
        const reader = new Reader();
        reader.reset(buf, 2, 2 + length);
        assert.equal(reader[read](), 0, `${read} of ${length} bytes`);
        assert.equal(reader.ok, false);
        for (const later of READS) assert.equal(reader[later](), 0);
        assert.equal(reader.varintBig(), 0n);
        assert.equal(reader.take(1).length, 0);
        assert.equal(reader.pos, 2 + length);
        reader.reset(buf, 0, 8);
        assert.equal(reader.ok, true);
      }
    }
  });

  test("skip and take by a length from the wire never move past the end", () => {
    for (const count of [5, 2 ** 31, 2 ** 32, MAX_VARINT]) {
      const reader = new Reader();
      reader.reset(new Uint8Array(8), 2, 6);
      assert.equal(reader.skip(count), 6);
      assert.equal(reader.ok, false);
      reader.reset(new Uint8Array(8), 2, 6);
      assert.equal(reader.take(count).length, 0);
      assert.equal(reader.ok, false);
    }
  });

  test("take copies", () => {
    const buf = Uint8Array.of(1, 2, 3);
    const reader = new Reader();
    reader.reset(buf, 0, 3);
    const taken = reader.take(3);
    buf.fill(0);
    assert.equal(toHex(taken), "010203");
  });
});

describe("Writer", () => {
  test("what is written is read back, from any first capacity", () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant("u8" as const), value: fc.nat(0xff) }),
      fc.record({ op: fc.constant("u16" as const), value: fc.nat(0xffff) }),
      fc.record({ op: fc.constant("u24" as const), value: fc.nat(0xffffff) }),
      fc.record({ op: fc.constant("u32" as const), value: fc.integer({ min: 0, max: 0xffffffff }) }),
      fc.record({ op: fc.constant("varint" as const), value: fc.maxSafeNat() }),
      fc.record({ op: fc.constant("varintBig" as const), value: fc.bigInt(0n, (1n << 62n) - 1n) }),
      fc.record({ op: fc.constant("bytes" as const), value: fc.uint8Array({ maxLength: 40 }) }),
    );
    fc.assert(
      fc.property(fc.nat(20), fc.array(step, { maxLength: 30 }), (capacity, steps) => {
        const writer = new Writer(capacity);
        for (const { op, value } of steps) (writer[op] as (value: unknown) => void).call(writer, value);
        const bytes = writer.finish();
        assert.equal(bytes.length, writer.length);
        const reader = new Reader();
        reader.reset(bytes, 0, bytes.length);
        for (const { op, value } of steps) {
          const got = op === "bytes" ? reader.take(value.length) : reader[op]();
          assert.deepEqual(got, value);
        }
        assert.equal(reader.ok, true);
        assert.equal(reader.remaining, 0);
      }),
    );
  });

  test("a part of an array can be written", () => {
    const writer = new Writer(0);
    writer.bytes(fromHex("0102030405"), 1, 3);
    writer.bytes(fromHex("0102030405"), 4);
    assert.equal(toHex(writer.finish()), "020305");
  });
});

describe("comparisons", () => {
  test("equal and constant-time equal agree with a comparison of the hex texts", () => {
    const pair = fc.uint8Array({ maxLength: 20 }).chain((a) =>
      fc.tuple(
        fc.constant(a),
        fc.oneof(
          fc.constant(a.slice()),
          fc.uint8Array({ maxLength: 20 }),
          fc.nat(7).map((bit) => a.map((byte, i) => (i === a.length - 1 ? byte ^ (1 << bit) : byte))),
        ),
      ),
    );
    fc.assert(
      fc.property(pair, fc.nat(3), ([a, b], shift) => {
        const equal = toHex(a) === toHex(b);
        assert.equal(equalBytes(a, b), equal);
        const shifted = concatBytes(new Uint8Array(shift), a);
        assert.equal(equalBytesAt(shifted, shift, b), toHex(a).startsWith(toHex(b)));
        assert.equal(equalConstantTimeAt(shifted, shift, b), toHex(a).startsWith(toHex(b)));
        assert.equal(equalRange(shifted, shift, shifted.length, b), equal);
      }),
    );
  });

  test("a range outside the buffer is never equal", () => {
    const two = Uint8Array.of(0, 0);
    for (const start of [-1, 1, 2, 3]) {
      assert.equal(equalBytesAt(two, start, two), false);
      assert.equal(equalConstantTimeAt(two, start, two), false);
    }
  });
});

test("hex goes both ways, and what is not hex is refused", () => {
  assert.equal(toHex(fromHex("00 fF\n7a")), "00ff7a");
  assert.equal(concatBytes(fromHex("01"), fromHex(""), fromHex("0203")).length, 3);
  for (const bad of ["0", "0g", "0x00", "é1"]) assert.throws(() => fromHex(bad), RangeError);
});
