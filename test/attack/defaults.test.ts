/**
 * What a peer can take with the settings that nobody changed: the limits of proto/limits that are defaults of the options, at
 * their last honest byte and one beyond. T12, T13, T15, T16, T47.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "#src/conn/connection.js";
import { STREAM_BIDI } from "#src/port/transport.js";
import {
  CLOSE_PTOS,
  CONN_WINDOW_BYTES,
  CONN_WINDOW_MAX_BYTES,
  HANDSHAKE_TIMEOUT_MICROS,
  IDLE_TIMEOUT_MILLIS,
  MAX_STREAMS_BIDI,
  MAX_STREAMS_UNI,
  STREAM_SEND_BUFFER_BYTES,
  STREAM_WINDOW_BYTES,
  STREAM_WINDOW_MAX_BYTES,
} from "#src/proto/limits.js";
import { SPACE_APP } from "#src/proto/space.js";
import { FLOW_CONTROL_ERROR, STREAM_LIMIT_ERROR } from "#src/proto/transport-error.js";
import { Arena } from "../support/arena.js";
import { crypto, stream } from "../support/raw-frames.js";
import { LEVEL_APP, LEVEL_INITIAL, RawPeer } from "../support/raw-peer.js";

const NOTHING = -1;
const ONE = Uint8Array.of(1);
const MILLI = 1000;

function scene(): { arena: Arena; peer: RawPeer; conn: Connection } {
  const arena = new Arena();
  const peer = new RawPeer(arena).connect();
  const [conn] = arena.conns;
  assert.ok(conn !== undefined);
  return { arena, peer, conn };
}

describe("receiving, by default", () => {
  const whole = STREAM_WINDOW_BYTES;
  const cases: [string, Uint8Array[], Uint8Array, number][] = [
    ["a stream takes STREAM_WINDOW_BYTES", [stream(0, whole - 1, ONE)], stream(0, whole, ONE), FLOW_CONTROL_ERROR],
    [
      "a connection takes CONN_WINDOW_BYTES",
      Array.from({ length: CONN_WINDOW_BYTES / whole }, (_, index) => stream(4 * index, whole - 1, ONE)),
      stream(400 - 4, 0, ONE),
      FLOW_CONTROL_ERROR,
    ],
    [
      "MAX_STREAMS_BIDI streams may be open",
      [stream(4 * (MAX_STREAMS_BIDI - 1), 0, ONE)],
      stream(4 * MAX_STREAMS_BIDI, 0, ONE),
      STREAM_LIMIT_ERROR,
    ],
    [
      "MAX_STREAMS_UNI streams may be open",
      [stream(4 * (MAX_STREAMS_UNI - 1) + 2, 0, ONE)],
      stream(4 * MAX_STREAMS_UNI + 2, 0, ONE),
      STREAM_LIMIT_ERROR,
    ],
  ];
  for (const [name, within, beyond, code] of cases) {
    test(`${name}, and not one more`, () => {
      const { arena, peer } = scene();
      for (const frame of within) peer.send(LEVEL_APP, frame);
      assert.equal(peer.closeCode, NOTHING);
      peer.send(LEVEL_APP, beyond);
      assert.equal(peer.closeCode, code);
      arena.assertCleanEnd();
    });
  }

  test("T13 windows that double with use stop at their maxima, however fast the application reads", () => {
    const { arena, peer, conn } = scene();
    const into = new Uint8Array(1 << 20);
    const piece = new Uint8Array(60_000);
    const limit = (kind: string): number =>
      Math.max(...peer.lines(LEVEL_APP).map((line) => (line.startsWith(kind) ? Number(line.split(" ").at(-1)) : 0)));
    let sent = 0;
    let largest = 0;
    let largestOfAll = 0;
    for (; sent < 3 * CONN_WINDOW_MAX_BYTES; sent += piece.length) {
      peer.send(LEVEL_APP, stream(0, sent, piece));
      while (conn.read(0, into, 0, into.length) > 0);
      arena.pump(); // in no time: windows double whenever they may
      largest = Math.max(largest, limit("MAX_STREAM_DATA ") - sent);
      largestOfAll = Math.max(largestOfAll, limit("MAX_DATA ") - sent);
      if (peer.packets.length > 0) peer.ackAll(LEVEL_APP);
      peer.forget();
    }
    assert.equal(conn.closeInfo, null);
    const slack = piece.length;
    assert.ok(largest > STREAM_WINDOW_BYTES && largest <= STREAM_WINDOW_MAX_BYTES + slack, `${largest} of a stream`);
    assert.ok(largestOfAll > CONN_WINDOW_BYTES && largestOfAll <= CONN_WINDOW_MAX_BYTES + slack, `${largestOfAll}`);
    arena.assertCleanEnd();
  });

  test("T14 a reader of few bytes at a time gives credit back in shares of the window, not byte by byte", () => {
    const { arena, peer, conn } = scene();
    const piece = STREAM_WINDOW_BYTES / 32;
    for (let at = 0; at < STREAM_WINDOW_BYTES; at += piece) peer.send(LEVEL_APP, stream(0, at, new Uint8Array(piece)));
    peer.forget();
    const into = new Uint8Array(10);
    for (let read = 0; read < STREAM_WINDOW_BYTES / 8; read += into.length) {
      assert.equal(conn.read(0, into, 0, into.length), into.length);
      arena.pump();
    }
    const updates = peer.lines(LEVEL_APP).filter((line) => line.startsWith("MAX_STREAM_DATA"));
    assert.ok(updates.length >= 1 && updates.length <= 3, `${updates.length} updates`);
    arena.assertCleanEnd();
  });
});

describe("sending, by default", () => {
  test("T15 to a peer that reads nothing a stream takes STREAM_SEND_BUFFER_BYTES and its window, and then says 0", () => {
    const { arena, peer, conn } = scene();
    const chunk = new Uint8Array(1 << 18);
    const id = conn.open(STREAM_BIDI);
    let taken = 0;
    for (let wrote = 1; wrote > 0; ) {
      wrote = conn.write(id, chunk, 0, chunk.length, false);
      taken += Math.max(0, wrote);
    }
    assert.equal(taken, STREAM_SEND_BUFFER_BYTES);
    arena.advance(5_000_000);
    assert.ok(conn.heldBytes() <= 1.5 * STREAM_SEND_BUFFER_BYTES);
    assert.ok(peer.bytesReceived < STREAM_SEND_BUFFER_BYTES, "the peer's window is 1 MiB");
    arena.assertCleanEnd();
  });
});

describe("time, by default", () => {
  test("T47 a silent connection ends after IDLE_TIMEOUT_MILLIS, and not before", () => {
    const { arena, peer, conn } = scene();
    arena.advance(100 * MILLI);
    peer.ackAll(LEVEL_APP);
    arena.advance((IDLE_TIMEOUT_MILLIS - 200) * MILLI);
    assert.equal(peer.closeCode, NOTHING);
    assert.equal(arena.endpoint.connectionCount, 1);
    arena.advance(1000 * MILLI);
    assert.equal(conn.closeInfo?.type, "idle-timeout");
    arena.assertCleanEnd();
  });

  test("T16 a handshake ends after HANDSHAKE_TIMEOUT_MICROS; one that crawls and is whole before that succeeds", () => {
    const arena = new Arena();
    const mute = new RawPeer(arena).hello();
    assert.equal(arena.endpoint.halfOpenCount, 1);
    const crawler = new RawPeer(arena);
    const [hello] = arena.hold(() => crawler.hello());
    assert.ok(hello !== undefined);
    for (let piece = 0; piece < 4; piece++) {
      crawler.send(LEVEL_INITIAL, crypto(piece, Uint8Array.of()));
      arena.advance(HANDSHAKE_TIMEOUT_MICROS / 5);
    }
    arena.send(crawler, hello);
    crawler.connect();
    assert.ok(crawler.lines(LEVEL_APP).includes("HANDSHAKE_DONE"));
    assert.equal(arena.endpoint.halfOpenCount, 1, "the mute one is still there");
    arena.advance(HANDSHAKE_TIMEOUT_MICROS / 5 + 3_000_000);
    assert.equal(arena.endpoint.halfOpenCount, 0);
    assert.equal(mute.lines(LEVEL_APP).length, 0);
    assert.equal(crawler.closeCode, NOTHING);
    arena.assertCleanEnd();
  });

  test("T46 RFC 9000 §10.2 what was closed is gone after CLOSE_PTOS", () => {
    const { arena, conn } = scene();
    const ptoMicros = conn.recovery.ptoMicros(SPACE_APP);
    conn.close("application", 0n, "");
    arena.advance(0.9 * CLOSE_PTOS * ptoMicros);
    assert.equal(arena.endpoint.connectionCount, 1);
    arena.advance(0.2 * CLOSE_PTOS * ptoMicros);
    assert.equal(arena.endpoint.connectionCount, 0);
    arena.assertCleanEnd();
  });
});
