import assert from "node:assert/strict";
import { test } from "node:test";
import { ECN_TESTING_DATAGRAMS } from "../proto/limits.js";
import { SPACE_APP, SPACE_INITIAL } from "../proto/space.js";
import { ECN_CAPABLE, ECN_FAILED, ECN_TESTING, ECN_UNKNOWN, type EcnReport, EcnValidator } from "./ecn-check.js";

function report(ect0: number, ce = 0, ect1 = 0): EcnReport {
  return { hasEcn: true, ect0, ect1, ce };
}

const NO_ECN: EcnReport = { hasEcn: false, ect0: 0, ect1: 0, ce: 0 };

/** A validator that sent `packets` marked packets in the application space. */
function sent(packets: number): EcnValidator {
  const ecn = new EcnValidator(true);
  for (let i = 0; i < packets; i++) {
    ecn.beginDatagram();
    ecn.onMarkedSent(SPACE_APP);
  }
  return ecn;
}

test("RFC 9000 §13.4.2 without ECN nothing is marked and no report matters", () => {
  const ecn = new EcnValidator(false);
  assert.equal(ecn.beginDatagram(), false);
  assert.equal(ecn.onAck(SPACE_APP, report(3, 3), 3), false);
  assert.equal(ecn.state, ECN_FAILED);
});

test("RFC 9000 §13.4.2 testing marks a few datagrams, then waits for the peer's counts", () => {
  const ecn = new EcnValidator(true);
  for (let i = 0; i < ECN_TESTING_DATAGRAMS; i++) {
    assert.equal(ecn.state, ECN_TESTING);
    assert.equal(ecn.beginDatagram(), true);
    ecn.onMarkedSent(SPACE_APP);
  }
  assert.equal(ecn.state, ECN_UNKNOWN);
  assert.equal(ecn.beginDatagram(), false);
  assert.equal(ecn.onAck(SPACE_APP, report(4), 4), false);
  assert.equal(ecn.state, ECN_CAPABLE);
  assert.equal(ecn.beginDatagram(), true);
});

test("RFC 9000 §13.4.2 marks that all get lost fail the path", () => {
  const ecn = sent(ECN_TESTING_DATAGRAMS);
  for (let i = 1; i < ECN_TESTING_DATAGRAMS; i++) ecn.onMarkedLost();
  assert.equal(ecn.state, ECN_UNKNOWN);
  ecn.onMarkedLost();
  assert.equal(ecn.state, ECN_FAILED);
});

const failures: readonly [title: string, first: EcnReport, second: EcnReport, newlyAcked: number][] = [
  ["counts missing", report(2), NO_ECN, 1],
  ["counts lower than the marked packets acknowledged", report(2), report(3), 2],
  ["counts that fall", report(2), report(1, 1), 0],
  ["CE count that falls", report(1, 1), report(4, 0), 1],
  ["more marks than were sent", report(2), report(11), 1],
  ["more marks than were sent, CE included", report(2), report(8, 3), 1],
  ["ECT(1), which we never send", report(2), report(3, 0, 1), 1],
];
for (const [title, first, second, newlyAcked] of failures) {
  test(`RFC 9000 §13.4.2.1 ${title}: failed for good`, () => {
    const ecn = sent(10);
    ecn.onAck(SPACE_APP, first, 2);
    assert.equal(ecn.state, ECN_CAPABLE);
    assert.equal(ecn.onAck(SPACE_APP, second, newlyAcked), false);
    assert.equal(ecn.state, ECN_FAILED);
    assert.equal(ecn.onAck(SPACE_APP, report(10), 3), false);
    assert.equal(ecn.beginDatagram(), false);
  });
}

test("RFC 9000 §13.4.2.1 a mark that became CE counts, and is congestion once", () => {
  const ecn = sent(10);
  assert.equal(ecn.onAck(SPACE_APP, report(1, 1), 2), true);
  assert.equal(ecn.state, ECN_CAPABLE);
  assert.equal(ecn.onAck(SPACE_APP, report(3, 1), 2), false);
  assert.equal(ecn.onAck(SPACE_APP, report(3, 2), 1), true);
});

test("RFC 9000 §13.4.2 counts are per packet number space", () => {
  const ecn = sent(5);
  ecn.onMarkedSent(SPACE_INITIAL);
  assert.equal(ecn.onAck(SPACE_APP, report(5), 5), false);
  assert.equal(ecn.onAck(SPACE_INITIAL, report(1), 1), false);
  assert.equal(ecn.state, ECN_CAPABLE);
});

test("RFC 9000 §13.4.2.1 an ACK of packets sent without marks needs no counts", () => {
  const ecn = sent(5);
  ecn.onAck(SPACE_APP, NO_ECN, 0);
  assert.equal(ecn.state, ECN_TESTING);
});
