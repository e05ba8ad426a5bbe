import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  ADDR_COLS,
  RX_COLS,
  RX_ECN,
  RX_LEN,
  RX_OFF,
  RX_SOURCE,
  type RxBatch,
  TX_COLS,
  TX_DEST,
  TX_ECN,
  TX_LEN,
  TX_OFF,
  type TxBatch,
} from "../port/udp.js";
import { simAddress } from "./batches.js";
import { Delay } from "./delay.js";
import { type HostOptions, PROMPT_HOST, type SimEndpoint } from "./host.js";
import { RandomLoss } from "./loss-random.js";
import { Prng } from "./prng.js";
import { Simulation } from "./simulation.js";

const CLIENT = simAddress(10, 0, 0, 1, 1000);
const SERVER = simAddress(10, 0, 0, 2, 2000);
const IDLE_APP = { run: () => false };

/** Answers each datagram with its own bytes, and starts one of its own at each deadline. */
class EchoEndpoint implements SimEndpoint {
  onWork: (() => void) | null = null;
  deadline = Infinity;
  timeouts: number[] = [];
  batches: number[] = [];
  received: string[] = [];
  private readonly out: { bytes: Uint8Array; dest: Int32Array; ecn: number }[] = [];

  constructor(private readonly echoes: boolean) {}

  receive(rx: RxBatch, nowMicros: number): void {
    this.batches.push(rx.count);
    for (let row = 0; row < rx.count * RX_COLS; row += RX_COLS) {
      const off = rx.rows[row + RX_OFF];
      const bytes = rx.buf.slice(off, off + rx.rows[row + RX_LEN]);
      const source = rx.rows[row + RX_SOURCE] * ADDR_COLS;
      this.received.push(`${nowMicros} ${String.fromCharCode(...bytes)}`);
      const dest = rx.sources.slice(source, source + ADDR_COLS);
      if (this.echoes) this.out.push({ bytes, dest, ecn: rx.rows[row + RX_ECN] });
    }
  }

  send(text: string, dest: Int32Array): void {
    this.out.push({ bytes: Uint8Array.from(text, (char) => char.charCodeAt(0)), dest, ecn: 0 });
    this.onWork?.();
  }

  transmit(tx: TxBatch): boolean {
    // Two datagrams a call, so that the driver has to come back for more.
    for (let next = this.out.shift(); next !== undefined; next = tx.count < 2 ? this.out.shift() : undefined) {
      tx.buf.set(next.bytes, tx.used);
      tx.dests.set(next.dest, tx.destCount * ADDR_COLS);
      const row = tx.count++ * TX_COLS;
      tx.rows[row + TX_OFF] = tx.used;
      tx.rows[row + TX_LEN] = next.bytes.length;
      tx.rows[row + TX_DEST] = tx.destCount++;
      tx.rows[row + TX_ECN] = next.ecn;
      tx.used += next.bytes.length;
    }
    return this.out.length > 0;
  }

  timeout(nowMicros: number): void {
    this.timeouts.push(nowMicros);
    if (nowMicros >= this.deadline) this.deadline = Infinity;
  }

  nextDeadline(): number {
    return this.deadline;
  }
}

function world(options: Partial<HostOptions> = {}, loss = 0) {
  const sim = new Simulation({ startMicros: 0 });
  const client = new EchoEndpoint(false);
  const server = new EchoEndpoint(true);
  const host = { ...PROMPT_HOST, ...options };
  const add = (name: string, address: Int32Array, endpoint: EchoEndpoint) =>
    sim.addHost({ name, address, endpoint, app: IDLE_APP, options: host, prng: new Prng(1, name) });
  const clientHost = add("client", CLIENT, client);
  const serverHost = add("server", SERVER, server);
  const path = (name: string) => [
    new RandomLoss(sim, new Prng(1, name), loss),
    new Delay(sim, new Prng(1, name), { baseMicros: 500, jitterMicros: 0, jitter: "uniform", fifo: true }),
  ];
  sim.join(clientHost, serverHost, path("forward"), path("backward"));
  return { sim, client, server, clientHost, serverHost };
}

describe("simulation", () => {
  test("carries datagrams there and back in virtual time, in batches", () => {
    const { sim, client, server, serverHost } = world();
    sim.after(1000, () => {
      for (const text of ["one", "two", "three"]) client.send(text, SERVER);
    });
    assert.equal(sim.run(Infinity), "idle");
    assert.deepEqual(server.received, ["1500 one", "1500 two", "1500 three"]);
    assert.deepEqual(client.received, ["2000 one", "2000 two", "2000 three"]);
    assert.deepEqual(server.batches, [3]);
    assert.equal(serverHost.bytesReceived, 11);
    assert.equal(serverHost.datagramsSent, 3);
  });

  test("a batch limit splits what arrived together", () => {
    const { sim, client, server } = world({ batchPackets: 2 });
    sim.after(0, () => {
      for (const text of ["a", "b", "c", "d", "e"]) client.send(text, SERVER);
    });
    sim.run(Infinity);
    assert.deepEqual(server.batches, [2, 2, 1]);
  });

  test("wakes an endpoint at its deadline, never before, and late when told", () => {
    const prompt = world();
    prompt.client.deadline = 777.5;
    prompt.sim.run(Infinity);
    assert.deepEqual(prompt.client.timeouts, [778]);
    const late = world({ timerLateMicros: 5000 });
    late.client.deadline = 777.5;
    late.sim.run(Infinity);
    assert.equal(late.client.timeouts.length, 1);
    assert.ok(late.client.timeouts[0] >= 778 && late.client.timeouts[0] < 5778);
  });

  test("a socket that refuses datagrams delays them, in order, and loses none", () => {
    const { sim, client, server, clientHost } = world({ sendFaults: 0.5, sendFaultMicros: 3000 });
    const sent = Array.from({ length: 40 }, (_, i) => `${i}`);
    sent.forEach((text, i) => sim.after(i * 100, () => client.send(text, SERVER)));
    sim.run(Infinity);
    const got = server.received.map((line) => line.split(" ") as [string, string]);
    assert.deepEqual(
      got.map(([, text]) => text),
      sent,
    );
    assert.ok(clientHost.sendsRefused > 2);
    assert.ok(
      got.some(([at], i) => Number(at) > i * 100 + 600),
      "some waited",
    );
    assert.equal(clientHost.datagramsSent, 40);
  });

  test("a host that gets another address sends from there and is found there, and at the old one no more", () => {
    const { sim, client, server, clientHost } = world();
    const elsewhere = simAddress(10, 9, 9, 9, 999);
    sim.after(1000, () => client.send("one", SERVER));
    sim.after(1600, () => clientHost.reroute(elsewhere)); // while the echo is on its way
    sim.after(2000, () => client.send("two", SERVER));
    sim.run(Infinity);
    assert.deepEqual(server.received, ["1500 one", "2500 two"]);
    assert.deepEqual(client.received, ["3000 two"]);
    assert.equal(sim.dropped.nat, 1);
    assert.equal(clientHost.rerouted, 1);
  });

  test("a stalled host does nothing, and finds all that arrived when it goes on", () => {
    const { sim, client, server, serverHost } = world();
    sim.after(1000, () => client.send("one", SERVER));
    sim.after(1500, () => client.send("two", SERVER));
    sim.after(1200, () => serverHost.stall(50_000));
    sim.run(Infinity);
    assert.deepEqual(server.received, ["50000 one", "50000 two"]);
  });

  test("a coarse clock wakes a host at its ticks only", () => {
    const { sim, client, server } = world({ tickMicros: 10_000 });
    sim.after(1000, () => client.send("one", SERVER));
    sim.run(Infinity);
    assert.deepEqual(server.received, ["20000 one"], "sent at one tick, found at the next");
  });

  test("a wakeup for the application is kept when the host runs before it", () => {
    const sim = new Simulation({ startMicros: 0 });
    const runs: number[] = [];
    const app = { run: (nowMicros: number) => runs.push(nowMicros) < 0 };
    const endpoint = new EchoEndpoint(false);
    const host = sim.addHost({ name: "host", address: CLIENT, endpoint, app, prng: new Prng(1) });
    sim.after(100, () => host.wakeAt(200));
    sim.after(110, () => host.wakeAppAt(300));
    sim.run(Infinity);
    assert.deepEqual([...new Set(runs)], [0, 200, 300]);
  });

  test("I7: a deadline that never moves is found, not waited for", () => {
    const { sim, client } = world();
    client.deadline = 100;
    client.timeout = () => {};
    assert.throws(() => sim.run(Infinity), /I7: client does not settle at 100/);
  });

  test("I7: two hosts that answer each other without delay are found", () => {
    const { sim, client, clientHost, serverHost } = world();
    sim.join(clientHost, serverHost, [], []);
    const echo = new EchoEndpoint(true);
    client.receive = (rx) => {
      echo.receive(rx, 0);
      client.send("again", SERVER);
    };
    sim.after(0, () => client.send("start", SERVER));
    assert.throws(() => sim.run(Infinity), /I7: .* wakes without end/);
  });

  test("a killed host neither answers nor wakes, and what comes for it is counted", () => {
    const { sim, client, server, serverHost } = world();
    server.deadline = 5000;
    sim.after(1000, () => client.send("one", SERVER));
    sim.after(1200, () => serverHost.kill());
    sim.run(Infinity);
    assert.deepEqual(server.received, []);
    assert.deepEqual(server.timeouts, []);
    assert.equal(sim.dropped.gone, 1);
  });

  test("run stops at its time, at its condition, and goes on from there", () => {
    const { sim, client, server } = world();
    sim.after(1000, () => client.send("one", SERVER));
    assert.equal(sim.run(1200), "time");
    assert.equal(sim.nowMicros, 1200);
    assert.equal(
      sim.run(Infinity, () => server.received.length > 0),
      "done",
    );
    assert.equal(sim.nowMicros, 1500);
    assert.equal(sim.run(Infinity, undefined, 0), "events");
  });

  test("the wall clock moves with virtual time", () => {
    const sim = new Simulation({ startMicros: 5, wallSeconds: 1000 });
    sim.run(2_500_005);
    assert.equal(sim.wallSeconds(), 1000);
    sim.after(3_000_000, () => {});
    sim.run(Infinity);
    assert.equal(sim.wallSeconds(), 1003);
    sim.wallOffsetSeconds = -10;
    assert.equal(sim.wallSeconds(), 993);
  });

  test("a run is a function of its seed", () => {
    const trace = (): string[] => {
      const { sim, client, server } = world({ timerLateMicros: 100 }, 0.4);
      for (let i = 0; i < 50; i++) sim.after(i * 1000, () => client.send(`${i}`, SERVER));
      sim.run(Infinity);
      return [...client.received, ...server.received];
    };
    const first = trace();
    assert.ok(first.length > 20 && first.length < 100);
    assert.deepEqual(trace(), first);
  });
});
