import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ADDR_COLS, TX_COLS, type TxBatch } from "../port/udp.js";
import { MAX_STATELESS_QUEUED, STATELESS_BURST, STATELESS_PER_SECOND } from "../proto/limits.js";
import { Answers } from "./answers.js";

const ADDR = new Int32Array(ADDR_COLS);
const SECOND_MICROS = 1_000_000;

function batch(datagrams: number): TxBatch {
  return {
    buf: new Uint8Array(1500 * datagrams),
    rows: new Int32Array(TX_COLS * datagrams),
    dests: new Int32Array(ADDR_COLS * datagrams),
    count: 0,
    destCount: 0,
    used: 0,
    socket: 0,
  };
}

/** How many answers are allowed at this instant. */
function allowed(answers: Answers, nowMicros: number): number {
  let count = 0;
  while (answers.allow(nowMicros)) count++;
  return count;
}

describe("stateless answers", () => {
  test("a burst is STATELESS_BURST, then STATELESS_PER_SECOND, and never more than a burst after a pause", () => {
    const answers = new Answers(0);
    assert.equal(allowed(answers, 0), STATELESS_BURST);
    assert.equal(allowed(answers, 0), 0);
    assert.equal(allowed(answers, SECOND_MICROS / 10), STATELESS_PER_SECOND / 10);
    assert.equal(allowed(answers, 3600 * SECOND_MICROS), STATELESS_BURST);
  });

  test("time in steps of less than one answer is not lost", () => {
    const answers = new Answers(0);
    allowed(answers, 0);
    const stepMicros = SECOND_MICROS / STATELESS_PER_SECOND / 4;
    let count = 0;
    for (let step = 1; step <= 400; step++) count += allowed(answers, step * stepMicros);
    assert.equal(count, 100);
  });

  test("MAX_STATELESS_QUEUED wait for the socket; a batch takes what it holds, in order", () => {
    const answers = new Answers(0);
    for (let i = 0; i < MAX_STATELESS_QUEUED; i++) {
      assert.ok(answers.hasRoom && answers.allow(0));
      answers.push(Uint8Array.of(i), ADDR, 0);
    }
    assert.equal(answers.hasRoom, false);
    assert.equal(answers.allow(0), false);
    const half = batch(MAX_STATELESS_QUEUED / 2);
    assert.equal(answers.flush(half), false);
    assert.equal(half.count, MAX_STATELESS_QUEUED / 2);
    assert.ok(answers.hasRoom);
    const rest = batch(MAX_STATELESS_QUEUED);
    assert.equal(answers.flush(rest), true);
    assert.equal(rest.count, MAX_STATELESS_QUEUED / 2);
    assert.equal(rest.buf[0], MAX_STATELESS_QUEUED / 2);
    assert.equal(answers.pending, false);
  });
});
