/** Counters that users see: each of them moves, and tells what its name says. */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { QuicEndpoint, type QuicSession } from "#src/api/quic/index.js";
import { sessionStats } from "#src/api/quic/stats.js";
import type { TransportStats } from "#src/port/transport.js";
import { content, echo, readAll, withBench } from "./support.js";
import { untilWithin } from "../support/wait.js";

/** Names of a stats object that are 0n in all of the samples. */
function still(...samples: object[]): string[] {
  const names = Object.keys(samples[0] as object);
  return names.filter((name) => samples.every((sample) => (sample as Record<string, bigint>)[name] === 0n));
}

const until = untilWithin(30_000);

describe("statistics", () => {
  test(
    "each of a session moves",
    withBench(async (bench) => {
      const samples: object[] = [];
      const onSession = (session: QuicSession): void => {
        echo(session);
        session.ondatagram = () => {};
      };
      const { client, server } = await bench.pair({}, {}, onSession);
      const sent = content(4_000_000);
      const there = await client.createBidirectionalStream({ body: sent });
      const back = readAll(there);
      await sleep(1);
      samples.push(client.stats, server.stats);
      assert.equal((await back).length, sent.length);
      await client.createUnidirectionalStream({ body: "one way" });
      client.onstream = () => {};
      await server.createUnidirectionalStream({ body: "and the other" });
      await server.createBidirectionalStream({ body: "and both" });
      server.onstream = () => {};
      assert.notEqual(await client.sendDatagram("so"), 0n);
      await until(() => client.stats.datagramsAcknowledged === 1n && server.stats.uniInStreamCount === 1n);
      await until(() => client.stats.bidiInStreamCount === 1n && client.stats.uniInStreamCount === 1n);
      samples.push(client.stats, server.stats);
      client.destroy();
      samples.push(client.stats);
      await until(() => client.stats.closingAt !== 0n);
      samples.push(client.stats);
      assert.deepEqual(still(...samples), ["datagramsLost"], "nothing is lost on the loopback");
    }),
  );

  test("each of a session is what one counter of the connection says, or the sum of several", () => {
    const names = Object.keys(sessionStats(numbered(() => 0)));
    const fields = new Set<string>();
    const zero = sessionStats(numbered((name) => (fields.add(name), 0)));
    const moved = new Map<string, string[]>();
    for (const field of fields) {
      const one = sessionStats(numbered((name) => (name === field ? 7 : 0)));
      for (const name of names) {
        const key = name as keyof typeof one;
        if (one[key] !== zero[key]) moved.set(name, [...(moved.get(name) ?? []), field]);
      }
    }
    assert.deepEqual([...moved.keys()].sort(), names.sort());
    assert.deepEqual(moved.get("datagramsLost"), ["datagramsLost"]);
    assert.deepEqual(moved.get("blockCount")?.sort(), ["cwndBlocked", "flowBlocked"]);
    assert.ok([...moved].every(([name, from]) => from.length === (name === "blockCount" ? 2 : 1)));
  });

  test(
    "each of a stream moves",
    withBench(async (bench) => {
      const { client } = await bench.pair({}, {}, echo);
      const stream = await client.createBidirectionalStream({ body: content(100_000) });
      await until(() => stream.stats.bytesAccumulated > 0n);
      const early = stream.stats;
      await readAll(stream);
      await stream.closed;
      assert.deepEqual(still(early, stream.stats), []);
      assert.deepEqual([stream.stats.bytesSent, stream.stats.bytesReceived], [100_000n, 100_000n]);
    }),
  );

  test(
    "each of an endpoint moves",
    withBench(async (bench) => {
      const server = await bench.serve(() => {}, { endpoint: { validateAddress: true } });
      const local = new QuicEndpoint();
      bench.later(() => local.destroy());
      const session = await bench.connect(server, { endpoint: local });
      await session.opened;
      server.busy = true;
      await assert.rejects((await bench.connect(server)).opened);
      // datagrams of nobody: a version that does not exist, and a packet of a connection that never was
      const { port } = server.address as { port: number };
      const socket = createSocket("udp4");
      bench.later(() => socket.close());
      const unknown = Buffer.alloc(1200);
      unknown.set([0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8], 0);
      unknown[14] = 8;
      socket.send(unknown, port, "127.0.0.1");
      socket.send(Buffer.alloc(100, 0x40), port, "127.0.0.1");
      await until(() => server.stats.statelessResetCount > 0n);
      const samples = [server.stats, local.stats];
      local.destroy();
      samples.push(local.stats);
      assert.deepEqual(still(...samples), ["immediateCloseCount"], "which test/attack/attempts drives");
      assert.equal(server.stats.serverSessions, 1n);
      assert.equal(local.stats.clientSessions, 1n);
    }),
  );
});

/** A TransportStats whose every number is what `value` says of its name. */
function numbered(value: (name: string) => number): TransportStats {
  return new Proxy({} as TransportStats, { get: (_, name) => value(String(name)) });
}
