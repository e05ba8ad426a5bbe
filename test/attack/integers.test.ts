/**
 * Integers of 62 bits in a language whose numbers are exact to 53: T38, J01. Every integer of every frame of a 1-RTT packet
 * takes each value around a border, and the verdict is the one that exact arithmetic gives.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MAX_CRYPTO_APP_BYTES } from "#src/proto/limits.js";
import {
  CRYPTO_BUFFER_EXCEEDED,
  FLOW_CONTROL_ERROR,
  FRAME_ENCODING_ERROR,
  PROTOCOL_VIOLATION,
  STREAM_LIMIT_ERROR,
  STREAM_STATE_ERROR,
} from "#src/proto/transport-error.js";
import { Arena } from "../support/arena.js";
import { bytes, close, crypto, ints, newConnectionId, reset, stopSending, stream, vi } from "../support/raw-frames.js";
import { LEVEL_APP, RawPeer } from "../support/raw-peer.js";

const NOTHING = -1;
const ONE = Uint8Array.of(1);
const WINDOW = 2n ** 15n;
const STREAMS = 20n;
const MOST = 2n ** 62n - 1n;
const STREAM_COUNT_MOST = 2n ** 60n;
const EDGES = [
  ...[0n, 1n, 63n, 64n, 2n ** 14n - 1n, 2n ** 14n, 2n ** 30n - 1n, 2n ** 30n, 2n ** 31n, 2n ** 32n],
  ...[2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 53n + 2n, STREAM_COUNT_MOST, STREAM_COUNT_MOST + 1n, MOST],
];
const config = {
  initialMaxData: Number(WINDOW),
  initialMaxStreamDataBidiLocal: Number(WINDOW),
  initialMaxStreamDataBidiRemote: Number(WINDOW),
  initialMaxStreamDataUni: Number(WINDOW),
  initialMaxStreamsBidi: Number(STREAMS),
  initialMaxStreamsUni: Number(STREAMS),
};

/** What a frame about stream `id` of the client means to a server that has opened none. */
function forStream(id: bigint, needs: "receives" | "sends"): number {
  const isServers = (id & 1n) === 1n;
  const isUni = (id & 2n) === 2n;
  if (isServers || (isUni && needs === "sends")) return STREAM_STATE_ERROR;
  return id >> 2n >= STREAMS ? STREAM_LIMIT_ERROR : NOTHING;
}

function forData(end: bigint): number {
  if (end > MOST) return FRAME_ENCODING_ERROR;
  return end > WINDOW ? FLOW_CONTROL_ERROR : NOTHING;
}

function forCount(count: bigint): number {
  return count > STREAM_COUNT_MOST ? FRAME_ENCODING_ERROR : NOTHING;
}

function forCrypto(end: bigint): number {
  if (end > MOST) return FRAME_ENCODING_ERROR;
  return end > BigInt(MAX_CRYPTO_APP_BYTES) ? CRYPTO_BUFFER_EXCEEDED : NOTHING;
}

type Field = [name: string, frame: (value: bigint) => Uint8Array, verdict: (value: bigint) => number];
const always = (code: number) => () => code;

const fields: Field[] = [
  ["STREAM id", (value) => stream(value, 0, ONE), (value) => forStream(value, "receives")],
  ["STREAM offset", (value) => stream(0, value, ONE), (value) => forData(value + 1n)],
  [
    "STREAM length",
    (value) => bytes(0x0e, vi(0), vi(0), vi(value)),
    (v) => (v === 0n ? NOTHING : FRAME_ENCODING_ERROR),
  ],
  ["RESET_STREAM id", (value) => reset(value, 0), (value) => forStream(value, "receives")],
  ["RESET_STREAM final size", (value) => reset(0, value), forData],
  ["RESET_STREAM code", (value) => reset(0, 0, value), always(NOTHING)],
  ["STOP_SENDING id", (value) => stopSending(value), (value) => forStream(value, "sends")],
  ["STOP_SENDING code", (value) => stopSending(0, value), always(NOTHING)],
  ["MAX_DATA", (value) => ints(0x10, value), always(NOTHING)],
  ["MAX_STREAM_DATA id", (value) => ints(0x11, value, 1), (value) => forStream(value, "sends")],
  ["MAX_STREAM_DATA value", (value) => ints(0x11, 0, value), always(NOTHING)],
  ["MAX_STREAMS bidi", (value) => ints(0x12, value), forCount],
  ["MAX_STREAMS uni", (value) => ints(0x13, value), forCount],
  ["DATA_BLOCKED", (value) => ints(0x14, value), always(NOTHING)],
  ["STREAM_DATA_BLOCKED id", (value) => ints(0x15, value, 1), (value) => forStream(value, "receives")],
  ["STREAM_DATA_BLOCKED value", (value) => ints(0x15, 0, value), always(NOTHING)],
  ["STREAMS_BLOCKED bidi", (value) => ints(0x16, value), forCount],
  ["STREAMS_BLOCKED uni", (value) => ints(0x17, value), forCount],
  ["CRYPTO length", (value) => bytes(6, vi(0), vi(value)), (v) => (v === 0n ? NOTHING : FRAME_ENCODING_ERROR)],
  ["CRYPTO offset", (value) => crypto(value + 1n > MOST ? value : value + 1n, ONE), (v) => forCrypto(v + 2n)],
  [
    "ACK count",
    (value) => bytes(2, vi(0), vi(0), vi(value), vi(0)),
    (v) => (v === 0n ? NOTHING : FRAME_ENCODING_ERROR),
  ],
  ["ACK delay", (value) => bytes(2, vi(0), vi(value), vi(0), vi(0)), always(NOTHING)],
  [
    "ACK first range",
    (value) => bytes(2, vi(0), vi(0), vi(0), vi(value)),
    (v) => (v === 0n ? NOTHING : FRAME_ENCODING_ERROR),
  ],
  [
    "ACK largest",
    (value) => bytes(2, vi(value), vi(0), vi(0), vi(0)),
    (value) => (value === 0n ? NOTHING : PROTOCOL_VIOLATION),
  ],
  ["RETIRE_CONNECTION_ID", (value) => ints(0x19, value), (value) => (value === 1n ? NOTHING : PROTOCOL_VIOLATION)],
  [
    "NEW_CONNECTION_ID retire prior to",
    (value) => newConnectionId(5, value),
    (value) => (value > 5n ? FRAME_ENCODING_ERROR : NOTHING),
  ],
  ["frame type", (value) => bytes(vi(value), 0, 0, 0, 0), (value) => (value >= 63n ? FRAME_ENCODING_ERROR : NOTHING)],
];

function connected(): { arena: Arena; peer: RawPeer } {
  const arena = new Arena({ config });
  return { arena, peer: new RawPeer(arena).connect() };
}

describe("RFC 9000 §16 integers around every border, T38, J01", () => {
  for (const [name, frame, verdict] of fields) {
    test(`${name}: the verdict is that of exact arithmetic`, () => {
      for (const edge of EDGES) {
        const { arena, peer } = connected();
        peer.send(LEVEL_APP, frame(edge));
        assert.equal(peer.closeCode, verdict(edge), `${edge}`);
        arena.assertCleanEnd();
      }
    });
  }

  test("codes of the application arrive as they were sent, to the last bit", () => {
    for (const edge of EDGES) {
      const { arena, peer } = connected();
      peer.send(LEVEL_APP, stream(0, 0, ONE), reset(0, 1, edge), stopSending(4, edge));
      peer.send(LEVEL_APP, bytes(0x1d, vi(edge), 0));
      const [conn] = arena.conns;
      assert.ok(conn !== undefined);
      const recorder = arena.events.get(conn);
      assert.deepEqual(recorder?.args("reset"), [0, edge]);
      assert.deepEqual(recorder?.args("stop"), [4, edge]);
      assert.equal(conn.closeInfo?.code, edge);
      arena.assertCleanEnd();
    }
  });

  test("a transport code of a peer's close is reported exactly and never answered", () => {
    for (const edge of EDGES) {
      const { arena, peer } = connected();
      peer.forget();
      peer.send(LEVEL_APP, close(edge));
      assert.equal(arena.conns[0]?.closeInfo?.code, edge);
      assert.equal(peer.closeCode, NOTHING);
      arena.assertCleanEnd();
    }
  });
});
