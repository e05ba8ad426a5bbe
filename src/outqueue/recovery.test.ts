import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type AckFrame, newAckFrame } from "../frame/ack.js";
import { ECN_CAPABLE, ECN_FAILED, ECN_TESTING } from "../path/ecn-check.js";
import { MAX_PTO_MICROS } from "../proto/limits.js";
import { SPACE_APP, SPACE_HANDSHAKE, SPACE_INITIAL, type SpaceId } from "../proto/space.js";
import { PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import { Recovery, type RecoveryOptions } from "./recovery.js";
import { type FrameFates, REC_STREAM } from "./sent.js";

const BYTES = 1200;
const MILLI = 1000;

/** A recovery with short words for what the tests do. Each packet carries one frame whose id is its number. */
class Bench implements FrameFates {
  readonly recovery: Recovery;
  readonly acked: number[] = [];
  readonly lost: number[] = [];
  now = 1000 * MILLI;

  constructor(options: Partial<RecoveryOptions> = {}) {
    const defaults: RecoveryOptions = { isServer: true, congestion: "newreno", datagramBytes: BYTES };
    this.recovery = new Recovery({ ...defaults, ...options }, this);
  }

  onFrameAcked(_space: SpaceId, _kind: number, id: number): void {
    this.acked.push(id);
  }

  onFrameLost(_space: SpaceId, _kind: number, id: number): void {
    this.lost.push(id);
  }

  at(millis: number): this {
    this.now = millis * MILLI;
    return this;
  }

  /** Sends `count` ack-eliciting packets; returns the number of the last. */
  send(space: SpaceId = SPACE_APP, count = 1, ackEliciting = true): number {
    const sent = this.recovery.sent[space];
    for (let i = 0; i < count; i++) {
      const pn = sent.next;
      this.recovery.beginDatagram();
      sent.open(pn, this.now);
      sent.note(REC_STREAM, pn, 0, 1);
      this.recovery.onPacketSent(space, BYTES, ackEliciting, ackEliciting, this.now);
    }
    return sent.next - 1;
  }

  ack(space: SpaceId, first: number, last: number, fields: Partial<AckFrame> = {}): number {
    const ack = newAckFrame();
    Object.assign(ack, { largest: last, count: 1 }, fields);
    ack.first[0] = first;
    ack.last[0] = last;
    return this.recovery.onAck(space, ack, this.now);
  }

  /** Lets the timer fire at its deadline. */
  fire(): this {
    this.now = this.recovery.deadline();
    this.recovery.onTimeout(this.now);
    return this;
  }
}

/** A confirmed connection with one RTT sample of `rttMillis`, taken at that time. */
function confirmed(rttMillis: number, options: Partial<RecoveryOptions> = {}): Bench {
  const bench = new Bench(options);
  bench.recovery.handshakeConfirmed = true;
  bench.at(1).send();
  bench.at(1 + rttMillis).ack(SPACE_APP, 0, 0);
  return bench;
}

describe("acknowledgements", () => {
  test("RFC 9000 §13.1 an acknowledgement of another space's packets is a PROTOCOL_VIOLATION", () => {
    const bench = new Bench();
    bench.send(SPACE_HANDSHAKE, 5);
    bench.send(SPACE_INITIAL, 2);
    assert.equal(bench.ack(SPACE_INITIAL, 0, 4), PROTOCOL_VIOLATION);
    assert.equal(bench.ack(SPACE_APP, 0, 0), PROTOCOL_VIOLATION);
    assert.equal(bench.ack(SPACE_HANDSHAKE, 0, 4), 0);
  });

  test("RFC 9002 §5.1 a sample needs the largest to be new and something ack-eliciting with it", () => {
    const bench = new Bench();
    bench.at(1).send(SPACE_APP, 1, false);
    bench.at(2).ack(SPACE_APP, 0, 0);
    assert.equal(bench.recovery.rtt.hasSample, false, "acknowledgements only");
    bench.at(10).send(SPACE_APP, 1, true);
    bench.at(15).send(SPACE_APP, 1, false);
    bench.at(40).ack(SPACE_APP, 1, 2);
    assert.equal(bench.recovery.rtt.latestRttMicros, 25 * MILLI, "measured by the largest, which need not elicit");
    bench.at(50).send();
    bench.at(60).send();
    bench.at(80).ack(SPACE_APP, 4, 4);
    bench.at(90).ack(SPACE_APP, 3, 4);
    assert.equal(bench.recovery.rtt.latestRttMicros, 20 * MILLI, "the largest was not new");
  });

  test("RFC 9002 §5.3 the delay is scaled, capped once the handshake is confirmed, and nothing for Initial", () => {
    for (const [space, isConfirmed, delayMillis] of [
      [SPACE_APP, false, 40],
      [SPACE_APP, true, 25],
      [SPACE_HANDSHAKE, false, 40],
      [SPACE_INITIAL, false, 0],
    ] as const) {
      const bench = new Bench();
      bench.recovery.ackDelayExponent = 4;
      bench.recovery.handshakeConfirmed = isConfirmed;
      bench.at(1).send(space);
      bench.at(51).ack(space, 0, 0);
      bench.at(101).send(space);
      bench.at(201).ack(space, 1, 1, { delay: (40 * MILLI) / 16 });
      const { smoothedRttMicros } = bench.recovery.rtt;
      assert.equal(smoothedRttMicros, (50 * 7 + 100 - delayMillis) * (MILLI / 8), `space ${space}`);
    }
  });

  test("RFC 9002 §6.1.1 reordering by two is not loss, by three is", () => {
    const bench = confirmed(20);
    bench.at(100).send(SPACE_APP, 4); // 1 to 4
    bench.at(120).ack(SPACE_APP, 2, 3);
    assert.deepEqual(bench.lost, []);
    bench.ack(SPACE_APP, 2, 4);
    assert.deepEqual(bench.lost, [1]);
    assert.equal(bench.recovery.bytesInFlight, 0);
  });

  test("RFC 9002 §6.1.1 a skipped number is no packet that overtook", () => {
    const bench = confirmed(20);
    bench.at(100).send(); // 1
    const sent = bench.recovery.sent[SPACE_APP];
    sent.open(3, bench.now);
    bench.recovery.onPacketSent(SPACE_APP, BYTES, true, true, bench.now);
    bench.send(); // 4
    bench.at(120).ack(SPACE_APP, 3, 4);
    assert.deepEqual(bench.lost, []);
  });

  test("RFC 9002 §6.1.2 an older packet is lost 9/8 of an RTT after it was sent", () => {
    const bench = confirmed(80);
    bench.at(100).send(SPACE_APP, 2); // 1, 2
    bench.at(180).ack(SPACE_APP, 2, 2);
    assert.equal(bench.recovery.deadline(), 190 * MILLI);
    bench.at(189).recovery.onTimeout(bench.now);
    assert.deepEqual(bench.lost, []);
    bench.fire();
    assert.deepEqual(bench.lost, [1]);
    assert.equal(bench.recovery.ptoCount, 0, "no PTO");
    assert.equal(bench.recovery.deadline(), Infinity);
  });

  test("RFC 9002 §6.1 a loss that was none is counted and its congestion event undone", () => {
    const bench = confirmed(20);
    const { cc } = bench.recovery;
    const { cwndBytes } = cc;
    bench.at(100).send(SPACE_APP, 8); // 1 to 8
    bench.at(120).ack(SPACE_APP, 3, 8);
    assert.deepEqual(bench.lost, [1, 2]);
    assert.ok(cc.cwndBytes < cwndBytes);
    bench.at(125).ack(SPACE_APP, 2, 8);
    assert.equal(bench.recovery.spuriousLosses, 1);
    assert.ok(cc.cwndBytes < cwndBytes, "the other may be lost");
    assert.equal(bench.recovery.congestionUndone, 0);
    bench.at(126).ack(SPACE_APP, 1, 8);
    assert.equal(bench.recovery.spuriousLosses, 2);
    assert.equal(bench.recovery.congestionUndone, 1);
    assert.equal(cc.cwndBytes, cwndBytes);
    assert.deepEqual(bench.acked.slice(-2), [2, 1], "the frames have arrived");
  });

  test("lost packets are remembered for four timeouts", () => {
    // 20 ms, four times a variation of 5.6 ms by then, and 25 ms: four timeouts are 270 ms.
    for (const [afterMillis, remembered] of [
      [260, 1],
      [280, 0],
    ] as const) {
      const bench = confirmed(20);
      bench.at(100).send(SPACE_APP, 5); // 1 to 5
      bench.at(120).ack(SPACE_APP, 5, 5);
      assert.deepEqual(bench.lost, [1, 2, 3, 4].slice(0, bench.lost.length));
      bench.at(100 + afterMillis - 20).send(); // 6
      bench.at(100 + afterMillis).ack(SPACE_APP, 6, 6);
      bench.ack(SPACE_APP, 1, 1);
      assert.equal(bench.recovery.spuriousLosses, remembered, `${afterMillis} ms`);
    }
  });
});

describe("probe timeout", () => {
  test("RFC 9002 §6.2.1 doubles on each expiry, up to a minute, and marks nothing lost", () => {
    const bench = confirmed(100);
    bench.at(1000).send();
    const sentAt = bench.now;
    const period = 100 * MILLI + 4 * 50 * MILLI + 25 * MILLI;
    for (const factor of [1, 2, 4, 8]) {
      assert.equal(bench.recovery.deadline(), sentAt + factor * period);
      bench.fire();
    }
    assert.equal(bench.recovery.packetsLost, 0);
    assert.equal(bench.recovery.bytesInFlight, BYTES);
    for (let i = 0; i < 2000; i++) bench.fire();
    assert.equal(bench.recovery.deadline(), sentAt + MAX_PTO_MICROS);
    assert.equal(bench.recovery.ptoCountTotal, 2004);
  });

  test("RFC 9002 §6.2.1 an acknowledgement ends the backoff", () => {
    const bench = confirmed(100);
    bench.at(1000).send();
    bench.fire().fire();
    assert.equal(bench.recovery.ptoCount, 2);
    bench.send();
    bench.at(9000).ack(SPACE_APP, 1, 1);
    assert.equal(bench.recovery.ptoCount, 0);
    assert.equal(bench.recovery.probes(SPACE_APP), 0, "nothing is left to probe for");
  });

  test("RFC 9002 §6.2.1 application data has no timeout before the handshake is confirmed", () => {
    const bench = new Bench();
    bench.send(SPACE_APP);
    assert.equal(bench.recovery.deadline(), Infinity);
    bench.recovery.handshakeConfirmed = true;
    assert.equal(bench.recovery.deadline(), bench.now + 999 * MILLI + 25 * MILLI);
    bench.send(SPACE_APP, 1, false);
    assert.equal(bench.recovery.deadline(), bench.now + 999 * MILLI + 25 * MILLI);
  });

  test("RFC 9002 §6.2.1 the handshake spaces do not wait for max_ack_delay, and the earlier one counts", () => {
    const bench = new Bench();
    bench.at(10).send(SPACE_INITIAL);
    bench.at(12).send(SPACE_HANDSHAKE);
    bench.at(14).send(SPACE_APP);
    assert.equal(bench.recovery.deadline(), (10 + 999) * MILLI);
    bench.at(15).send(SPACE_INITIAL);
    assert.equal(bench.recovery.deadline(), (12 + 999) * MILLI);
  });

  test("RFC 9002 §6.2.4 hands the oldest frames back for two probes, later ones next time, each frame once", () => {
    const bench = confirmed(20);
    bench.at(100).send(SPACE_APP, 5); // 1 to 5
    bench.fire();
    assert.equal(bench.recovery.probes(SPACE_APP), 2);
    assert.deepEqual(bench.lost, [1, 2]);
    bench.send(SPACE_APP, 2); // 6, 7
    bench.recovery.onProbeSent(SPACE_APP);
    bench.recovery.onProbeSent(SPACE_APP);
    assert.equal(bench.recovery.probes(SPACE_APP), 0);
    bench.fire();
    assert.deepEqual(bench.lost, [1, 2, 3, 4]);
    bench.ack(SPACE_APP, 6, 7);
    assert.deepEqual(bench.lost, [1, 2, 3, 4, 5], "1 to 4 are lost now, and were handed back before");
    assert.equal(bench.recovery.packetsLost, 5);
  });

  test("RFC 9002 §6.2.4 probes both handshake spaces", () => {
    const bench = new Bench();
    bench.at(10).send(SPACE_INITIAL);
    bench.send(SPACE_HANDSHAKE, 3);
    bench.send(SPACE_APP);
    bench.fire();
    assert.deepEqual(
      [SPACE_INITIAL, SPACE_HANDSHAKE, SPACE_APP].map((space) => bench.recovery.probes(space as SpaceId)),
      [2, 1, 0],
    );
    assert.deepEqual(bench.lost, [0, 0]);
  });

  test("RFC 9002 §6.2.2.1 a server at its amplification limit arms none, and fires at once when it is lifted", () => {
    const bench = new Bench();
    bench.at(10).send(SPACE_INITIAL);
    bench.recovery.setAmplificationBlocked(true);
    assert.equal(bench.recovery.deadline(), Infinity);
    bench.at(5000).recovery.setAmplificationBlocked(false);
    assert.equal(bench.recovery.deadline(), 1009 * MILLI);
    bench.recovery.onTimeout(bench.now);
    assert.equal(bench.recovery.probes(SPACE_INITIAL), 2);
  });

  test("RFC 9002 §6.2.2.1 a client probes with nothing in flight until the server has validated its address", () => {
    const bench = new Bench({ isServer: false });
    assert.equal(bench.recovery.deadline(), Infinity, "nothing was sent");
    bench.at(10).send(SPACE_INITIAL);
    bench.at(30).ack(SPACE_INITIAL, 0, 0);
    const period = 60 * MILLI; // RTT 20 ms
    assert.equal(bench.recovery.deadline(), bench.now + period);
    bench.fire();
    assert.equal(bench.recovery.probes(SPACE_INITIAL), 1);
    assert.equal(bench.recovery.deadline(), bench.now + 2 * period);
    bench.recovery.onProbeSent(SPACE_INITIAL);
    bench.send(SPACE_INITIAL);
    bench.ack(SPACE_INITIAL, 1, 1);
    assert.equal(bench.recovery.ptoCount, 1, "an Initial acknowledgement does not end a client's backoff");
    bench.recovery.hasHandshakeKeys = true;
    bench.fire();
    assert.equal(bench.recovery.probes(SPACE_HANDSHAKE), 1);
    bench.send(SPACE_HANDSHAKE);
    bench.ack(SPACE_HANDSHAKE, 0, 0);
    assert.equal(bench.recovery.deadline(), Infinity);
    assert.equal(bench.recovery.ptoCount, 0);
  });

  test("RFC 9002 §6.2.2.1 a client with only 0-RTT in flight still probes", () => {
    const bench = new Bench({ isServer: false });
    bench.at(10).send(SPACE_INITIAL);
    bench.send(SPACE_APP, 3);
    bench.at(30).ack(SPACE_INITIAL, 0, 0);
    assert.equal(bench.recovery.deadline(), bench.now + 60 * MILLI);
    bench.recovery.handshakeConfirmed = true;
    assert.equal(bench.recovery.deadline(), (10 + 60 + 25) * MILLI);
  });
});

describe("congestion", () => {
  /** RFC 9002 §7.6.3: smoothed RTT and variation such that a PTO with max_ack_delay is two seconds. */
  function example(): Bench {
    const bench = new Bench();
    bench.recovery.handshakeConfirmed = true;
    bench.recovery.rtt.update(500 * MILLI, 0, 0);
    bench.recovery.rtt.rttVarMicros = 368_750;
    assert.equal(bench.recovery.rtt.persistentCongestionMicros(25 * MILLI), 6_000 * MILLI);
    return bench;
  }

  test("RFC 9002 §7.6.3 the example: seven seconds without an acknowledgement are persistent congestion", () => {
    const bench = example();
    const seconds = [0.1, 1, 2, 3, 4, 5, 6, 8, 12];
    for (const second of seconds.slice(0, 2)) bench.at(second * 1000).send();
    bench.at(1200).ack(SPACE_APP, 0, 0);
    bench.recovery.rtt.smoothedRttMicros = 500 * MILLI;
    bench.recovery.rtt.rttVarMicros = 368_750;
    for (const second of seconds.slice(2)) bench.at(second * 1000).send();
    bench.at(12_200).ack(SPACE_APP, 8, 8);
    assert.deepEqual(bench.lost, [1, 2, 3, 4, 5, 6, 7]);
    assert.equal(bench.recovery.cc.cwndBytes, 2 * BYTES);
    assert.equal(bench.recovery.rtt.minRttMicros, bench.recovery.rtt.latestRttMicros);
  });

  /** Sends at the given seconds, acknowledges packet `acked` before the last, then the last; true = persistent. */
  function persists(seconds: readonly number[], acked: number, eliciting = (_i: number): boolean => true): boolean {
    const bench = example();
    seconds.forEach((second, i) => {
      bench.at(second * 1000).send(SPACE_APP, 1, eliciting(i));
    });
    if (acked >= 0) bench.ack(SPACE_APP, acked, acked);
    bench.at(bench.now / MILLI + 1).send();
    const last = bench.send(SPACE_APP, 3);
    bench.ack(SPACE_APP, last, last);
    return bench.recovery.cc.cwndBytes === 2 * BYTES;
  }

  test("RFC 9002 §7.6.2 an acknowledged packet between, a short time or packets that elicit nothing are not", () => {
    assert.equal(persists([1, 3, 5, 8], -1), true);
    assert.equal(persists([1, 3, 5, 8], 1), false, "an acknowledgement between");
    assert.equal(persists([1, 3, 5, 6.9], -1), false, "six seconds are not exceeded");
    assert.equal(
      persists([1, 3, 5, 8], -1, (i) => i === 1 || i === 2),
      false,
      "between ack-eliciting packets only",
    );
  });

  test("RFC 9002 §7.6.2 packets sent before the first RTT sample do not count", () => {
    const bench = new Bench();
    bench.recovery.handshakeConfirmed = true;
    for (let i = 0; i < 10; i++) bench.at(i * 1000).send();
    bench.at(9020).ack(SPACE_APP, 9, 9);
    assert.equal(bench.recovery.packetsLost, 9);
    assert.equal(bench.recovery.cc.cwndBytes, 6 * BYTES - BYTES);
  });

  test("RFC 9002 §7.6.2 an acknowledgement in another space breaks the run", () => {
    for (const other of [true, false]) {
      const bench = confirmed(10);
      bench.at(1000).send(); // 1
      bench.at(1500).send(SPACE_HANDSHAKE);
      bench.at(2000).send(SPACE_APP, 4); // 2 to 5
      if (other) bench.at(2010).ack(SPACE_HANDSHAKE, 0, 0);
      bench.at(2010).ack(SPACE_APP, 5, 5);
      assert.equal(bench.recovery.packetsLost, 2);
      assert.equal(bench.recovery.cc.cwndBytes === 2 * BYTES, !other);
    }
  });

  test("RFC 9002 §7.6.2 a packet that was late and not lost breaks the run", () => {
    for (const late of [true, false]) {
      const bench = confirmed(10);
      bench.at(1000).send(); // 1
      bench.at(1050).send(); // 2
      bench.at(1200).send(SPACE_APP, 3); // 3 to 5
      bench.at(1210).ack(SPACE_APP, 5, 5);
      assert.deepEqual(bench.lost, [1, 2]);
      if (late) bench.at(1211).ack(SPACE_APP, 2, 2);
      bench.fire();
      assert.deepEqual(bench.lost, [1, 2, 3, 4]);
      assert.equal(bench.recovery.persistentCongestions, late ? 0 : 1);
    }
  });

  test("RFC 9002 §7 bytes in flight hold what is not acknowledged, lost or discarded", () => {
    const bench = new Bench();
    bench.send(SPACE_INITIAL, 2);
    bench.send(SPACE_HANDSHAKE, 3);
    bench.send(SPACE_APP, 4);
    assert.equal(bench.recovery.bytesInFlight, 9 * BYTES);
    assert.equal(bench.recovery.maxBytesInFlight, 9 * BYTES);
    assert.equal(bench.recovery.canSend(BYTES), true);
    assert.equal(bench.recovery.canSend(BYTES + 1), false);
    bench.recovery.discardSpace(SPACE_INITIAL, bench.now);
    assert.equal(bench.recovery.bytesInFlight, 7 * BYTES);
    bench.recovery.onPadded(SPACE_APP, 0, bench.now);
    bench.ack(SPACE_APP, 3, 3);
    assert.equal(bench.recovery.bytesInFlight, 5 * BYTES);
  });

  test("RFC 9002 §7.7 the pacer holds what follows the first burst", () => {
    const bench = new Bench();
    bench.send(SPACE_APP, 9);
    assert.equal(bench.recovery.pacingDelay(bench.now, BYTES), 0);
    bench.send(SPACE_APP, 1);
    assert.ok(bench.recovery.pacingDelay(bench.now, BYTES) > 0);
  });

  test("RFC 9002 §7.1 a reported CE mark is one congestion event, and never undone", () => {
    const bench = confirmed(20, { ecn: true });
    const { cc, ecn } = bench.recovery;
    bench.at(100).send(SPACE_APP, 4); // 1 to 4
    bench.at(120).ack(SPACE_APP, 1, 2, { hasEcn: true, ect0: 2 });
    assert.equal(ecn.state, ECN_FAILED, "the acknowledgement of packet 0 had no counts");

    const marked = new Bench({ ecn: true });
    marked.recovery.handshakeConfirmed = true;
    const before = marked.recovery.cc.cwndBytes;
    marked.at(1).send(SPACE_APP, 4);
    marked.at(21).ack(SPACE_APP, 0, 1, { hasEcn: true, ect0: 1, ce: 1 });
    assert.equal(marked.recovery.ecn.state, ECN_CAPABLE);
    assert.equal(marked.recovery.cc.cwndBytes, before / 2);
    marked.at(22).ack(SPACE_APP, 0, 2, { hasEcn: true, ect0: 1, ce: 2 });
    assert.equal(marked.recovery.cc.cwndBytes, before / 2, "the same recovery period");
    assert.equal(marked.recovery.congestionEvents, 1);
    assert.ok(cc.recoveryStartMicros === -1);
  });

  test("RFC 9000 §13.4.2.1 an old ACK frame that arrives late does not fail ECN", () => {
    const bench = new Bench({ ecn: true });
    bench.recovery.handshakeConfirmed = true;
    bench.at(1).send(SPACE_APP, 4);
    bench.at(21).ack(SPACE_APP, 2, 3, { hasEcn: true, ect0: 4 });
    bench.at(22).ack(SPACE_APP, 0, 1, { hasEcn: true, ect0: 2 });
    assert.equal(bench.recovery.ecn.state, ECN_CAPABLE);
  });
});

describe("the end of a space, and Retry", () => {
  test("RFC 9002 §6.4 discarding a space ends its timers and the backoff", () => {
    const bench = new Bench();
    bench.at(10).send(SPACE_INITIAL, 2);
    bench.fire().fire();
    assert.equal(bench.recovery.ptoCount, 2);
    bench.recovery.discardSpace(SPACE_INITIAL, bench.now);
    assert.equal(bench.recovery.deadline(), Infinity);
    assert.equal(bench.recovery.ptoCount, 0);
    assert.equal(bench.recovery.probes(SPACE_INITIAL), 0);
    bench.send(SPACE_HANDSHAKE);
    assert.equal(bench.recovery.deadline(), bench.now + 999 * MILLI);
  });

  test("RFC 9002 §6.3 a Retry hands everything back under a fresh controller and measures the RTT", () => {
    const bench = new Bench({ isServer: false });
    bench.at(100).send(SPACE_INITIAL);
    bench.send(SPACE_APP, 2);
    bench.at(160).recovery.onRetry(bench.now);
    assert.deepEqual(bench.lost, [0, 0, 1]);
    assert.equal(bench.recovery.bytesInFlight, 0);
    assert.equal(bench.recovery.packetsLost, 0, "nothing was lost");
    assert.equal(bench.recovery.rtt.smoothedRttMicros, 60 * MILLI);
    assert.equal(bench.recovery.rtt.hasSample, false);
    assert.equal(bench.send(SPACE_INITIAL), 1, "numbers go on (RFC 9000 §17.2.5.3)");
    assert.equal(bench.recovery.deadline(), bench.now + 180 * MILLI);

    const near = new Bench({ isServer: false });
    near.at(100).send(SPACE_INITIAL);
    near.at(101).recovery.onRetry(near.now);
    assert.equal(near.recovery.rtt.smoothedRttMicros, 25 * MILLI, "the handshake work takes longer than the Retry");
  });

  test("RFC 9002 §6.3 a Retry that either of two packets may have caused measures nothing", () => {
    const bench = new Bench({ isServer: false });
    bench.at(100).send(SPACE_INITIAL);
    bench.fire();
    bench.send(SPACE_INITIAL);
    bench.recovery.onRetry(bench.now + 5);
    assert.equal(bench.recovery.rtt.smoothedRttMicros, 333 * MILLI);
    assert.equal(bench.recovery.ptoCount, 0);
  });
});

describe("RFC 9002 §6.4 refused 0-RTT", () => {
  test("packets leave flight without a sign of congestion, hand back what they carried, and may not be acknowledged", () => {
    const bench = new Bench({ isServer: false });
    const { recovery } = bench;
    const before = recovery.cc.cwndBytes;
    bench.send(SPACE_APP, 3);
    recovery.disownEarly();
    assert.equal(recovery.bytesInFlight, 0);
    assert.deepEqual(bench.lost, [0, 1, 2]);
    assert.equal(recovery.packetsLost, 0);
    assert.equal(recovery.cc.cwndBytes, before);
    bench.send(SPACE_APP, 2);
    assert.equal(bench.ack(SPACE_APP, 2, 4), PROTOCOL_VIOLATION);
    const honest = new Bench({ isServer: false });
    honest.send(SPACE_APP, 3);
    honest.recovery.disownEarly();
    honest.send(SPACE_APP, 2);
    assert.equal(honest.ack(SPACE_APP, 3, 4), 0);
    assert.deepEqual(honest.acked.sort(), [3, 4]);
    assert.equal(honest.recovery.bytesInFlight, 0);
  });
});

describe("RFC 9000 §9.4 another path", () => {
  test("what is on its way takes no room in the window of a new path, and is no congestion or RTT sample of it", () => {
    const bench = new Bench();
    const { recovery } = bench;
    bench.send(SPACE_APP, 10);
    bench.at(1050);
    recovery.onNewPath(bench.now);
    assert.equal(recovery.bytesInFlight, 0);
    assert.equal(recovery.rtt.hasSample, false);
    const cwndBytes = recovery.cc.cwndBytes;
    bench.send(SPACE_APP, 4);
    bench.ack(SPACE_APP, 9, 9);
    assert.equal(recovery.rtt.hasSample, false, "of the old path");
    assert.deepEqual(bench.lost, [0, 1, 2, 3, 4, 5, 6], "they are sent again all the same");
    assert.equal(recovery.packetsLost, 0);
    bench.at(1080);
    bench.ack(SPACE_APP, 13, 13);
    assert.equal(recovery.rtt.latestRttMicros, 30 * MILLI);
    assert.ok(recovery.cc.cwndBytes < cwndBytes, "the first of the new path is lost");
    assert.equal(recovery.bytesInFlight, 2 * BYTES);
  });

  test("RFC 9000 §9.3.2 what went to a path that was left again says nothing about the one before", () => {
    const bench = new Bench();
    const { recovery } = bench;
    bench.send(SPACE_APP, 2);
    const firstPn = bench.send(SPACE_APP, 5) - 4;
    recovery.onReturn(firstPn);
    assert.equal(recovery.bytesInFlight, 2 * BYTES);
    bench.at(1020);
    bench.send(SPACE_APP, 4);
    bench.ack(SPACE_APP, 0, 1);
    const { cwndBytes } = recovery.cc;
    bench.ack(SPACE_APP, 10, 10);
    assert.deepEqual(bench.lost, [2, 3, 4, 5, 6, 7]);
    assert.equal(recovery.packetsLost, 1, "the one of this path");
    assert.ok(recovery.cc.cwndBytes < cwndBytes);
    assert.equal(recovery.bytesInFlight, 2 * BYTES);
  });

  test("RFC 9000 §13.4.2 another port tests ECN anew and keeps the rest", () => {
    const bench = new Bench({ ecn: true });
    const { recovery } = bench;
    bench.send(SPACE_APP, 2);
    recovery.ecn.state = ECN_FAILED;
    recovery.onNewPort();
    assert.equal(recovery.ecn.state, ECN_TESTING);
    assert.equal(recovery.bytesInFlight, 2 * BYTES);
  });
});
