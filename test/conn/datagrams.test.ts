import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DATAGRAM_ACKNOWLEDGED, DATAGRAM_LOST, T_CLOSED, T_TOO_LARGE } from "#src/port/transport.js";
import { MAX_DATAGRAM_IN_BYTES, MAX_DATAGRAMS_IN } from "#src/proto/limits.js";
import { FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION } from "#src/proto/transport-error.js";
import { Arena } from "../support/arena.js";
import { closeOf, Pair, type PairOptions } from "../support/pair.js";
import { bytes, padding, vi } from "../support/raw-frames.js";
import { LEVEL_APP, LEVEL_HANDSHAKE, LEVEL_INITIAL, RawPeer } from "../support/raw-peer.js";

function opened(options: PairOptions = {}): Pair {
  const pair = new Pair(options);
  pair.settle();
  assert.ok(pair.serverConn !== null);
  return pair;
}

function received(pair: Pair): Uint8Array[] {
  return pair.serverEvents.calls.filter(([name]) => name === "datagram").map(([, data]) => data as Uint8Array);
}

describe("RFC 9221 datagrams between two connections", () => {
  test("each arrives whole and once, and is acknowledged", () => {
    const pair = opened();
    const sizes = [0, 1, 500, pair.clientConn.datagrams.maxBytes];
    sizes.forEach((size, i) => assert.equal(pair.clientConn.datagrams.send(new Uint8Array(size).fill(i)), i + 1));
    pair.advance(1_000_000);
    assert.deepEqual(
      received(pair).map((data) => data.length),
      sizes,
    );
    const fates = pair.clientEvents.calls.filter(([name]) => name === "datagramFate");
    assert.deepEqual(
      fates.sort((a, b) => (a[1] as number) - (b[1] as number)),
      sizes.map((_, i) => ["datagramFate", i + 1, DATAGRAM_ACKNOWLEDGED]),
    );
  });

  test("RFC 9221 §5.2 a lost one is told and never sent again", () => {
    const pair = opened();
    pair.filter = (fromClient) => !fromClient;
    pair.clientConn.datagrams.send(new Uint8Array(100));
    pair.settle();
    pair.filter = () => true;
    const id = pair.clientConn.open(0);
    pair.clientConn.write(id, new Uint8Array(20_000), 0, 20_000, true);
    pair.advance(5_000_000);
    assert.deepEqual(pair.clientEvents.args("datagramFate"), [1, DATAGRAM_LOST]);
    assert.deepEqual(received(pair), []);
    assert.equal(pair.clientConn.stats().datagramsLost, 1);
  });

  test("RFC 9221 §5.3 they wait for the congestion window", () => {
    const pair = opened();
    pair.clientConn.datagrams.setQueue(1000, true);
    pair.filter = () => false;
    for (let i = 0; i < 500; i++) pair.clientConn.datagrams.send(new Uint8Array(1000));
    pair.settle();
    const { bytesInFlight, cwndBytes, datagramsSent } = pair.clientConn.stats();
    assert.ok(bytesInFlight <= cwndBytes && datagramsSent < 100, `${datagramsSent}`);
  });

  test("RFC 9221 §3 a peer that announces 0 gets none", () => {
    const pair = opened({ server: { maxDatagramFrameBytes: 0 } });
    assert.equal(pair.clientConn.datagrams.maxBytes, 0);
    assert.equal(pair.clientConn.datagrams.send(Uint8Array.of(1)), T_TOO_LARGE);
    assert.ok((pair.serverConn?.datagrams.maxBytes ?? 0) > 0, "the other direction is a matter of its own");
  });

  test("RFC 9000 §14.3 one that does not fit starts the search for larger datagrams", () => {
    const pair = opened({ server: { maxDatagramFrameBytes: 65_535 } });
    const { datagrams } = pair.clientConn;
    assert.ok(datagrams.maxBytes < 1200);
    assert.equal(datagrams.send(new Uint8Array(1400)), T_TOO_LARGE);
    pair.advance(1_000_000);
    assert.equal(pair.clientConn.stats().maxDatagramBytes, 1452);
    assert.ok(datagrams.send(new Uint8Array(1400)) > 0);
  });

  test("the size follows the path", () => {
    const pair = opened({ server: { maxDatagramFrameBytes: 65_535 } });
    const before = pair.clientConn.datagrams.maxBytes;
    pair.clientConn.path.maxDatagramBytes -= 100;
    assert.equal(pair.clientConn.datagrams.maxBytes, before - 100);
  });

  test("a closed connection takes none, and drops what waits", () => {
    const pair = opened();
    pair.filter = () => false;
    for (let i = 0; i < 100; i++) pair.clientConn.datagrams.send(new Uint8Array(1000));
    pair.settle();
    pair.clientConn.close("application", 0n, "");
    assert.equal(pair.clientConn.datagrams.send(Uint8Array.of(1)), T_CLOSED);
    pair.advance(60_000_000);
    assert.equal(pair.clientConn.heldBytes(), 0);
  });
});

describe("RFC 9221 datagrams of a raw peer", () => {
  function connected(maxDatagramFrameBytes: number): { arena: Arena; peer: RawPeer } {
    const arena = new Arena({ config: { maxDatagramFrameBytes } });
    const peer = new RawPeer(arena);
    peer.connect();
    return { arena, peer };
  }
  const frame = (length: number): Uint8Array => bytes(0x31, vi(length), padding(length));

  test("RFC 9221 §3 a frame of the announced size is taken, one byte more is a PROTOCOL_VIOLATION", () => {
    const { arena, peer } = connected(103);
    peer.send(LEVEL_APP, frame(100));
    assert.equal(peer.closeCode, -1);
    assert.equal(arena.conns[0]?.stats().datagramsReceived, 1);
    peer.send(LEVEL_APP, frame(101));
    assert.equal(peer.closeCode, PROTOCOL_VIOLATION);
  });

  test("RFC 9221 §3 a frame although none was announced is a PROTOCOL_VIOLATION", () => {
    const { peer } = connected(0);
    peer.send(LEVEL_APP, frame(0));
    assert.equal(peer.closeCode, PROTOCOL_VIOLATION);
  });

  test("RFC 9221 §4 a length beyond the packet is a FRAME_ENCODING_ERROR", () => {
    const { peer } = connected(1200);
    peer.send(LEVEL_APP, bytes(0x31, vi(500), padding(20)));
    assert.equal(peer.closeCode, FRAME_ENCODING_ERROR);
  });

  for (const level of [LEVEL_INITIAL, LEVEL_HANDSHAKE] as const) {
    test(`RFC 9221 §4 not in packets of level ${level}`, () => {
      const arena = new Arena();
      const peer = new RawPeer(arena);
      peer.hello();
      if (level === LEVEL_HANDSHAKE) peer.pumpTls();
      peer.send(level, bytes(frame(10), padding(1100)));
      assert.equal(peer.closeCode, PROTOCOL_VIOLATION);
    });
  }

  test("a flood that the application does not take is bounded, the oldest go", () => {
    const { arena, peer } = connected(1200);
    arena.drains = false;
    const [conn] = arena.conns;
    assert.ok(conn !== undefined);
    for (let i = 0; i < MAX_DATAGRAMS_IN + 50; i++) peer.send(LEVEL_APP, frame(8));
    assert.equal(conn.stats().datagramsDropped, 50);
    assert.equal(conn.heldBytes(), 8 * MAX_DATAGRAMS_IN);
    arena.drains = true;
    arena.drain();
    assert.equal(conn.heldBytes(), 0);
  });

  test("and so is one of few large ones, by their bytes", () => {
    const { arena, peer } = connected(1200);
    arena.drains = false;
    const [conn] = arena.conns;
    assert.ok(conn !== undefined);
    const size = 1150;
    const most = Math.floor(MAX_DATAGRAM_IN_BYTES / size);
    assert.ok(most > 800 && most < MAX_DATAGRAMS_IN);
    for (let i = 0; i < most; i++) peer.send(LEVEL_APP, frame(size));
    assert.deepEqual([conn.stats().datagramsDropped, conn.heldBytes()], [0, most * size]);
    peer.send(LEVEL_APP, frame(size));
    assert.deepEqual([conn.stats().datagramsDropped, conn.heldBytes()], [1, most * size]);
  });
});

test("closeOf is told when a datagram breaks a rule", () => {
  const pair = opened({ server: { maxDatagramFrameBytes: 50 } });
  pair.clientConn.datagrams.out.peerMaxBytes = 1000; // a client that does not listen
  pair.clientConn.datagrams.send(new Uint8Array(200));
  pair.advance(1_000_000);
  assert.equal(closeOf(pair.clientEvents).code, BigInt(PROTOCOL_VIOLATION));
});
