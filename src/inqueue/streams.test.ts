import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { StreamPair, type StreamSide, streamParams } from "../outqueue/stream-pair.contract.js";
import { STREAM_BIDI, STREAM_UNI, T_RESET } from "../port/transport.js";
import {
  LEDGER_FIXED_BYTES,
  LEDGER_WINDOW_SHARE,
  MIN_CONN_RECV_GAPS,
  MIN_RECV_GAPS,
  RECV_GAP_WINDOW_SHARE,
} from "../proto/limits.js";
import {
  FINAL_SIZE_ERROR,
  FLOW_CONTROL_ERROR,
  INTERNAL_ERROR,
  NO_ERROR,
  STREAM_LIMIT_ERROR,
  STREAM_STATE_ERROR,
} from "../proto/transport-error.js";

const BYTES = new Uint8Array(200_000);

/** Stream ids as the server under test sees them: the peer is the client. */
const PEER_BIDI = 0;
const OUR_BIDI = 1;
const PEER_UNI = 2;
const OUR_UNI = 3;

let server: StreamSide;
let pair: StreamPair;
beforeEach(() => {
  pair = new StreamPair({}, { initialMaxStreamsBidi: 11, initialMaxStreamsUni: 11 });
  server = pair.server;
});

function stream(id: number, offset: number, length: number, fin = false): number {
  return server.input.onStream(id, offset, BYTES, 0, length, fin);
}

function reset(id: number, finalSize: number): number {
  return server.input.onResetStream(id, 7n, finalSize);
}

describe("RFC 9000 §3, §4.6, §19 stream ids", () => {
  test("RFC 9000 §3.2 opening a stream opens every lower one of its type [9000-3.2-01]", () => {
    assert.equal(stream(40, 0, 1), NO_ERROR);
    assert.equal(server.table.size, 1, "lower ones cost nothing yet");
    for (let id = 0; id < 40; id += 4) assert.equal(server.table.write(id, BYTES, 0, 3, false), 3);
    assert.equal(stream(44, 0, 1), STREAM_LIMIT_ERROR);
  });

  test("RFC 9000 §4.6 STREAM above the limit [9000-4.6-03, 9000-4.6-04]", () => {
    assert.equal(stream(1_000_000_000, 0, 1), STREAM_LIMIT_ERROR);
    assert.equal(stream(4 * 11 + PEER_UNI, 0, 1), STREAM_LIMIT_ERROR);
    assert.equal(stream(4 * 10 + PEER_UNI, 0, 1), NO_ERROR);
  });

  test("RFC 9000 §4.6 the other frames above the limit [9000-4.6-05, 9000-4.6-06, 9000-4.6-07, 9000-4.6-08]", () => {
    const { input } = server;
    assert.equal(reset(4 * 11, 0), STREAM_LIMIT_ERROR);
    assert.equal(input.onStopSending(4 * 11, 7n), STREAM_LIMIT_ERROR);
    assert.equal(input.onMaxStreamData(4 * 11, 10), STREAM_LIMIT_ERROR);
    assert.equal(input.onStreamDataBlocked(4 * 11, 10), STREAM_LIMIT_ERROR);
    assert.equal(server.table.size, 0);
  });

  test("RFC 9000 §4.6 the limit is the one we advertised, not the one we could", () => {
    const small = new StreamPair({}, { initialMaxStreamsBidi: 1 }).server;
    assert.equal(small.input.onStream(0, 0, BYTES, 0, 1, true), NO_ERROR);
    assert.equal(small.input.onStream(4, 0, BYTES, 0, 1, true), STREAM_LIMIT_ERROR);
  });

  test("RFC 9000 §4.6 MAX_STREAMS that does not raise the limit is ignored [9000-4.6-09]", () => {
    server.input.onMaxStreams(STREAM_BIDI, 100);
    server.input.onMaxStreams(STREAM_BIDI, 5);
    for (let count = 0; count < 100; count++) assert.equal(server.table.open(STREAM_BIDI), 4 * count + OUR_BIDI);
  });

  test("RFC 9000 §19.4 RESET_STREAM for a send-only stream [9000-19.4-01]", () => {
    assert.equal(reset(OUR_UNI, 0), STREAM_STATE_ERROR);
    server.table.open(STREAM_UNI);
    assert.equal(reset(OUR_UNI, 0), STREAM_STATE_ERROR);
    server.write(OUR_UNI, 0, 1, true);
    server.acked(server.send()!.pn);
    server.drain();
    assert.equal(server.table.find(OUR_UNI), null);
    assert.equal(reset(OUR_UNI, 0), STREAM_STATE_ERROR, "not even a forgotten one had that half");
  });

  test("RFC 9000 §19.4, §19.5, §19.8, §19.10 a stream of ours that was not created [9000-19.4-02, 9000-19.5-01, 9000-19.8-01, 9000-19.10-01]", () => {
    const { input } = server;
    assert.equal(reset(OUR_BIDI, 0), STREAM_STATE_ERROR);
    assert.equal(input.onStopSending(101, 7n), STREAM_STATE_ERROR);
    assert.equal(stream(OUR_BIDI, 0, 1), STREAM_STATE_ERROR);
    assert.equal(input.onMaxStreamData(101, 10), STREAM_STATE_ERROR);
    assert.equal(input.onStreamDataBlocked(OUR_BIDI, 10), STREAM_STATE_ERROR);
    assert.equal(input.onStopSending(OUR_UNI, 7n), STREAM_STATE_ERROR);
    server.table.open(STREAM_BIDI);
    assert.equal(stream(OUR_BIDI, 0, 1), NO_ERROR);
  });

  test("RFC 9000 §19.5, §19.10 STOP_SENDING and MAX_STREAM_DATA for a receive-only stream [9000-19.5-02, 9000-19.10-02]", () => {
    for (const opened of [false, true]) {
      if (opened) stream(PEER_UNI, 0, 1);
      assert.equal(server.input.onStopSending(PEER_UNI, 7n), STREAM_STATE_ERROR);
      assert.equal(server.input.onMaxStreamData(PEER_UNI, 10), STREAM_STATE_ERROR);
    }
  });

  test("RFC 9000 §19.8, §19.13 STREAM and STREAM_DATA_BLOCKED for a send-only stream [9000-19.8-02, 9000-19.13-01]", () => {
    for (const opened of [false, true]) {
      if (opened) server.table.open(STREAM_UNI);
      assert.equal(stream(OUR_UNI, 0, 1), STREAM_STATE_ERROR);
      assert.equal(server.input.onStreamDataBlocked(OUR_UNI, 10), STREAM_STATE_ERROR);
    }
  });
});

describe("RFC 9000 §4.1 flow control", () => {
  test("RFC 9000 §4.1 data beyond the stream limit [9000-4.1-01]", () => {
    assert.equal(stream(PEER_BIDI, 100_000_000, 5), FLOW_CONTROL_ERROR);
    assert.equal(stream(PEER_BIDI, 99_990, 10), NO_ERROR);
    assert.equal(stream(PEER_BIDI, 99_990, 11), FLOW_CONTROL_ERROR);
  });

  test("RFC 9000 §4.1 data beyond the connection limit [9000-4.1-02]", () => {
    for (let id = 0; id < 40; id += 4) assert.equal(stream(id, 0, 100_000), NO_ERROR);
    assert.equal(stream(40, 0, 1), FLOW_CONTROL_ERROR);
    assert.equal(server.input.errorReason, "over MAX_DATA");
  });

  test("RFC 9000 §4.1 the highest offset counts, not what is buffered [9000-4.1-04]", () => {
    for (let id = 0; id < 40; id += 4) assert.equal(stream(id, 99_999, 1), NO_ERROR);
    assert.equal(server.table.recvCredit.received, 1_000_000);
    assert.equal(stream(40, 0, 1), FLOW_CONTROL_ERROR);
  });

  test("RFC 9000 §4.1 MAX_DATA and MAX_STREAM_DATA that raise nothing are ignored [9000-4.1-03]", () => {
    const { table, input } = new StreamPair({ initialMaxData: 0, initialMaxStreamDataBidiLocal: 0 }).server;
    input.onStream(PEER_BIDI, 0, BYTES, 0, 1, false);
    input.onMaxData(1000);
    input.onMaxData(10);
    input.onMaxStreamData(PEER_BIDI, 500);
    input.onMaxStreamData(PEER_BIDI, 5);
    assert.equal(table.sendCredit.max, 1000);
    assert.equal(table.find(PEER_BIDI)!.send!.maxStreamData, 500);
  });

  test("RFC 9000 §4.1 repeated and overlapping data is counted once", () => {
    for (let round = 0; round < 30; round++) assert.equal(stream(PEER_BIDI, round * 10, 90_000), NO_ERROR);
    assert.equal(server.table.recvCredit.received, 90_290);
    assert.equal(server.table.bytesReceived, 30 * 90_000);
  });

  test("RFC 9000 §4.1 BLOCKED frames bring credit that was held back, and only then", () => {
    pair.client.table.open(STREAM_BIDI);
    stream(PEER_BIDI, 0, 1000);
    server.input.onDataBlocked(1_000_000);
    server.input.onStreamDataBlocked(PEER_BIDI, 100_000);
    assert.equal(server.output.hasPending(), false);
    server.table.read(PEER_BIDI, new Uint8Array(100), 0, 100);
    server.input.onDataBlocked(999_999);
    server.input.onStreamDataBlocked(PEER_BIDI, 99_999);
    assert.equal(server.output.hasPending(), false, "the peer has a newer limit on its way");
    server.input.onDataBlocked(1_000_000);
    server.input.onStreamDataBlocked(PEER_BIDI, 100_000);
    server.input.onStreamsBlocked(STREAM_BIDI, 11);
    for (const packet of server.sendAll()) pair.client.receive(packet);
    assert.deepEqual(pair.client.takeFrames(), ["MAX_DATA 1000100", "MAX_STREAM_DATA 0 100100"]);
    assert.equal(pair.client.error, NO_ERROR);
  });
});

describe("RFC 9000 §4.5 final size", () => {
  test("RFC 9000 §4.5 changed by a second FIN [9000-4.5-01]", () => {
    assert.equal(stream(PEER_BIDI, 0, 10, true), NO_ERROR);
    assert.equal(stream(PEER_BIDI, 0, 12, true), FINAL_SIZE_ERROR);
    assert.equal(stream(PEER_BIDI, 0, 9, true), FINAL_SIZE_ERROR);
    assert.equal(stream(PEER_BIDI, 0, 10, true), NO_ERROR);
  });

  test("RFC 9000 §4.5 below what was received [9000-4.5-02]", () => {
    stream(PEER_BIDI, 0, 100);
    assert.equal(stream(PEER_BIDI, 0, 50, true), FINAL_SIZE_ERROR);
  });

  test("RFC 9000 §4.5 data at or beyond it [9000-4.5-03]", () => {
    stream(PEER_BIDI, 0, 10, true);
    assert.equal(stream(PEER_BIDI, 10, 1), FINAL_SIZE_ERROR);
    assert.equal(stream(PEER_BIDI, 10, 0, true), NO_ERROR);
  });

  test("RFC 9000 §4.5 RESET_STREAM against FIN, data and RESET_STREAM [9000-4.5-04, 9000-4.5-05, 9000-4.5-06]", () => {
    stream(0, 0, 10, true);
    assert.equal(reset(0, 11), FINAL_SIZE_ERROR);
    stream(4, 0, 10);
    assert.equal(reset(4, 9), FINAL_SIZE_ERROR);
    assert.equal(reset(8, 5), NO_ERROR);
    assert.equal(reset(8, 6), FINAL_SIZE_ERROR);
    assert.equal(reset(8, 5), NO_ERROR);
  });

  test("RFC 9000 §4.5 a stream that is gone is ignored [9000-4.5-07]", () => {
    stream(PEER_UNI, 0, 10, true);
    server.table.read(PEER_UNI, new Uint8Array(10), 0, 10);
    assert.equal(stream(PEER_UNI, 11, 1), FINAL_SIZE_ERROR, "not told yet: the state is there");
    server.drain();
    assert.equal(server.table.find(PEER_UNI), null);
    assert.equal(stream(PEER_UNI, 11, 1), NO_ERROR);
    assert.equal(reset(PEER_UNI, 99), NO_ERROR);
    assert.equal(server.table.size, 0);
  });

  test("RFC 9000 §4.5 RESET_STREAM counts like data, whatever its size [9000-4.5-08, 9000-4.5-09, 9000-19.9-01]", () => {
    assert.equal(reset(PEER_BIDI, 2 ** 40), FLOW_CONTROL_ERROR);
    for (let id = 4; id < 44; id += 4) assert.equal(reset(id, 99_999), NO_ERROR);
    assert.equal(server.table.recvCredit.received, 999_990);
    assert.equal(stream(PEER_UNI, 0, 10), NO_ERROR, "exactly the limit");
    assert.equal(reset(4 + PEER_UNI, 1), FLOW_CONTROL_ERROR);
  });

  test("RFC 9000 §4.5 credit of reset and stopped streams comes back without being read", () => {
    stream(0, 0, 1000);
    reset(0, 50_000);
    stream(4, 500, 500);
    assert.equal(server.table.stopSending(4, 1n), true);
    stream(4, 2000, 10);
    assert.equal(server.table.recvCredit.received, 52_010);
    assert.equal(server.table.recvCredit.consumed, 52_010);
    assert.equal(server.table.heldBytes(), 0);
  });
});

describe("RFC 9000 §3.2, §3.5 ends of streams", () => {
  test("RFC 9000 §3.5 STOP_SENDING is answered by RESET_STREAM with its code [9000-3.5-01]", () => {
    const id = server.table.open(STREAM_BIDI);
    server.write(id, 0, 5000);
    assert.ok(server.send() !== null);
    assert.equal(server.input.onStopSending(id, 77n), NO_ERROR);
    assert.equal(server.input.onStopSending(id, 78n), NO_ERROR);
    for (const packet of server.sendAll()) pair.client.receive(packet);
    assert.deepEqual(pair.client.takeFrames(), [`RESET_STREAM ${id} 77 1198`]);
    assert.deepEqual(server.takeTold(), [`stop ${id} 77`]);
    assert.equal(server.table.stopCode(id), 77n);
  });

  test("RFC 9000 §3.5 STOP_SENDING after everything was acknowledged changes nothing", () => {
    const id = server.table.open(STREAM_BIDI);
    server.write(id, 0, 10, true);
    server.acked(server.send()!.pn);
    server.input.onStopSending(id, 77n);
    assert.deepEqual(server.takeTold(), [`done ${id}`]);
    assert.equal(server.output.hasPending(), false);
  });

  test("RFC 9000 §3.2 a reset drops unread data and is told, but not after all data arrived", () => {
    stream(0, 0, 10);
    reset(0, 10);
    assert.deepEqual(server.takeTold(), ["stream 0", "readable 0", "reset 0 7"]);
    assert.equal(server.table.resetCode(0), 7n);
    assert.equal(server.table.read(0, new Uint8Array(10), 0, 10), T_RESET);
    stream(4, 0, 10, true);
    reset(4, 10);
    assert.equal(server.table.read(4, new Uint8Array(10), 0, 10), 10);
    assert.deepEqual(server.takeTold(), ["stream 4"], "all was read before it was told");
  });

  test("RFC 9000 §2.2 where data at one offset differs the first copy stays [9000-2.2-01]", () => {
    const first = Uint8Array.of(65, 65, 65, 65);
    const second = Uint8Array.of(65, 65, 65, 66, 67);
    server.input.onStream(0, 2, first, 0, 4, false);
    assert.equal(server.input.onStream(0, 0, second, 0, 5, false), NO_ERROR);
    assert.equal(server.input.onStream(0, 2, second, 0, 5, false), NO_ERROR);
    const bytes = new Uint8Array(7);
    server.table.read(0, bytes, 0, 7);
    assert.deepEqual([...bytes], [65, 65, 65, 65, 65, 65, 67]);
  });
});

describe("what a peer can make us hold", () => {
  const WINDOW = 6 * 1024 * 1024;
  const big = { initialMaxData: WINDOW, initialMaxStreamDataBidiRemote: WINDOW, initialMaxStreamsBidi: 100 };

  test("crumbs over the whole window end the connection at the gap limit, in bounded memory and time", () => {
    const orders: ((index: number) => number)[] = [
      (index) => 2 * index + 1,
      (index) => WINDOW - 2 * index - 1,
      (index) => ((index * 7919) % (WINDOW / 2)) * 2 + 1,
    ];
    for (const offsetOf of orders) {
      const { input, table } = new StreamPair({}, big).server;
      let error = NO_ERROR;
      let frames = 0;
      while (error === NO_ERROR) error = input.onStream(0, offsetOf(frames++), BYTES, 0, 1, false);
      assert.equal(error, INTERNAL_ERROR);
      const most = Math.max(MIN_RECV_GAPS, WINDOW / RECV_GAP_WINDOW_SHARE);
      assert.ok(frames > most && frames < 2 * most, `${frames} frames`);
      assert.ok(table.heldBytes() < LEDGER_WINDOW_SHARE * WINDOW + LEDGER_FIXED_BYTES);
    }
  });

  test("crumbs over many streams are bounded together", () => {
    const { input, table } = new StreamPair({}, big).server;
    let error = NO_ERROR;
    let frame = 0;
    while (error === NO_ERROR) {
      error = input.onStream((frame % 100) * 4, 2 * Math.floor(frame / 100) + 1, BYTES, 0, 1, false);
      frame++;
    }
    assert.equal(error, INTERNAL_ERROR);
    assert.equal(frame, Math.max(MIN_CONN_RECV_GAPS, WINDOW / RECV_GAP_WINDOW_SHARE) + 1);
    assert.ok(table.heldBytes() < LEDGER_FIXED_BYTES + 100 * 4096);
  });

  test("the honest worst case passes: every second packet of a full window is missing, then comes", () => {
    const { input, table } = new StreamPair({}, big).server;
    for (let offset = 1200; offset + 1200 <= WINDOW; offset += 2400) {
      assert.equal(input.onStream(0, offset, BYTES, 0, 1200, false), NO_ERROR);
    }
    for (let offset = 0; offset + 1200 <= WINDOW; offset += 2400) {
      assert.equal(input.onStream(0, offset, BYTES, 0, 1200, false), NO_ERROR);
    }
    assert.equal(table.held.recvRanges, 0);
    assert.ok(table.readable(0) > WINDOW - 2400);
  });

  test("one byte at the end of each stream's window costs no more than flow control allows", () => {
    for (const share of [1, 3, 10, 100]) {
      const { input, table } = new StreamPair({}, big).server;
      for (let id = 0; id < share; id++) {
        const offset = Math.floor(WINDOW / share) - 1;
        assert.equal(input.onStream(4 * id, offset, BYTES, 0, 1, false), NO_ERROR);
      }
      assert.ok(table.heldBytes() <= LEDGER_WINDOW_SHARE * WINDOW + LEDGER_FIXED_BYTES, `${share} streams`);
    }
  });

  test("opening the highest id first costs nothing for the lower ones", () => {
    const { input, table } = new StreamPair({}, { initialMaxStreamsBidi: 1e6 }).server;
    assert.equal(input.onStream(4 * (1e6 - 1), 0, BYTES, 0, 1, false), NO_ERROR);
    assert.equal(table.size, 1);
  });
});

test("RFC 9000 §18.2 each kind of stream has the receive limit of its own parameter", () => {
  const params = { initialMaxStreamDataBidiLocal: 11, initialMaxStreamDataBidiRemote: 22, initialMaxStreamDataUni: 33 };
  const { input, table } = new StreamPair({}, streamParams(params)).server;
  table.open(STREAM_BIDI);
  for (const [id, limit] of [
    [OUR_BIDI, 11],
    [PEER_BIDI, 22],
    [PEER_UNI, 33],
  ]) {
    assert.equal(input.onStream(id, 0, BYTES, 0, limit, false), NO_ERROR);
    assert.equal(input.onStream(id, limit, BYTES, 0, 1, false), FLOW_CONTROL_ERROR);
  }
});
