/**
 * Recovery in a closed loop: flows of bulk data over one simulated bottleneck (rate, delay, queue, random loss) in
 * virtual time, with a receiver that acknowledges as RFC 9000 §13.2 says. What is tested is use and fairness.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CongestionName } from "../cong/controller.js";
import { type AckFrame, newAckFrame } from "../frame/ack.js";
import { ReceivedPns } from "../pnspace/received.js";
import { SPACE_APP } from "../proto/space.js";
import { Recovery } from "./recovery.js";
import { type FrameFates, REC_PING } from "./sent.js";

const DATAGRAM_BYTES = 1452;
const SECOND = 1_000_000;

/** Events in order of time, then of insertion. */
class Clock {
  now = 0;
  private readonly heap: { at: number; order: number; run: () => void }[] = [];
  private order = 0;

  at(at: number, run: () => void): void {
    const { heap } = this;
    const event = { at: Math.max(at, this.now), order: this.order++, run };
    let i = heap.push(event) - 1;
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (!this.before(event, heap[up] as typeof event)) break;
      heap[i] = heap[up] as typeof event;
      i = up;
    }
    heap[i] = event;
  }

  run(until: number): void {
    const { heap } = this;
    while (heap.length > 0 && (heap[0]?.at ?? 0) <= until) {
      const first = heap[0] as (typeof heap)[0];
      const last = heap.pop() as (typeof heap)[0];
      if (heap.length > 0) this.sink(last);
      this.now = first.at;
      first.run();
    }
    this.now = until;
  }

  private sink(event: (typeof this.heap)[0]): void {
    const { heap } = this;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      const right = child + 1;
      if (right < heap.length && this.before(heap[right] as typeof event, heap[child] as typeof event)) child = right;
      if (!this.before(heap[child] as typeof event, event)) break;
      heap[i] = heap[child] as typeof event;
      i = child;
    }
    heap[i] = event;
  }

  private before(a: (typeof this.heap)[0], b: (typeof this.heap)[0]): boolean {
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }
}

interface LinkOptions {
  bytesPerSec: number;
  rttMicros: number;
  queueBytes: number;
  lossRate?: number;
  /** The queue marks CE above this length. */
  markBytes?: number;
}

/** A bottleneck with a drop-tail queue; the way back only delays. */
class Link {
  readonly clock = new Clock();
  readonly options: LinkOptions;
  private freeAt = 0;
  private seed = 12_345;

  constructor(options: LinkOptions) {
    this.options = options;
  }

  send(bytes: number, deliver: (ce: boolean) => void): void {
    const { bytesPerSec, queueBytes, lossRate = 0, markBytes = Infinity, rttMicros } = this.options;
    const now = this.clock.now;
    const queued = Math.max(0, ((this.freeAt - now) * bytesPerSec) / SECOND);
    if (queued + bytes > queueBytes || this.random() < lossRate) return;
    this.freeAt = Math.max(this.freeAt, now) + (bytes / bytesPerSec) * SECOND;
    const ce = queued > markBytes;
    this.clock.at(this.freeAt + rttMicros / 2, () => deliver(ce));
  }

  private random(): number {
    this.seed = (Math.imul(this.seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return this.seed / 0x80000000;
  }
}

class Flow implements FrameFates {
  readonly recovery: Recovery;
  receivedBytes = 0;
  limitBytes = Infinity;
  sentBytes = 0;
  private readonly link: Link;
  private readonly received = new ReceivedPns();
  private readonly ack: AckFrame = newAckFrame();
  private unacked = 0;
  private largest = -1;
  private ackTimer = false;
  private wakeAt = Infinity;
  private timerAt = Infinity;
  private ect0 = 0;
  private ce = 0;

  constructor(link: Link, congestion: CongestionName, ecn = false) {
    this.link = link;
    this.recovery = new Recovery({ isServer: true, congestion, datagramBytes: DATAGRAM_BYTES, ecn }, this);
    this.recovery.handshakeConfirmed = true;
  }

  onFrameAcked(): void {}
  onFrameLost(): void {}

  start(at: number): void {
    this.link.clock.at(at, () => this.pump());
  }

  private pump(): void {
    const { recovery, link } = this;
    const now = link.clock.now;
    for (;;) {
      const probe = recovery.probes(SPACE_APP) > 0;
      if (!probe) {
        if (this.sentBytes >= this.limitBytes || !recovery.canSend(DATAGRAM_BYTES)) break;
        const delay = recovery.pacingDelay(now, DATAGRAM_BYTES);
        if (delay > 0) {
          this.wake(now + delay);
          break;
        }
      }
      this.sendPacket(now);
      if (probe) recovery.onProbeSent(SPACE_APP);
    }
    this.arm();
  }

  private sendPacket(now: number): void {
    const { recovery } = this;
    const sent = recovery.sent[SPACE_APP] as NonNullable<(typeof recovery.sent)[0]>;
    const pn = sent.next;
    const marked = recovery.beginDatagram();
    sent.open(pn, now);
    sent.note(REC_PING, 0, 0, 0);
    recovery.onPacketSent(SPACE_APP, DATAGRAM_BYTES, true, true, now);
    this.sentBytes += DATAGRAM_BYTES;
    this.link.send(DATAGRAM_BYTES, (ce) => this.arrive(pn, marked, ce));
  }

  private arrive(pn: number, marked: boolean, ce: boolean): void {
    this.received.record(pn, this.link.clock.now);
    this.receivedBytes += DATAGRAM_BYTES;
    if (marked && ce) this.ce++;
    else if (marked) this.ect0++;
    const inOrder = pn === this.largest + 1;
    this.largest = Math.max(this.largest, pn);
    this.unacked++;
    if (!inOrder || this.unacked >= 2) this.sendAck(0);
    else if (!this.ackTimer) {
      this.ackTimer = true;
      this.link.clock.at(this.link.clock.now + 25_000, () => {
        this.ackTimer = false;
        if (this.unacked > 0) this.sendAck(25_000);
      });
    }
  }

  private sendAck(delay: number): void {
    this.unacked = 0;
    const { received, link, recovery } = this;
    const count = Math.min(received.count, 32);
    const first = Float64Array.from({ length: count }, (_, i) => received.first[received.count - 1 - i] as number);
    const last = Float64Array.from({ length: count }, (_, i) => received.last[received.count - 1 - i] as number);
    const { ect0, ce } = this;
    link.clock.at(link.clock.now + link.options.rttMicros / 2, () => {
      Object.assign(this.ack, { largest: last[0], delay: delay / 8, count, hasEcn: true, ect0, ce });
      this.ack.first.set(first);
      this.ack.last.set(last);
      assert.equal(recovery.onAck(SPACE_APP, this.ack, link.clock.now), 0);
      this.pump();
    });
  }

  private wake(at: number): void {
    if (this.wakeAt <= at && this.wakeAt > this.link.clock.now) return;
    this.wakeAt = at;
    this.link.clock.at(at, () => {
      if (this.wakeAt === this.link.clock.now) this.pump();
    });
  }

  private arm(): void {
    const at = this.recovery.deadline();
    if (at === Infinity || at === this.timerAt) return;
    this.timerAt = at;
    this.link.clock.at(at, () => {
      if (this.timerAt !== at) return;
      this.timerAt = Infinity;
      this.recovery.onTimeout(this.link.clock.now);
      this.pump();
    });
  }
}

const PATH: LinkOptions = { bytesPerSec: 2_500_000, rttMicros: 40_000, queueBytes: 100_000 };

/** Share of the link that one flow used in [fromMicros, untilMicros). */
function use(link: Link, flow: Flow, fromMicros: number, untilMicros: number): number {
  link.clock.run(fromMicros);
  const before = flow.receivedBytes;
  link.clock.run(untilMicros);
  return (flow.receivedBytes - before) / ((link.options.bytesPerSec * (untilMicros - fromMicros)) / SECOND);
}

for (const congestion of ["newreno", "cubic"] as const) {
  describe(`${congestion} over a bottleneck of 20 Mbit/s and 40 ms`, () => {
    test("RFC 9002 §7 uses at least 85 % of a clean link from the first second on", () => {
      const link = new Link(PATH);
      const flow = new Flow(link, congestion);
      flow.start(0);
      const early = use(link, flow, 1 * SECOND, 3 * SECOND);
      const late = use(link, flow, 3 * SECOND, 20 * SECOND);
      assert.ok(early > 0.85, `seconds 1 to 3: ${early}`);
      assert.ok(late > 0.95, `seconds 3 to 20: ${late}`);
      assert.equal(flow.recovery.spuriousLosses, 0);
    });

    test("RFC 9002 §7 fills a link whose queue is a quarter of the path", () => {
      const link = new Link({ ...PATH, queueBytes: 30_000 });
      const flow = new Flow(link, congestion);
      flow.start(0);
      const share = use(link, flow, 2 * SECOND, 20 * SECOND);
      assert.ok(share > 0.85, `${share}`);
    });

    test("RFC 9002 §6 keeps a lossy link busy without a timeout", () => {
      const link = new Link({ ...PATH, lossRate: 0.0005 });
      const flow = new Flow(link, congestion);
      flow.start(0);
      const share = use(link, flow, 1 * SECOND, 20 * SECOND);
      assert.ok(share > 0.7, `${share}`);
      assert.ok(flow.recovery.packetsLost > 5);
      assert.equal(flow.recovery.ptoCountTotal, 0);
    });

    test("RFC 9002 §7.1 ECN marks hold the queue short without loss", () => {
      const link = new Link({ ...PATH, queueBytes: 300_000, markBytes: 60_000 });
      const flow = new Flow(link, congestion, true);
      flow.start(0);
      const share = use(link, flow, 2 * SECOND, 20 * SECOND);
      assert.ok(share > 0.85, `${share}`);
      assert.ok(flow.recovery.congestionEvents > 2);
      assert.equal(flow.recovery.packetsLost, 0);
    });

    test("two flows share fairly, one of them late", () => {
      const link = new Link(PATH);
      const flows = [new Flow(link, congestion), new Flow(link, congestion)] as const;
      flows[0].start(0);
      flows[1].start(2 * SECOND);
      link.clock.run(20 * SECOND);
      const before = flows.map((flow) => flow.receivedBytes);
      link.clock.run(50 * SECOND);
      const [a = 0, b = 0] = flows.map((flow, i) => flow.receivedBytes - (before[i] ?? 0));
      const jain = (a + b) ** 2 / (2 * (a * a + b * b));
      assert.ok(jain > 0.9, `${a} and ${b} bytes: ${jain}`);
      assert.ok(a + b > 0.95 * 30 * PATH.bytesPerSec, `${a + b} bytes`);
    });

    test("RFC 9002 §7.8 an application of 1 Mbit/s does not grow the window", () => {
      const link = new Link(PATH);
      const flow = new Flow(link, congestion);
      for (let i = 0; i < 500; i++) {
        link.clock.at(i * 20_000, () => {
          flow.limitBytes = flow.sentBytes + 2500;
          flow.start(link.clock.now);
        });
      }
      link.clock.run(10 * SECOND);
      assert.ok(flow.recovery.cc.cwndBytes <= 20 * DATAGRAM_BYTES, `${flow.recovery.cc.cwndBytes}`);
    });

    test("RFC 9002 §7.7 a loopback path is not held by the pacer", () => {
      const link = new Link({ bytesPerSec: 1_000_000_000, rttMicros: 100, queueBytes: 4_000_000 });
      const flow = new Flow(link, congestion);
      flow.start(0);
      const share = use(link, flow, 20_000, 60_000);
      assert.ok(share > 0.85, `${share}`);
    });
  });
}
