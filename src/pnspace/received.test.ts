import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ACK_RANGE_REPEATS, MAX_ACK_RANGES } from "../proto/limits.js";
import { PN_DUPLICATE, PN_NEW, PN_TOO_OLD, ReceivedPns } from "./received.js";

function ranges(received: ReceivedPns): [number, number][] {
  const out: [number, number][] = [];
  for (let i = 0; i < received.count; i++) out.push([received.first[i], received.last[i]]);
  return out;
}

function withPns(...pns: number[]): ReceivedPns {
  const received = new ReceivedPns();
  for (const pn of pns) assert.equal(received.record(pn, pn), PN_NEW);
  return received;
}

describe("received packet numbers", () => {
  test("RFC 9000 §12.3 a number is new once", () => {
    const received = withPns(0, 1, 5);
    for (const pn of [0, 1, 5]) assert.equal(received.record(pn, 9), PN_DUPLICATE);
    assert.deepEqual(ranges(received), [
      [0, 1],
      [5, 5],
    ]);
  });

  test("RFC 9000 §13.2.3 ranges join when the gap between them fills", () => {
    const received = withPns(0, 2, 1);
    assert.deepEqual(ranges(received), [[0, 2]]);
    assert.deepEqual(ranges(withPns(5, 4, 6, 9, 8)), [
      [4, 6],
      [8, 9],
    ]);
  });

  test("RFC 9000 §13.2.5 the time of the largest number is kept, not that of a later smaller one", () => {
    const received = new ReceivedPns();
    assert.equal(received.largest, -1);
    received.record(7, 100);
    received.record(3, 200);
    assert.equal(received.largest, 7);
    assert.equal(received.largestTimeMicros, 100);
  });

  test("9000-13.2.3-01 every second number for ever keeps MAX_ACK_RANGES ranges, the newest", () => {
    const received = new ReceivedPns();
    const packets = 100_000;
    for (let i = 0; i < packets; i++) assert.equal(received.record(2 * i, i), PN_NEW);
    assert.equal(received.count, MAX_ACK_RANGES);
    assert.equal(received.first.length, MAX_ACK_RANGES);
    assert.equal(received.last[received.count - 1], 2 * (packets - 1));
    assert.equal(received.record(0, 0), PN_TOO_OLD);
    assert.equal(received.record(1, 0), PN_TOO_OLD, "never seen, but a duplicate cannot be ruled out");
  });

  test("a number that would be the oldest range of a full table is refused and nothing is forgotten for it", () => {
    const received = new ReceivedPns();
    for (let i = 0; i < MAX_ACK_RANGES; i++) received.record(1000 + 2 * i, i);
    assert.equal(received.record(10, 1), PN_TOO_OLD);
    assert.equal(received.first[0], 1000);
    assert.equal(received.record(999, 1), PN_NEW, "but it may extend the oldest range");
  });

  test("RFC 9000 §13.2.4 what the peer knows we received is forgotten, and stays refused", () => {
    const received = withPns(0, 1, 4, 5, 6, 9);
    received.forgetBelow(5);
    assert.deepEqual(ranges(received), [
      [5, 6],
      [9, 9],
    ]);
    for (const pn of [0, 2, 4]) assert.equal(received.record(pn, 1), PN_TOO_OLD);
    received.forgetBelow(3);
    assert.deepEqual(
      ranges(received),
      [
        [5, 6],
        [9, 9],
      ],
      "the floor never falls",
    );
  });

  test("RFC 9000 §13.2.3 the largest number is kept whatever is forgotten", () => {
    const received = withPns(0, 1, 4);
    received.forgetBelow(1000);
    assert.deepEqual(ranges(received), [[4, 4]]);
    assert.equal(received.record(5, 1), PN_NEW);
    assert.equal(received.record(4, 1), PN_DUPLICATE);
    new ReceivedPns().forgetBelow(10);
  });

  test("RFC 9001 §4.9 a space whose keys are gone has no ranges and takes no number", () => {
    const received = withPns(0, 1, 4);
    received.close();
    assert.equal(received.count, 0);
    for (const pn of [0, 2, 4, 5]) assert.equal(received.record(pn, 1), PN_TOO_OLD);
    received.forgetBelow(5);
    assert.equal(received.count, 0);
  });

  test("isContiguous sees gaps above the given number only, and takes forgotten ones as received", () => {
    const received = withPns(0, 1, 4, 5);
    assert.equal(received.isContiguous(-1, 1), true);
    assert.equal(received.isContiguous(1, 5), false);
    assert.equal(received.isContiguous(3, 5), true);
    received.forgetBelow(4);
    assert.equal(received.isContiguous(1, 5), true);
  });

  test("RFC 9000 §13.2.4 a range is told in ACK_RANGE_REPEATS frames, again when it changes late, and one range for ever", () => {
    const received = withPns(0, 2, 3);
    for (let frame = 0; frame < ACK_RANGE_REPEATS; frame++) {
      assert.equal(received.toldBelow, 0);
      received.onTold();
      received.record(4 + frame, 0);
    }
    received.onTold();
    assert.equal(received.toldBelow, 3);
    received.record(1, 0);
    assert.equal(received.toldBelow, 1);
    for (let frame = 0; frame < ACK_RANGE_REPEATS; frame++) {
      received.onTold();
      assert.equal(received.toldBelow, 1);
    }
    received.onTold();
    assert.equal(received.toldBelow, received.largest);
  });

  test("numbers without a gap need nothing remembered", () => {
    const received = withPns(0, 1, 2);
    for (let i = 0; i < 100; i++) received.onTold();
    assert.equal(received.toldBelow, 0);
  });
});
