/** Input that asks for work or for an answer without end: T08, T21, T23, T33, T40, T44. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CidTable } from "#src/endpoint/route.js";
import { STREAM_BIDI } from "#src/port/transport.js";
import { Prng } from "#src/sim/prng.js";
import { Arena, type ArenaPeer } from "../support/arena.js";
import { Pair } from "../support/pair.js";
import { bytes, padding, PING, vi } from "../support/raw-frames.js";
import { Bystander, LEVEL_APP, LEVEL_INITIAL, type PacketOptions, RawPeer } from "../support/raw-peer.js";

describe("answers that nobody asked for, T08", () => {
  test("RFC 9000 §8.2.3 30,000 guessed PATH_RESPONSE frames change nothing and are told nothing but acknowledgements", () => {
    const arena = new Arena();
    const bystander = new Bystander(arena);
    const peer = new RawPeer(arena).connect();
    const conn = arena.conns.at(-1);
    assert.ok(conn !== undefined);
    const held = conn.heldBytes();
    const remote = [...conn.path.addr];
    peer.forget();
    for (let round = 0; round < 300; round++) {
      const guesses = Array.from({ length: 100 }, (_, i) => bytes(0x1b, vi(arena.random.u32() >>> 3, 4), vi(i, 4)));
      peer.send(LEVEL_APP, ...guesses);
    }
    assert.ok(peer.lines(LEVEL_APP).every((line) => line.startsWith("ACK") || line.startsWith("PADDING")));
    assert.ok(peer.packets.length <= 300);
    assert.deepEqual([conn.closeInfo, [...conn.path.addr]], [null, remote]);
    assert.ok(conn.heldBytes() - held < 4096);
    bystander.assertServed();
    arena.assertCleanEnd();
  });
});

describe("loops, T21, T23, T44", () => {
  /** A host that sends every datagram back to where it came from. */
  function mirror(arena: Arena, address: Int32Array): ArenaPeer & { turns: number } {
    const peer = {
      address,
      validated: true, // its own bytes are what it gets back
      bytesSent: 0,
      bytesReceived: 0,
      turns: 0,
      receive(datagram: Uint8Array): void {
        peer.turns++;
        assert.ok(peer.turns < 100, "the two go on for ever");
        waiting.push(datagram);
      },
    };
    const waiting: Uint8Array[] = [];
    reflections.set(arena, () => {
      const [datagram] = waiting.splice(0, 1);
      if (datagram !== undefined) arena.send(peer, datagram);
      return datagram !== undefined;
    });
    arena.add(peer);
    return peer;
  }
  const reflections = new WeakMap<Arena, () => boolean>();

  const first: [string, (peer: RawPeer) => Uint8Array][] = [
    ["junk", () => bytes(0x41, padding(1300))],
    ["an unknown version", () => bytes(0xc0, [1, 2, 3, 4], 8, padding(8), 8, padding(8), padding(1200))],
    ["an Initial", (peer) => peer.packet(LEVEL_INITIAL, [PING])],
    ["an Initial with a frame error", (peer) => peer.packet(LEVEL_INITIAL, [Uint8Array.of(0x1f)])],
  ];
  for (const port of [7, 19, 53, 123, 443]) {
    for (const [name, make] of first) {
      test(`${name} from port ${port} of a host that echoes: five datagrams of ours at most`, () => {
        for (const retry of ["auto", "always"] as const) {
          const arena = new Arena({ retry });
          const maker = new RawPeer(arena);
          const address = maker.address.slice();
          address[4] = port;
          const echo = mirror(arena, address);
          arena.send(echo, make(maker));
          while (reflections.get(arena)?.() === true);
          assert.ok(echo.turns <= 5, `${echo.turns} datagrams`);
          arena.assertCleanEnd();
        }
      });
    }
  }

  test("RFC 9000 §6.1 two servers that are wired together fall silent after any first datagram", () => {
    for (const [, make] of first) {
      const [a, b] = [new Arena({ seed: 1 }), new Arena({ seed: 2 })];
      const [toA, toB] = [new RawPeer(a), new RawPeer(b)];
      let queue = [make(toA)];
      let exchanged = 0;
      for (let turn = 0; queue.length > 0; turn++) {
        const [arena, peer] = turn % 2 === 0 ? [a, toA] : [b, toB];
        peer.forget();
        arena.send(peer, ...queue);
        queue = peer.datagrams;
        exchanged += queue.length;
        assert.ok(exchanged < 60 && turn < 60, "they go on for ever");
      }
      a.assertCleanEnd();
      b.assertCleanEnd();
    }
  });

  test("RFC 9000 §13.2.1 two of ours never acknowledge acknowledgements: after a transfer nothing moves", () => {
    const pair = new Pair();
    pair.settle();
    const id = pair.clientConn.open(STREAM_BIDI);
    pair.clientConn.write(id, new Uint8Array(100_000), 0, 100_000, true);
    pair.advance(2_000_000);
    let moved = 0;
    pair.filter = () => {
      moved++;
      return true;
    };
    pair.advance(20_000_000);
    assert.equal(moved, 0);
    assert.equal(pair.clientConn.closeInfo, null);
  });
});

describe("RFC 9001 §9.5 what is wrong with a packet costs the same, T33", () => {
  const classes: [string, PacketOptions][] = [
    ["a bad tag", { forged: true }],
    ["the other key phase and a bad tag", { forged: true, generation: 1 }],
    ["reserved bits and a bad tag", { forged: true, firstByte: 0x18 }],
    ["a packet number far away and a bad tag", { forged: true, pn: 2 ** 31 }],
    ["a duplicate", { pn: 0 }],
  ];
  test("every class is unmasked once and opened once, as a good packet is", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).connect();
    let unmasked = 0;
    let opened = 0;
    const { aead } = arena;
    const [unmask, open] = [aead.unmask.bind(aead), aead.open.bind(aead)];
    aead.unmask = (batch) => {
      unmasked += batch.count;
      unmask(batch);
    };
    aead.open = (batch) => {
      opened += batch.count;
      return open(batch);
    };
    const work = (options: PacketOptions): number[] => {
      [unmasked, opened] = [0, 0];
      arena.send(peer, peer.packet(LEVEL_APP, [PING], options));
      return [unmasked, opened];
    };
    const good = work({});
    assert.deepEqual(good, [1, 1]);
    for (const [name, options] of classes) assert.deepEqual(work(options), good, name);
    assert.equal(arena.conns[0]?.closeInfo, null);
    arena.assertCleanEnd();
  });
});

describe("ids that a client chooses, T40", () => {
  const COUNT = 20_000;

  function idOf(low: number, high: number): Uint8Array {
    const id = new Uint8Array(8);
    const view = new DataView(id.buffer);
    view.setUint32(0, low, true);
    view.setUint32(4, high, true);
    return id;
  }

  /** How many slots past its own each id is looked for, all together. */
  function cost(ids: readonly Uint8Array[]): number {
    const table = new CidTable<number>(0x12345678, 0x9abcdef0);
    ids.forEach((id, index) => table.add(id, index));
    ids.forEach((id, index) => assert.ok(table.find(id, 0, id.length) === index));
    const { slots, hashes } = table as unknown as { slots: number; hashes: Int32Array };
    return hashes.reduce((sum, hash, slot) => sum + (hash === 0 ? 0 : (slot - hash) & (slots - 1)), 0);
  }

  test("ids that differ in a few bits only cost at most twice what random ones do", () => {
    const random = new Prng(1, "ids");
    assert.ok(cost([idOf(1, 2)]) === 0);
    const honest = cost(Array.from({ length: COUNT }, () => idOf(random.u32(), random.u32())));
    const shapes: [string, (index: number) => Uint8Array][] = [
      ["counted up", (index) => idOf(index, 0)],
      ["counted in the last word", (index) => idOf(0, index)],
      ["multiples of the table's size", (index) => idOf(index << 16, 0)],
      ["high bits", (index) => idOf(0, index << 16)],
      ["two words that cancel", (index) => idOf(index, ~index)],
      ["two equal words", (index) => idOf(index, index)],
    ];
    for (const [name, make] of shapes) {
      const spent = cost(Array.from({ length: COUNT }, (_, index) => make(index + 1)));
      assert.ok(spent <= 2 * honest, `${name}: ${spent} slots, ${honest} for random ids`);
    }
  });

  test("twin: another secret puts the same ids elsewhere", () => {
    const order = (seed: number): string => {
      const table = new CidTable<number>(seed, seed ^ 0x5a5a5a5a);
      for (let index = 0; index < 40; index++) table.add(idOf(index, 0), index);
      const slots = (table as unknown as { owners: (number | null)[] }).owners;
      return slots.join();
    };
    assert.notEqual(order(1), order(2));
    assert.equal(order(3), order(3));
  });
});
