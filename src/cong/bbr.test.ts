import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Bbr } from "./bbr.js";
import { DeliveryRate } from "./delivery-rate.js";
import { Rtt } from "./rtt.js";

const SIZE = 1200;
const SLOTS = 1 << 15;

interface PathOptions {
  bytesPerMicro: number;
  rttMicros: number;
  bufferBytes: number;
  /** Of each packet, independent of the queue. */
  lossRate?: number;
}

/** A flow of one controller over a bottleneck with a drop-tail queue; every packet is acknowledged when it arrives. */
class Flow {
  readonly bbr = new Bbr(SIZE);
  readonly delivery = new DeliveryRate();
  readonly rtt = new Rtt(333_000);
  nowMicros = 0;
  mostQueuedBytes = 0;
  leastInFlightBytes = Infinity;
  readonly phases = new Set<string>();
  private readonly path: PathOptions;
  private inFlightBytes = 0;
  private nextPn = 0;
  /** When the bottleneck has sent all that it holds. */
  private busyUntilMicros = 0;
  private sendableMicros = 0;
  /** When what becomes of a packet is known, in order of sending; negative: it is lost. */
  private readonly fates: { pn: number; sentMicros: number; micros: number; isLost: boolean }[] = [];
  private seed = 12345;

  constructor(path: PathOptions) {
    this.path = path;
    this.delivery.resize(SLOTS, 0, 0);
  }

  private random(): number {
    this.seed = (Math.imul(this.seed, 1664525) + 1013904223) >>> 0;
    return this.seed / 2 ** 32;
  }

  /** Bytes delivered until `untilMicros`; `mayUse` false: the application has nothing to send. */
  run(untilMicros: number, mayUse = true): number {
    const before = this.delivery.deliveredBytes;
    while (this.nowMicros < untilMicros) {
      const canSend = mayUse && this.inFlightBytes + SIZE <= this.bbr.cwndBytes;
      const sendAt = canSend ? Math.max(this.sendableMicros, this.nowMicros) : Infinity;
      const fateAt = this.fates[0]?.micros ?? Infinity;
      if (!mayUse) this.delivery.onAppLimited(this.inFlightBytes);
      this.nowMicros = Math.min(sendAt, fateAt, untilMicros);
      if (this.nowMicros === untilMicros) break;
      if (sendAt <= fateAt) this.send();
      else this.settle();
    }
    return this.delivery.deliveredBytes - before;
  }

  private send(): void {
    const { path, nowMicros } = this;
    if (this.inFlightBytes === 0) this.bbr.onRestart(this.delivery, nowMicros);
    this.inFlightBytes += SIZE;
    const pn = this.nextPn++;
    this.delivery.onSent(pn & (SLOTS - 1), SIZE, this.inFlightBytes, nowMicros);
    this.sendableMicros = nowMicros + SIZE / this.bbr.pacingBytesPerMicro;
    const queued = Math.max(0, this.busyUntilMicros - nowMicros) * path.bytesPerMicro;
    this.mostQueuedBytes = Math.max(this.mostQueuedBytes, queued);
    const isLost = queued + SIZE > path.bufferBytes || this.random() < (path.lossRate ?? 0);
    if (!isLost) this.busyUntilMicros = Math.max(this.busyUntilMicros, nowMicros) + SIZE / path.bytesPerMicro;
    // a loss is noticed when the packets after it are acknowledged
    const micros = Math.max(this.busyUntilMicros, nowMicros) + path.rttMicros;
    this.fates.push({ pn, sentMicros: nowMicros, micros, isLost });
  }

  private settle(): void {
    const { pn, sentMicros, isLost } = this.fates.shift() as (typeof this.fates)[0];
    const { delivery, bbr, rtt, nowMicros } = this;
    this.inFlightBytes -= SIZE;
    delivery.begin(nowMicros);
    if (isLost) {
      delivery.onLost(pn & (SLOTS - 1), SIZE);
      bbr.onCongestionEvent(sentMicros, nowMicros);
    } else {
      delivery.onAcked(pn & (SLOTS - 1), SIZE, sentMicros);
      rtt.update(nowMicros - sentMicros, 0, nowMicros);
      delivery.sample.rttMicros = nowMicros - sentMicros;
    }
    delivery.end(rtt.minRttMicros);
    bbr.onRateSample(delivery, this.inFlightBytes, rtt, nowMicros);
    this.phases.add(bbr.phase);
    this.leastInFlightBytes = Math.min(this.leastInFlightBytes, this.inFlightBytes);
  }
}

const SECOND = 1_000_000;

describe("BBR on a path of its own", () => {
  const paths: [string, PathOptions][] = [
    ["10 Mbit/s, 40 ms", { bytesPerMicro: 1.25, rttMicros: 40_000, bufferBytes: 200_000 }],
    ["100 Mbit/s, 10 ms", { bytesPerMicro: 12.5, rttMicros: 10_000, bufferBytes: 500_000 }],
    ["1 Mbit/s, 300 ms", { bytesPerMicro: 0.125, rttMicros: 300_000, bufferBytes: 100_000 }],
  ];
  for (const [name, path] of paths) {
    test(`fills ${name} and keeps its queue below two bandwidth-delay products`, () => {
      const flow = new Flow(path);
      flow.run(4 * SECOND);
      flow.mostQueuedBytes = 0;
      const delivered = flow.run(24 * SECOND);
      const most = path.bytesPerMicro * 20 * SECOND;
      assert.ok(delivered > 0.9 * most, `${delivered} of ${most}`);
      const bdp = path.bytesPerMicro * path.rttMicros;
      assert.ok(flow.mostQueuedBytes < 2 * bdp, `${flow.mostQueuedBytes} queued of ${bdp}`);
      for (const phase of ["startup", "probe-down", "probe-cruise", "probe-refill", "probe-up"]) {
        assert.ok(flow.phases.has(phase), `never in ${phase}`);
      }
    });
  }

  test("1 % of random loss leaves most of the rate", () => {
    const flow = new Flow({ bytesPerMicro: 12.5, rttMicros: 40_000, bufferBytes: 1_000_000, lossRate: 0.01 });
    flow.run(4 * SECOND);
    const delivered = flow.run(14 * SECOND);
    assert.ok(delivered > 0.7 * 12.5 * 10 * SECOND, `${delivered}`);
  });

  test("a buffer of a tenth of the bandwidth-delay product is not overrun for ever", () => {
    const flow = new Flow({ bytesPerMicro: 12.5, rttMicros: 40_000, bufferBytes: 50_000 });
    flow.run(10 * SECOND);
    const lostBefore = flow.delivery.lostBytes;
    const delivered = flow.run(30 * SECOND);
    assert.ok(delivered > 0.75 * 12.5 * 20 * SECOND, `${delivered}`);
    assert.ok(flow.delivery.lostBytes - lostBefore < 0.03 * delivered, `${flow.delivery.lostBytes - lostBefore} lost`);
  });

  test("a path that has become slower is noticed within a few cycles, one that is faster as well", () => {
    const path = { bytesPerMicro: 12.5, rttMicros: 20_000, bufferBytes: 250_000 };
    const flow = new Flow(path);
    flow.run(5 * SECOND);
    path.bytesPerMicro = 2.5;
    flow.run(25 * SECOND);
    assert.ok(flow.bbr.pacingBytesPerMicro < 1.3 * 2.5, `${flow.bbr.pacingBytesPerMicro}`);
    path.bytesPerMicro = 12.5;
    flow.run(45 * SECOND);
    assert.ok(flow.run(50 * SECOND) > 0.8 * 12.5 * 5 * SECOND);
  });

  test("the least RTT is measured with a half empty pipe every five seconds", () => {
    const flow = new Flow({ bytesPerMicro: 12.5, rttMicros: 20_000, bufferBytes: 1_000_000 });
    flow.run(4 * SECOND);
    assert.ok(!flow.phases.has("probe-rtt"));
    flow.run(12 * SECOND);
    assert.ok(flow.phases.has("probe-rtt"));
  });

  test("a rate that the application limits does not lower the estimate", () => {
    const flow = new Flow({ bytesPerMicro: 12.5, rttMicros: 20_000, bufferBytes: 500_000 });
    flow.run(4 * SECOND);
    const before = flow.bbr.pacingBytesPerMicro;
    for (let i = 0; i < 20; i++) {
      flow.run(flow.nowMicros + 2_000);
      flow.run(flow.nowMicros + 30_000, false);
    }
    assert.ok(flow.bbr.pacingBytesPerMicro > 0.7 * before, `${flow.bbr.pacingBytesPerMicro} of ${before}`);
  });
});

test("RFC 9002 §7.6.2 persistent congestion leaves the minimum window", () => {
  const bbr = new Bbr(SIZE);
  bbr.onCongestionEvent(0, 1);
  bbr.onPersistentCongestion();
  assert.equal(bbr.cwndBytes, 2 * SIZE);
});

test("an ECN-CE mark or a loss begins one recovery period a round", () => {
  const bbr = new Bbr(SIZE);
  assert.equal(bbr.onCongestionEvent(10, 100), true);
  assert.equal(bbr.onCongestionEvent(100, 110), false);
  assert.equal(bbr.onCongestionEvent(101, 120), true);
});
