import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ADDR_COLS, RX_COLS, RX_LEN, RX_OFF, RX_SOURCE, TX_COLS } from "../port/udp.js";
import type { RxBatch, TxBatch, UdpHandler, UdpProvider, UdpSocket } from "../port/udp.js";
import { RX_BATCHES_PER_TURN, TX_BATCHES_PER_TURN } from "../proto/limits.js";
import { systemClock } from "./clock.js";
import { type Driven, type HostOwner, LoopHost } from "./loop.js";
import { nativeUdp } from "./native/udp.js";
import { portableUdp } from "./portable/udp.js";
import { Peer, pattern, txBatch, until } from "./udp.contract.js";
import { newUdpStats } from "./udp-stats.js";

/** A connection of the fake endpoint is a name. */
type Conn = string;

/** An endpoint that sends back what it receives and does what the test puts into its queues. */
class FakeEndpoint implements Driven<Conn> {
  onWork: (() => void) | null = null;
  readonly accepted: Conn[] = [];
  readonly eventful: Conn[] = [];
  readonly calls: string[] = [];
  deadline = Infinity;
  timeouts: number[] = [];
  transmits = 0;
  /** Batches that `transmit` still claims to have. */
  backlog = 0;
  /** Datagrams to echo. */
  private readonly echoes: { bytes: Uint8Array; dest: Int32Array }[] = [];

  receive(rx: RxBatch): void {
    this.calls.push("receive");
    for (let r = 0; r < rx.count * RX_COLS; r += RX_COLS) {
      const off = rx.rows[r + RX_OFF];
      const source = rx.rows[r + RX_SOURCE] * ADDR_COLS;
      this.echoes.push({
        bytes: rx.buf.slice(off, off + rx.rows[r + RX_LEN]),
        dest: rx.sources.slice(source, source + ADDR_COLS),
      });
    }
  }

  transmit(tx: TxBatch): boolean {
    assert.deepEqual([tx.count, tx.destCount, tx.used], [0, 0, 0]);
    this.calls.push("transmit");
    this.transmits++;
    for (const { bytes, dest } of this.echoes.splice(0, 8)) {
      tx.buf.set(bytes, tx.used);
      tx.dests.set(dest, tx.destCount * ADDR_COLS);
      tx.rows.set([tx.used, bytes.length, tx.destCount++, 0, 0], tx.count++ * TX_COLS);
      tx.used += bytes.length;
    }
    if (this.backlog > 0) {
      this.backlog--;
      tx.count++;
    }
    return this.echoes.length > 0 || this.backlog > 0;
  }

  timeout(nowMicros: number): void {
    this.calls.push("timeout");
    this.timeouts.push(nowMicros - this.deadline);
    this.deadline = Infinity;
  }

  nextDeadline(): number {
    return this.deadline;
  }

  accept(): Conn | null {
    return this.accepted.shift() ?? null;
  }

  takeEventful(): Conn | null {
    return this.eventful.shift() ?? null;
  }

  destroy(): void {
    this.calls.push("destroy");
    this.eventful.push("closed");
  }
}

/** A socket whose moves the test makes. */
class FakeSocket implements UdpSocket {
  readonly address = "127.0.0.1";
  readonly port = 1;
  readonly family = "IPv4";
  readonly rung = "fake";
  readonly ecn = false;
  readonly stats = newUdpStats();
  handler!: UdpHandler;
  arrivals = 0;
  sends = 0;
  full = false;
  closed = false;

  readonly provider: UdpProvider = {
    name: "portable",
    open: (_options, handler) => {
      this.handler = handler;
      return Promise.resolve(this);
    },
  };

  recv(rx: RxBatch): number {
    rx.count = 0;
    if (this.arrivals === 0) return 0;
    this.arrivals--;
    return 1;
  }

  send(): boolean {
    this.sends++;
    return !this.full;
  }

  ref(): void {}
  unref(): void {}
  close(): void {
    this.closed = true;
  }
}

class Owner implements HostOwner<Conn> {
  readonly seen: string[] = [];
  onEvent: (conn: Conn) => void = () => {};

  onAccept(conn: Conn): void {
    this.seen.push(`accept ${conn}`);
  }

  onEvents(conn: Conn): void {
    this.seen.push(`events ${conn}`);
    this.onEvent(conn);
  }

  onError(error: Error): void {
    this.seen.push(error.message);
  }
}

interface Rig {
  endpoint: FakeEndpoint;
  owner: Owner;
  socket: FakeSocket;
  host: LoopHost<Conn, FakeEndpoint>;
}

async function rig(): Promise<Rig> {
  const endpoint = new FakeEndpoint();
  const owner = new Owner();
  const socket = new FakeSocket();
  const host = await LoopHost.open<Conn, FakeEndpoint>(endpoint, socket.provider, { address: "", port: 0 }, owner);
  await turn();
  endpoint.calls.length = 0;
  endpoint.transmits = 0;
  return { endpoint, owner, socket, host };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}

describe("loop", { timeout: 90_000 }, () => {
  for (const provider of [nativeUdp, portableUdp]) {
    test(`a real socket feeds the endpoint and sends what it makes: ${provider.name}`, async () => {
      const options = { address: "127.0.0.1", port: 0 };
      const host = await LoopHost.open<Conn, FakeEndpoint>(new FakeEndpoint(), provider, options, new Owner());
      const peer = await Peer.open(provider);
      const sizes = Array.from({ length: 50 }, (_, i) => 100 + i);
      const { port } = host.socket;
      peer.socket.send(txBatch(sizes.map((n, i) => ({ bytes: pattern(n, i), to: "127.0.0.1", port }))));
      const seen = await peer.expect(50);
      for (const [i, n] of sizes.entries()) assert.deepEqual(seen[i]?.bytes, pattern(n, i));
      host.close();
      host.close();
      peer.socket.close();
    });
  }

  test("a hundred asks in one tick are one turn", async () => {
    const { endpoint, host } = await rig();
    for (let i = 0; i < 50; i++) {
      endpoint.onWork?.();
      host.flush();
    }
    assert.equal(endpoint.transmits, 0);
    await turn();
    assert.equal(endpoint.transmits, 1);
    host.close();
  });

  test("accepted connections come before events, and events that transmit makes are handed out in the same turn", async () => {
    const { endpoint, owner, socket, host } = await rig();
    endpoint.accepted.push("a", "b");
    endpoint.eventful.push("a");
    const transmit = endpoint.transmit.bind(endpoint);
    endpoint.transmit = (tx) => {
      if (endpoint.transmits === 0) endpoint.eventful.push("late");
      return transmit(tx);
    };
    socket.arrivals = 1;
    socket.handler.onReadable();
    assert.deepEqual(owner.seen, ["accept a", "accept b", "events a", "events late"]);
    assert.equal(endpoint.calls[0], "receive");
    host.close();
  });

  test("one turn reads so many batches and no more", async () => {
    const { endpoint, socket, host } = await rig();
    socket.arrivals = 3 * RX_BATCHES_PER_TURN;
    socket.handler.onReadable();
    assert.equal(endpoint.calls.filter((call) => call === "receive").length, RX_BATCHES_PER_TURN);
    assert.equal(endpoint.transmits, 1);
    host.close();
  });

  test("one turn sends so many batches, and the next one goes on by itself", async () => {
    const { endpoint, socket, host } = await rig();
    const batches = 10 * TX_BATCHES_PER_TURN;
    endpoint.backlog = batches;
    host.flush();
    await turn();
    assert.ok(endpoint.transmits >= TX_BATCHES_PER_TURN && endpoint.backlog > 0);
    await until(
      () => endpoint.backlog === 0,
      () => `${endpoint.backlog} batches left`,
    );
    assert.equal(socket.sends, batches);
    host.close();
  });

  test("an owner that makes work out of every event shares the loop and is called again", async () => {
    const { endpoint, owner, host } = await rig();
    let left = 40;
    owner.onEvent = () => {
      if (--left > 0) {
        endpoint.eventful.push("again");
        endpoint.onWork?.();
      }
    };
    const takeEventful = endpoint.takeEventful.bind(endpoint);
    let taken = 0;
    endpoint.takeEventful = () => (++taken % 2 === 0 ? null : takeEventful());
    endpoint.eventful.push("first");
    host.flush();
    await turn();
    assert.ok(left > 20 && left < 40, `${left} left after one turn`);
    await until(
      () => left === 0,
      () => `${left} left`,
    );
    host.close();
  });

  test("a full socket is not sent to before onWritable, and is still read from", async () => {
    const { endpoint, socket, host } = await rig();
    endpoint.backlog = 3;
    socket.full = true;
    host.flush();
    await turn();
    assert.equal(socket.sends, 1);
    socket.arrivals = 1;
    socket.handler.onReadable();
    host.flush();
    await turn();
    assert.equal(socket.sends, 1);
    assert.ok(endpoint.calls.includes("receive"));
    socket.full = false;
    socket.handler.onWritable();
    assert.equal(socket.sends, 3);
    host.close();
  });

  test("deadlines are met, near and far, never before their time", async () => {
    const { endpoint, host } = await rig();
    for (const delayMicros of [-5, 50, 700, 1500, 8000]) {
      const count = endpoint.timeouts.length;
      endpoint.deadline = systemClock.nowMicros() + delayMicros;
      host.flush();
      await until(
        () => endpoint.timeouts.length > count,
        () => `no timeout for ${delayMicros}`,
      );
    }
    assert.ok(endpoint.timeouts.every((late) => late >= 0));
    assert.equal(endpoint.timeouts.length, 5);
    host.close();
  });

  test("a deadline that moves away while the timer waits is not acted on early", async () => {
    const { endpoint, host } = await rig();
    endpoint.deadline = systemClock.nowMicros() + 3000;
    host.flush();
    await turn();
    endpoint.deadline += 20_000;
    await until(
      () => endpoint.timeouts.length === 1,
      () => "no timeout",
    );
    assert.ok((endpoint.timeouts[0] as number) >= 0);
    host.close();
  });

  test("an owner that throws is heard, and the other connections are served by the next turn", async () => {
    const { endpoint, owner, socket, host } = await rig();
    owner.onEvent = (conn) => {
      if (conn === "bad") throw new Error("owner");
    };
    endpoint.eventful.push("bad", "good");
    assert.throws(() => socket.handler.onReadable(), /owner/);
    assert.deepEqual(owner.seen, ["events bad"]);
    await turn();
    assert.deepEqual(owner.seen, ["events bad", "events good"]);
    assert.ok(endpoint.transmits > 0);
    host.close();
  });

  test("close sends what is ready, destroys, tells the owner and touches nothing after it", async () => {
    const { endpoint, owner, socket, host } = await rig();
    endpoint.backlog = 1;
    endpoint.deadline = systemClock.nowMicros() + 2000;
    host.flush();
    host.close();
    assert.deepEqual(endpoint.calls, ["transmit", "destroy"]);
    assert.equal(socket.sends, 1);
    assert.ok(socket.closed);
    assert.deepEqual(owner.seen, ["events closed"]);
    assert.equal(endpoint.onWork, null);
    host.flush();
    socket.handler.onWritable();
    await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual(endpoint.calls, ["transmit", "destroy"]);
  });

  test("close from inside an event ends the turn with the events of the end", async () => {
    const { endpoint, owner, socket, host } = await rig();
    owner.onEvent = (conn) => {
      if (conn === "last") host.close();
    };
    endpoint.eventful.push("last");
    socket.handler.onReadable();
    assert.deepEqual(owner.seen, ["events last", "events closed"]);
    assert.ok(socket.closed);
  });

  test("what the socket finds out about a destination reaches the endpoint, and no longer after close", async () => {
    const { endpoint, socket, host } = await rig();
    const told: unknown[] = [];
    Object.assign(endpoint, {
      onTooBig: (dest: Int32Array, bytes: number) => told.push(dest[0], bytes),
      onIcmp: (dest: Int32Array, kind: number, mtuBytes: number, quoted: Uint8Array) =>
        told.push(dest[0], kind, mtuBytes, quoted[0]),
    });
    const dest = Int32Array.of(5);
    const tell = (): void => {
      socket.handler.onTooBig?.(dest, 1452);
      socket.handler.onIcmp?.(dest, 3, 1400, Uint8Array.of(9));
    };
    tell();
    assert.deepEqual(told, [5, 1452, 5, 3, 1400, 9]);
    host.close();
    tell();
    assert.equal(told.length, 6);
  });

  test("a broken socket is told once, and the endpoint is left for the owner", async () => {
    const { endpoint, owner, socket, host } = await rig();
    socket.handler.onError(new Error("broken"));
    socket.handler.onError(new Error("broken"));
    assert.deepEqual(owner.seen, ["broken"]);
    host.flush();
    await turn();
    assert.equal(endpoint.transmits, 0);
    host.close();
  });
});
