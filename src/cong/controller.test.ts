/** What every controller must do (RFC 9002 §7), run against each. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MAX_CWND_BYTES } from "../proto/limits.js";
import { initialWindowBytes, minimumWindowBytes } from "./controller.js";
import { makeController } from "./make-controller.js";
import { Rtt } from "./rtt.js";

const MDS = 1200;

function sampled(): Rtt {
  const rtt = new Rtt();
  rtt.update(40_000, 0, 0);
  return rtt;
}

test("RFC 9002 §7.2 the initial window is ten datagrams, within 14,720 bytes or two datagrams", () => {
  assert.equal(initialWindowBytes(1200), 12_000);
  assert.equal(initialWindowBytes(1472), 14_720);
  assert.equal(initialWindowBytes(1500), 14_720);
  assert.equal(initialWindowBytes(9000), 18_000);
  assert.equal(minimumWindowBytes(1200), 2400);
});

for (const name of ["newreno", "cubic"] as const) {
  describe(name, () => {
    const beta = name === "cubic" ? 0.7 : 0.5;

    test("RFC 9002 §7.3.1 slow start grows by what is acknowledged", () => {
      const cc = makeController(name, MDS);
      cc.onPacketsAcked(6000, true, sampled(), 1);
      assert.equal(cc.cwndBytes, 18_000);
      assert.equal(cc.ssthreshBytes, Infinity);
    });

    test("RFC 9002 §7.2 datagrams of another size: the window keeps its bytes, two of them fit, growth is by the new size", () => {
      const cc = makeController(name, MDS);
      cc.setDatagramBytes(1452);
      assert.equal(cc.cwndBytes, 12_000);
      cc.setDatagramBytes(8952);
      assert.equal(cc.cwndBytes, 2 * 8952);
      cc.onCongestionEvent(0, 1);
      assert.equal(cc.cwndBytes, 2 * 8952, "the least window is of the new size");
      cc.setDatagramBytes(MDS);
      cc.onPersistentCongestion();
      assert.equal(cc.cwndBytes, 2 * MDS);
    });

    test("RFC 9002 §7.8 a window that is not in use does not grow", () => {
      const cc = makeController(name, MDS);
      cc.onPacketsAcked(6000, false, sampled(), 1);
      assert.equal(cc.cwndBytes, 12_000);
      cc.onCongestionEvent(0, 1);
      const { cwndBytes } = cc;
      for (let i = 0; i < 100; i++) cc.onPacketsAcked(6000, false, sampled(), 2 + i * 40_000);
      assert.equal(cc.cwndBytes, cwndBytes);
    });

    test("RFC 9002 §7.3.2 one recovery period reduces once", () => {
      const cc = makeController(name, MDS);
      assert.equal(cc.onCongestionEvent(50, 100), true);
      assert.equal(cc.cwndBytes, Math.floor(12_000 * beta));
      assert.equal(cc.ssthreshBytes, cc.cwndBytes);
      assert.equal(cc.onCongestionEvent(100, 150), false, "sent before the period began");
      assert.equal(cc.cwndBytes, Math.floor(12_000 * beta));
      assert.equal(cc.onCongestionEvent(101, 160), true, "sent in it");
      assert.ok(Math.abs(cc.cwndBytes - 12_000 * beta * beta) <= 1);
    });

    test("RFC 9002 §7.2 no event reduces below two datagrams", () => {
      const cc = makeController(name, MDS);
      for (let i = 1; i < 20; i++) cc.onCongestionEvent(i, i);
      assert.equal(cc.cwndBytes, 2400);
    });

    test("RFC 9002 §7.6.2 persistent congestion leaves two datagrams and slow start up to the threshold", () => {
      const cc = makeController(name, MDS);
      cc.onCongestionEvent(50, 100);
      const { ssthreshBytes } = cc;
      cc.onPersistentCongestion();
      assert.equal(cc.cwndBytes, 2400);
      assert.equal(cc.recoveryStartMicros, -1);
      cc.onPacketsAcked(1200, true, sampled(), 200);
      assert.equal(cc.cwndBytes, 3600);
      assert.equal(cc.ssthreshBytes, ssthreshBytes);
    });

    test("a congestion event that was none is undone, once", () => {
      const cc = makeController(name, MDS);
      cc.onPacketsAcked(12_000, true, sampled(), 1);
      cc.onCongestionEvent(50, 100);
      cc.onSpuriousCongestion();
      assert.equal(cc.cwndBytes, 24_000);
      assert.equal(cc.ssthreshBytes, Infinity);
      cc.onCongestionEvent(150, 200);
      cc.onPersistentCongestion();
      cc.onSpuriousCongestion();
      assert.equal(cc.cwndBytes, 2400, "persistent congestion stands");
    });

    test("the window never passes its cap", () => {
      const cc = makeController(name, MDS);
      cc.onPacketsAcked(MAX_CWND_BYTES, true, sampled(), 1);
      assert.equal(cc.cwndBytes, MAX_CWND_BYTES);
    });

    test("RFC 9406 §4.3 the end of slow start by a longer RTT sets the threshold to the window", () => {
      const cc = makeController(name, MDS);
      const rtt = sampled();
      let now = 40_000;
      for (let round = 0; round < 12 && cc.ssthreshBytes === Infinity; round++) {
        rtt.update(40_000 + round * 10_000, 0, now);
        for (let i = 0; i < 8; i++) {
          cc.onRttSample(rtt, i === 7 ? now : now - 1, now + rtt.latestRttMicros);
          cc.onPacketsAcked(MDS, true, rtt, now + rtt.latestRttMicros);
        }
        now += rtt.latestRttMicros;
      }
      assert.ok(cc.ssthreshBytes <= cc.cwndBytes);
      assert.ok(cc.ssthreshBytes > 12_000);
      assert.equal(cc.recoveryStartMicros, -1, "without a congestion event");
    });
  });
}

test("RFC 9002 §7.3.3 NewReno grows by one datagram for each window that is acknowledged", () => {
  const cc = makeController("newreno", MDS);
  cc.onCongestionEvent(50, 100);
  assert.equal(cc.cwndBytes, 6000);
  for (let i = 0; i < 4; i++) cc.onPacketsAcked(1200, true, sampled(), 200);
  assert.equal(cc.cwndBytes, 6000);
  cc.onPacketsAcked(1200, true, sampled(), 200);
  assert.equal(cc.cwndBytes, 7200);
  cc.onPacketsAcked(7200, true, sampled(), 300);
  assert.equal(cc.cwndBytes, 8400);
});
