/** RFC 9000 §2 to §4: streams, final sizes, flow control. */

import assert from "node:assert/strict";
import { STREAM_BIDI, STREAM_UNI } from "#src/port/transport.js";
import { STREAM_LIMIT_ERROR } from "#src/proto/transport-error.js";
import { bytes, ints, reset, stopSending, stream, vi } from "../support/raw-frames.js";
import {
  intParam,
  P_MAX_DATA,
  P_STREAM_DATA_BIDI_REMOTE,
  P_STREAMS_BIDI,
  P_STREAMS_UNI,
  withParam,
} from "../raw/params.js";
import { APP, type RawPeer } from "../raw/peer.js";
import { type Check, filled } from "./check.js";
import { closes, ignores, refuses, row } from "./scripts.js";

const STREAM = 0x0e;
const STREAM_FIN = 0x0f;
const RESET_STREAM = 0x04;
const STOP_SENDING = 0x05;
const MAX_STREAM_DATA = 0x11;
const STREAM_DATA_BLOCKED = 0x15;
const IDLE = { app: "idle" } as const;
/** Room for one stream of 60,000 bytes, but not for two. */
const NARROW = {
  app: "idle",
  config: { initialMaxData: 100_000, initialMaxStreamDataBidiRemote: 60_000, initialMaxStreamDataUni: 60_000 },
} as const;

const bidiLimit = (peer: RawPeer): number => intParam(peer.peerParams, P_STREAMS_BIDI);
const uniLimit = (peer: RawPeer): number => intParam(peer.peerParams, P_STREAMS_UNI);
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** Bytes of all STREAM frames that came, at their largest offsets. */
function sentBytes(peer: RawPeer): number {
  const ends = new Map<bigint, number>();
  for (const { values, data } of peer.frames("STREAM")) {
    const [id, offset] = values as [bigint, bigint];
    ends.set(id, Math.max(ends.get(id) ?? 0, Number(offset) + data.length));
  }
  return [...ends.values()].reduce((sum, end) => sum + end, 0);
}

ignores("9000-2.2-01", (peer) => [stream(peer.ownBidi(), 0, text("AAAA")), stream(peer.ownBidi(), 0, text("AAAB"))], {
  setup: {},
});

row(
  "9000-3.2-01",
  async (check) => {
    const peer = await check.connect();
    for (const n of [10, 0, 5]) {
      peer.send(APP, stream(peer.ownBidi(n), 0, text("hello")));
      await check.until(() => peer.streams.get(peer.ownBidi(n))?.data.length === 5, `the echo on stream ${n}`);
    }
    peer.send(APP, stream(peer.ownBidi(11), 0, text("x")));
    await check.closesWith(peer, STREAM_LIMIT_ERROR, STREAM);
  },
  { setup: { config: { initialMaxStreamsBidi: 11 } } },
);

row("9000-3.5-01", async (check) => {
  const peer = await check.connect();
  const id = peer.ownBidi();
  peer.send(APP, stream(id, 0, text("hello")));
  await check.until(() => peer.streams.get(id)?.data.length === 5, "the echo");
  peer.send(APP, stopSending(id, 7));
  await check.until(() => peer.frames("RESET_STREAM").length > 0, "RESET_STREAM");
  assert.deepEqual(peer.frames("RESET_STREAM")[0]?.values, [BigInt(id), 7n, 5n]);
});

closes("9000-4.1-01", STREAM, (peer) => stream(peer.ownBidi(), 100_000_000, filled(5)));

closes("9000-4.1-02", STREAM, (peer) => [0, 1].flatMap((n) => pieces(peer.ownBidi(n), 55_000)), { setup: NARROW });

/** STREAM frames of `count` bytes from offset 0. */
function pieces(id: number, count: number): Uint8Array[] {
  const size = 1000;
  return Array.from({ length: count / size }, (_, i) => stream(id, i * size, filled(size)));
}

row("9000-4.1-03", async (check) => {
  const peer = await check.connect({
    params: (list) => withParam(withParam(list, P_MAX_DATA, vi(1000)), P_STREAM_DATA_BIDI_REMOTE, vi(900)),
  });
  const app = check.app(peer);
  const first = await app.open(STREAM_BIDI);
  const second = await app.open(STREAM_BIDI);
  app.write(first, filled(5000), false);
  app.write(second, filled(5000), false);
  await check.until(() => sentBytes(peer) === 1000, "1000 bytes");
  peer.send(APP, ints(0x10, 10), ints(0x11, first, 10), ints(0x11, second, 10));
  await check.quiet();
  assert.equal(sentBytes(peer), 1000, "no more than the limit");
  peer.send(APP, ints(0x10, 1700));
  await check.until(() => sentBytes(peer) === 1700, "1700 bytes of a raised limit");
  peer.send(APP, ints(0x10, 1 << 20));
  await check.usable(peer);
});

closes(
  "9000-4.1-04",
  STREAM,
  (peer) => [stream(peer.ownBidi(0), 59_999, filled(1)), stream(peer.ownBidi(1), 59_999, filled(1))],
  { setup: NARROW },
);

closes(
  "9000-4.5-01",
  STREAM_FIN,
  (peer) => [stream(peer.ownBidi(), 0, filled(10), true), stream(peer.ownBidi(), 0, filled(12), true)],
  { setup: IDLE },
);
closes(
  "9000-4.5-02",
  STREAM_FIN,
  (peer) => [stream(peer.ownBidi(), 0, filled(100)), stream(peer.ownBidi(), 0, filled(50), true)],
  { setup: IDLE },
);
closes(
  "9000-4.5-03",
  STREAM,
  (peer) => [stream(peer.ownBidi(), 0, filled(10), true), stream(peer.ownBidi(), 10, filled(1))],
  { setup: IDLE },
);
closes(
  "9000-4.5-04",
  RESET_STREAM,
  (peer) => [stream(peer.ownBidi(), 0, filled(10), true), reset(peer.ownBidi(), 11)],
  { setup: IDLE },
);
closes("9000-4.5-05", RESET_STREAM, (peer) => [stream(peer.ownBidi(), 0, filled(10)), reset(peer.ownBidi(), 9)], {
  setup: IDLE,
});
closes("9000-4.5-06", RESET_STREAM, (peer) => [reset(peer.ownBidi(), 5), reset(peer.ownBidi(), 6)], { setup: IDLE });

row("9000-4.5-07", async (check) => {
  const peer = await check.connect();
  const id = peer.ownBidi();
  peer.send(APP, stream(id, 0, filled(10), true));
  await check.until(() => peer.streams.get(id)?.fin === true, "the end of the echo");
  await check.quiet();
  peer.send(APP, stream(id, 11, filled(1)));
  peer.send(APP, reset(id, 12));
  await check.quiet();
  await check.usable(peer);
});

closes("9000-4.5-08", RESET_STREAM, (peer) => reset(peer.ownBidi(), 2n ** 40n));
closes("9000-4.5-09", RESET_STREAM, (peer) => bytes(reset(peer.ownBidi(0), 60_000), reset(peer.ownBidi(1), 60_000)), {
  setup: NARROW,
});

refuses("9000-4.6-01", [{ params: (list) => withParam(list, P_STREAMS_BIDI, vi(2n ** 60n + 1n)) }]);
refuses("9000-4.6-02", [{ params: (list) => withParam(list, P_STREAMS_UNI, vi(2n ** 60n + 1n)) }]);
closes("9000-4.6-03", STREAM, (peer) => stream(peer.ownBidi(250_000_000), 0, filled(1)));
closes("9000-4.6-04", STREAM, (peer) => stream(peer.ownUni(uniLimit(peer)), 0, filled(1)));
closes("9000-4.6-05", RESET_STREAM, (peer) => reset(peer.ownBidi(bidiLimit(peer)), 0));
closes("9000-4.6-06", STOP_SENDING, (peer) => stopSending(peer.ownBidi(bidiLimit(peer))));
closes("9000-4.6-07", MAX_STREAM_DATA, (peer) => ints(MAX_STREAM_DATA, peer.ownBidi(bidiLimit(peer)), 1000));
closes("9000-4.6-08", STREAM_DATA_BLOCKED, (peer) => ints(STREAM_DATA_BLOCKED, peer.ownBidi(bidiLimit(peer)), 1000));

row("9000-4.6-09", async (check) => {
  const narrow = withLimits(4, 4);
  const peer = await check.connect({ params: narrow });
  peer.send(APP, ints(0x12, 12), ints(0x13, 12));
  peer.send(APP, ints(0x12, 2), ints(0x13, 2));
  await check.quiet();
  await opens(check, peer, STREAM_BIDI, 12);
  await opens(check, peer, STREAM_UNI, 12);
  await check.usable(peer);
});

function withLimits(bidi: number, uni: number): (list: [number, Uint8Array][]) => [number, Uint8Array][] {
  return (list) => withParam(withParam(list, P_STREAMS_BIDI, vi(bidi)), P_STREAMS_UNI, vi(uni));
}

/** The engine opens `count` streams, which all arrive. */
async function opens(
  check: Check,
  peer: RawPeer,
  kind: typeof STREAM_BIDI | typeof STREAM_UNI,
  count: number,
): Promise<void> {
  const app = check.app(peer);
  for (let n = 0; n < count; n++) {
    const id = await app.open(kind);
    assert.equal(id, kind === STREAM_BIDI ? peer.theirBidi(n) : peer.theirUni(n));
    app.write(id, filled(1), false);
    await check.until(() => peer.streams.has(id), `stream ${id}`);
  }
}

// --- RFC 9000 §19: frames of streams ---------------------------------------------------------------------------------

closes("9000-19.4-01", RESET_STREAM, (peer) => reset(peer.theirUni(), 0));
closes("9000-19.4-02", RESET_STREAM, (peer) => reset(peer.theirBidi(), 0));
closes("9000-19.5-01", STOP_SENDING, (peer) => stopSending(peer.theirBidi(25)));
closes("9000-19.5-02", STOP_SENDING, (peer) => stopSending(peer.ownUni()));
closes("9000-19.8-01", STREAM, (peer) => stream(peer.theirBidi(), 0, filled(1)));
closes("9000-19.8-02", STREAM, (peer) => stream(peer.theirUni(), 0, filled(1)));
closes("9000-19.8-03", 0x0e, (peer) => stream(peer.ownBidi(), 2n ** 62n - 1n, filled(2)));
closes(
  "9000-19.9-01",
  STREAM_FIN,
  (peer) => bytes(reset(peer.ownBidi(0), 60_000), stream(peer.ownBidi(1), 59_999, filled(1), true)),
  { setup: NARROW },
);
closes("9000-19.10-01", MAX_STREAM_DATA, (peer) => ints(MAX_STREAM_DATA, peer.theirBidi(25), 1000));
closes("9000-19.10-02", MAX_STREAM_DATA, (peer) => ints(MAX_STREAM_DATA, peer.ownUni(), 1000));
closes("9000-19.11-01", 0x12, () => ints(0x12, 2n ** 60n + 1n));
closes("9000-19.11-02", 0x13, () => ints(0x13, 2n ** 60n + 1n));
closes("9000-19.13-01", STREAM_DATA_BLOCKED, (peer) => ints(STREAM_DATA_BLOCKED, peer.theirUni(), 1000));

row("9000-19.14-01", async (check) => {
  for (const type of [0x16, 0x17]) {
    const peer = await check.connect();
    peer.send(APP, ints(type, 2n ** 60n + 1n));
    await check.closes(peer, type);
  }
});

row("9000-13.3-01", async (check) => {
  const peer = await check.connect({
    params: (list) => withParam(withParam(list, P_MAX_DATA, vi(1000)), P_STREAM_DATA_BIDI_REMOTE, vi(5000)),
  });
  const app = check.app(peer);
  const id = await app.open(STREAM_BIDI);
  app.write(id, filled(4000), false);
  await check.until(() => sentBytes(peer) === 1000, "1000 bytes");
  const [largest, ...older] = [4000, 3000, 2000, 1500].map((max) => peer.packet(APP, [ints(0x10, max)]));
  peer.sendRaw(largest as Buffer);
  for (const packet of older) peer.sendRaw(packet);
  await check.until(() => sentBytes(peer) === 4000, "4000 bytes");
  // the numbers of the packets go down too
  const [first, second] = [20_000, 30_000].map((max) => peer.packet(APP, [ints(0x10, max)]));
  peer.sendRaw(second as Buffer);
  peer.sendRaw(first as Buffer);
  await check.quiet();
  await check.usable(peer);
});
