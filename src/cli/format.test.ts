import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Failure, fileFailure, oneLine } from "./failure.js";
import { formatBitRate, formatBytes, formatClock, formatFiles, formatMicros } from "./format.js";

describe("numbers for people", () => {
  test("sizes have three digits and never 1024 of a unit", () => {
    const shown = [0, 1023, 1024, 10 * 1024, 1048575, 1 << 20, 64 << 20, 2 ** 40].map(formatBytes);
    assert.deepEqual(shown, ["0 B", "1023 B", "1.00 KiB", "10.0 KiB", "1.00 MiB", "1.00 MiB", "64.0 MiB", "1.00 TiB"]);
  });

  test("line rates are in bits and steps of 1000", () => {
    assert.deepEqual([125, 125e6, 1.25e8 * 3].map(formatBitRate), ["1.00 kbit/s", "1.00 Gbit/s", "3.00 Gbit/s"]);
  });

  test("durations", () => {
    assert.deepEqual([0, 0.2, 59, 60, 3723].map(formatClock), ["0:00", "0:01", "0:59", "1:00", "1:02:03"]);
    assert.deepEqual([85, 4100, 2.5e6].map(formatMicros), ["85 µs", "4.10 ms", "2.50 s"]);
    assert.deepEqual([1, 1200].map(formatFiles), ["1 file", "1,200 files"]);
  });
});

describe("failures", () => {
  test("are one line that cannot steer a terminal", () => {
    assert.equal(new Failure("a\nb\u001b[31mc\u009b").message, "a b [31mc");
    assert.equal(oneLine("x".repeat(1000)).length, 400);
  });

  test("of files say what the system's code means", () => {
    const failure = fileFailure("read", "/x/y", Object.assign(new Error("EACCES: ..."), { code: "EACCES" }));
    assert.equal(failure.message, "cannot read /x/y: permission denied");
    assert.equal(failure.exitCode, 1);
    assert.equal(fileFailure("read", "/z", failure), failure);
  });
});
