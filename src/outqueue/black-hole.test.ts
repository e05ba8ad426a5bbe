import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import type { AckFrame } from "../frame/ack.js";
import { MTU_BLACK_HOLE_ROUNDS } from "../proto/limits.js";
import { SPACE_APP } from "../proto/space.js";
import { Recovery } from "./recovery.js";
import { REC_MTU_PROBE, REC_PING } from "./sent.js";

const SMALL = 1200;
const LARGE = 1201;
const RTT_MICROS = 20_000;

let recovery: Recovery;
let nowMicros: number;
let lostProbes: number[];
let ackedProbes: number[];

beforeEach(() => {
  lostProbes = [];
  ackedProbes = [];
  recovery = new Recovery(
    { isServer: true, congestion: "newreno", datagramBytes: SMALL },
    {
      onFrameAcked: (_space, kind, id) => void (kind === REC_MTU_PROBE && ackedProbes.push(id)),
      onFrameLost: (_space, kind, id) => void (kind === REC_MTU_PROBE && lostProbes.push(id)),
    },
  );
  recovery.handshakeConfirmed = true;
  nowMicros = 1_000_000;
});

function send(...sizes: number[]): number {
  const sent = recovery.sent[SPACE_APP];
  for (const bytes of sizes) {
    sent.open(sent.next, nowMicros);
    sent.note(REC_PING, 0, 0, 0);
    recovery.onPacketSent(SPACE_APP, bytes, true, true, nowMicros);
  }
  return sent.next - 1;
}

function sendProbe(bytes: number): number {
  const sent = recovery.sent[SPACE_APP];
  sent.open(sent.next, nowMicros);
  sent.note(REC_MTU_PROBE, bytes, 0, 0);
  recovery.onPacketSent(SPACE_APP, bytes, true, true, nowMicros);
  sent.markLastMtuProbe();
  return sent.next - 1;
}

function ack(...pns: number[]): void {
  const descending = [...pns].sort((a, b) => b - a);
  const numbers = Float64Array.from(descending);
  const frame: AckFrame = {
    largest: descending[0],
    delay: 0,
    count: descending.length,
    first: numbers,
    last: numbers,
    hasEcn: false,
    ect0: 0,
    ect1: 0,
    ce: 0,
  };
  nowMicros += RTT_MICROS;
  assert.equal(recovery.onAck(SPACE_APP, frame, nowMicros), 0);
}

/** A flight whose large packet is lost and whose small ones arrive. */
function badRound(): void {
  const last = send(LARGE, SMALL, SMALL, SMALL);
  ack(last - 2, last - 1, last);
}

describe("black hole detection", () => {
  test("RFC 8899 §4.3 MTU_BLACK_HOLE_ROUNDS flights in a row without a large packet that arrives", () => {
    for (let round = 1; round <= MTU_BLACK_HOLE_ROUNDS; round++) {
      assert.equal(recovery.blackHole.found, false);
      badRound();
    }
    assert.equal(recovery.blackHole.found, true);
  });

  test("many losses of one flight are one round", () => {
    const last = send(LARGE, LARGE, LARGE, LARGE, LARGE, SMALL, SMALL, SMALL);
    ack(last - 2);
    ack(last - 1, last);
    for (let round = 2; round <= MTU_BLACK_HOLE_ROUNDS; round++) {
      assert.equal(recovery.blackHole.found, false);
      badRound();
    }
    assert.equal(recovery.blackHole.found, true);
  });

  test("an acknowledged large packet ends the suspicion", () => {
    for (let round = 1; round < MTU_BLACK_HOLE_ROUNDS; round++) badRound();
    ack(send(LARGE));
    badRound();
    assert.equal(recovery.blackHole.found, false);
  });

  test("losses among large packets that arrive are congestion", () => {
    for (let round = 0; round < 2 * MTU_BLACK_HOLE_ROUNDS; round++) {
      const last = send(LARGE, LARGE, LARGE, LARGE, LARGE);
      ack(last - 3, last - 2, last);
    }
    assert.ok(recovery.packetsLost > 0);
    assert.equal(recovery.blackHole.found, false);
  });

  test("lost packets of the base size say nothing", () => {
    for (let round = 0; round < 2 * MTU_BLACK_HOLE_ROUNDS; round++) {
      const last = send(SMALL, SMALL, SMALL, SMALL);
      ack(last - 2, last - 1, last);
    }
    assert.equal(recovery.blackHole.found, false);
  });

  test("what was in flight when datagrams shrank does not count", () => {
    for (let round = 1; round <= MTU_BLACK_HOLE_ROUNDS; round++) badRound();
    const last = send(LARGE, LARGE, LARGE, LARGE, SMALL, SMALL, SMALL);
    recovery.blackHole.onLeft(recovery.sent[SPACE_APP]);
    assert.equal(recovery.blackHole.found, false);
    for (let pn = last - 2; pn <= last; pn++) ack(pn);
    for (let round = 1; round < MTU_BLACK_HOLE_ROUNDS; round++) badRound();
    assert.equal(recovery.blackHole.found, false);
  });
});

describe("probes of the path MTU in recovery", () => {
  test("RFC 9000 §14.4 a lost probe is no congestion, no lost packet and no black hole, and is told once", () => {
    const { cwndBytes } = recovery.cc;
    for (let round = 1; round <= 2 * MTU_BLACK_HOLE_ROUNDS; round++) {
      sendProbe(LARGE);
      const last = send(SMALL, SMALL, SMALL);
      ack(last - 2, last - 1, last);
      assert.deepEqual(
        lostProbes,
        Array.from({ length: round }, () => LARGE),
      );
    }
    assert.equal(recovery.packetsLost, 0);
    assert.equal(recovery.congestionEvents, 0);
    assert.ok(recovery.cc.cwndBytes >= cwndBytes);
    assert.equal(recovery.bytesInFlight, 0);
    assert.equal(recovery.blackHole.found, false);
  });

  test("RFC 9000 §14.4 a probe counts in the congestion window", () => {
    sendProbe(LARGE);
    assert.equal(recovery.bytesInFlight, LARGE);
  });

  test("a probe that is acknowledged after it was declared lost is told, and is no spurious loss", () => {
    const probe = sendProbe(LARGE);
    const last = send(SMALL, SMALL, SMALL);
    ack(last - 2, last - 1, last);
    ack(probe, last);
    assert.deepEqual(ackedProbes, [LARGE]);
    assert.equal(recovery.spuriousLosses, 0);
    assert.equal(recovery.bytesInFlight, 0);
  });

  test("RFC 9002 §6.2.4 a probe timeout does not repeat it", () => {
    sendProbe(LARGE);
    nowMicros = recovery.deadline();
    recovery.onTimeout(nowMicros);
    assert.equal(recovery.ptoCountTotal, 1);
    assert.deepEqual(lostProbes, []);
  });
});
