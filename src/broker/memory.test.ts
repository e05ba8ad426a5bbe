import assert from "node:assert/strict";
import { test } from "node:test";
import { SharedMemory } from "./memory.js";

test("what programs hold is summed, the latest word of each, and those that are gone hold nothing", () => {
  const memory = new SharedMemory<string>([100, 200, 300]);
  assert.deepEqual([memory.set("a", 200), memory.level], [false, "ok"]);
  assert.deepEqual([memory.set("b", 1), memory.level], [true, "pressure"]);
  assert.deepEqual([memory.set("b", 100), memory.level], [false, "pressure"]);
  assert.deepEqual([memory.set("b", 101), memory.level], [true, "high"]);
  assert.deepEqual([memory.set("a", 150), memory.level], [true, "pressure"]);
  assert.deepEqual([memory.remove("a"), memory.level], [false, "pressure"]);
  assert.deepEqual([memory.set("b", 99), memory.level], [true, "ok"]);
  assert.deepEqual([memory.remove("nobody"), memory.level], [false, "ok"]);
});
