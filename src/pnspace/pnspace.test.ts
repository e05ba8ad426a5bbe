import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ECN_CE, ECN_ECT0, ECN_ECT1, ECN_NOT_ECT, ECN_UNKNOWN } from "../port/udp.js";
import {
  MAX_ACK_RANGES_SENT,
  SKIP_PN_FIRST_PERIOD,
  SKIP_PN_LEAST_PERIOD,
  SKIP_PN_MAX_PERIOD,
} from "../proto/limits.js";
import type { Random } from "../port/random.js";
import { SPACE_APP, SPACE_HANDSHAKE, SPACE_INITIAL } from "../proto/space.js";
import { MAX_PN, PnSpace, randomSkip } from "./pnspace.js";

const MAX_ACK_DELAY_MICROS = 25_000;

function space(): PnSpace {
  return new PnSpace(SPACE_APP, null);
}

function receive(space: PnSpace, pn: number, nowMicros: number, eliciting = true, ecn = ECN_NOT_ECT): void {
  space.received.record(pn, nowMicros);
  space.onPacket(pn, eliciting, ecn, nowMicros);
}

describe("when an ACK is due", () => {
  test("RFC 9000 §13.2.2 acks every second packet", () => {
    const app = space();
    receive(app, 0, 1000);
    assert.equal(app.ackPolicy.isDue(1000), false);
    receive(app, 1, 1500);
    assert.equal(app.ackPolicy.isDue(1500), true);
    app.ackPolicy.onAckSent();
    receive(app, 2, 2000);
    assert.equal(app.ackPolicy.isDue(2000), false);
  });

  test("RFC 9000 §13.2.1 one ack-eliciting packet is acknowledged within max_ack_delay of its arrival", () => {
    const app = space();
    receive(app, 0, 1000, false);
    assert.equal(app.ackPolicy.deadlineMicros, Infinity);
    receive(app, 1, 5000);
    receive(app, 2, 6000, false);
    assert.equal(app.ackPolicy.deadlineMicros, 5000 + MAX_ACK_DELAY_MICROS);
    assert.equal(app.ackPolicy.isDue(5000 + MAX_ACK_DELAY_MICROS - 1), false);
    assert.equal(app.ackPolicy.isDue(5000 + MAX_ACK_DELAY_MICROS), true);
  });

  test("9000-13.2.1-01 packets that are not ack-eliciting never make an ACK due, gaps or not", () => {
    const app = space();
    for (let pn = 0; pn < 300; pn += 3) receive(app, pn, pn, false, ECN_CE);
    assert.equal(app.ackPolicy.deadlineMicros, Infinity);
    assert.equal(app.ackPolicy.isWaiting, false);
    assert.equal(app.ackPolicy.hasNew, true, "but an ACK that is sent anyway has news");
  });

  test("9000-13.2.1-02 sending an ACK settles every packet before it", () => {
    const app = space();
    receive(app, 0, 0);
    receive(app, 1, 0);
    app.ackPolicy.onAckSent();
    assert.equal(app.ackPolicy.isDue(Number.MAX_SAFE_INTEGER), false);
    assert.equal(app.ackPolicy.hasNew, false);
  });

  test("RFC 9000 §13.2.1 Initial and Handshake packets are acknowledged at once", () => {
    for (const id of [SPACE_INITIAL, SPACE_HANDSHAKE] as const) {
      const early = new PnSpace(id, null);
      receive(early, 0, 777);
      assert.equal(early.ackPolicy.isDue(777), true);
    }
  });

  test("RFC 9000 §13.2.1 a packet below another ack-eliciting one is acknowledged at once", () => {
    const app = space();
    receive(app, 5, 0);
    app.ackPolicy.onAckSent();
    receive(app, 4, 10);
    assert.equal(app.ackPolicy.isDue(10), true);
  });

  test("RFC 9000 §13.2.1 a packet after a gap is acknowledged at once, the one after it is not", () => {
    const app = space();
    receive(app, 0, 0);
    app.ackPolicy.onAckSent();
    receive(app, 2, 10);
    assert.equal(app.ackPolicy.isDue(10), true);
    app.ackPolicy.onAckSent();
    receive(app, 3, 20);
    assert.equal(app.ackPolicy.isDue(20), false);
  });

  test("RFC 9000 §13.2.1 a gap is between ack-eliciting packets: others in between close it", () => {
    const app = space();
    receive(app, 0, 0);
    receive(app, 1, 0, false);
    receive(app, 3, 0, false);
    app.ackPolicy.onAckSent();
    receive(app, 2, 10);
    assert.equal(app.ackPolicy.isDue(10), false);
  });

  test("RFC 9000 §13.2.1 a CE mark is acknowledged at once", () => {
    const app = space();
    receive(app, 0, 10, true, ECN_ECT0);
    assert.equal(app.ackPolicy.isDue(10), false);
    app.ackPolicy.onAckSent();
    receive(app, 1, 20, true, ECN_CE);
    assert.equal(app.ackPolicy.isDue(20), true);
  });
});

describe("when the peer asked for fewer ACKs (draft-ietf-quic-ack-frequency)", () => {
  /** Receives one by one and sends each ACK that is due at once; returns the packets after which that happened. */
  function ackedAfter(app: PnSpace, pns: readonly number[], ecn = ECN_NOT_ECT): number[] {
    return pns.filter((pn) => {
      receive(app, pn, 0, true, ecn);
      const isDue = app.ackPolicy.isDue(0);
      if (isDue) app.onAckSent();
      return isDue;
    });
  }

  function asked(packets: number, reordering: number, micros = 50_000): PnSpace {
    const app = space();
    app.onAckFrequency(0, packets, micros, reordering);
    return app;
  }

  test("draft-ietf-quic-ack-frequency §4 an ACK is due after more than so many packets, or the delay", () => {
    assert.deepEqual(ackedAfter(asked(4, 3), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), [4, 9]);
    assert.deepEqual(ackedAfter(asked(0, 1), [0, 1, 2]), [0, 1, 2]);
    assert.deepEqual(ackedAfter(asked(1, 1), [0, 1, 2, 3]), [1, 3], "as without ACK_FREQUENCY");
    const app = asked(4, 3);
    receive(app, 0, 1000);
    assert.equal(app.ackPolicy.deadlineMicros, 51_000);
  });

  test("draft-ietf-quic-ack-frequency §4 a request that is not newer says nothing", () => {
    const app = space();
    app.onAckFrequency(3, 4, 50_000, 3);
    app.onAckFrequency(3, 0, 50_000, 3);
    app.onAckFrequency(2, 0, 50_000, 3);
    assert.deepEqual(ackedAfter(app, [0, 1, 2, 3, 4]), [4]);
    app.onAckFrequency(4, 1, 50_000, 1);
    assert.deepEqual(ackedAfter(app, [5, 6]), [6]);
  });

  test("draft-ietf-quic-ack-frequency §5 IMMEDIATE_ACK makes one due with the packet that carries it", () => {
    const app = asked(100, 0);
    app.received.record(0, 7);
    app.ackPolicy.onImmediateAck(7);
    app.onPacket(0, true, ECN_NOT_ECT, 7);
    assert.equal(app.ackPolicy.isDue(7), true);
    app.onAckSent();
    receive(app, 1, 8);
    assert.equal(app.ackPolicy.isDue(8), false, "the next one waits again");
  });

  // the tables of draft-ietf-quic-ack-frequency §6.2.1
  const REORDERED: [reordering: number, pns: number[], acked: number[]][] = [
    [3, [0, 1, 3, 4, 5, 8, 9, 10], [5, 9, 10]],
    [5, [0, 1, 3, 5, 6, 7, 8, 9], [7, 9]],
    [1, [0, 1, 3, 4, 5, 8, 9, 10], [3, 8]],
    [0, [0, 5, 3, 20, 18, 17, 4], []],
  ];
  for (const [reordering, pns, acked] of REORDERED) {
    test(`draft-ietf-quic-ack-frequency §6.2 a reordering threshold of ${reordering}`, () => {
      assert.deepEqual(ackedAfter(asked(1000, reordering), pns), acked);
    });
  }

  test("draft-ietf-quic-ack-frequency §6.2 what the peer has declared lost by now is told at once", () => {
    const app = asked(1000, 3);
    assert.deepEqual(ackedAfter(app, [0, 1, 2, 3, 6, 7]), [7], "4 is lost by then, 5 is not yet");
    assert.deepEqual(ackedAfter(app, [5]), []);
    assert.deepEqual(ackedAfter(app, [4]), [4]);
  });

  test("no gap is left out of an ACK frame because the peer wants few: from 64 ranges on each is told at once", () => {
    const app = asked(1000, 0);
    const pns = Array.from({ length: MAX_ACK_RANGES_SENT + 2 }, (_, i) => 2 * i);
    assert.deepEqual(ackedAfter(app, pns), pns.slice(MAX_ACK_RANGES_SENT - 1));
  });

  test("draft-ietf-quic-ack-frequency §6.3 of CE marks in a row the first is told at once", () => {
    const app = asked(2, 3);
    assert.deepEqual(ackedAfter(app, [0, 1, 2], ECN_CE), [0]);
    assert.deepEqual(ackedAfter(app, [3], ECN_ECT0), [3], "the third since the last ACK");
    assert.deepEqual(ackedAfter(app, [4, 5, 6], ECN_CE), [4]);
    assert.deepEqual(ackedAfter(asked(1, 1), [0, 1, 2], ECN_CE), [0, 1, 2], "RFC 9000 §13.2.1");
  });

  test("a run is in order only when no gap waits to be told", () => {
    const app = asked(1000, 3);
    receive(app, 0, 0);
    receive(app, 2, 0);
    assert.equal(app.isInOrder, false);
    receive(app, 3, 0);
    assert.equal(app.isInOrder, false);
    receive(app, 4, 0);
    assert.equal(app.ackPolicy.isDue(0), true, "4 - 1 >= 3");
    app.onAckSent();
    assert.equal(app.isInOrder, true);
  });
});

describe("a run of packets in order", () => {
  test("is possible only where the packet before was the largest and ack-eliciting", () => {
    const app = space();
    assert.equal(app.isInOrder, false, "before the first packet");
    receive(app, 4, 0);
    assert.equal(app.isInOrder, true);
    receive(app, 6, 0, false);
    assert.equal(app.isInOrder, false, "5 is missing, and the next packet is urgent by it (RFC 9000 §13.2.1)");
    receive(app, 7, 0);
    assert.equal(app.isInOrder, true);
    receive(app, 5, 0);
    assert.equal(app.isInOrder, true, "what is late changes nothing about the largest");
  });

  test("leaves the space as its packets do one by one", () => {
    for (const packets of [1, 2, 5]) {
      const [run, single] = [space(), space()];
      for (const app of [run, single]) {
        receive(app, 3, 100);
        app.ackPolicy.onAckSent();
      }
      run.onRun(packets, ECN_ECT0, 900);
      for (let pn = 4; pn < 4 + packets; pn++) receive(single, pn, 900, true, ECN_ECT0);
      assert.deepEqual(run, single, `${packets} packets`);
    }
  });
});

describe("ECN counts", () => {
  test("RFC 9000 §13.4.1 each mark is counted by its code point; none and unknown are not", () => {
    const { ecn } = space();
    for (const mark of [ECN_NOT_ECT, ECN_UNKNOWN]) ecn.onPackets(mark, 1);
    assert.equal(ecn.any, false);
    for (const mark of [ECN_ECT0, ECN_ECT0, ECN_ECT1, ECN_CE]) ecn.onPackets(mark, 1);
    assert.deepEqual([ecn.ect0, ecn.ect1, ecn.ce, ecn.any], [2, 1, 1, true]);
  });
});

describe("numbers for sending", () => {
  test("RFC 9000 §12.3 numbers start at 0 and grow by one where none is skipped", () => {
    const initial = new PnSpace(SPACE_INITIAL, null);
    for (let pn = 0; pn < 1000; pn++) {
      assert.equal(initial.peekPn(), pn);
      assert.equal(initial.takePn(), pn);
    }
  });

  test("RFC 9000 §21.4 numbers are left out at growing distances and never given twice", () => {
    const means: number[] = [];
    const app = new PnSpace(SPACE_APP, (mean) => {
      means.push(mean);
      return 10;
    });
    const taken: number[] = [];
    for (let i = 0; i < 25; i++) {
      const peeked = app.peekPn();
      taken.push(app.takePn());
      assert.equal(taken[i], peeked);
    }
    const left = Array.from({ length: 27 }, (_, pn) => pn).filter((pn) => !taken.includes(pn));
    assert.deepEqual(left, [10, 21]);
    assert.deepEqual(means, [SKIP_PN_FIRST_PERIOD, 2 * SKIP_PN_FIRST_PERIOD, 4 * SKIP_PN_FIRST_PERIOD]);
  });

  test("the mean distance stops growing at SKIP_PN_MAX_PERIOD", () => {
    const means: number[] = [];
    const app = new PnSpace(SPACE_APP, (mean) => {
      means.push(mean);
      return 1;
    });
    for (let i = 0; i < 40; i++) app.takePn();
    assert.equal(Math.max(...means), SKIP_PN_MAX_PERIOD);
  });

  test("random distances stay in 1 .. 2 * mean - 1, and the mean within the window", () => {
    let state = 1;
    const random: Random = {
      fill(buf, start, end) {
        for (let i = start; i < end; i++) {
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          buf[i] = state >>> 24;
        }
      },
    };
    for (const [asked, windowPackets, mean] of [
      [256, 1000, 256],
      [SKIP_PN_MAX_PERIOD, 200.4, 400],
      [SKIP_PN_MAX_PERIOD, 2, SKIP_PN_LEAST_PERIOD],
    ]) {
      const skip = randomSkip(random, { windowPackets });
      let sum = 0;
      for (let i = 0; i < 4000; i++) {
        const distance = skip(asked);
        assert.ok(distance >= 1 && distance <= 2 * mean - 1);
        sum += distance;
      }
      assert.ok(Math.abs(sum / 4000 - mean) < mean / 15, `mean ${sum / 4000}, not ${mean}`);
    }
  });

  test("9000-12.3-02 a space without numbers says so before one is repeated", () => {
    const app = space();
    app.nextPn = MAX_PN - 1;
    assert.equal(app.isExhausted, false);
    assert.equal(app.takePn(), MAX_PN - 1);
    assert.equal(app.isExhausted, true);
  });
});
