import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { systemClock } from "./clock.js";
import { LoopTimer } from "./timer.js";
import { until } from "./udp.contract.js";

function sleep(millis: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, millis));
}

/** Rounds of which one has to be as fast as a quiet machine is: another process may have the core at any time. */
const ROUNDS = 40;

/** What a quarter of the last forty are below; NaN while there are fewer. */
function quarterOf(lateMicros: readonly number[]): number {
  return lateMicros.length < 40 ? Number.NaN : (lateMicros.slice(-40).sort((a, b) => a - b)[10] as number);
}

describe("loop timer", () => {
  test("fires once near its deadline, and not after cancel", async () => {
    let fired = 0;
    let firedAt = 0;
    const timer = new LoopTimer(() => {
      fired++;
      firedAt = systemClock.nowMicros();
    });
    const now = systemClock.nowMicros();
    timer.arm(now + 5000, now, true);
    assert.equal(fired, 0);
    await until(
      () => fired > 0,
      () => "did not fire",
    );
    assert.equal(fired, 1);
    assert.ok(firedAt >= now + 5000 - 1000, `${firedAt - now} µs after it was armed`);
    timer.arm(now + 40_000, now, true);
    timer.cancel();
    timer.arm(Infinity, now, true);
    await sleep(30);
    assert.equal(fired, 1);
  });

  test("a deadline nearer than a timeout can meet is met by turning, within a fraction of a millisecond", async () => {
    const lateMicros: number[] = [];
    // a timeout is late by a millisecond every time
    for (let i = 0; i < 40 * ROUNDS && !(quarterOf(lateMicros) < 500); i++) {
      const start = systemClock.nowMicros();
      const deadline = start + 300;
      await new Promise<void>((resolve) => {
        const timer = new LoopTimer(() => {
          const now = systemClock.nowMicros();
          if (now < deadline) timer.arm(deadline, now, true);
          else resolve();
        });
        timer.arm(deadline, start, true);
      });
      lateMicros.push(systemClock.nowMicros() - deadline);
    }
    assert.ok(quarterOf(lateMicros) < 500, `a quarter of them late by ${quarterOf(lateMicros)} µs or more`);
  });

  test("a fine timer waits for near deadlines, the loop turns for nearer ones, and what it was armed for before is void", async () => {
    const calls: (number | string)[] = [];
    let goOff = (): void => {};
    let fired = 0;
    const timer = new LoopTimer(
      () => fired++,
      (onTime) => {
        goOff = onTime;
        calls.push("new");
        return { arm: (delayMicros) => calls.push(delayMicros), close: () => calls.push("close") };
      },
    );
    timer.arm(20_000, 0, true);
    assert.deepEqual(calls, [], "far: not even made");
    timer.arm(7000, 0, true);
    timer.arm(60, 0, true);
    timer.arm(500, 0, true);
    assert.deepEqual(calls, ["new", 7000, 60]);
    goOff();
    assert.equal(fired, 1);
    timer.arm(500, 100, true);
    timer.arm(120, 100, true); // by turning
    goOff();
    assert.equal(fired, 1);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(fired, 2);
    timer.arm(10, 0, false); // without leave to turn
    timer.cancel();
    goOff();
    timer.arm(300, 0, true);
    timer.close();
    goOff();
    assert.equal(fired, 2);
    assert.deepEqual(calls, ["new", 7000, 60, 400, 10, 300, "close"]);
  });

  test("without a fine timer, or when none can be had, the loop turns and times out as ever", async () => {
    let asked = 0;
    let fired = 0;
    const timer = new LoopTimer(
      () => fired++,
      () => {
        asked++;
        throw new Error("none");
      },
    );
    for (const delayMicros of [300, 3000, 20]) {
      timer.arm(delayMicros, 0, true);
      const before = fired;
      await until(
        () => fired > before,
        () => `did not fire for ${delayMicros}`,
      );
      assert.equal(fired, before + 1);
    }
    assert.equal(asked, 1);
  });

  test("an earlier deadline takes over, a later one leaves the timer alone", async () => {
    let fired = 0;
    const timer = new LoopTimer(() => fired++);
    const now = systemClock.nowMicros();
    timer.arm(now + 60_000_000, now, true);
    timer.arm(now + 3000, now, true);
    timer.arm(now + 50_000_000, now, true);
    for (const count of [1, 2]) {
      await until(
        () => fired >= count,
        () => `fired ${fired} times`,
      );
      assert.equal(fired, count);
      timer.arm(now + 60_000, now, true);
    }
    timer.cancel();
  });

  test("a delay beyond 2^31-1 ms does not fire at once", async () => {
    let fired = 0;
    const timer = new LoopTimer(() => fired++);
    const now = systemClock.nowMicros();
    timer.arm(now + (2 ** 31 + 5000) * 1000, now, true);
    await sleep(20);
    assert.equal(fired, 0);
    timer.cancel();
  });

  test("a timeout does not keep the process alive; without leave to turn, nothing does", () => {
    const busy = (): string[] => process.getActiveResourcesInfo().filter((r) => r === "Timeout" || r === "Immediate");
    const before = busy().length;
    const timer = new LoopTimer(() => {});
    const now = systemClock.nowMicros();
    timer.arm(now + 5_000_000, now, true);
    assert.equal(busy().length, before);
    timer.arm(now + 10, now, false);
    assert.equal(busy().length, before);
    timer.cancel();
    timer.arm(now + 10, now, true);
    assert.equal(busy().length, before + 1);
    timer.cancel();
  });
});
