import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { systemClock } from "./clock.js";
import { systemRandom } from "./random.js";

describe("system clock", () => {
  test("micros are whole, never go back and run with the monotonic clock", () => {
    let last = 0;
    for (let i = 0; i < 10_000; i++) {
      const now = systemClock.nowMicros();
      assert.ok(Number.isSafeInteger(now) && now >= last);
      last = now;
    }
    const other = (): number => Number(process.hrtime.bigint() / 1000n);
    const before = other();
    const now = systemClock.nowMicros();
    assert.ok(now >= before - 1000 && now <= other() + 1000);
  });

  test("wall clock is in seconds since 1970", () => {
    const before = Math.floor(Date.now() / 1000);
    const now = systemClock.wallSeconds();
    assert.ok(now >= before && now <= Date.now() / 1000 + 1);
  });
});

describe("system random", () => {
  test("fills exactly what was asked for, small and large, and never repeats", () => {
    const seen = new Set<string>();
    for (let i = 0; i < 2000; i++) {
      const buf = new Uint8Array(16).fill(0xee);
      systemRandom.fill(buf, 4, 12);
      assert.ok(buf.subarray(0, 4).every((byte) => byte === 0xee) && buf.subarray(12).every((byte) => byte === 0xee));
      seen.add(Buffer.from(buf.subarray(4, 12)).toString("hex"));
    }
    assert.equal(seen.size, 2000);
    const large = new Uint8Array(100_000);
    systemRandom.fill(large, 1, large.length);
    assert.equal(large[0], 0);
    assert.ok(new Set(large).size === 256);
  });

  test("a range outside the buffer is an error of ours", () => {
    assert.throws(() => systemRandom.fill(new Uint8Array(4), 2, 5), RangeError);
    assert.throws(() => systemRandom.fill(new Uint8Array(4), 3, 2), RangeError);
  });
});
