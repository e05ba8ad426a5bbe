/** Acknowledgements that lie, flood or come too seldom, while the endpoint sends: T01, T03, T04, T43. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "#src/conn/connection.js";
import { STREAM_UNI } from "#src/port/transport.js";
import { MAX_ACK_RANGES, SKIP_PN_LEAST_PERIOD } from "#src/proto/limits.js";
import { SPACE_APP } from "#src/proto/space.js";
import { FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION } from "#src/proto/transport-error.js";
import { Arena } from "../support/arena.js";
import { cpuMicros } from "../support/cpu.js";
import { ack, bytes, padding, PING, vi } from "../support/raw-frames.js";
import { LEVEL_APP, RawPeer } from "../support/raw-peer.js";

const RTT_MICROS = 20_000;
const CHUNK = new Uint8Array(256 * 1024);
const HUGE = 2n ** 62n - 1n;

interface Download {
  arena: Arena;
  peer: RawPeer;
  conn: Connection;
  id: number;
}

/** The server sends without end on a stream; its congestion window stays at `cwndBytes` when that is given. */
function download(cwndBytes?: number): Download {
  const arena = new Arena();
  const peer = new RawPeer(arena, {
    params: (params) => {
      params.initialMaxData = params.initialMaxStreamDataUni = Number.MAX_SAFE_INTEGER;
      return undefined;
    },
  }).connect();
  const [conn] = arena.conns;
  assert.ok(conn !== undefined);
  if (cwndBytes !== undefined) Object.defineProperty(conn.recovery.cc, "cwndBytes", { get: () => cwndBytes });
  peer.forget();
  return { arena, peer, conn, id: conn.open(STREAM_UNI) };
}

/** A round trip in which the application writes what is taken and the endpoint sends what it may. */
function round({ arena, conn, id }: Download, micros = RTT_MICROS): void {
  for (let taken = 1; taken > 0; ) taken = conn.write(id, CHUNK, 0, CHUNK.length, false);
  arena.advance(micros);
}

/** Acknowledges what came, in as few ranges as there are, and forgets it. */
function acknowledge({ peer }: Download): void {
  if (peer.packets.length === 0) return;
  const frame = peer.ackFrame(LEVEL_APP);
  peer.forget();
  peer.send(LEVEL_APP, frame);
}

describe("optimistic acknowledgements, T01", () => {
  for (const cwndPackets of [10, 100, 400]) {
    test(`RFC 9000 §21.4 with a window of ${cwndPackets} packets they end it within four windows, on an old connection too`, () => {
      const at = download(cwndPackets * 1200);
      for (let honest = 0; honest < 3000 / cwndPackets; honest++) {
        round(at);
        acknowledge(at);
      }
      assert.equal(at.conn.closeInfo, null, "who acknowledges what came goes on");
      const { nextPn } = at.conn.space(SPACE_APP);
      let last = nextPn;
      while (at.conn.closeInfo === null) {
        round(at, 1000);
        last = at.conn.space(SPACE_APP).nextPn;
        assert.ok(last - nextPn < 20_000, "never noticed");
        if (last === nextPn) acknowledge(at);
        else at.peer.send(LEVEL_APP, ack([nextPn, last - 1]));
      }
      assert.equal(at.peer.closeCode, PROTOCOL_VIOLATION);
      const most = Math.max(4 * cwndPackets, 2 * SKIP_PN_LEAST_PERIOD) + cwndPackets;
      assert.ok(last - nextPn <= most, `${last - nextPn} packets`);
      at.arena.assertCleanEnd();
    });
  }
});

describe("honest acknowledgements, twins of T01, T02 and T04", () => {
  test("a peer that acknowledges what came is served, whatever it lost and in whatever order it tells", () => {
    const at = download(50 * 1200);
    let read = 0;
    for (let rounds = 0; rounds < 60; rounds++) {
      round(at);
      const told = at.peer.packets.filter((_, index) => (index + rounds) % 7 !== 0);
      at.peer.forget();
      read += told.length;
      const pns = told.map((packet) => packet.pn).sort((a, b) => a - b);
      const late = pns.splice(0, 10);
      if (pns.length === 0) continue;
      at.peer.send(LEVEL_APP, ack(...rangesOf(pns)));
      if (late.length > 0) at.peer.send(LEVEL_APP, ack(...rangesOf(late)));
    }
    assert.equal(at.conn.closeInfo, null);
    assert.ok(read > 1000, `${read} packets`);
    at.arena.assertCleanEnd();
  });
});

/** Inclusive ranges of ascending numbers, largest first. */
function rangesOf(pns: readonly number[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const pn of pns) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === pn - 1) last[1] = pn;
    else ranges.push([pn, pn]);
  }
  return ranges.reverse();
}

describe("floods of ranges, T03, and of repeats, T04", () => {
  test("a count of ranges that the packet does not have is an error, and allocates nothing", () => {
    for (const count of [2 ** 20, 2 ** 30, 2n ** 62n - 1n]) {
      const { arena, peer } = download();
      const before = process.memoryUsage();
      peer.send(LEVEL_APP, bytes(2, vi(0), vi(0), vi(count), vi(0)));
      const after = process.memoryUsage();
      assert.equal(peer.closeCode, FRAME_ENCODING_ERROR);
      assert.ok(after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed < 4 << 20);
      arena.assertCleanEnd();
    }
  });

  /** CPU time of the endpoint per byte of these packets, nanoseconds: the least of three runs. */
  function costOf(make: (download: Download, index: number) => Uint8Array): number {
    let least = Infinity;
    for (let run = 0; run < 3; run++) {
      const at = download(300 * 1200);
      round(at);
      const packets = Array.from({ length: 1500 }, (_, index) => at.peer.packet(LEVEL_APP, [make(at, index)]));
      at.peer.receive = () => {}; // reading what the endpoint says is not its work
      const size = packets.reduce((sum, packet) => sum + packet.length, 0);
      const started = cpuMicros();
      for (const packet of packets) at.arena.deliver(at.peer, [packet]);
      least = Math.min(least, ((cpuMicros() - started) * 1000) / size);
      assert.equal(at.conn.closeInfo, null);
      at.arena.assertCleanEnd();
    }
    return least;
  }

  /** The newest packets that arrived, largest first. */
  function arrived({ peer }: Download): number[] {
    return peer.packets.map((packet) => packet.pn).sort((a, b) => b - a);
  }

  test("64 ranges in every packet, and one ACK over and over, cost at most three times what honest acknowledgements do", () => {
    const honest = costOf((at, index) => {
      const pns = arrived(at);
      const pn = pns[Math.max(0, pns.length - 1 - index)] as number;
      return ack([pn, pn]);
    });
    const ranges = costOf((at) => {
      const pns = arrived(at);
      const sparse = pns.filter((pn, index) => pn % 2 === 0 && index > 0).slice(0, 64);
      return ack(...sparse.map((pn): [number, number] => [pn, pn]));
    });
    const repeats = costOf((at) => ack([arrived(at)[0] as number, arrived(at)[0] as number]));
    assert.ok(ranges <= 3 * honest, `${ranges} ns a byte, ${honest} for honest ones`);
    assert.ok(repeats <= 3 * honest, `${repeats} ns a byte, ${honest} for honest ones`);
  });

  test("twin: as many ranges as a peer keeps, each new, are all taken", () => {
    const at = download(400 * 1200);
    round(at);
    const pns = at.peer.packets.map((packet) => packet.pn).sort((a, b) => b - a);
    const every = pns.filter((_, index) => index % 2 === 0).slice(0, MAX_ACK_RANGES);
    assert.equal(every.length, MAX_ACK_RANGES);
    at.peer.send(LEVEL_APP, ack(...every.map((pn): [number, number] => [pn, pn])));
    assert.equal(at.conn.closeInfo, null);
    assert.equal(at.conn.space(SPACE_APP).largestAcked, every[0]);
    at.arena.assertCleanEnd();
  });
});

describe("acknowledgements that are held back, T43", () => {
  test("RFC 9002 §5.2 a delay of any size leaves min_rtt alone, and never makes an estimate smaller than it", () => {
    const at = download();
    for (let rounds = 0; rounds < 5; rounds++) {
      round(at);
      acknowledge(at);
    }
    const { rtt } = at.conn.recovery;
    const { minRttMicros } = rtt;
    for (const delay of [0, 2 ** 14, 2 ** 30, 2 ** 53, HUGE]) {
      round(at);
      const largest = Math.max(...at.peer.packets.map((packet) => packet.pn));
      at.peer.forget();
      at.peer.send(LEVEL_APP, bytes(2, vi(largest), vi(delay), vi(0), vi(0)));
      assert.ok(rtt.minRttMicros <= minRttMicros && rtt.minRttMicros > 0);
      assert.ok(rtt.smoothedRttMicros >= rtt.minRttMicros && rtt.smoothedRttMicros < 10 * RTT_MICROS);
    }
    assert.equal(at.conn.closeInfo, null);
    at.arena.assertCleanEnd();
  });

  test("only every tenth packet is acknowledged: the window is at most twice that of a peer that tells all", () => {
    const windowAfter = (told: (pn: number) => boolean): number => {
      const at = download();
      for (let rounds = 0; rounds < 8; rounds++) {
        round(at);
        const pns = at.peer.packets.map((packet) => packet.pn).filter(told);
        at.peer.forget();
        for (const pn of pns) at.peer.send(LEVEL_APP, ack([pn, pn]));
      }
      assert.equal(at.conn.closeInfo, null);
      const { cwndBytes } = at.conn.recovery.cc;
      at.arena.assertCleanEnd();
      return cwndBytes;
    };
    const honest = windowAfter(() => true);
    const liar = windowAfter((pn) => pn % 10 === 0);
    assert.ok(liar <= 2 * honest, `${liar} bytes, ${honest} with an honest peer`);
  });

  test("nothing is acknowledged at all: the sender slows down to probes, and PING and PADDING do not change that", () => {
    const at = download();
    round(at);
    const sent = at.conn.space(SPACE_APP).nextPn;
    for (let second = 0; second < 20; second++) {
      at.peer.send(LEVEL_APP, PING, padding(20));
      at.peer.forget();
      at.arena.advance(1_000_000);
    }
    const answers = 20;
    assert.ok(
      at.conn.space(SPACE_APP).nextPn - sent <= 40 + answers,
      `${at.conn.space(SPACE_APP).nextPn - sent} packets`,
    );
    at.arena.assertCleanEnd();
  });
});
