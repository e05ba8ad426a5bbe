import assert from "node:assert/strict";
import { test } from "node:test";
import { Cubic, cubicK, cubicWindow } from "./cubic.js";
import { Rtt } from "./rtt.js";

const MDS = 1000;
const SECOND = 1_000_000;

function near(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual}, not ${expected}`);
}

function rttOf(micros: number): Rtt {
  const rtt = new Rtt();
  rtt.update(micros, 0, 0);
  return rtt;
}

/** A controller whose window was `packets` when its first congestion event came, at time 0. */
function reducedFrom(packets: number): Cubic {
  const cubic = new Cubic(MDS);
  cubic.onPacketsAcked(packets * MDS - cubic.cwndBytes, true, rttOf(100_000), 0);
  assert.equal(cubic.cwndBytes, packets * MDS);
  cubic.onCongestionEvent(0, 0);
  return cubic;
}

/** Acknowledges a whole window every RTT until `untilMicros`; returns the window then, in packets. */
function growUntil(cubic: Cubic, rttMicros: number, fromMicros: number, untilMicros: number): number {
  const rtt = rttOf(rttMicros);
  for (let now = fromMicros; now < untilMicros; now += rttMicros) {
    for (let left = cubic.cwndBytes; left > 0; left -= 2 * MDS) {
      cubic.onPacketsAcked(Math.min(left, 2 * MDS), true, rtt, now);
    }
  }
  return cubic.cwndBytes / MDS;
}

test("RFC 9438 §4.2 K is the cube root of the missing packets over C", () => {
  near(cubicK(100, 70), 4.217_163_326_508_745, 1e-12); // cbrt(30 / 0.4)
  near(cubicK(1000, 700), 9.085_602_964_160_699, 1e-12); // cbrt(750)
  near(cubicK(10_000, 7_000), 19.574_338_205_844_32, 1e-12); // cbrt(7500)
  assert.equal(cubicK(50, 50), 0);
});

test("RFC 9438 §4.2 W_cubic starts at the reduced window, is W_max at K, and then grows past it", () => {
  const k = cubicK(100, 70);
  near(cubicWindow(0, k, 100), 70, 1e-9);
  near(cubicWindow(k, k, 100), 100, 1e-9);
  near(cubicWindow(k + 5, k, 100), 100 + 0.4 * 125, 1e-9);
});

test("RFC 9438 §4.6 a congestion event leaves 0.7 of the window", () => {
  assert.equal(reducedFrom(1000).cwndBytes, 700 * MDS);
});

test("RFC 9438 §4.4 the window is back at its maximum after K and stays near it around then", () => {
  const cubic = reducedFrom(1000);
  const k = cubicK(1000, 700) * SECOND; // 9.09 s
  near(growUntil(cubic, 100_000, 0, 4 * SECOND), cubicWindow(4, k / SECOND, 1000), 5);
  near(growUntil(cubic, 100_000, 4 * SECOND, k), 1000, 3);
});

test("RFC 9438 §4.5 past its maximum the window grows faster and faster", () => {
  const cubic = reducedFrom(1000);
  const k = cubicK(1000, 700);
  const at14 = growUntil(cubic, 100_000, 0, 14 * SECOND);
  near(at14, cubicWindow(14, k, 1000), 10);
  near(growUntil(cubic, 100_000, 14 * SECOND, 16 * SECOND), cubicWindow(16, k, 1000), 15);
});

test("RFC 9438 §4.3 on a short path the window is at least Reno's", () => {
  const cubic = reducedFrom(20);
  // 14 packets, K = 2.47 s. Reno-friendly growth is 0.53 packets a round trip up to 20 packets, then 1.
  const packets = growUntil(cubic, 10_000, 0, SECOND);
  const rounds = 6 / 0.529;
  near(packets, 20 + (100 - rounds), 3);
});

test("RFC 9438 §4.7 a flow that did not reach its last maximum lets go of more", () => {
  const cubic = reducedFrom(1000);
  cubic.onCongestionEvent(1, 1); // at 700: the plateau is at 0.85 of it
  near(cubic.cwndBytes, 490 * MDS, 1);
  const k = cubicK(595, 490) * SECOND;
  near(growUntil(cubic, 100_000, 2, k), 595, 3);
});

test("RFC 9438 §5.8 time without use of the window does not count in the epoch", () => {
  const cubic = reducedFrom(1000);
  const busy = growUntil(cubic, 100_000, 0, SECOND);
  const rtt = rttOf(100_000);
  for (let now = SECOND; now < 21 * SECOND; now += SECOND) cubic.onPacketsAcked(MDS, false, rtt, now);
  cubic.onPacketsAcked(2 * MDS, true, rtt, 21 * SECOND);
  near(cubic.cwndBytes / MDS, busy, 1);
});

test("RFC 9438 §4.9 a spurious event gives back the window and the curve", () => {
  const cubic = reducedFrom(1000);
  const other = reducedFrom(1000);
  growUntil(cubic, 100_000, 0, 2 * SECOND);
  growUntil(other, 100_000, 0, 2 * SECOND);
  cubic.onCongestionEvent(2 * SECOND, 2 * SECOND);
  cubic.onSpuriousCongestion();
  assert.equal(cubic.cwndBytes, other.cwndBytes);
  assert.equal(growUntil(cubic, 100_000, 2 * SECOND, 6 * SECOND), growUntil(other, 100_000, 2 * SECOND, 6 * SECOND));
});

test("RFC 9438 §4.8 after persistent congestion the curve starts where slow start ends", () => {
  const cubic = reducedFrom(100);
  cubic.onPersistentCongestion();
  cubic.onPacketsAcked(68 * MDS, true, rttOf(100_000), SECOND);
  assert.equal(cubic.cwndBytes, 70 * MDS);
  // K = 0: nearly flat at first, the Reno-friendly region carries it.
  near(growUntil(cubic, 100_000, SECOND, 2 * SECOND), 70 + 10 * 0.529, 1.5);
});
