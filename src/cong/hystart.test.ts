import assert from "node:assert/strict";
import { test } from "node:test";
import { HyStart } from "./hystart.js";

/** Feeds one round of `samples` acknowledgements of `rttMicros`; the last one ends the round. */
function round(hystart: HyStart, start: number, rttMicros: number, samples = 8): boolean {
  let over = false;
  for (let i = 0; i < samples; i++) {
    const last = i === samples - 1;
    over = hystart.onRttSample(rttMicros, last ? start : start - 1, start + rttMicros) || over;
  }
  return over;
}

function started(): { hystart: HyStart; now: number } {
  const hystart = new HyStart();
  hystart.onRttSample(40_000, 0, 40_000); // opens the first round
  round(hystart, 40_000, 40_000);
  return { hystart, now: 80_000 };
}

test("RFC 9406 §4.2 a steady RTT keeps slow start at full growth", () => {
  const { hystart, now } = started();
  for (let i = 0; i < 20; i++) assert.equal(round(hystart, now + i * 40_000, 40_000), false);
  assert.equal(hystart.growthBytes(1000), 1000);
});

test("RFC 9406 §4.2 a rise by an eighth of the last round's minimum starts conservative slow start", () => {
  const { hystart, now } = started();
  round(hystart, now, 44_999);
  assert.equal(hystart.inConservativeSlowStart, false, "less than 5 ms more");
  round(hystart, now + 44_999, 50_624);
  assert.equal(hystart.inConservativeSlowStart, true, "5.625 ms more");
  assert.equal(hystart.growthBytes(1000), 250);
});

test("RFC 9406 §4.2 the rise must be 4 ms at least and need be 16 ms at most", () => {
  const short = new HyStart();
  short.onRttSample(1_000, 0, 1_000);
  round(short, 1_000, 1_000);
  round(short, 2_000, 4_999);
  assert.equal(short.inConservativeSlowStart, false);
  const long = new HyStart();
  long.onRttSample(400_000, 0, 400_000);
  round(long, 400_000, 400_000);
  round(long, 800_000, 416_000);
  assert.equal(long.inConservativeSlowStart, true);
});

test("RFC 9406 §4.2 seven samples of a round decide nothing", () => {
  const { hystart, now } = started();
  round(hystart, now, 90_000, 7);
  assert.equal(hystart.inConservativeSlowStart, false);
});

test("RFC 9406 §4.2 slow start resumes when the RTT falls back, and ends after five rounds when not", () => {
  const jitter = started();
  round(jitter.hystart, jitter.now, 60_000);
  assert.equal(jitter.hystart.inConservativeSlowStart, true);
  round(jitter.hystart, jitter.now + 60_000, 40_000);
  assert.equal(jitter.hystart.inConservativeSlowStart, false);

  const queue = started();
  let now = queue.now;
  const over: boolean[] = [];
  for (let i = 0; i < 5; i++) {
    over.push(round(queue.hystart, now, 60_000));
    now += 60_000;
  }
  assert.deepEqual(over, [false, false, false, false, true]);
});
