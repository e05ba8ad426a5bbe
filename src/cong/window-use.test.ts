import assert from "node:assert/strict";
import { test } from "node:test";
import { WindowUse } from "./window-use.js";

const MDS = 1200;

test("RFC 9002 §7.8 a flight that left no room for a datagram used the window, until it is acknowledged", () => {
  const use = new WindowUse();
  use.onPacketSent(10_000, 12_000, MDS, 100);
  assert.equal(use.isLimited(12_000, false), false);
  use.onPacketSent(11_200, 12_000, MDS, 100);
  assert.equal(use.isLimited(12_000, false), true);
  use.onPacketSent(2_000, 12_000, MDS, 150);
  assert.equal(use.isLimited(12_000, false), true, "the same flight");
  use.onPacketsAcked(100);
  use.onPacketSent(2_000, 12_000, MDS, 200);
  assert.equal(use.isLimited(12_000, false), false, "the next one");
});

test("RFC 9002 §7.8 in slow start half a window is use", () => {
  const use = new WindowUse();
  use.onPacketSent(6_001, 12_000, MDS, 100);
  assert.equal(use.isLimited(12_000, true), true);
  assert.equal(use.isLimited(12_000, false), false);
  assert.equal(use.isLimited(12_002, true), false);
});

test("RFC 9002 §7.8 a sender held by the pacer is not application-limited when it used half the window", () => {
  const use = new WindowUse();
  use.onPacketSent(7_000, 12_000, MDS, 100);
  use.onPacingHeld();
  assert.equal(use.isLimited(12_000, false), true);
  assert.equal(use.isLimited(15_000, false), false);
  use.onPacketsAcked(100);
  use.onPacketSent(7_000, 12_000, MDS, 200);
  assert.equal(use.isLimited(12_000, false), false, "the flight after");
});
