import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DEADLINE_ACK, DEADLINE_IDLE, DEADLINE_LOSS, DEADLINE_PATH, Deadlines } from "./deadlines.js";

describe("named deadlines of a connection", () => {
  test("nothing is due and next is Infinity while none is set", () => {
    const deadlines = new Deadlines();
    assert.equal(deadlines.next(), Infinity);
    assert.equal(deadlines.due(DEADLINE_LOSS, Number.MAX_SAFE_INTEGER), false);
  });

  test("next is the earliest, whatever its name", () => {
    const deadlines = new Deadlines();
    deadlines.set(DEADLINE_IDLE, 300);
    deadlines.set(DEADLINE_PATH, 100);
    deadlines.set(DEADLINE_LOSS, 200);
    assert.equal(deadlines.next(), 100);
    deadlines.clear(DEADLINE_PATH);
    assert.equal(deadlines.next(), 200);
    deadlines.set(DEADLINE_LOSS, 400);
    assert.equal(deadlines.next(), 300);
  });

  test("a deadline is due at its microsecond and not before", () => {
    const deadlines = new Deadlines();
    deadlines.set(DEADLINE_ACK, 1000);
    assert.equal(deadlines.due(DEADLINE_ACK, 999), false);
    assert.equal(deadlines.due(DEADLINE_ACK, 1000), true);
    assert.equal(deadlines.due(DEADLINE_IDLE, 1000), false);
    assert.equal(deadlines.get(DEADLINE_ACK), 1000);
  });

  test("clearAll leaves nothing to wake for", () => {
    const deadlines = new Deadlines();
    deadlines.set(DEADLINE_ACK, 1);
    deadlines.set(DEADLINE_LOSS, 2);
    deadlines.clearAll();
    assert.equal(deadlines.next(), Infinity);
  });
});
