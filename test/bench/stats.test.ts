import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { median, medianRatio, round, slope, slopeError, spread } from "../../dist-bench/stats.js";

describe("figures of repeated runs", () => {
  test("the median is the middle value, and the mean of the two middle ones for an even count", () => {
    assert.equal(median([9, 1, 5]), 5);
    assert.equal(median([4, 1, 100, 2]), 3);
    assert.equal(median([10, 9, 2]), 9, "by value, not by text");
    assert.ok(Number.isNaN(median([])));
  });

  test("the given runs keep their order", () => {
    const runs = [3, 1, 2];
    median(runs);
    assert.deepEqual(runs, [3, 1, 2]);
  });

  test("the spread is the smallest and the largest", () => {
    assert.deepEqual(spread([2, -1, 7]), [-1, 7]);
  });

  test("ratios are taken run by run: a machine that slows down for both does not change them", () => {
    assert.equal(medianRatio([10, 5, 1], [20, 10, 2]), 0.5);
    assert.equal(medianRatio([10, 30, 1], [10, 10, 10]), 1);
  });

  test("three significant digits are kept", () => {
    assert.equal(round(12_345), 12_300);
    assert.equal(round(0.123456), 0.123);
  });

  test("the slope of a line through noise is the line's", () => {
    assert.equal(slope([0, 1, 2, 3], [5, 7, 9, 11]), 2);
    assert.ok(Math.abs(slope([0, 1, 2, 3], [5, 5.5, 4.5, 5])) < 0.2);
    assert.ok(Number.isNaN(slope([1], [1])), "one point has no slope");
  });

  test("the error of a slope is none for a line, and more than the slope for mere noise", () => {
    assert.equal(slopeError([0, 1, 2, 3], [5, 7, 9, 11]), 0);
    // by hand: mean 5, slope -0.1, squared residues 0.05 + 0.3025 + 0.2025 + 0.0225 (rounded), two degrees of freedom
    const [xs, ys] = [
      [0, 1, 2, 3],
      [5, 5.5, 4.5, 5],
    ];
    assert.ok(Math.abs(slopeError(xs, ys) - 4.303 * Math.sqrt(0.45 / 2 / 5)) < 1e-9);
    assert.ok(slopeError(xs, ys) > Math.abs(slope(xs, ys)));
    assert.ok(Number.isNaN(slopeError([0, 1], [0, 1])), "two points have no error");
  });
});
