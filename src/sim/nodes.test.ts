import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ECN_CE, ECN_ECT0, ECN_ECT1, ECN_NOT_ECT } from "../port/udp.js";
import { Aggregate } from "./aggregate.js";
import { simAddress } from "./batches.js";
import { Blackout } from "./blackout.js";
import { Copier } from "./copier.js";
import { CodelLink } from "./codel.js";
import { Corrupt } from "./corrupt.js";
import type { Datagram } from "./datagram.js";
import { Delay } from "./delay.js";
import { Duplicate } from "./duplicate.js";
import { EcnMarker } from "./ecn.js";
import { BurstLoss } from "./loss-burst.js";
import { ExactLoss } from "./loss-exact.js";
import { RandomLoss } from "./loss-random.js";
import { MtuLimit } from "./mtu.js";
import { Nat } from "./nat.js";
import type { NetNode } from "./node.js";
import { Policer } from "./policer.js";
import { Prng } from "./prng.js";
import { RateLimit } from "./rate.js";
import { Reorder } from "./reorder.js";
import { Simulation } from "./simulation.js";

interface Arrival {
  id: number;
  atMicros: number;
  length: number;
  ecn: number;
  first: number;
}

/** Pushes `count` datagrams through a node, one each `gapMicros`, and returns what came out. */
function passThrough(
  make: (sim: Simulation, prng: Prng) => NetNode,
  count: number,
  { gapMicros = 100, length = 100, ecn = ECN_NOT_ECT } = {},
): { sim: Simulation; arrivals: Arrival[] } {
  const sim = new Simulation({ startMicros: 0 });
  const arrivals: Arrival[] = [];
  const node = make(sim, new Prng(42));
  node.next = {
    push(datagram: Datagram, nowMicros: number): void {
      const { id, length: bytes, ecn: mark } = datagram;
      arrivals.push({ id, atMicros: nowMicros, length: bytes, ecn: mark, first: datagram.bytes[0] });
      sim.scratch.pool.give(datagram);
    },
  };
  for (let i = 0; i < count; i++) {
    sim.after(i * gapMicros, () => {
      const datagram = sim.newDatagram();
      datagram.set(new Uint8Array(length).fill(i), 0, length);
      datagram.ecn = ecn;
      node.push(datagram, sim.nowMicros);
    });
  }
  sim.run(Infinity);
  assert.equal(sim.scratch.pool.outstanding, 0, "every datagram was delivered or dropped once");
  return { sim, arrivals };
}

/** Of 0 up to the last id, those that did not arrive. */
function missing(arrived: number[]): number[] {
  const seen = new Set(arrived);
  return [...Array(arrived.at(-1)).keys()].filter((id) => !seen.has(id));
}

const ids = (arrivals: Arrival[]): number[] => arrivals.map((arrival) => arrival.id);

describe("network nodes", () => {
  test("random loss drops its share, and nothing at 0", () => {
    const { sim, arrivals } = passThrough((net, prng) => new RandomLoss(net, prng, 0.3), 2000);
    assert.ok(sim.dropped.loss > 500 && sim.dropped.loss < 700, `${sim.dropped.loss}`);
    assert.equal(arrivals.length + sim.dropped.loss, 2000);
    assert.equal(passThrough((net, prng) => new RandomLoss(net, prng, 0), 500).arrivals.length, 500);
  });

  test("burst loss drops in runs", () => {
    const options = { goodMean: 50, badMean: 10, badLoss: 1 };
    const { arrivals } = passThrough((net, prng) => new BurstLoss(net, prng, options), 3000);
    const lost = 3000 - arrivals.length;
    let runs = 0;
    for (let i = 1; i < arrivals.length; i++) if (arrivals[i].id !== arrivals[i - 1].id + 1) runs++;
    assert.ok(lost > 200 && lost < 1000, `${lost}`);
    assert.ok(lost / runs > 5, `${lost} datagrams in ${runs} runs`);
  });

  test("exact loss drops the datagrams of its bitmap and no other", () => {
    const { arrivals } = passThrough((net) => new ExactLoss(net, 0b100_0101), 10);
    assert.deepEqual(ids(arrivals), [1, 3, 4, 5, 7, 8, 9]);
  });

  test("a blackout is silent between its two times", () => {
    const { arrivals } = passThrough((net) => new Blackout(net, 300, 600), 10);
    assert.deepEqual(ids(arrivals), [0, 1, 2, 6, 7, 8, 9]);
  });

  test("delay keeps the order with fifo and may lose it without", () => {
    const options = { baseMicros: 1000, jitterMicros: 5000, jitter: "uniform" as const };
    const ordered = passThrough((net, prng) => new Delay(net, prng, { ...options, fifo: true }), 100).arrivals;
    assert.deepEqual(
      ids(ordered),
      Array.from({ length: 100 }, (_, i) => i),
    );
    const loose = passThrough((net, prng) => new Delay(net, prng, { ...options, fifo: false }), 100).arrivals;
    assert.notDeepEqual(ids(loose), ids(ordered));
    for (const { id, atMicros } of loose) assert.ok(atMicros >= id * 100 + 1000 && atMicros <= id * 100 + 6000);
  });

  test("a rate limit spaces datagrams, drops at the end of its queue and marks when told", () => {
    const options = { bitsPerSec: 1_024_000, queuePackets: 5, markPackets: 2 };
    const { sim, arrivals } = passThrough((net) => new RateLimit(net, options), 20, { gapMicros: 0, ecn: ECN_ECT0 });
    assert.equal(arrivals.length, 5);
    assert.equal(sim.dropped.queue, 15);
    assert.deepEqual(
      arrivals.map((arrival) => arrival.atMicros),
      [1000, 2000, 3000, 4000, 5000], // 128 bytes each, headers included
    );
    assert.deepEqual(
      arrivals.map((arrival) => arrival.ecn),
      [ECN_ECT0, ECN_ECT0, ECN_CE, ECN_CE, ECN_CE],
    );
  });

  test("reordering swaps neighbours, reverses windows, and never keeps a datagram", () => {
    const always = { chance: 1, depth: 1, holdMicros: 10_000 };
    const swapped = passThrough((net, prng) => new Reorder(net, prng, { ...always, mode: "late" }), 7).arrivals;
    assert.deepEqual(ids(swapped), [1, 0, 3, 2, 5, 4, 6]);
    assert.equal(swapped[6].atMicros, 600 + 10_000);
    const reverse = { ...always, depth: 3, mode: "reverse" as const };
    const reversed = passThrough((net, prng) => new Reorder(net, prng, reverse), 8).arrivals;
    assert.deepEqual(ids(reversed), [3, 2, 1, 0, 7, 6, 5, 4]);
  });

  test("a policer lets its burst through, then its rate, and never delays", () => {
    // 100 bytes each 100 µs are 8 Mbit/s
    const options = { bitsPerSec: 4e6, burstBytes: 1000 };
    const { sim, arrivals } = passThrough((net) => new Policer(net, options), 1000);
    const burst = ids(arrivals.slice(0, 19));
    assert.deepEqual(burst, [...burst.keys()], "the bucket, and what flows in meanwhile");
    assert.ok(Math.abs(arrivals.length - 510) <= 2, `${arrivals.length}`);
    assert.equal(sim.dropped.policer, 1000 - arrivals.length);
    assert.ok(arrivals.every(({ id, atMicros }) => atMicros === id * 100));
  });

  test("RFC 8289 §5.3 CoDel lets a burst through, and drops or marks where the wait stays above the target", () => {
    // 100 bytes and headers each 100 µs are 10.24 Mbit/s
    const options = { bitsPerSec: 8e6, targetMicros: 1000, intervalMicros: 20_000, marks: false };
    const burst = passThrough((net) => new CodelLink(net, options), 150);
    assert.equal(burst.arrivals.length, 150, "the wait was above the target for less than the interval");
    const dropping = passThrough((net) => new CodelLink(net, options), 5000);
    assert.ok(dropping.sim.dropped.codel > 100, `${dropping.sim.dropped.codel}`);
    assert.equal(dropping.arrivals.length + dropping.sim.dropped.codel, 5000);
    const gaps = missing(ids(dropping.arrivals)).map((id, i, all) => id - (all[i - 1] ?? 0));
    assert.ok(
      gaps.slice(1, 6).every((gap, i) => gap <= gaps[i]),
      `ever sooner: ${gaps.slice(0, 6)}`,
    );
    const marking = passThrough((net) => new CodelLink(net, { ...options, marks: true }), 5000, { ecn: ECN_ECT0 });
    assert.equal(marking.sim.dropped.codel, 0);
    assert.ok(marking.arrivals.some(({ ecn }) => ecn === ECN_CE));
    const slow = passThrough((net) => new CodelLink(net, options), 5000, { gapMicros: 200 });
    assert.equal(slow.arrivals.length, 5000, "no queue");
  });

  test("aggregation lets what came between two slots leave together and in order", () => {
    const { arrivals } = passThrough((net) => new Aggregate(net, 1000), 25);
    assert.deepEqual(ids(arrivals), [...Array(25).keys()]);
    assert.deepEqual([...new Set(arrivals.map(({ atMicros }) => atMicros))], [1000, 2000, 3000]);
  });

  test("duplicates come on top of the original", () => {
    const options = { chance: 1, copies: 3, spreadMicros: 5000 };
    const { arrivals } = passThrough((net, prng) => new Duplicate(net, prng, options), 50);
    for (let id = 0; id < 50; id++) {
      const copies = arrivals.filter((arrival) => arrival.id === id).length;
      assert.ok(copies >= 2 && copies <= 4, `${copies}`);
    }
  });

  test("corruption changes length or content of its share", () => {
    let node: Corrupt | undefined;
    passThrough((_net, prng) => (node = new Corrupt(prng, 0.5)), 400);
    assert.ok(node !== undefined && node.damaged > 150 && node.damaged < 250);
    const { arrivals } = passThrough((_net, prng) => new Corrupt(prng, 1), 200);
    assert.ok(arrivals.some((arrival) => arrival.length > 100) && arrivals.some((arrival) => arrival.length < 100));
    assert.ok(arrivals.every((arrival) => arrival.length >= 1));
  });

  test("an MTU drops what is larger and only that", () => {
    assert.equal(passThrough((net) => new MtuLimit(net, 100), 3).arrivals.length, 3);
    assert.equal(passThrough((net) => new MtuLimit(net, 99), 3).sim.dropped.mtu, 3);
  });

  test("ECN marks are bleached, or set on what is capable", () => {
    const marks = (bleach: boolean, ecn: number): number[] =>
      passThrough((_net, prng) => new EcnMarker(prng, bleach, 1), 2, { ecn }).arrivals.map((arrival) => arrival.ecn);
    assert.deepEqual(marks(true, ECN_ECT0), [ECN_NOT_ECT, ECN_NOT_ECT]);
    assert.deepEqual(marks(false, ECN_ECT0), [ECN_CE, ECN_CE]);
    assert.deepEqual(marks(false, ECN_NOT_ECT), [ECN_NOT_ECT, ECN_NOT_ECT]);
    const remarked = passThrough(
      (_net, prng) => {
        const node = new EcnMarker(prng, false, 0);
        node.remarks = true;
        return node;
      },
      1,
      { ecn: ECN_ECT0 },
    );
    assert.equal(remarked.arrivals[0].ecn, ECN_ECT1);
  });
});

describe("NAT", () => {
  test("rewrites the source only when enabled; after a rebinding the old address leads nowhere", () => {
    const sim = new Simulation({ startMicros: 0 });
    const got: string[] = [];
    const sink = (name: string) => ({
      push(datagram: Datagram): void {
        got.push(`${name} from port ${datagram.source[4]}`);
        sim.scratch.pool.give(datagram);
      },
    });
    const inside = simAddress(192, 168, 0, 2, 1000);
    const server = simAddress(10, 0, 0, 1, 443);
    const client = sim.network.attach(inside, sink("client"));
    const other = sim.network.attach(server, sink("server"));
    const nat = new Nat(sim.network, client, inside);
    sim.network.join(client, other, [nat]);
    sim.network.join(other, client, []);
    const send = (from: number, source: Int32Array, dest: Int32Array): void => {
      const datagram = sim.newDatagram();
      datagram.set(new Uint8Array(10), 0, 10);
      datagram.source.set(source.subarray(0, 5));
      datagram.dest.set(dest.subarray(0, 5));
      sim.network.send(from, datagram, 0);
    };

    nat.rebind(simAddress(203, 0, 113, 1, 5000));
    send(client, inside, server);
    nat.enabled = true;
    send(client, inside, server);
    send(other, server, simAddress(203, 0, 113, 1, 5000));
    nat.rebind(simAddress(203, 0, 113, 1, 5001));
    send(client, inside, server);
    send(other, server, simAddress(203, 0, 113, 1, 5000));
    send(other, server, simAddress(203, 0, 113, 1, 5001));
    send(client, simAddress(192, 168, 0, 3, 1001), server);
    assert.deepEqual(got.splice(-1), ["server from port 1001"], "another address of the host leads round it");
    assert.deepEqual(got, [
      "server from port 1000",
      "server from port 5000",
      "client from port 443",
      "server from port 5001",
      "client from port 443",
    ]);
    assert.equal(sim.dropped.unroutable, 1);
    assert.equal(nat.rebindings, 1);
  });

  test("a copier lets everything pass, and its copies arrive by a way of their own from its own addresses", () => {
    const sim = new Simulation({ startMicros: 0 });
    const ends: string[] = [];
    const end = {
      push(datagram: Datagram, nowMicros: number): void {
        ends.push(`${datagram.source[4]} at ${nowMicros}`);
        sim.scratch.pool.give(datagram);
      },
    };
    const copier = new Copier(sim, end, new Prng(1));
    const delay = new Delay(sim, new Prng(2), { baseMicros: 1000, jitterMicros: 0, jitter: "uniform", fifo: true });
    copier.next = delay;
    delay.next = end;
    const send = (): void => {
      const datagram = sim.newDatagram();
      datagram.source[4] = 1;
      copier.push(datagram, sim.nowMicros);
      sim.run(Infinity);
    };
    send();
    assert.deepEqual(ends.splice(0), ["1 at 1000"]);
    copier.options = { chance: 1, sources: [simAddress(198, 51, 100, 1, 7)], latestMicros: 900 };
    send();
    assert.equal(ends.length, 2);
    assert.match(ends[0], /^7 at 1\d\d\d$/, "the copy was faster");
    assert.equal(ends[1], "1 at 2000");
    assert.equal(copier.copies, 1);
    assert.equal(sim.scratch.pool.outstanding, 0);
  });
});
