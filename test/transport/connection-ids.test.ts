/** Connection ids of other lengths than usual (RFC 9000 §5.1): each side has its own, for all that it issues. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "#src/conn/connection.js";
import { Endpoint } from "#src/endpoint/endpoint.js";
import { STREAM_BIDI } from "#src/port/transport.js";
import { ADDR_COLS, ADDR_LOCAL_IP0 } from "#src/port/udp.js";
import { simAddress } from "#src/sim/batches.js";
import { Prng } from "#src/sim/prng.js";
import { NullAead } from "../support/null-aead.js";
import { closeOf, Pair, type PairOptions } from "../support/pair.js";

const SECOND = 1_000_000;
/** Of the client, of the server: each length in both roles, and both orders of unlike ones. */
const LENGTHS: [client: number, server: number][] = [
  [4, 4],
  [5, 5],
  [12, 12],
  [20, 20],
  [4, 20],
  [20, 4],
  [8, 5],
  [12, 8],
];

function pairOf(clientCidBytes: number, serverCidBytes: number, options: PairOptions = {}): Pair {
  return new Pair({ clientCidBytes, serverCidBytes, ...options });
}

function serverOf(pair: Pair): Connection {
  assert.ok(pair.serverConn !== null);
  return pair.serverConn;
}

/** Moves `bytes` on a new stream of `from` and checks that they arrive as they were. */
function carry(pair: Pair, from: Connection, to: Connection, bytes: Uint8Array): void {
  const id = from.open(STREAM_BIDI);
  const got = new Uint8Array(bytes.length);
  let read = 0;
  for (let written = 0; read < bytes.length; ) {
    if (written < bytes.length) written += Math.max(0, from.write(id, bytes, written, bytes.length, true));
    pair.advance(SECOND / 10);
    const count = to.read(id, got, read, got.length);
    assert.ok(count > 0 || written < bytes.length, "the transfer stands still");
    read += Math.max(0, count);
  }
  assert.deepEqual(got, bytes);
}

function endpointOf(cidBytes?: number): Endpoint {
  return new Endpoint({
    aead: new NullAead(true),
    random: new Prng(1, "ids"),
    nowMicros: 0,
    wallSeconds: () => 0,
    ...(cidBytes !== undefined && { cidBytes }),
  });
}

test("ids have 8 bytes by default, 4 to 20 by option, and no other length is taken", () => {
  assert.equal(endpointOf().newCid().length, 8);
  for (const bytes of [4, 5, 20]) assert.equal(endpointOf(bytes).newCid().length, bytes);
  for (const bytes of [0, 3, 4.5, 21, Number.NaN]) assert.throws(() => endpointOf(bytes), RangeError);
});

for (const [client, server] of LENGTHS) {
  describe(`ids of ${client} bytes at the client, ${server} at the server`, () => {
    const bulk = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 31) ^ (i >> 8));

    test("RFC 9000 §5.1 streams go both ways, and all ids that are issued have the length", () => {
      const pair = pairOf(client, server);
      pair.advance(SECOND);
      const serverConn = serverOf(pair);
      carry(pair, pair.clientConn, serverConn, bulk);
      carry(pair, serverConn, pair.clientConn, bulk);
      for (const [conn, bytes] of [
        [pair.clientConn, client],
        [serverConn, server],
      ] as const) {
        assert.ok(conn.localIds.live.length > 1);
        assert.deepEqual(new Set(conn.localIds.live.map(({ cid }) => cid.length)), new Set([bytes]));
        assert.equal(conn.stats().packetsDropped, 0);
      }
      assert.deepEqual([pair.clientConn.peerIds.current.length, serverConn.peerIds.current.length], [server, client]);
    });

    test("RFC 9000 §8.1.2 after a Retry", () => {
      const pair = pairOf(client, server, { retry: "always" });
      pair.advance(SECOND);
      assert.equal(pair.server.counters.retriesSent, 1);
      carry(pair, pair.clientConn, serverOf(pair), bulk.subarray(0, 5000));
    });

    test("RFC 9000 §10.3 a server that lost its state resets the connection, however short a packet was", () => {
      const pair = pairOf(client, server);
      pair.advance(SECOND);
      serverOf(pair).abandon();
      pair.settle();
      const id = pair.clientConn.open(STREAM_BIDI);
      pair.clientConn.write(id, Uint8Array.of(1), 0, 1, true);
      pair.settle();
      assert.equal(pair.server.counters.statelessResetsSent, 1);
      assert.equal(closeOf(pair.clientEvents).type, "stateless-reset");
    });

    test("RFC 9000 §10.3 packets exceed the ids that they may be answered with by 22 bytes", () => {
      const pair = pairOf(client, server);
      pair.advance(SECOND);
      const shortest = { true: Infinity, false: Infinity };
      pair.filter = (fromClient, bytes) => {
        shortest[`${fromClient}`] = Math.min(shortest[`${fromClient}`], bytes.length);
        return true;
      };
      carry(pair, pair.clientConn, serverOf(pair), Uint8Array.of(1));
      carry(pair, serverOf(pair), pair.clientConn, Uint8Array.of(1));
      assert.deepEqual([shortest.true >= client + 22, shortest.false >= server + 22], [true, true]);
    });

    test("RFC 9000 §9 the client moves there and back, and each path has its own ids", () => {
      const pair = pairOf(client, server);
      const other = simAddress(10, 7, 0, 1, 41_000);
      pair.clientAddresses.push(other);
      pair.advance(SECOND);
      for (const [socket, address] of [
        [1, other],
        [0, pair.clientAddress],
      ] as const) {
        const before = Buffer.from(pair.clientConn.peerIds.current).toString("hex");
        const local = new Int32Array(ADDR_COLS);
        local.set(address.subarray(0, 4), ADDR_LOCAL_IP0);
        assert.equal(pair.clientConn.migrate({ socket, local, isIpv4: true, force: false }, pair.nowMicros), null);
        pair.advance(10 * SECOND);
        assert.equal(pair.clientConn.path.socket, socket);
        assert.notEqual(Buffer.from(pair.clientConn.peerIds.current).toString("hex"), before);
        assert.deepEqual(serverOf(pair).path.addr.subarray(0, 5), address.subarray(0, 5));
        carry(pair, pair.clientConn, serverOf(pair), bulk.subarray(0, 50_000));
      }
      assert.equal(pair.clientConn.closeInfo, null);
    });
  });
}
