import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  ACK_FREQUENCY_MAX_PACKETS,
  ACK_FREQUENCY_MIN_PACKETS,
  ACK_FREQUENCY_WINDOW_SHARE,
  PACKET_THRESHOLD,
} from "../proto/limits.js";
import { FrameDecoder } from "../frame/decode.js";
import { FrameRecorder } from "../frame/recorder.contract.js";
import { LEVEL_APP } from "../port/tls.js";
import { SPACE_APP } from "../proto/space.js";
import { AckFrequency } from "./ack-frequency.js";
import { SentPackets } from "./sent.js";

const DATAGRAM_BYTES = 1200;
const MIN_MICROS = 1_000;
const MAX_MICROS = 25_000;
/** The smallest window that asks for anything. */
const FIRST_PACKETS = ACK_FREQUENCY_MIN_PACKETS / ACK_FREQUENCY_WINDOW_SHARE;

class Bench {
  readonly sender = {
    cc: { cwndBytes: 0 },
    rtt: { smoothedRttMicros: 40_000 },
    maxAckDelayMicros: MAX_MICROS,
  };
  readonly frequency = new AckFrequency(this.sender);
  nowMicros = 0;
  private largestAcked = -1;
  private readonly sent = new SentPackets(SPACE_APP);

  constructor(isAllowed = true, ownMicros = MAX_MICROS) {
    this.sender.maxAckDelayMicros = ownMicros;
    if (isAllowed) this.frequency.allow(MIN_MICROS, ownMicros);
  }

  /** An ACK arrives when the window and the round trip are such; the request that follows, or "". */
  ack(windowPackets: number, smoothedRttMicros = 40_000, afterMicros = 1_000_000, coveredPackets = 2): string {
    this.nowMicros += afterMicros;
    this.largestAcked += coveredPackets;
    this.sender.cc.cwndBytes = windowPackets * DATAGRAM_BYTES;
    this.sender.rtt.smoothedRttMicros = smoothedRttMicros;
    this.frequency.reconsider(DATAGRAM_BYTES, this.largestAcked, this.nowMicros);
    return this.send();
  }

  /** What is to be sent now. */
  send(): string {
    if (!this.frequency.isWanted) return "";
    const buf = new Uint8Array(50);
    this.sent.open(this.sent.next, 0);
    const end = this.frequency.fill(buf, 0, buf.length, this.sent);
    this.sent.commit(end, true, true);
    const recorder = new FrameRecorder();
    assert.ok(new FrameDecoder().decode(LEVEL_APP, buf, 0, end, recorder));
    return recorder.lines.join();
  }
}

describe("what is asked for", () => {
  test("draft-ietf-quic-ack-frequency §3 nothing of a peer without min_ack_delay", () => {
    assert.equal(new Bench(false).ack(10_000), "");
  });

  test("nothing of a peer whose ACK frames cover as many packets by themselves; it is asked when they do not any more", () => {
    const bench = new Bench();
    for (let i = 0; i < 40; i++) bench.ack(FIRST_PACKETS - 1, 40_000, 1_000_000, 100);
    assert.equal(bench.ack(FIRST_PACKETS, 40_000, 1_000_000, 100), "");
    let asked = "";
    for (let i = 0; i < 40 && asked === ""; i++) asked = bench.ack(FIRST_PACKETS);
    assert.match(asked, /^ACK_FREQUENCY 0 /);
  });

  test("draft-ietf-quic-ack-frequency §8.1 nothing while the window is small, then a share of it and of the round trip", () => {
    const bench = new Bench();
    assert.equal(bench.ack(FIRST_PACKETS - 1), "");
    assert.equal(bench.frequency.isReduced, false);
    const packets = ACK_FREQUENCY_MIN_PACKETS - 1; // that need no answer
    assert.equal(bench.ack(FIRST_PACKETS), `ACK_FREQUENCY 0 ${packets} 10000 ${PACKET_THRESHOLD}`);
    assert.equal(bench.frequency.isReduced, true);
  });

  test("one ACK covers 64 packets at most, however large the window", () => {
    assert.equal(new Bench().ack(1e6), `ACK_FREQUENCY 0 ${ACK_FREQUENCY_MAX_PACKETS - 1} 10000 3`);
  });

  test("draft-ietf-quic-ack-frequency §4 the delay is not below min_ack_delay, nor above what is usual or announced", () => {
    assert.match(new Bench().ack(1000, 200), / 1000 3$/);
    assert.match(new Bench().ack(1000, 4_000), / 1000 3$/);
    assert.match(new Bench().ack(1000, 4_400), / 1100 3$/);
    assert.match(new Bench().ack(1000, 600_000), / 25000 3$/);
    assert.match(new Bench(true, 2_000).ack(1000, 600_000), / 25000 3$/);
    assert.match(new Bench(true, 90_000).ack(1000, 600_000), / 90000 3$/);
  });

  test("a window that has collapsed gets what RFC 9000 §13.2 gives everybody", () => {
    const bench = new Bench();
    bench.ack(1000);
    bench.frequency.onAcked(0);
    assert.equal(bench.ack(2), "ACK_FREQUENCY 1 1 25000 1");
    bench.frequency.onAcked(1);
    assert.equal(bench.frequency.isReduced, false);
    assert.equal(bench.ack(2), "", "once");
  });

  test("draft-ietf-quic-ack-frequency §8.1 changes that change little are not worth a frame, others once in a round trip", () => {
    const bench = new Bench();
    bench.ack(256);
    bench.frequency.onAcked(0);
    assert.equal(bench.ack(511, 79_000), "");
    assert.equal(bench.ack(256, 21_000), "");
    assert.equal(bench.ack(512, 40_000, 10_000), "ACK_FREQUENCY 1 31 10000 3", "sixteen more packets");
    bench.frequency.onAcked(1);
    assert.equal(bench.ack(512, 81_000, 39_999), "", "another delay, but not yet");
    assert.equal(bench.ack(512, 81_000, 1), "ACK_FREQUENCY 2 31 20250 3");
  });

  test("one request is on its way at a time", () => {
    const bench = new Bench();
    bench.ack(256);
    assert.equal(bench.ack(1024), "");
    bench.frequency.onAcked(0);
    assert.equal(bench.ack(1024), "ACK_FREQUENCY 1 63 10000 3");
  });
});

describe("what becomes of a request", () => {
  test("draft-ietf-quic-ack-frequency §4 a lost one is sent again under a new number", () => {
    const bench = new Bench();
    bench.ack(256);
    bench.frequency.onLost(0);
    assert.equal(bench.send(), "ACK_FREQUENCY 1 15 10000 3");
    bench.frequency.onLost(0);
    assert.equal(bench.send(), "", "the loss of an older one is no news");
    bench.frequency.onAcked(0);
    assert.equal(bench.ack(1024), "", "nor is its acknowledgement");
    bench.frequency.onAcked(1);
    assert.notEqual(bench.ack(1024), "");
  });

  test("one that was late and not lost is not sent again", () => {
    const bench = new Bench();
    bench.ack(256);
    bench.frequency.onLost(0);
    bench.frequency.onAcked(0);
    assert.equal(bench.send(), "");
  });

  test("draft-ietf-quic-ack-frequency §7 a longer delay counts at once, a shorter one when the request is acknowledged", () => {
    const bench = new Bench(true, 4_000);
    bench.ack(256, 80_000);
    assert.equal(bench.sender.maxAckDelayMicros, 20_000);
    bench.frequency.onLost(0);
    assert.equal(bench.sender.maxAckDelayMicros, 20_000, "the peer may have it all the same");
    bench.send();
    bench.frequency.onAcked(1);
    bench.ack(256, 32_000);
    assert.equal(bench.sender.maxAckDelayMicros, 20_000);
    bench.frequency.onAcked(2);
    assert.equal(bench.sender.maxAckDelayMicros, 8_000);
  });

  test("the PTO reckons with the max_ack_delay that the peer announced, whatever less was asked for", () => {
    const bench = new Bench();
    bench.ack(256, 8_000);
    bench.frequency.onAcked(0);
    assert.equal(bench.sender.maxAckDelayMicros, MAX_MICROS);
  });
});
