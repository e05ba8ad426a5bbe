import assert from "node:assert/strict";
import { test } from "node:test";
import { newAckFrame } from "../frame/ack.js";
import { MAX_SENT_PACKETS, MAX_SENT_RECORDS } from "../proto/limits.js";
import { SPACE_APP } from "../proto/space.js";
import { AckSummary, markAcked, markLost } from "./ack.js";
import {
  type FrameFates,
  REC_ACK,
  REC_STREAM,
  REC_STREAM_FIN,
  SENT_OUTSTANDING,
  SENT_STATE_MASK,
  SentPackets,
} from "./sent.js";

class Fates implements FrameFates {
  acked: number[] = [];
  lost: number[] = [];
  onFrameAcked(_space: number, _kind: number, id: number): void {
    this.acked.push(id);
  }
  onFrameLost(_space: number, _kind: number, id: number): void {
    this.lost.push(id);
  }
}

const PERIODS = { recoveryStartMicros: -1, priorRecoveryMicros: -1 };

function send(sent: SentPackets, pn: number, records: number, inFlight = true, nowMicros = pn): void {
  sent.open(pn, nowMicros);
  for (let i = 0; i < records; i++) sent.note(REC_STREAM, pn * 1000 + i, 0, 1);
  sent.commit(1000, inFlight, inFlight);
}

function acknowledge(sent: SentPackets, fates: Fates, ...ranges: [first: number, last: number][]): number {
  const first = Float64Array.from(ranges, (range) => range[0]);
  const last = Float64Array.from(ranges, (range) => range[1]);
  const ack = { largest: last[0], delay: 0, count: ranges.length, first, last, hasEcn: false, ect0: 0, ect1: 0, ce: 0 };
  const error = markAcked(sent, ack, PERIODS, new AckSummary(), fates);
  sent.reclaim(-1);
  return error;
}

test("RFC 9002 A.1 every frame of a packet learns its fate, in order, across growing and wrapping rings", () => {
  const sent = new SentPackets(SPACE_APP);
  const fates = new Fates();
  const expected: number[] = [];
  for (let pn = 0; pn < 5000; pn++) {
    send(sent, pn, pn % 7);
    for (let i = 0; i < pn % 7; i++) expected.push(pn * 1000 + i);
    // A flight of 100 packets at first and of 1,000 later.
    const trail = pn < 2000 ? 100 : 1000;
    if (pn >= trail) assert.equal(acknowledge(sent, fates, [Math.max(0, pn - trail - 3), pn - trail]), 0);
  }
  assert.equal(acknowledge(sent, fates, [0, 4999]), 0);
  assert.equal(fates.acked.length, expected.length);
  assert.deepEqual(
    fates.acked.slice().sort((a, b) => a - b),
    expected,
  );
  assert.equal(sent.bytesInFlight, 0);
  assert.equal(sent.elicitingCount, 0);
  assert.equal(sent.base, 5000);
});

test("an aborted packet leaves no trace and its number may be used", () => {
  const sent = new SentPackets(SPACE_APP);
  const fates = new Fates();
  sent.open(0, 0);
  sent.note(REC_STREAM, 99, 0, 1);
  assert.equal(sent.hasNotes, true);
  sent.abort();
  assert.equal(sent.next, 0);
  send(sent, 0, 1);
  acknowledge(sent, fates, [0, 0]);
  assert.deepEqual(fates.acked, [0]);
});

test("RFC 9002 §2 padding is in flight, and makes an acknowledgement-only packet so", () => {
  const sent = new SentPackets(SPACE_APP);
  send(sent, 0, 1);
  sent.addBytes(200);
  assert.equal(sent.bytesInFlight, 1200);
  send(sent, 1, 1, false);
  assert.equal(sent.bytesInFlight, 1200);
  sent.addBytes(200);
  assert.equal(sent.bytesInFlight, 2400);
  acknowledge(sent, new Fates(), [0, 1]);
  assert.equal(sent.bytesInFlight, 0);
});

test("the ring stops at its limit, for data first, for probes last, and goes on when packets are acknowledged", () => {
  const sent = new SentPackets(SPACE_APP);
  const fates = new Fates();
  let pn = 0;
  while (!sent.full) send(sent, pn++, 1);
  assert.ok(pn < MAX_SENT_PACKETS - 1024 && pn > MAX_SENT_PACKETS - 1100, `${pn}`);
  assert.equal(sent.fullForAcks, false);
  while (!sent.fullForAcks) send(sent, pn++, 1);
  assert.equal(sent.fullForProbes, false);
  while (!sent.fullForProbes) send(sent, pn++, 1);
  assert.ok(pn < MAX_SENT_PACKETS && pn > MAX_SENT_PACKETS - 100, `${pn}`);
  acknowledge(sent, fates, [10, pn - 1]);
  assert.equal(sent.full, true, "the oldest are still in flight");
  acknowledge(sent, fates, [0, 9]);
  assert.equal(sent.full, false);
  for (let i = 0; i < MAX_SENT_PACKETS / 2; i++) send(sent, pn++, 1);
  assert.equal(sent.mask + 1, MAX_SENT_PACKETS);
  assert.equal(fates.acked.length, pn - MAX_SENT_PACKETS / 2);
});

test("frame records stop at their limit", () => {
  const sent = new SentPackets(SPACE_APP);
  let pn = 0;
  while (!sent.full) send(sent, pn++, 400);
  assert.ok(pn * 400 <= MAX_SENT_RECORDS && pn > 300, `${pn}`);
  acknowledge(sent, new Fates(), [0, pn - 1]);
  assert.equal(sent.full, false);
});

test("lost packets give way when the ring is full", () => {
  const sent = new SentPackets(SPACE_APP);
  const fates = new Fates();
  let pn = 0;
  while (!sent.full) send(sent, pn++, 1);
  for (let i = 0; i < 100; i++) markLost(sent, i, fates);
  assert.equal(sent.full, false);
  assert.equal(sent.base, 100);
});

test("packets with nothing but acknowledgements do not make the ring grow", () => {
  const sent = new SentPackets(SPACE_APP);
  for (let pn = 0; pn < 100_000; pn++) {
    sent.open(pn, pn);
    sent.note(REC_ACK, pn, 0, 0);
    sent.commit(40, false, false);
  }
  assert.ok(sent.mask < 512, `${sent.mask + 1} slots`);
  assert.equal(sent.full, false);
  const fates = new Fates();
  acknowledge(sent, fates, [0, 99_999]);
  assert.equal(fates.acked[0], 99_999, "the latest are known");
});

test("RFC 9000 §21.4 a skipped number is watched until the packet after it is settled", () => {
  const sent = new SentPackets(SPACE_APP);
  const fates = new Fates();
  send(sent, 0, 1);
  send(sent, 2, 1);
  acknowledge(sent, fates, [0, 0]);
  assert.notEqual(acknowledge(sent, fates, [0, 1]), 0);
  assert.notEqual(acknowledge(sent, fates, [0, 2]), 0);
  assert.equal(acknowledge(sent, fates, [2, 2], [0, 0]), 0);
  assert.equal(sent.base, 3);
});

test("lost packets stay until they are old", () => {
  const sent = new SentPackets(SPACE_APP);
  const fates = new Fates();
  for (let pn = 0; pn < 4; pn++) send(sent, pn, 1, true, pn * 100);
  markLost(sent, 0, fates);
  markLost(sent, 1, fates);
  sent.reclaim(50);
  assert.equal(sent.base, 1);
  sent.reclaim(1000);
  assert.equal(sent.base, 2);
  assert.equal(sent.flags[2] & SENT_STATE_MASK, SENT_OUTSTANDING);
});

test("clear forgets the packets and keeps the numbers", () => {
  const sent = new SentPackets(SPACE_APP);
  const fates = new Fates();
  for (let pn = 0; pn < 40; pn++) send(sent, pn, 2);
  sent.clear();
  assert.deepEqual([sent.bytesInFlight, sent.elicitingCount, sent.next], [0, 0, 40]);
  assert.equal(acknowledge(sent, fates, [0, 39]), 0);
  assert.deepEqual(fates.acked, []);
  send(sent, 40, 1);
  acknowledge(sent, fates, [40, 40]);
  assert.deepEqual(fates.acked, [40_000]);
});

test("repeated and shifted acknowledgements of a large flight cost little", () => {
  const sent = new SentPackets(SPACE_APP);
  const fates = new Fates();
  const count = 20_000;
  for (let pn = 0; pn < count; pn++) send(sent, pn, 0);
  // Everything but the oldest packet, in pieces of every second packet first: 10,000 runs of one packet.
  for (let top = count - 1; top > 1; top -= 128) {
    const ranges: [number, number][] = [];
    for (let pn = top; pn > Math.max(1, top - 128); pn -= 2) ranges.push([pn, pn]);
    acknowledge(sent, fates, ...ranges);
  }
  let steps = 0;
  const link = sent.link;
  sent.link = new Proxy(link, {
    get(target, key) {
      if (typeof key === "string" && key >= "0" && key <= "9999999") steps++;
      const value = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set(target, key, value) {
      return Reflect.set(target, key, value);
    },
  });
  acknowledge(sent, fates, [1, count - 1]);
  const once = steps;
  assert.ok(once >= count / 2, "the first walk joins the runs");
  steps = 0;
  for (let i = 0; i < 1000; i++) acknowledge(sent, fates, [1, count - 1 - i]);
  assert.ok(steps < 10_000, `${steps} slots read by 1,000 repeated acknowledgements`);
});

test("adjoining ranges of a stream that one ACK acknowledges are told as one, and only these", () => {
  const told: [kind: number, id: number, offset: number, length: number][] = [];
  const fates = {
    onFrameAcked: (_space: number, kind: number, id: number, offset: number, length: number): void => {
      told.push([kind, id, offset, length]);
    },
    onFrameLost: (): void => {},
  };
  const sent = new SentPackets(SPACE_APP);
  const carry = (pn: number, ...frames: [kind: number, id: number, offset: number, length: number][]): void => {
    sent.open(pn, 1);
    for (const frame of frames) sent.note(...frame);
    sent.commit(1200, true, true);
  };
  carry(0, [REC_STREAM, 0, 0, 100]);
  carry(1, [REC_STREAM, 0, 100, 100], [REC_STREAM, 4, 0, 50]);
  carry(2, [REC_STREAM, 4, 50, 50]);
  carry(3, [REC_STREAM, 0, 200, 100]);
  carry(4, [REC_STREAM, 0, 500, 100]); // what lies between is not in this ACK
  carry(5, [REC_STREAM_FIN, 4, 100, 10]);
  carry(6, [REC_STREAM, 32, 700, 100]); // shares a place with stream 0
  carry(7, [REC_STREAM, 0, 600, 100]);
  const ack = { ...newAckFrame(), largest: 7, count: 1 };
  ack.last[0] = 7;
  assert.equal(markAcked(sent, ack, PERIODS, new AckSummary(), fates), 0);
  told.sort((a, b) => a[1] - b[1] || a[2] - b[2]);
  assert.deepEqual(told, [
    [REC_STREAM, 0, 0, 300],
    [REC_STREAM, 0, 500, 100],
    [REC_STREAM, 0, 600, 100],
    [REC_STREAM, 4, 0, 100],
    [REC_STREAM_FIN, 4, 100, 10],
    [REC_STREAM, 32, 700, 100],
  ]);
  assert.equal(sent.bytesInFlight, 0);
});

test("at rest a ring without packets in flight owns no memory, and numbers go on after it", () => {
  const sent = new SentPackets(SPACE_APP);
  const fates = new Fates();
  for (let pn = 0; pn < 40; pn++) send(sent, pn, 2);
  acknowledge(sent, fates, [0, 38]);
  sent.rest();
  assert.notEqual(sent.mask, -1, "packet 39 is in flight");
  acknowledge(sent, fates, [39, 39]);
  send(sent, 40, 1, false); // an acknowledgement, which nobody acknowledges
  sent.rest();
  assert.deepEqual([sent.mask, sent.flags.length, sent.next, sent.largestAcked], [-1, 0, 41, 39]);
  send(sent, 43, 1); // 41 and 42 are skipped
  assert.equal(acknowledge(sent, fates, [40, 40], [30, 30]), 0, "what is forgotten is no news");
  assert.equal(acknowledge(sent, fates, [43, 43]), 0);
  assert.equal(fates.acked.at(-1), 43_000);
});

test("rings that were given back serve others, one at a time", () => {
  const [one, other] = [new SentPackets(SPACE_APP), new SentPackets(SPACE_APP)];
  const fates = new Fates();
  send(one, 0, 1);
  const { flags } = one;
  acknowledge(one, fates, [0, 0]);
  one.rest();
  one.rest();
  send(other, 0, 1);
  send(one, 1, 1);
  assert.equal(other.flags, flags);
  assert.notEqual(one.flags, flags);
  one.clear();
  assert.equal(other.bytesInFlight, 1000);
});
