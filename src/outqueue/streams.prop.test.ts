/**
 * Two sides under random writes, reads, resets, stops, losses, repetitions, reorderings and late acknowledgements, in
 * windows small enough to block: every byte arrives as written, FIN once, nobody breaks the other's limits, and when all
 * is over nothing is held.
 */

import { NO_PRESSURE } from "../port/memory.js";
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { STREAM_BIDI, STREAM_UNI, T_BLOCKED, T_RESET, T_STATE, T_STOPPED } from "../port/transport.js";
import { isServerInitiated, isUni } from "../stream/id.js";
import { type Packet, StreamPair, type StreamSide } from "./stream-pair.contract.js";

/** Small, fast and seeded; fast-check shrinks the seed's run by its length. */
function makeRandom(seed: number): (below: number) => number {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

/** What the test knows of one half: the sender's part and the receiver's part. */
interface Half {
  written: number;
  fin: boolean;
  reset: boolean;
  read: number;
  ended: boolean;
  stopped: boolean;
}

interface InFlight {
  packet: Packet;
  from: StreamSide;
  to: StreamSide;
  delivered: boolean;
  declaredLost: boolean;
}

class Run {
  readonly pair: StreamPair;
  readonly random: (below: number) => number;
  readonly flight: InFlight[] = [];
  readonly ids: number[] = [];
  /** By `id * 2 + (server sends ? 1 : 0)`. */
  readonly halves = new Map<number, Half>();
  readonly packetBytes: number;
  now = 0;

  constructor(seed: number) {
    const random = makeRandom(seed);
    const window = () => 1 + random(random(2) === 0 ? 50 : 6000);
    const params = () => ({
      initialMaxData: window(),
      initialMaxStreamDataBidiLocal: window(),
      initialMaxStreamDataBidiRemote: window(),
      initialMaxStreamDataUni: window(),
      initialMaxStreamsBidi: random(4),
      initialMaxStreamsUni: 1 + random(3),
    });
    this.random = random;
    this.packetBytes = 40 + random(600);
    this.pair = new StreamPair(params(), params(), {
      streamMaxBytes: 20_000,
      connMaxBytes: 40_000,
      sendBufferBytes: 1 + random(9000),
      pressure: NO_PRESSURE,
    });
    for (const side of [this.pair.client, this.pair.server]) side.table.smoothedRttMicros = 1000;
  }

  half(id: number, sender: StreamSide): Half {
    const key = id * 2 + (sender.isServer ? 1 : 0);
    let half = this.halves.get(key);
    if (half === undefined) {
      half = { written: 0, fin: false, reset: false, read: 0, ended: false, stopped: false };
      this.halves.set(key, half);
    }
    return half;
  }

  canSend(id: number, side: StreamSide): boolean {
    return !isUni(id) || isServerInitiated(id) === side.isServer;
  }

  other(side: StreamSide): StreamSide {
    return side === this.pair.client ? this.pair.server : this.pair.client;
  }

  step(): void {
    const { random, pair } = this;
    this.now += random(500);
    const side = random(2) === 0 ? pair.client : pair.server;
    const what = random(20);
    const id = this.ids.length === 0 ? -1 : this.ids[random(this.ids.length)];
    if (what < 2 || id < 0) this.open(side);
    else if (what < 7) this.write(side, id, random(random(4) === 0 ? 8000 : 300), random(8) === 0);
    else if (what < 11) this.read(side, id, 1 + random(4000));
    else if (what < 14) this.transmit(side, 1 + random(4));
    else if (what < 18) this.network();
    else if (what === 18) side.drain();
    else this.rare(side, id);
    this.check();
  }

  open(side: StreamSide): void {
    const id = side.table.open(this.random(2) === 0 ? STREAM_BIDI : STREAM_UNI);
    if (id !== T_BLOCKED) this.ids.push(id);
  }

  write(side: StreamSide, id: number, length: number, fin: boolean): void {
    const half = this.half(id, side);
    const taken = side.write(id, half.written, length, fin);
    if (taken < 0) {
      const unknown = side.table.find(id) === null;
      assert.ok(!this.canSend(id, side) || half.fin || half.reset || unknown || taken === T_STOPPED, `write ${taken}`);
      if (taken === T_STOPPED) half.reset = true;
      return;
    }
    assert.ok(!half.fin && !half.reset);
    half.written += taken;
    if (fin && taken === length) half.fin = true;
  }

  read(side: StreamSide, id: number, length: number): void {
    const half = this.half(id, this.other(side));
    const count = side.read(id, half.read, length);
    if (count === T_RESET) assert.ok(half.reset || this.other(side).table.find(id)?.send?.stopped || half.stopped);
    else if (count === T_STATE) {
      const unknown = side.table.find(id) === null;
      assert.ok(!this.canSend(id, this.other(side)) || half.stopped || unknown || half.ended, "read a known stream");
    } else half.read += count;
    assert.ok(half.read <= half.written);
    if (!side.table.atEnd(id)) return;
    assert.ok(half.fin && half.read === half.written, "the end comes after the last byte");
    half.ended = true;
  }

  rare(side: StreamSide, id: number): void {
    const code = BigInt(this.random(1000));
    const what = this.random(4);
    if (what === 0 && side.table.reset(id, code)) this.half(id, side).reset = true;
    if (what === 1 && side.table.stopSending(id, code)) this.half(id, this.other(side)).stopped = true;
    if (what >= 2) side.table.setPriority(id, this.random(8), this.random(2) === 0);
  }

  transmit(side: StreamSide, packets: number): void {
    const to = this.other(side);
    for (let count = 0; count < packets; count++) {
      const packet = side.send(this.now, this.packetBytes);
      if (packet === null) return;
      this.flight.push({ packet, from: side, to, delivered: false, declaredLost: false });
    }
  }

  /** One packet, any of those on their way, arrives, arrives again, is lost, or its fate becomes known. */
  network(): void {
    if (this.flight.length === 0) return;
    const index = this.random(this.flight.length);
    const entry = this.flight[index];
    const what = this.random(8);
    if (what < 4) {
      entry.to.receive(entry.packet);
      entry.delivered = true;
    } else if (what < 6 && !entry.declaredLost) {
      entry.from.lost(entry.packet.pn);
      entry.declaredLost = true;
      if (!entry.delivered && this.random(2) === 0) this.flight.splice(index, 1);
    } else if (entry.delivered) {
      entry.from.acked(entry.packet.pn); // also when it was declared lost before
      this.flight.splice(index, 1);
    }
  }

  check(): void {
    for (const side of [this.pair.client, this.pair.server]) {
      assert.equal(side.error, 0, side.input.errorReason);
      const { recvCredit, sendCredit, held } = side.table;
      assert.ok(recvCredit.received <= recvCredit.advertised);
      assert.ok(Number.isInteger(recvCredit.advertised));
      assert.ok(recvCredit.advertised <= recvCredit.consumed + recvCredit.windowBytes);
      assert.ok(sendCredit.used <= sendCredit.max);
      assert.ok(held.recvBytes >= 0 && held.sendBytes >= 0 && held.recvRanges >= 0);
      assert.ok(held.recvBytes <= 1.5 * recvCredit.windowBytes + side.table.size * 1024 + 4096, "receive memory bound");
    }
  }

  /** The network becomes perfect and both applications finish what they have. */
  finish(): void {
    for (const entry of this.flight.splice(0)) {
      if (this.random(2) === 0) entry.to.receive(entry.packet);
      if (!entry.declaredLost) entry.from.lost(entry.packet.pn);
    }
    for (let round = 0, idle = 0; idle < 4; round++) {
      assert.ok(round < 20_000, "both sides come to an end");
      this.now += 1000;
      const before = this.progress();
      for (const side of [this.pair.client, this.pair.server]) {
        for (const id of this.ids) {
          if (this.canSend(id, side) && !this.half(id, side).fin) this.write(side, id, 0, true);
          if (this.canSend(id, this.other(side))) this.read(side, id, 5000);
        }
        side.drain();
      }
      this.pair.settle(this.now, this.packetBytes);
      this.check();
      idle = this.progress() === before ? idle + 1 : 0;
    }
  }

  private progress(): string {
    let read = 0;
    for (const half of this.halves.values()) read += half.read + (half.ended ? 1 : 0);
    const { client, server } = this.pair;
    return `${read} ${client.told.length} ${server.told.length} ${client.frames.length} ${server.frames.length}`;
  }

  /** Everything came through, was told once, and is forgotten. */
  verify(): void {
    for (const id of this.ids) {
      for (const side of [this.pair.client, this.pair.server]) {
        this.verifyTold(side, id);
        if (!this.canSend(id, side)) continue;
        const half = this.half(id, side);
        const wasReset = side.table.find(id) === null && !this.toldOnce(side, `done ${id}`);
        if (wasReset) assert.ok(half.reset || half.stopped, `stream ${id} lost without a reset`);
        else if (!half.stopped) assert.ok(half.ended && half.read === half.written, `stream ${id} came through`);
      }
    }
    for (const side of [this.pair.client, this.pair.server]) {
      assert.equal(side.table.size, 0, "no stream is left");
      assert.equal(side.table.heldBytes(), 0, "no memory is held");
      assert.equal(side.output.hasPending(), false);
      assert.equal(side.table.recvCredit.consumed, side.table.recvCredit.received, "all credit came back");
      assert.equal(side.table.recvCredit.received, this.other(side).table.sendCredit.used, "both count the same");
    }
  }

  private toldOnce(side: StreamSide, line: string): boolean {
    const count = side.told.filter((told) => told === line).length;
    assert.ok(count <= 1, `${line} told ${count} times`);
    return count === 1;
  }

  private verifyTold(side: StreamSide, id: number): void {
    const known = isServerInitiated(id) === side.isServer || this.toldOnce(side, `stream ${id}`);
    assert.ok(known && this.toldOnce(side, `closed ${id}`), `stream ${id} opened and closed once`);
    const mine = side.told.filter((told) => told.split(" ")[1] === String(id) && !told.startsWith("available"));
    assert.equal(mine.at(-1), `closed ${id}`, "nothing follows the end");
  }
}

test("streams between two sides survive loss, repetition, reordering and late acknowledgements", () => {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1, max: 400 }), (seed, steps) => {
      const run = new Run(seed);
      for (let step = 0; step < steps; step++) run.step();
      run.finish();
      run.verify();
    }),
    { numRuns: 150 },
  );
});
