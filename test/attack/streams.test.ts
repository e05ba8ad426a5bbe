import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MAX_STREAM_LIMIT } from "#src/proto/limits.js";
import {
  FINAL_SIZE_ERROR,
  FLOW_CONTROL_ERROR,
  FRAME_ENCODING_ERROR,
  PROTOCOL_VIOLATION,
  STREAM_LIMIT_ERROR,
  STREAM_STATE_ERROR,
} from "#src/proto/transport-error.js";
import { Arena } from "../support/arena.js";
import { cpuMicros } from "../support/cpu.js";
import { bytes, ints, reset, stopSending, stream, vi } from "../support/raw-frames.js";
import { Bystander, LEVEL_APP, RawPeer } from "../support/raw-peer.js";

const STREAM_WINDOW = 1000;
const CONN_WINDOW = 2500;
const MAX_BIDI = 11;
const MAX_UNI = 3;
const config = {
  initialMaxData: CONN_WINDOW,
  initialMaxStreamDataBidiLocal: STREAM_WINDOW,
  initialMaxStreamDataBidiRemote: STREAM_WINDOW,
  initialMaxStreamDataUni: STREAM_WINDOW,
  streamWindowMaxBytes: STREAM_WINDOW,
  connWindowMaxBytes: CONN_WINDOW,
  initialMaxStreamsBidi: MAX_BIDI,
  initialMaxStreamsUni: MAX_UNI,
};

const BEYOND = 4 * MAX_BIDI;
const MAX_STREAM_DATA = 0x11;
const STREAM_DATA_BLOCKED = 0x15;
const data = (length: number) => new Uint8Array(length).fill(1);
const NOTHING = -1;

/** Frames for a server; ids are flipped to the other initiator for a client. Each list is one packet. */
type Case = [name: string, code: number, packets: (id: (clientsId: number) => number) => Uint8Array[][]];

const cases: Case[] = [
  ["9000-4.1-01 Q01 data beyond the stream limit", FLOW_CONTROL_ERROR, (id) => [[stream(id(0), 100_000_000, data(5))]]],
  [
    "9000-4.1-01 one byte beyond the stream limit",
    FLOW_CONTROL_ERROR,
    (id) => [[stream(id(0), STREAM_WINDOW, data(1))]],
  ],
  ["9000-4.1-01 the last byte of the stream limit", NOTHING, (id) => [[stream(id(0), STREAM_WINDOW - 1, data(1))]]],
  [
    "9000-4.1-02, 9000-4.1-04 single bytes at the ends of three windows pass the connection limit",
    FLOW_CONTROL_ERROR,
    (id) => [0, 4, 8].map((at) => [stream(id(at), STREAM_WINDOW - 1, data(1))]),
  ],
  [
    "9000-4.1-02 exactly the connection limit",
    NOTHING,
    (id) => [[stream(id(0), 999, data(1)), stream(id(4), 999, data(1)), stream(id(8), 499, data(1))]],
  ],
  [
    "9000-4.5-01 a second FIN elsewhere",
    FINAL_SIZE_ERROR,
    (id) => twice(stream(id(0), 0, data(10), true), stream(id(0), 0, data(12), true)),
  ],
  [
    "9000-4.5-02 a FIN below what came",
    FINAL_SIZE_ERROR,
    (id) => twice(stream(id(0), 0, data(100)), stream(id(0), 0, data(50), true)),
  ],
  [
    "9000-4.5-03 data beyond the final size",
    FINAL_SIZE_ERROR,
    (id) => twice(stream(id(0), 0, data(10), true), stream(id(0), 10, data(1))),
  ],
  [
    "9000-4.5-04 a reset with another size than the FIN",
    FINAL_SIZE_ERROR,
    (id) => twice(stream(id(0), 0, data(10), true), reset(id(0), 11)),
  ],
  ["9000-4.5-05 a reset below what came", FINAL_SIZE_ERROR, (id) => twice(stream(id(0), 0, data(10)), reset(id(0), 9))],
  ["9000-4.5-06 two resets with different sizes", FINAL_SIZE_ERROR, (id) => twice(reset(id(0), 5), reset(id(0), 6))],
  ["9000-4.5-08 T12 a reset above the stream limit", FLOW_CONTROL_ERROR, (id) => [[reset(id(0), 2 ** 40)]]],
  [
    "9000-4.5-09 T12 resets that sum up above the connection limit",
    FLOW_CONTROL_ERROR,
    (id) => [[0, 4, 8].map((at) => reset(id(at), STREAM_WINDOW))],
  ],
  ["9000-3.2-01 the highest stream allowed", NOTHING, (id) => [[stream(id(BEYOND - 4), 0, data(1))]]],
  ["9000-4.6-03 Q02 STREAM above the limit", STREAM_LIMIT_ERROR, (id) => [[stream(id(1_000_000_000), 0, data(1))]]],
  ["9000-4.6-03 STREAM one above the limit", STREAM_LIMIT_ERROR, (id) => [[stream(id(BEYOND), 0, data(1))]]],
  [
    "9000-4.6-04 a unidirectional STREAM above the limit",
    STREAM_LIMIT_ERROR,
    (id) => [[stream(id(4 * MAX_UNI + 2), 0, data(1))]],
  ],
  ["9000-4.6-05 T11 RESET_STREAM above the limit", STREAM_LIMIT_ERROR, (id) => [[reset(id(BEYOND), 0)]]],
  ["9000-4.6-06 T11 STOP_SENDING above the limit", STREAM_LIMIT_ERROR, (id) => [[stopSending(id(BEYOND))]]],
  [
    "9000-4.6-07 T11 MAX_STREAM_DATA above the limit",
    STREAM_LIMIT_ERROR,
    (id) => [[ints(MAX_STREAM_DATA, id(BEYOND), 9)]],
  ],
  [
    "9000-4.6-08 T11 STREAM_DATA_BLOCKED above the limit",
    STREAM_LIMIT_ERROR,
    (id) => [[ints(STREAM_DATA_BLOCKED, id(BEYOND), 9)]],
  ],
  ["9000-19.4-01 Q16 RESET_STREAM for a send-only stream", STREAM_STATE_ERROR, (id) => [[reset(id(3), 0)]]],
  ["9000-19.4-02 RESET_STREAM for a stream not created", STREAM_STATE_ERROR, (id) => [[reset(id(1), 0)]]],
  ["9000-19.5-01 Q17 STOP_SENDING for a stream not created", STREAM_STATE_ERROR, (id) => [[stopSending(id(101))]]],
  ["9000-19.5-02 STOP_SENDING for a receive-only stream", STREAM_STATE_ERROR, (id) => [[stopSending(id(2))]]],
  ["9000-19.8-01 Q19 STREAM for a stream not created", STREAM_STATE_ERROR, (id) => [[stream(id(1), 0, data(1))]]],
  ["9000-19.8-02 Q20 STREAM for a send-only stream", STREAM_STATE_ERROR, (id) => [[stream(id(3), 0, data(1))]]],
  [
    "9000-19.10-01 Q21 MAX_STREAM_DATA for a stream not created",
    STREAM_STATE_ERROR,
    (id) => [[ints(MAX_STREAM_DATA, id(101), 9)]],
  ],
  [
    "9000-19.10-02 Q22 MAX_STREAM_DATA for a receive-only stream",
    STREAM_STATE_ERROR,
    (id) => [[ints(MAX_STREAM_DATA, id(2), 9)]],
  ],
  [
    "9000-19.13-01 STREAM_DATA_BLOCKED for a send-only stream",
    STREAM_STATE_ERROR,
    (id) => [[ints(STREAM_DATA_BLOCKED, id(3), 9)]],
  ],
  [
    "9000-19.8-03 offset and length above 2^62-1",
    FRAME_ENCODING_ERROR,
    (id) => [[stream(id(0), 2n ** 62n - 1n, data(2))]],
  ],
  ["9000-19.11-01 Q23 MAX_STREAMS above 2^60", FRAME_ENCODING_ERROR, () => [[ints(0x12, 2n ** 60n + 1n)]]],
  ["9000-19.11-02 MAX_STREAMS above 2^60, unidirectional", FRAME_ENCODING_ERROR, () => [[ints(0x13, 2n ** 60n + 1n)]]],
  ["9000-19.14-01 Q24 STREAMS_BLOCKED above 2^60", FRAME_ENCODING_ERROR, () => [[ints(0x16, 2n ** 60n + 1n)]]],
  [
    "9000-19.14-01 STREAMS_BLOCKED above 2^60, unidirectional",
    FRAME_ENCODING_ERROR,
    () => [[ints(0x17, 2n ** 60n + 1n)]],
  ],
  ["9000-4.6-09 MAX_STREAMS of 2^60 and a smaller one", NOTHING, () => [[ints(0x12, 2n ** 60n), ints(0x12, 5)]]],
  ["9000-4.1-03 MAX_DATA that fall", NOTHING, () => [[ints(0x10, 2n ** 62n - 1n), ints(0x10, 10)]]],
];

function twice(first: Uint8Array, second: Uint8Array): Uint8Array[][] {
  return [[first], [second]];
}

function setUp(
  role: "server" | "client",
  more: Partial<typeof config> = {},
): { arena: Arena; peer: RawPeer; bystander: Bystander | null } {
  const arena = new Arena({ config: { ...config, ...more } });
  const bystander = role === "server" ? new Bystander(arena) : null;
  const peer = new RawPeer(arena, { isServer: role === "client" });
  if (role === "client") arena.connect(peer, { ...config, ...more });
  peer.connect();
  return { arena, peer, bystander };
}

for (const role of ["server", "client"] as const) {
  const flip = (clientsId: number) => (role === "server" ? clientsId : clientsId ^ 1);
  describe(`RFC 9000 §4, §19 stream errors on the wire at a ${role}`, () => {
    for (const [name, code, packets] of cases) {
      test(name, () => {
        const { arena, peer, bystander } = setUp(role);
        for (const frames of packets(flip)) peer.send(LEVEL_APP, ...frames);
        assert.equal(peer.closeCode, code);
        bystander?.assertServed();
        arena.assertCleanEnd();
      });
    }

    test("RFC 9000 §4.6 ids above 2^53 are beyond the largest limit that can be asked for", () => {
      const { arena, peer } = setUp(role, { initialMaxStreamsBidi: MAX_STREAM_LIMIT });
      peer.send(LEVEL_APP, stream(2n ** 54n + BigInt(flip(0)), 0, data(1)));
      assert.equal(peer.closeCode, STREAM_LIMIT_ERROR);
      arena.assertCleanEnd();
    });

    test("the reason of the close says what was wrong, and with which stream", () => {
      const { arena, peer } = setUp(role);
      peer.send(LEVEL_APP, stream(flip(8), STREAM_WINDOW, data(1)));
      assert.equal(arena.conns.at(-1)?.closeInfo?.reason, `over MAX_STREAM_DATA, stream ${flip(8)}`);
      arena.assertCleanEnd();
    });

    test("9000-4.5-07 a final size that changes after the stream is closed is an error or ignored", () => {
      const { arena, peer } = setUp(role);
      const conn = arena.conns.at(-1);
      assert.ok(conn !== undefined);
      const id = flip(2);
      peer.send(LEVEL_APP, stream(id, 0, data(10), true));
      assert.equal(conn.read(id, new Uint8Array(20), 0, 20), 10);
      conn.atEnd(id);
      arena.pump();
      peer.send(LEVEL_APP, stream(id, 11, data(1)), reset(id, 400));
      assert.ok([NOTHING, FINAL_SIZE_ERROR].includes(peer.closeCode));
      assert.ok(conn.readable(id) <= 0);
      arena.assertCleanEnd();
    });

    test("T38, J01 integers around every border, in every integer of stream frames, end in progress or an error of streams", () => {
      const edges = [2n ** 6n, 2n ** 14n, 2n ** 30n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 62n - 1n];
      const allowed = [NOTHING, FLOW_CONTROL_ERROR, STREAM_LIMIT_ERROR, STREAM_STATE_ERROR, FRAME_ENCODING_ERROR];
      const shapes: ((edge: bigint) => Uint8Array)[] = [
        (edge) => stream(edge, 0, data(1)),
        (edge) => stream(flip(0), edge, data(1)),
        (edge) => bytes(0x0e, vi(flip(0)), vi(0), vi(edge)),
        (edge) => reset(edge, 0),
        (edge) => reset(flip(0), edge),
        (edge) => reset(flip(0), 0, edge),
        (edge) => stopSending(edge),
        (edge) => stopSending(flip(0), edge),
        (edge) => ints(0x10, edge),
        (edge) => ints(0x11, edge, 1),
        (edge) => ints(0x11, flip(0), edge),
        (edge) => ints(0x12, edge),
        (edge) => ints(0x14, edge),
        (edge) => ints(0x15, edge, 1),
        (edge) => ints(0x15, flip(0), edge),
        (edge) => ints(0x16, edge),
      ];
      shapes.forEach((shape, index) => {
        for (const edge of edges) {
          const { arena, peer } = setUp(role);
          peer.send(LEVEL_APP, shape(edge));
          assert.ok(allowed.includes(peer.closeCode), `shape ${index} with ${edge}: ${peer.closeCode}`);
          arena.assertCleanEnd();
        }
      });
    });

    test("9000-12.4-05 each frame cut after each byte is FRAME_ENCODING_ERROR and nothing else", () => {
      const whole = [
        stream(flip(0), 1, data(2)),
        reset(flip(0), 7),
        stopSending(flip(0), 99),
        ints(0x11, flip(0), 500),
        ints(0x10, 70_000),
      ];
      for (const frame of whole) {
        for (let size = 1; size < frame.length; size++) {
          const { arena, peer } = setUp(role);
          peer.send(LEVEL_APP, frame.subarray(0, size));
          assert.equal(peer.closeCode, FRAME_ENCODING_ERROR, `0x${frame[0].toString(16)} cut to ${size}`);
          arena.assertCleanEnd();
        }
      }
    });
  });
}

describe("what streams cost", () => {
  test("T11 opening the highest stream first costs nothing for the lower ones, and all are usable", () => {
    const arena = new Arena({ config: { initialMaxStreamsBidi: 100_000 } });
    const peer = new RawPeer(arena).connect();
    const [conn] = arena.conns;
    const before = conn.heldBytes();
    peer.send(LEVEL_APP, stream(4 * 99_999, 0, data(1)));
    assert.equal(conn.streams.size, 1);
    peer.send(LEVEL_APP, stream(4 * 5, 0, data(3)));
    assert.equal(conn.readable(20), 3);
    assert.ok(conn.heldBytes() - before < 16 * 1024);
    assert.equal(conn.closeInfo, null);
    arena.assertCleanEnd();
  });

  test("T10 (RUSTSEC-2026-0185) single bytes with gaps: closed at the gap limit, held stays under the cap, and soon", () => {
    for (const order of ["ascending", "descending", "scattered"] as const) {
      const arena = new Arena();
      const bystander = new Bystander(arena);
      const peer = new RawPeer(arena).connect();
      const [, conn] = arena.conns;
      const cap = 1.5 * conn.config.initialMaxData + 256 * 1024;
      const pieces = 200_000;
      const started = cpuMicros();
      for (let next = 0; next < pieces && conn.closeInfo === null; ) {
        const frames: Uint8Array[] = [];
        for (let size = 0; size < 1100 && next < pieces; next++) {
          const at = order === "ascending" ? next : order === "descending" ? pieces - next : (next * 7919) % pieces;
          const frame = stream(0, 2 * at + 1, data(1));
          size += frame.length;
          frames.push(frame);
        }
        peer.send(LEVEL_APP, ...frames);
        assert.ok(conn.heldBytes() <= cap, `${conn.heldBytes()} held`);
      }
      assert.equal(peer.closeCode, 1, order);
      assert.ok(cpuMicros() - started < 3_000_000);
      bystander.assertServed();
      arena.assertCleanEnd();
    }
  });

  test("T10 twin: a window of full packets in reverse order passes", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).connect();
    const [conn] = arena.conns;
    const size = conn.config.initialMaxStreamDataBidiRemote;
    for (let end = size; end > 0; end -= 1024) peer.send(LEVEL_APP, stream(0, end - 1024, data(1024)));
    assert.equal(conn.readable(0), size);
    assert.equal(conn.closeInfo, null);
    arena.assertCleanEnd();
  });

  test("T13 sparse bytes raise no window before the application reads", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).connect();
    const [conn] = arena.conns;
    peer.forget();
    peer.send(LEVEL_APP, stream(0, conn.config.initialMaxStreamDataBidiRemote - 1, data(1)), ints(0x15, 0, 2 ** 20));
    peer.send(LEVEL_APP, ints(0x14, 2 ** 21), ints(0x15, 0, 2 ** 20));
    arena.advance(1_000_000);
    assert.deepEqual(
      peer.lines(LEVEL_APP).filter((line) => line.startsWith("MAX_")),
      [],
    );
    arena.assertCleanEnd();
  });

  test("T14 a flood of BLOCKED frames and of tiny credit makes nothing to send but acknowledgements, and then an end", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).connect();
    peer.forget();
    for (let round = 0; round < 50; round++) {
      const frames = Array.from({ length: 60 }, (_, i) => [
        ints(0x10, 2 ** 25 + 60 * round + i),
        ints(0x14, i),
        ints(0x16, i),
        ints(0x17, i),
      ]);
      peer.send(LEVEL_APP, ...frames.flat());
    }
    assert.ok(peer.lines(LEVEL_APP).every((line) => line.startsWith("ACK") || line.startsWith("PADDING")));
    assert.ok(peer.packets.length <= 50);
    for (let round = 0; round < 10; round++) {
      peer.send(LEVEL_APP, ...Array.from({ length: 150 }, (_, i) => ints(0x14, i)));
    }
    assert.equal(peer.closeCode, PROTOCOL_VIOLATION);
    arena.assertCleanEnd();
  });
});
