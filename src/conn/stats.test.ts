import assert from "node:assert/strict";
import { test } from "node:test";
import { USELESS_FRAME_STREAM_BYTES, USELESS_FRAMES_BURST, USELESS_FRAMES_PER_SECOND } from "../proto/limits.js";
import { ConnectionCounters } from "./stats.js";

test("9000-21.9-01 a burst of frames that move nothing is forgiven, one more is not", () => {
  const counters = new ConnectionCounters(0);
  for (let i = 0; i < USELESS_FRAMES_BURST; i++) assert.equal(counters.takeUseless(0, 0), true);
  assert.equal(counters.takeUseless(0, 0), false);
});

test("RFC 9000 §21.9 at the rate that is allowed they may go on for ever", () => {
  const counters = new ConnectionCounters(5_000_000);
  for (let i = 0; i < 50_000; i++) {
    assert.equal(counters.takeUseless(5_000_000 + (i * 1e6) / USELESS_FRAMES_PER_SECOND, 0), true);
  }
});

test("RFC 9000 §21.9 a second forgives USELESS_FRAMES_PER_SECOND, and no more", () => {
  const counters = new ConnectionCounters(0);
  for (let i = 0; i < USELESS_FRAMES_BURST; i++) counters.takeUseless(0, 0);
  for (let i = 0; i < USELESS_FRAMES_PER_SECOND; i++) assert.equal(counters.takeUseless(1_000_000, 0), true);
  assert.equal(counters.takeUseless(1_000_000, 0), false);
});

test("RFC 9000 §4.1 a sender that is blocked again and again at full speed is honest", () => {
  const counters = new ConnectionCounters(0);
  for (let i = 0; i < 50_000; i++) assert.equal(counters.takeUseless(0, i * USELESS_FRAME_STREAM_BYTES), true);
});
