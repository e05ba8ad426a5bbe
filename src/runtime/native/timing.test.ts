import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AEAD_AES_128_GCM, SEAL_COLS } from "../../port/aead.js";
import { loadAddon } from "./addon.js";
import { newNativeAead } from "./aead.js";
import { readTiming, startTiming, stopTiming } from "./timing.js";

describe("the addon's own counters", () => {
  const aead = newNativeAead();

  /** A seal of `count` packets of 1,400 bytes. */
  function sealer(): (pn: number, count: number) => void {
    const key = aead.newKey(AEAD_AES_128_GCM, new Uint8Array(16), new Uint8Array(12));
    const hp = aead.newHeaderKey(AEAD_AES_128_GCM, new Uint8Array(16));
    const batch = { buf: new Uint8Array(64 * 1500), rows: new Int32Array(64 * SEAL_COLS), count: 0 };
    return (pn, count) => {
      batch.count = count;
      for (let i = 0; i < count; i++) {
        batch.rows.set([i * 1500, i * 1500 + 9, 4, i * 1500 + 1400, key, hp, pn + i, 0], i * SEAL_COLS);
      }
      assert.equal(aead.seal(batch), count);
    };
  }

  test("count calls and CPU time while they are on, and nothing else", () => {
    const seal = sealer();
    stopTiming();
    seal(0, 1);
    assert.equal(readTiming().calls.aeadSeal, 0);
    startTiming();
    for (let i = 0; i < 10; i++) seal(100 * (i + 1), 64);
    const { calls, nanos } = readTiming();
    stopTiming();
    assert.deepEqual(calls, { udpRecv: 0, udpSend: 0, aeadSeal: 10, aeadUnmask: 0, aeadOpen: 0, aeadScatter: 0 });
    assert.ok(nanos.aeadSeal > 640 * 20 && nanos.aeadSeal < 60e9, `${nanos.aeadSeal} ns for 640 packets`);
    assert.equal(nanos.aeadOpen, 0);
    startTiming();
    assert.equal(readTiming().calls.aeadSeal, 0, "each start counts from zero");
    stopTiming();
  });

  test("the thread's clock runs with its work and stands while it sleeps", async () => {
    const startedAt = performance.now();
    const before = readTiming().threadNanos;
    await new Promise((resolve) => setTimeout(resolve, 60));
    const asleep = readTiming().threadNanos - before;
    const slept = (performance.now() - startedAt) * 1e6;
    assert.ok(asleep < slept * 0.8, `${asleep} ns of ${slept} ns`);
    let sum = 0;
    for (let i = 0; i < 5e6; i++) sum += Math.sqrt(i);
    assert.ok(sum > 0 && readTiming().threadNanos - before > asleep);
  });

  test("refuse a box that is too small or of another type, and a flag that is none", () => {
    const addon = loadAddon<{ timingRead(box: unknown): void; timingStart(on: unknown): void }>();
    for (const box of [new Float64Array(11), new Int32Array(64), {}, undefined]) {
      assert.throws(() => addon.timingRead(box), { code: "ERR_INVALID_ARG_TYPE" });
    }
    assert.throws(() => addon.timingStart(1), { code: "ERR_INVALID_ARG_TYPE" });
  });
});
