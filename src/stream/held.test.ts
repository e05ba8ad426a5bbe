import assert from "node:assert/strict";
import { test } from "node:test";
import { MIN_RING_BYTES, RING_STEP_BYTES } from "../proto/limits.js";
import { HeldBytes } from "./held.js";

test("a first byte costs MIN_RING_BYTES; rings double while little is held, and grow in steps when much is", () => {
  const held = new HeldBytes(8 * MIN_RING_BYTES);
  assert.equal(held.recvCapacity(0, 1, 0), MIN_RING_BYTES);
  assert.equal(held.recvCapacity(MIN_RING_BYTES, MIN_RING_BYTES + 1, 0), 2 * MIN_RING_BYTES);
  held.recvBytes = 8 * MIN_RING_BYTES;
  assert.equal(held.recvCapacity(0, 1, 0), RING_STEP_BYTES);
  const need = 2 * MIN_RING_BYTES + 1;
  assert.equal(held.recvCapacity(MIN_RING_BYTES, need, 0), 2 * MIN_RING_BYTES + RING_STEP_BYTES);
});
