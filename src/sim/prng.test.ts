import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "./prng.js";

const draws = (prng: Prng, count: number): number[] => Array.from({ length: count }, () => prng.u32());

test("equal seed and name give equal draws, another seed or name others", () => {
  const first = draws(new Prng(7, "loss"), 50);
  assert.deepEqual(draws(new Prng(7, "loss"), 50), first);
  assert.notDeepEqual(draws(new Prng(8, "loss"), 50), first);
  assert.notDeepEqual(draws(new Prng(7, "delay"), 50), first);
  assert.notDeepEqual(draws(new Prng(7 + 2 ** 32, "loss"), 50), first);
});

test("draws stay in range and are spread evenly", () => {
  const prng = new Prng(1);
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 10_000; i++) counts[prng.below(10)]++;
  for (const count of counts) assert.ok(count > 850 && count < 1150, `${counts}`);
  for (let i = 0; i < 1000; i++) {
    const value = prng.range(3, 5);
    assert.ok(value >= 3 && value <= 5);
    const log = prng.logUniform(10, 1000);
    assert.ok(log >= 10 && log <= 1000);
    const tail = prng.pareto(2, 1, 50);
    assert.ok(tail >= 2 && tail <= 50);
  }
});

test("fill writes exactly the range it was given", () => {
  const buf = new Uint8Array(64);
  new Prng(3).fill(buf, 5, 58);
  assert.ok(buf.subarray(0, 5).every((byte) => byte === 0));
  assert.ok(buf.subarray(58).every((byte) => byte === 0));
  assert.ok(buf.subarray(5, 58).filter((byte) => byte === 0).length < 10);
});
