import assert from "node:assert/strict";
import { test } from "node:test";
import { INITIAL_WINDOW_PACKETS, PACING_BURST_PACKETS } from "../proto/limits.js";
import { Pacer } from "./pacer.js";

const MDS = 1200;

/** Sends as much as the pacer lets through until `untilMicros`, waking when told; returns packets and bursts. */
function drain(pacer: Pacer, fromMicros: number, untilMicros: number): { packets: number; largestBurst: number } {
  let now = fromMicros;
  let packets = 0;
  let largestBurst = 0;
  while (now < untilMicros) {
    let burst = 0;
    while (pacer.delayMicros(now, MDS) === 0) {
      pacer.onSent(MDS, now);
      burst++;
    }
    packets += burst;
    largestBurst = Math.max(largestBurst, burst);
    now += pacer.delayMicros(now, MDS);
  }
  return { packets, largestBurst };
}

test("RFC 9002 §7.7 an initial window goes out at once, whatever the RTT", () => {
  const pacer = new Pacer(MDS);
  pacer.setRate(2, 12_000, 333_000, 0);
  for (let i = 0; i < INITIAL_WINDOW_PACKETS; i++) {
    assert.equal(pacer.delayMicros(5, MDS), 0, `packet ${i}`);
    pacer.onSent(MDS, 5);
  }
  assert.ok(pacer.delayMicros(5, MDS) > 0);
});

test("RFC 9002 §7.7 spreads the window over the RTT, a gain ahead", () => {
  const pacer = new Pacer(MDS);
  pacer.setRate(1.25, 100 * MDS, 40_000, 0);
  const { packets, largestBurst } = drain(pacer, 0, 400_000);
  assert.ok(Math.abs(packets - 1250 - INITIAL_WINDOW_PACKETS) < 15, `${packets}`);
  assert.ok(largestBurst <= 1.25 * 10 + 3, `${largestBurst}`);
});

test("a burst on a fast path is a train, and never less than two timer ticks of the rate", () => {
  const train = new Pacer(MDS);
  train.setRate(1, 440 * MDS, 40_000, 0);
  assert.equal(drain(train, 1e6, 1e6 + 1).largestBurst, PACING_BURST_PACKETS);
  const fast = new Pacer(MDS);
  fast.setRate(1, 4400 * MDS, 40_000, 0);
  assert.equal(drain(fast, 1e6, 1e6 + 1).largestBurst, 220);
});

test("a timer that is a millisecond late does not cost rate", () => {
  const pacer = new Pacer(MDS);
  pacer.setRate(1, 4000 * MDS, 40_000, 0); // 100 packets a millisecond
  let packets = 0;
  let now = 0;
  while (now < 1_000_000) {
    for (; pacer.delayMicros(now, MDS) === 0; packets++) pacer.onSent(MDS, now);
    now += pacer.delayMicros(now, MDS) + 1000;
  }
  assert.ok(packets > 99_000, `${packets}`);
});

test("a wait is worth a wake-up: a millisecond of the rate, not one packet", () => {
  const pacer = new Pacer(MDS);
  pacer.setRate(1, 400 * MDS, 40_000, 0);
  while (pacer.delayMicros(0, MDS) === 0) pacer.onSent(MDS, 0);
  const delay = pacer.delayMicros(0, MDS);
  assert.ok(delay > 800 && delay <= 1000, `${delay}`);
});

test("a window per tiny RTT for a whole millisecond goes out at once", () => {
  const pacer = new Pacer(MDS);
  pacer.setRate(1.25, 12_000, 50, 0);
  for (let i = 0; i < 200; i++) {
    assert.equal(pacer.delayMicros(1000, MDS), 0);
    pacer.onSent(MDS, 1000);
  }
});

test("probes may draw ahead by a burst at most", () => {
  const pacer = new Pacer(MDS);
  pacer.setRate(1, 10 * MDS, 10_000, 0);
  for (let i = 0; i < 1000; i++) pacer.onSent(MDS, 0);
  assert.ok(pacer.delayMicros(0, MDS) <= 11_000);
});

test("a clock that stands still or steps back gives no credit", () => {
  const pacer = new Pacer(MDS);
  pacer.setRate(1, 12_000, 40_000, 1000);
  while (pacer.delayMicros(1000, MDS) === 0) pacer.onSent(MDS, 1000);
  assert.ok(pacer.delayMicros(500, MDS) > 0);
  assert.ok(pacer.delayMicros(1000, MDS) > 0);
});

test("a rate that falls takes the credit of the old burst with it, at the same instant", () => {
  const pacer = new Pacer(MDS);
  pacer.setRate(1.25, 1000 * MDS, 1000, 1000);
  pacer.setRate(1.25, 10 * MDS, 100_000, 50_000);
  for (let i = 0; i < INITIAL_WINDOW_PACKETS; i++) {
    assert.equal(pacer.delayMicros(50_000, MDS), 0);
    pacer.onSent(MDS, 50_000);
  }
  assert.ok(pacer.delayMicros(50_000, MDS) > 0);
});
