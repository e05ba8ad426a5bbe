import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MemoryAccount, withinLimits } from "./memory.js";
import type { MemoryLimits } from "../runtime/memory-level.js";
import { defaultLimits } from "./sysctl.js";

const LIMITS: MemoryLimits = { ...defaultLimits(), memBytes: [1000, 2000, 3000] };

/** An account whose sum a test sets. */
function bench(): { account: MemoryAccount; at(held: number): string; sums(): number; process: { bytes: number } } {
  const process = { bytes: 1e9 };
  let held = 0;
  let sums = 0;
  const account = new MemoryAccount(
    LIMITS,
    () => {
      sums++;
      return held;
    },
    () => process.bytes,
  );
  const at = (bytes: number): string => {
    held = bytes;
    return account.sample();
  };
  return { account, at, sums: () => sums, process };
}

describe("memory of all connections", () => {
  test("pressure begins above the second mark and ends below the first", () => {
    const { at } = bench();
    assert.deepEqual([2000, 2001, 2000, 1000, 999, 2000].map(at), [
      "ok",
      "pressure",
      "pressure",
      "pressure",
      "ok",
      "ok",
    ]);
  });

  test("above the third connections are refused, until no longer above it", () => {
    const { account, at } = bench();
    assert.equal(at(3000), "pressure");
    assert.equal(account.pressure.refusesConnections, false);
    assert.equal(at(3001), "high");
    assert.deepEqual(account.pressure, { windowGrowth: 1, refusesConnections: true });
    assert.equal(at(3000), "pressure");
    assert.deepEqual(account.pressure, { windowGrowth: 1.5, refusesConnections: false });
    at(3001);
    assert.equal(at(1500), "pressure");
    at(3001);
    assert.equal(at(999), "ok");
    assert.deepEqual(account.pressure, { windowGrowth: 2, refusesConnections: false });
  });

  test("a process that is small is not summed", () => {
    const { at, sums, process } = bench();
    process.bytes = 499;
    assert.equal(at(5000), "ok");
    assert.equal(sums(), 0);
    process.bytes = 500;
    assert.equal(at(5000), "high");
  });

  test("what is said of all programs together holds, too, whichever is worse", () => {
    const { account, at } = bench();
    account.setOutside("high");
    assert.equal(account.level, "high");
    assert.equal(at(0), "high");
    account.setOutside("pressure");
    assert.equal(at(0), "pressure");
    assert.equal(at(3001), "high");
    account.setOutside("ok");
    assert.equal(at(0), "ok");
  });

  test("new limits hold at once", () => {
    const { account, at } = bench();
    at(1500);
    account.setLimits({ ...LIMITS, memBytes: [10, 20, 30] });
    assert.equal(account.level, "high");
  });
});

describe("what a connection may ask for", () => {
  const limits: MemoryLimits = { ...LIMITS, rmemBytes: [1200, 5000, 9000], wmemBytes: [1200, 6000, 8000] };

  test("without limits everything stays as it is", () => {
    assert.deepEqual(withinLimits({ initialMaxData: 1e9 }, LIMITS), { initialMaxData: 1e9 });
  });

  test("windows and buffers begin with the default and end at the most", () => {
    const config = withinLimits({}, limits);
    assert.deepEqual([config.initialMaxData, config.connWindowMaxBytes, config.sendBufferBytes], [5000, 9000, 6000]);
    assert.deepEqual([config.initialMaxStreamDataUni, config.streamWindowMaxBytes], [5000, 9000]);
  });

  test("more than the most is the most, less stays, and no stream has more than its connection", () => {
    const given = {
      initialMaxData: 9001,
      initialMaxStreamDataUni: 1e6,
      connWindowMaxBytes: 100,
      sendBufferBytes: 8001,
    };
    const config = withinLimits({ ...given, initialMaxStreamDataBidiLocal: 9000 }, limits);
    assert.deepEqual([config.initialMaxData, config.initialMaxStreamDataUni], [9000, 9000]);
    assert.deepEqual([config.initialMaxStreamDataBidiLocal, config.connWindowMaxBytes], [9000, 100]);
    assert.equal(config.sendBufferBytes, 8000);
  });
});
