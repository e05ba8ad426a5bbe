import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { RecvCredit, SendCredit } from "./credit.js";

const NEVER_TUNED = 0; // an RTT of 0: no update is ever quick enough

describe("SendCredit", () => {
  test("RFC 9000 §4.1 a limit that is not higher is ignored [9000-4.1-03]", () => {
    const credit = new SendCredit();
    assert.equal(credit.raise(1000), true);
    assert.equal(credit.raise(10), false);
    credit.used = 400;
    assert.equal(credit.available, 600);
  });
});

describe("RecvCredit", () => {
  test("begins anew with other limits, below or above those before", () => {
    const credit = new RecvCredit(1000, 4000, 0);
    for (const [initialBytes, maxBytes] of [
      [500, 2000],
      [3000, 9000],
      [10_000, 8000],
    ] as const) {
      credit.begin(initialBytes, maxBytes);
      assert.deepEqual([credit.advertised, credit.windowBytes], [initialBytes, initialBytes]);
      credit.widen(Infinity);
      assert.equal(credit.windowBytes, Math.max(initialBytes, maxBytes));
    }
  });

  test("an update is due when it doubles what the peer has left: half the window when all is read", () => {
    const credit = new RecvCredit(1000, 1000, 0);
    credit.received = credit.consumed = 499;
    assert.equal(credit.isDue(), false);
    credit.received = credit.consumed = 500;
    assert.equal(credit.isDue(), true);
    assert.equal(credit.update(0, NEVER_TUNED), 1500);
  });

  test("a large window comes back in sixteenths, so that a peer that fills it does not wait for half of it", () => {
    const windowBytes = 1_048_576;
    const credit = new RecvCredit(windowBytes, windowBytes, 0);
    credit.received = credit.consumed = windowBytes / 16 - 1;
    assert.equal(credit.isDue(), false);
    credit.received = credit.consumed = windowBytes / 16;
    assert.equal(credit.isDue(), true);
    const small = new RecvCredit(16_384, 16_384, 0);
    small.received = small.consumed = 4095;
    assert.equal(small.isDue(), false, "a frame for few bytes is not worth it");
  });

  test("the window doubles by use, in however many updates half of it comes back", () => {
    const windowAfter = (pieces: number, pauseMicros: number): number => {
      const credit = new RecvCredit(1_048_576, 4 * 1_048_576, 0);
      for (let piece = 0; piece < pieces; piece++) {
        credit.received = credit.consumed += 1_048_576 / 8;
        credit.update(piece * pauseMicros, 1000);
      }
      return credit.windowBytes / 1_048_576;
    };
    assert.equal(windowAfter(7, 499), 1, "the first half only starts the clock");
    assert.equal(windowAfter(8, 499), 2);
    assert.equal(windowAfter(8, 500), 1);
  });

  test("one stream that is never read leaves the rest of the connection usable, however little that is", () => {
    const credit = new RecvCredit(1000, 1000, 0);
    credit.received = 990; // never read
    for (let round = 0; round < 50; round++) {
      const step = Math.min(5, credit.advertised - credit.received);
      assert.ok(step > 0, "the peer is never blocked for good");
      credit.received += step;
      credit.consumed += step;
      if (credit.isDue()) credit.update(0, NEVER_TUNED);
    }
    assert.ok(credit.advertised <= credit.consumed + 1000);
  });

  test("credit is not dribbled: a stream's update gives a share of the window, unless the peer asks", () => {
    const credit = new RecvCredit(1600, 1600, 1 / 16);
    credit.received = 1600;
    credit.consumed = 99;
    assert.equal(credit.isDue(), false);
    assert.equal(credit.canRaise(), true);
    credit.consumed = 100;
    assert.equal(credit.isDue(), true);
  });

  test("a window grows by what is read, never by what is received", () => {
    const credit = new RecvCredit(1000, 8000, 0);
    credit.received = 1000;
    assert.equal(credit.isDue(), false);
    assert.equal(credit.canRaise(), false);
  });

  test("where memory is short the window grows by less, or not at all", () => {
    const windows = (growth: number): number[] => {
      const credit = new RecvCredit(1000, 3000, 0);
      return [0, 1500, 3000, 4500, 6000].map((now) => {
        credit.received = credit.consumed = credit.advertised;
        credit.update(now, 1000, growth);
        return credit.windowBytes;
      });
    };
    assert.deepEqual(windows(1.5), [1000, 1500, 2250, 3000, 3000]);
    assert.deepEqual(windows(1), [1000, 1000, 1000, 1000, 1000]);
  });

  test("the window doubles up to its maximum when updates follow within two round trips", () => {
    const credit = new RecvCredit(1000, 3000, 0);
    const windows: number[] = [];
    for (let round = 0, now = 0; round < 5; round++, now += 1500) {
      credit.received = credit.consumed = credit.advertised;
      credit.update(now, 1000);
      windows.push(credit.windowBytes);
    }
    assert.deepEqual(windows, [1000, 2000, 3000, 3000, 3000]);
    const slow = new RecvCredit(1000, 3000, 0);
    for (let round = 0, now = 0; round < 5; round++, now += 2000) {
      slow.received = slow.consumed = slow.advertised;
      slow.update(now, 1000);
    }
    assert.equal(slow.windowBytes, 1000);
    for (let round = 0; round < 5; round++) slow.update(10_000, 1000);
    assert.equal(slow.windowBytes, 1000, "repeating a lost update is no use of the window");
  });

  test("a window is a whole number of bytes", () => {
    const credit = new RecvCredit(1, 1000, 0);
    credit.widen(4.5);
    assert.equal(credit.update(0, NEVER_TUNED), 4);
  });
});
