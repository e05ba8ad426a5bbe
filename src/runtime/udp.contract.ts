/**
 * What every implementation of the udp port must do: datagrams of every size arrive whole, in order and with the right
 * addresses over IPv4, IPv6 and both at once; errors carry the system's code; counters are exact; closing is safe at
 * any time. Loopback only.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import {
  ADDR_COLS,
  ADDR_IFINDEX,
  ADDR_LOCAL_IP0,
  ADDR_PORT,
  ECN_CE,
  ECN_ECT0,
  ECN_ECT1,
  ECN_NOT_ECT,
  ECN_UNKNOWN,
  RX_COLS,
  RX_ECN,
  RX_LEN,
  RX_OFF,
  RX_SOURCE,
  TX_COLS,
} from "../port/udp.js";
import type { RxBatch, TxBatch, UdpHandler, UdpOptions, UdpProvider, UdpSocket } from "../port/udp.js";
import { isAnyAddress, setAddressRow, wordsToAddress } from "./address.js";
import { newRxBatch } from "./batch.js";

/** A datagram as it arrived. */
export interface Arrival {
  bytes: Uint8Array;
  from: string;
  port: number;
  /** Local address, "" when the socket cannot tell. */
  to: string;
  ifindex: number;
  ecn: number;
}

/** One datagram to send. */
export interface Departure {
  bytes: Uint8Array;
  to: string;
  port: number;
  ecn?: number;
  flags?: number;
  /** Local address to leave from. */
  from?: string;
}

/** A socket with a handler that collects. */
export class Peer implements UdpHandler {
  readonly arrivals: Arrival[] = [];
  readonly errors: Error[] = [];
  onTooBig?: (dest: Int32Array, bytes: number) => void;
  onIcmp?: (dest: Int32Array, kind: number, mtuBytes: number, quoted: Uint8Array) => void;
  readonly rx: RxBatch = newRxBatch();
  socket!: UdpSocket;
  writable = 0;
  paused = false;

  static async open(provider: UdpProvider, options: Partial<UdpOptions> = {}): Promise<Peer> {
    const peer = new Peer();
    peer.socket = await provider.open({ address: "127.0.0.1", port: 0, ...options }, peer);
    return peer;
  }

  onReadable(): void {
    if (!this.paused) while (this.take() > 0);
  }

  onWritable(): void {
    this.writable++;
  }

  onError(error: Error): void {
    this.errors.push(error);
  }

  take(): number {
    const { rx } = this;
    const count = this.socket.recv(rx);
    assert.equal(count, rx.count);
    for (let r = 0; r < count * RX_COLS; r += RX_COLS) {
      const off = rx.rows[r + RX_OFF];
      const source = rx.rows[r + RX_SOURCE];
      assert.ok(source >= 0 && source < rx.sourceCount);
      const at = source * ADDR_COLS;
      this.arrivals.push({
        bytes: rx.buf.slice(off, off + rx.rows[r + RX_LEN]),
        from: wordsToAddress(rx.sources, at),
        port: rx.sources[at + ADDR_PORT],
        to: isAnyAddress(rx.sources, at + ADDR_LOCAL_IP0) ? "" : wordsToAddress(rx.sources, at + ADDR_LOCAL_IP0),
        ifindex: rx.sources[at + ADDR_IFINDEX],
        ecn: rx.rows[r + RX_ECN],
      });
    }
    return count;
  }

  /** Waits for as many arrivals in all. */
  async expect(count: number): Promise<Arrival[]> {
    await until(
      () => this.arrivals.length >= count,
      () => `${this.arrivals.length} of ${count} datagrams`,
    );
    assert.equal(this.arrivals.length, count);
    return this.arrivals;
  }
}

/** So long that only what hangs is late, also where others have most of the machine. */
const LIMIT_MILLIS = 30_000;

export async function until(condition: () => boolean, what: () => string): Promise<void> {
  const deadline = Date.now() + LIMIT_MILLIS;
  while (!condition()) {
    if (Date.now() > deadline) assert.fail(`timed out: ${what()}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Turns of the event loop so far: what keeps it awake makes thousands in a moment, however little of the core it gets. */
export function loopTurns(): number {
  return performance.nodeTiming.uvMetricsInfo.loopCount;
}

/** All departures in one batch, equal destinations sharing a row when neighbours. */
export function txBatch(departures: Departure[]): TxBatch {
  const used = departures.reduce((sum, d) => sum + d.bytes.length, 0);
  const buf = new Uint8Array(used + 7).fill(0xdd);
  const rows = new Int32Array(departures.length * TX_COLS);
  const dests = new Int32Array(departures.length * ADDR_COLS);
  let off = 0;
  let destCount = 0;
  let last = "";
  for (const [i, d] of departures.entries()) {
    const key = `${d.to} ${d.port} ${d.from ?? ""}`;
    if (key !== last) {
      const at = destCount++ * ADDR_COLS;
      assert.ok(setAddressRow(dests, at, d.to, d.port));
      if (d.from !== undefined) {
        const local = new Int32Array(ADDR_COLS);
        assert.ok(setAddressRow(local, 0, d.from, 0));
        dests.set(local.subarray(0, 4), at + ADDR_LOCAL_IP0);
      }
      last = key;
    }
    buf.set(d.bytes, off);
    rows.set([off, d.bytes.length, destCount - 1, d.ecn ?? ECN_NOT_ECT, d.flags ?? 0], i * TX_COLS);
    off += d.bytes.length;
  }
  return { buf, rows, dests, count: departures.length, destCount, used, socket: 0 };
}

/** `length` bytes that depend on `seed` and position. */
export function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (seed * 31 + i * 7 + (i >> 8)) & 0xff;
  return bytes;
}

export function udpContract(provider: UdpProvider): void {
  describe(`udp port: ${provider.name}`, { timeout: 90_000 }, () => {
    echoTests(provider);
    sizeTests(provider);
    ecnTests(provider);
    errorTests(provider);
    lifeTests(provider);
  });
}

/** Closes the peers whatever happens. */
async function withPeers(peers: Peer[], body: () => Promise<void> | void): Promise<void> {
  try {
    await body();
  } finally {
    for (const peer of peers) peer.socket.close();
  }
}

function echoTests(provider: UdpProvider): void {
  for (const address of ["127.0.0.1", "::1"]) {
    test(`datagrams go there and back over ${address}, with source and local address`, async () => {
      const a = await Peer.open(provider, { address });
      const b = await Peer.open(provider, { address });
      await withPeers([a, b], async () => {
        assert.equal(a.socket.address, address);
        assert.equal(a.socket.family, address === "::1" ? "IPv6" : "IPv4");
        assert.ok(a.socket.port > 0 && a.socket.port !== b.socket.port);
        assert.equal(a.socket.send(txBatch([{ bytes: pattern(1200, 1), to: address, port: b.socket.port }])), true);
        const [there] = await b.expect(1);
        assert.deepEqual(there?.bytes, pattern(1200, 1));
        assert.deepEqual([there?.from, there?.port, there?.to], [address, a.socket.port, address]);
        b.socket.send(txBatch([{ bytes: pattern(33, 2), to: there?.from ?? "", port: there?.port ?? 0 }]));
        const [back] = await a.expect(1);
        assert.deepEqual(back?.bytes, pattern(33, 2));
        assert.equal(back?.port, b.socket.port);
      });
    });
  }

  test("a socket on :: speaks to IPv4 and IPv6 peers; an IPv4 peer is ::ffff words", async () => {
    const dual = await Peer.open(provider, { address: "::" });
    const four = await Peer.open(provider);
    const six = await Peer.open(provider, { address: "::1" });
    await withPeers([dual, four, six], async () => {
      const port = dual.socket.port;
      four.socket.send(txBatch([{ bytes: pattern(10, 4), to: "127.0.0.1", port }]));
      await dual.expect(1);
      six.socket.send(txBatch([{ bytes: pattern(11, 6), to: "::1", port }]));
      const seen = await dual.expect(2);
      assert.deepEqual(
        seen.map((d) => [d.from, d.port]),
        [
          ["127.0.0.1", four.socket.port],
          ["::1", six.socket.port],
        ],
      );
      if (provider.name === "native") assert.deepEqual([seen[0]?.to, seen[1]?.to], ["127.0.0.1", "::1"]);
      const answers = seen.map((d) => ({ bytes: pattern(50, d.port), to: d.from, port: d.port }));
      assert.equal(dual.socket.send(txBatch(answers)), true);
      assert.deepEqual((await four.expect(1))[0]?.bytes, pattern(50, four.socket.port));
      assert.deepEqual((await six.expect(1))[0]?.bytes, pattern(50, six.socket.port));
      assert.equal((await four.expect(1))[0]?.port, port);
    });
  });

  test("ipv6Only leaves IPv4 to others", async () => {
    const six = await Peer.open(provider, { address: "::", ipv6Only: true });
    await withPeers([six], async () => {
      const four = await Peer.open(provider, { address: "0.0.0.0", port: six.socket.port });
      four.socket.close();
    });
  });

  test("several peers in one batch each get their own, and their sources are told apart", async () => {
    const hub = await Peer.open(provider);
    const spokes = await Promise.all([1, 2, 3].map(() => Peer.open(provider)));
    await withPeers([hub, ...spokes], async () => {
      for (let round = 0; round < 3; round++) {
        for (const spoke of spokes) {
          spoke.socket.send(txBatch([{ bytes: pattern(40, round), to: "127.0.0.1", port: hub.socket.port }]));
        }
      }
      const seen = await hub.expect(9);
      for (const spoke of spokes) assert.equal(seen.filter((d) => d.port === spoke.socket.port).length, 3);
      const mixed = [0, 1, 2, 0, 0, 1].map((i, k) => ({
        bytes: pattern(100, k),
        to: "127.0.0.1",
        port: (spokes[i] as Peer).socket.port,
      }));
      hub.socket.send(txBatch(mixed));
      const got = await Promise.all(spokes.map((spoke, i) => spoke.expect([3, 2, 1][i] as number)));
      assert.deepEqual(
        (got[0] as Arrival[]).map((d) => d.bytes),
        [0, 3, 4].map((k) => pattern(100, k)),
      );
      assert.deepEqual(
        (got[1] as Arrival[]).map((d) => d.bytes),
        [1, 5].map((k) => pattern(100, k)),
      );
    });
  });
}

function sizeTests(provider: UdpProvider): void {
  test("a batch of 100 datagrams of odd sizes arrives whole and in order; counters are exact", async () => {
    const a = await Peer.open(provider);
    const b = await Peer.open(provider);
    await withPeers([a, b], async () => {
      const sizes = Array.from({ length: 100 }, (_, i) => (i % 10 < 6 ? 1200 : 1 + ((i * 97) % 1400)));
      const batch = txBatch(
        sizes.map((size, i) => ({ bytes: pattern(size, i), to: "127.0.0.1", port: b.socket.port })),
      );
      assert.equal(a.socket.send(batch), true);
      batch.buf.fill(0xff); // the batch may be reused at once
      batch.rows.fill(-1);
      const seen = await b.expect(100);
      for (const [i, size] of sizes.entries()) assert.deepEqual(seen[i]?.bytes, pattern(size, i), `datagram ${i}`);
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      await until(
        () => a.socket.stats.datagramsSent === 100,
        () => `${a.socket.stats.datagramsSent} counted`,
      );
      assert.deepEqual({ ...a.socket.stats }, statsOf({ datagramsSent: 100, bytesSent: bytes }));
      assert.deepEqual({ ...b.socket.stats }, statsOf({ datagramsReceived: 100, bytesReceived: bytes }));
    });
  });

  test("trains of equal datagrams with a shorter tail keep their borders, whatever their size", async () => {
    const a = await Peer.open(provider);
    const b = await Peer.open(provider);
    await withPeers([a, b], async () => {
      let total = 0;
      const cases = [
        [1452, 44, 700], // a usual train
        [1452, 64, 1452], // more than fit into 64 KiB
        [20, 130, 3], // more than 64 segments
        [8952, 7, 1],
        [1, 10, 1],
      ] as const;
      for (const [size, count, tail] of cases) {
        const sizes = [...new Array<number>(count - 1).fill(size), tail];
        a.socket.send(txBatch(sizes.map((n, i) => ({ bytes: pattern(n, i), to: "127.0.0.1", port: b.socket.port }))));
        const seen = (await b.expect(total + count)).slice(total);
        for (const [i, n] of sizes.entries())
          assert.deepEqual(seen[i]?.bytes, pattern(n, i), `${size} x ${count}: ${i}`);
        total += count;
      }
    });
  });

  test("datagrams of 0 and 65,507 bytes arrive", async () => {
    const a = await Peer.open(provider);
    const b = await Peer.open(provider);
    await withPeers([a, b], async () => {
      const port = b.socket.port;
      for (const [i, size] of [0, 65_507, 0, 0, 65_507, 1].entries()) {
        a.socket.send(txBatch([{ bytes: pattern(size, i), to: "127.0.0.1", port }]));
        const seen = await b.expect(i + 1);
        assert.deepEqual(seen[i]?.bytes, pattern(size, i));
      }
      const sizes = [0, 0, 5, 0];
      a.socket.send(txBatch(sizes.map((n, i) => ({ bytes: pattern(n, i), to: "127.0.0.1", port }))));
      const seen = (await b.expect(10)).slice(6);
      assert.deepEqual(
        seen.map((d) => d.bytes.length),
        sizes,
      );
    });
  });

  test("a batch smaller than what waits is filled, and the rest comes with the next", async () => {
    const a = await Peer.open(provider);
    const b = await Peer.open(provider);
    b.paused = true;
    await withPeers([a, b], async () => {
      for (let i = 0; i < 20; i++) {
        a.socket.send(txBatch([{ bytes: pattern(300, i), to: "127.0.0.1", port: b.socket.port }]));
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
      Object.assign(b, { rx: { ...newRxBatch(), rows: new Int32Array(5 * RX_COLS) } });
      await until(
        () => {
          while (b.take() > 0) assert.ok(b.rx.count <= 5);
          return b.arrivals.length >= 20;
        },
        () => `${b.arrivals.length} of 20`,
      );
      const seen = await b.expect(20);
      for (let i = 0; i < 20; i++) assert.deepEqual(seen[i]?.bytes, pattern(300, i));
    });
  });
}

function ecnTests(provider: UdpProvider): void {
  const routes: [string, string, string][] = [
    ["127.0.0.1", "127.0.0.1", "IPv4"],
    ["::1", "::1", "IPv6"],
    ["::", "127.0.0.1", "a dual-stack socket to IPv4"],
  ];
  for (const [address, to, what] of routes) {
    test(`RFC 3168 §5 code points cross over ${what}, or are unknown throughout`, async () => {
      const a = await Peer.open(provider, { address });
      const b = await Peer.open(provider, { address });
      await withPeers([a, b], async () => {
        const marks = [ECN_NOT_ECT, ECN_ECT0, ECN_ECT0, ECN_ECT1, ECN_CE, ECN_NOT_ECT];
        const port = b.socket.port;
        a.socket.send(txBatch(marks.map((ecn, i) => ({ bytes: pattern(64, i), to, port, ecn }))));
        const seen = await b.expect(marks.length);
        assert.equal(a.socket.ecn, provider.name === "native");
        assert.deepEqual(
          seen.map((d) => d.ecn),
          a.socket.ecn ? marks : marks.map(() => ECN_UNKNOWN),
        );
      });
    });
  }
}

function errorTests(provider: UdpProvider): void {
  const codeOf = (options: Partial<UdpOptions>): Promise<string> =>
    Peer.open(provider, options).then(
      (peer) => {
        peer.socket.close();
        return "opened";
      },
      (error: NodeJS.ErrnoException) => error.code ?? "no code",
    );

  test("open rejects with the system's code", async () => {
    const taken = await Peer.open(provider);
    await withPeers([taken], async () => {
      assert.equal(await codeOf({ port: taken.socket.port }), "EADDRINUSE");
      assert.equal(await codeOf({ address: "192.0.2.1" }), "EADDRNOTAVAIL");
      assert.equal(await codeOf({ address: "localhost" }), "EINVAL");
      assert.equal(await codeOf({ address: "" }), "EINVAL");
    });
  });

  test("an ICMP port unreachable does not stop the socket", async () => {
    const a = await Peer.open(provider);
    const gone = await Peer.open(provider);
    const b = await Peer.open(provider);
    const closedPort = gone.socket.port;
    gone.socket.close();
    await withPeers([a, b], async () => {
      for (let i = 0; i < 3; i++) a.socket.send(txBatch([{ bytes: pattern(9, i), to: "127.0.0.1", port: closedPort }]));
      await new Promise((resolve) => setTimeout(resolve, 10));
      a.socket.send(txBatch([{ bytes: pattern(9, 9), to: "127.0.0.1", port: b.socket.port }]));
      await b.expect(1);
      b.socket.send(txBatch([{ bytes: pattern(9, 8), to: "127.0.0.1", port: a.socket.port }]));
      await a.expect(1);
      assert.deepEqual(a.errors, []);
    });
  });

  test("what cannot be sent is counted like loss, and the rest of the batch goes out", async () => {
    const a = await Peer.open(provider);
    const b = await Peer.open(provider);
    await withPeers([a, b], async () => {
      const good = { bytes: pattern(20, 1), to: "127.0.0.1", port: b.socket.port };
      const batch = txBatch([
        good,
        { ...good, to: "::1" }, // the wrong family for this socket
        { ...good, bytes: pattern(65_527, 1) }, // larger than IPv4 carries
        { ...good, port: 0 },
        good,
      ]);
      assert.equal(a.socket.send(batch), true);
      await b.expect(2);
      await until(
        () => a.socket.stats.sendErrors === 3,
        () => `${a.socket.stats.sendErrors} errors`,
      );
      assert.equal(a.socket.stats.datagramsSent, 2);
      const bad = txBatch([good, good, good, good]);
      bad.rows[0] = -1;
      bad.rows[TX_COLS + 1] = 1 << 30;
      bad.rows[2 * TX_COLS + 2] = 7;
      a.socket.send(bad);
      await b.expect(3);
      await until(
        () => a.socket.stats.sendErrors === 6,
        () => `${a.socket.stats.sendErrors} errors`,
      );
    });
  });
}

function lifeTests(provider: UdpProvider): void {
  test("close while readable: nothing is called after it, and everything may still be called", async () => {
    const a = await Peer.open(provider);
    const b = await Peer.open(provider);
    let calls = 0;
    b.onReadable = () => {
      calls++;
      b.socket.close();
      b.socket.close();
    };
    await withPeers([a, b], async () => {
      const batch = txBatch([1, 2, 3].map((i) => ({ bytes: pattern(30, i), to: "127.0.0.1", port: b.socket.port })));
      a.socket.send(batch);
      await until(
        () => calls > 0,
        () => "no call",
      );
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(calls, 1);
      assert.equal(b.socket.recv(b.rx), 0);
      assert.equal(b.socket.send(batch), true);
      assert.equal(b.socket.stats.sendErrors, 3);
      b.socket.ref();
      b.socket.unref();
    });
    const again = await Peer.open(provider, { port: a.socket.port });
    again.socket.close();
  });

  test("an owner that leaves datagrams is called again", async () => {
    const a = await Peer.open(provider);
    const b = await Peer.open(provider);
    let calls = 0;
    b.onReadable = () => {
      if (++calls >= 3) b.take();
    };
    await withPeers([a, b], async () => {
      a.socket.send(txBatch([{ bytes: pattern(30, 1), to: "127.0.0.1", port: b.socket.port }]));
      await b.expect(1);
      assert.equal(calls, 3);
    });
  });

  test("unref lets the process end, a throwing owner is an uncaught exception and the socket lives on", () => {
    const script = `
      const { ${provider.name}Udp: provider } = await import(${JSON.stringify(import.meta.resolve(`./${provider.name}/udp.js`))});
      const { Peer, txBatch, pattern, until } = await import(${JSON.stringify(import.meta.url)});
      const a = await Peer.open(provider), b = await Peer.open(provider);
      let caught = "";
      process.on("uncaughtException", (error) => { caught += error.message; });
      b.onReadable = () => { b.take(); if (b.arrivals.length === 1) throw new Error("owner"); };
      const one = txBatch([{ bytes: pattern(5, 1), to: "127.0.0.1", port: b.socket.port }]);
      a.socket.send(one);
      await b.expect(1);
      a.socket.send(one);
      await b.expect(2);
      await until(() => caught !== "", () => "no exception");
      a.socket.unref(); b.socket.unref(); b.socket.ref(); b.socket.unref();
      process.on("exit", () => console.log("caught " + caught));`;
    const args = ["--input-type=module", "-e", script];
    const child = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 60_000 });
    assert.equal(child.stdout.trim(), "caught owner", child.stderr);
    assert.equal(child.status, 0);
  });
}

function statsOf(some: Partial<UdpSocket["stats"]>): UdpSocket["stats"] {
  const none = { datagramsReceived: 0, bytesReceived: 0, datagramsSent: 0, bytesSent: 0 };
  return { ...none, sendErrors: 0, sendBlocked: 0, receiveOverflows: 0, ...some };
}
