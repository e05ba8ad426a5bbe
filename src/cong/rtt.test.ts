import assert from "node:assert/strict";
import { test } from "node:test";
import { Rtt } from "./rtt.js";

test("RFC 9002 §6.2.2 starts at 333 ms, so that the first PTO is one second", () => {
  const rtt = new Rtt();
  assert.equal(rtt.hasSample, false);
  assert.equal(rtt.ptoBaseMicros, 999_000);
  assert.equal(new Rtt(100_000).ptoBaseMicros, 300_000);
});

test("RFC 9002 §5.3 the first sample replaces the initial values", () => {
  const rtt = new Rtt();
  rtt.update(40_000, 25_000, 7);
  assert.deepEqual([rtt.smoothedRttMicros, rtt.rttVarMicros, rtt.minRttMicros], [40_000, 20_000, 40_000]);
  assert.equal(rtt.firstSampleMicros, 7);
});

test("RFC 9002 §5.3 later samples move the estimate by an eighth and the variation by a quarter", () => {
  const rtt = new Rtt();
  rtt.update(40_000, 0, 0);
  rtt.update(48_000, 0, 1);
  assert.equal(rtt.rttVarMicros, 0.75 * 20_000 + 0.25 * 8_000);
  assert.equal(rtt.smoothedRttMicros, 41_000);
  assert.equal(rtt.minRttMicros, 40_000);
});

test("RFC 9002 §5.3 an acknowledgement delay never drives a sample below the minimum", () => {
  const rtt = new Rtt();
  rtt.update(40_000, 0, 0);
  rtt.update(48_000, 8_001, 1);
  assert.equal(rtt.smoothedRttMicros, 41_000, "not subtracted at all");
  rtt.reset(333_000);
  rtt.update(40_000, 0, 0);
  rtt.update(48_000, 8_000, 1);
  assert.equal(rtt.smoothedRttMicros, 40_000, "subtracted whole");
});

test("RFC 9002 §5.2 the minimum ignores the acknowledgement delay and starts anew after persistent congestion", () => {
  const rtt = new Rtt();
  rtt.update(40_000, 0, 0);
  rtt.update(30_000, 20_000, 1);
  assert.equal(rtt.minRttMicros, 30_000);
  rtt.update(90_000, 0, 2);
  rtt.onPersistentCongestion();
  assert.equal(rtt.minRttMicros, 90_000);
});

test("RFC 9002 §6.1.2 the time threshold is 9/8 of the larger RTT and at least a millisecond", () => {
  const rtt = new Rtt();
  rtt.update(40_000, 0, 0);
  assert.equal(rtt.lossDelayMicros, 45_000);
  rtt.update(80_000, 0, 1);
  assert.equal(rtt.lossDelayMicros, 90_000);
  rtt.update(8_000, 0, 2);
  assert.equal(rtt.lossDelayMicros, (rtt.smoothedRttMicros * 9) / 8);
  rtt.reset(333_000);
  rtt.update(0, 0, 3);
  assert.equal(rtt.latestRttMicros, 1, "a rate divides by it");
  assert.equal(rtt.lossDelayMicros, 1_000);
});

test("RFC 9002 §7.6.1 the persistent congestion period is three PTOs with max_ack_delay", () => {
  const rtt = new Rtt();
  rtt.update(100_000, 0, 0);
  assert.equal(rtt.persistentCongestionMicros(25_000), 3 * (100_000 + 4 * 50_000 + 25_000));
});
