import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { prefixedRoom } from "../base/varint.js";
import { toHex } from "../base/bytes.js";
import { LEVEL_APP } from "../port/tls.js";
import { STREAM_BIDI, STREAM_UNI, type StreamKind } from "../port/transport.js";
import { MAX_ACK_RANGES_SENT } from "../proto/limits.js";
import { writeAck } from "./ack.js";
import { writeConnectionClose } from "./close.js";
import {
  writeDataBlocked,
  writeAckFrequency,
  writeHandshakeDone,
  writeImmediateAck,
  writeMaxData,
  writeMaxStreamData,
  writeMaxStreams,
  writeNewConnectionId,
  writeNewToken,
  writePathChallenge,
  writePathResponse,
  writePing,
  writeResetStream,
  writeRetireConnectionId,
  writeStopSending,
  writeStreamDataBlocked,
  writeStreamsBlocked,
} from "./control.js";
import { FrameDecoder } from "./decode.js";
import { FrameRecorder } from "./recorder.contract.js";
import { cryptoHeaderLength, streamHeaderLength, writeCryptoHeader, writeStreamHeader } from "./stream.js";

type Write = (buf: Uint8Array, pos: number, limit: number) => number;
/** A writer with its arguments, and the line that the recorder shall write down. */
type Case = [Write, string];

const POISON = 0xee;
const START = 5;

function linesOf(buf: Uint8Array, end: number): string[] {
  const decoder = new FrameDecoder();
  const recorder = new FrameRecorder();
  assert.equal(decoder.decode(LEVEL_APP, buf, START, end, recorder), true, decoder.errorReason);
  return recorder.lines;
}

/** It comes back; it fits exactly where it ends; one byte less and nothing is written; nothing outside is touched. */
function checkCase([write, line]: Case): void {
  const buf = new Uint8Array(400).fill(POISON);
  const end = write(buf, START, buf.length);
  assert.ok(end > START, line);
  assert.deepEqual(linesOf(buf, end), [line]);
  assert.ok(buf.every((byte, i) => (i >= START && i < end) || byte === POISON));
  const exact = new Uint8Array(400).fill(POISON);
  assert.equal(write(exact, START, end), end);
  assert.equal(toHex(exact), toHex(buf));
  for (let limit = START; limit < end; limit++) {
    const small = new Uint8Array(400).fill(POISON);
    assert.equal(write(small, START, limit), -1, `${line} in ${limit - START} of ${end - START} bytes`);
    assert.ok(small.every((byte) => byte === POISON));
  }
}

const number = fc.oneof(fc.nat(63), fc.nat(20_000), fc.nat(), fc.maxSafeNat());
const code = fc.oneof(fc.bigInt(0n, 2n ** 62n - 1n), fc.bigInt(0n, 300n));
const data = fc.uint8Array({ minLength: 8, maxLength: 8 });
const cid = fc.uint8Array({ minLength: 1, maxLength: 20 });
const token = fc.uint8Array({ minLength: 16, maxLength: 16 });
const kind: fc.Arbitrary<StreamKind> = fc.constantFrom(STREAM_BIDI, STREAM_UNI);

const WRITERS: Record<string, fc.Arbitrary<Case>> = {
  PING: fc.constant([(b, p, l) => writePing(b, p, l), "PING"]),
  HANDSHAKE_DONE: fc.constant([(b, p, l) => writeHandshakeDone(b, p, l), "HANDSHAKE_DONE"]),
  IMMEDIATE_ACK: fc.constant([(b, p, l) => writeImmediateAck(b, p, l), "IMMEDIATE_ACK"]),
  ACK_FREQUENCY: fc
    .tuple(number, number, number, number)
    .map(([seq, packets, micros, reordering]) => [
      (b, p, l) => writeAckFrequency(b, p, l, seq, packets, micros, reordering),
      `ACK_FREQUENCY ${seq} ${packets} ${micros} ${reordering}`,
    ]),
  RESET_STREAM: fc
    .tuple(number, code, number)
    .map(([id, error, size]) => [
      (b, p, l) => writeResetStream(b, p, l, id, error, size),
      `RESET_STREAM ${id} ${error} ${size}`,
    ]),
  STOP_SENDING: fc
    .tuple(number, code)
    .map(([id, error]) => [(b, p, l) => writeStopSending(b, p, l, id, error), `STOP_SENDING ${id} ${error}`]),
  NEW_TOKEN: fc
    .uint8Array({ minLength: 1, maxLength: 100 })
    .map((bytes) => [(b, p, l) => writeNewToken(b, p, l, bytes), `NEW_TOKEN ${toHex(bytes)}`]),
  MAX_DATA: number.map((max) => [(b, p, l) => writeMaxData(b, p, l, max), `MAX_DATA ${max}`]),
  MAX_STREAM_DATA: fc
    .tuple(number, number)
    .map(([id, max]) => [(b, p, l) => writeMaxStreamData(b, p, l, id, max), `MAX_STREAM_DATA ${id} ${max}`]),
  MAX_STREAMS: fc
    .tuple(kind, number)
    .map(([which, max]) => [(b, p, l) => writeMaxStreams(b, p, l, which, max), `MAX_STREAMS ${which} ${max}`]),
  DATA_BLOCKED: number.map((max) => [(b, p, l) => writeDataBlocked(b, p, l, max), `DATA_BLOCKED ${max}`]),
  STREAM_DATA_BLOCKED: fc
    .tuple(number, number)
    .map(([id, max]) => [(b, p, l) => writeStreamDataBlocked(b, p, l, id, max), `STREAM_DATA_BLOCKED ${id} ${max}`]),
  STREAMS_BLOCKED: fc
    .tuple(kind, number)
    .map(([which, max]) => [(b, p, l) => writeStreamsBlocked(b, p, l, which, max), `STREAMS_BLOCKED ${which} ${max}`]),
  NEW_CONNECTION_ID: fc
    .tuple(number, fc.double({ min: 0, max: 1, noNaN: true }), cid, token)
    .map(([seq, share, id, reset]) => {
      const retire = Math.floor(seq * share);
      const line = `NEW_CONNECTION_ID ${seq} ${retire} ${toHex(id)} ${toHex(reset)}`;
      return [(b, p, l) => writeNewConnectionId(b, p, l, seq, retire, id, reset), line];
    }),
  RETIRE_CONNECTION_ID: number.map((seq) => [
    (b, p, l) => writeRetireConnectionId(b, p, l, seq),
    `RETIRE_CONNECTION_ID ${seq}`,
  ]),
  PATH_CHALLENGE: data.map((bytes) => [
    (b, p, l) => writePathChallenge(b, p, l, bytes),
    `PATH_CHALLENGE ${toHex(bytes)}`,
  ]),
  PATH_RESPONSE: data.map((bytes) => [(b, p, l) => writePathResponse(b, p, l, bytes), `PATH_RESPONSE ${toHex(bytes)}`]),
  CONNECTION_CLOSE: fc
    .tuple(code, number)
    .map(([error, cause]) => [
      (b, p, l) => writeConnectionClose(b, p, l, false, error, cause, new Uint8Array(0)),
      `CONNECTION_CLOSE transport ${cause} ${error} `,
    ]),
  CONNECTION_CLOSE_APP: code.map((error) => [
    (b, p, l) => writeConnectionClose(b, p, l, true, error, 0, new Uint8Array(0)),
    `CONNECTION_CLOSE application ${error} `,
  ]),
};

describe("what a writer writes is read back, and fits exactly or not at all", () => {
  for (const [name, cases] of Object.entries(WRITERS)) {
    test(name, () => {
      fc.assert(fc.property(cases, checkCase), { numRuns: 60 });
    });
  }

  test("several frames one behind the other", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(...Object.values(WRITERS)), { maxLength: 12 }), (cases) => {
        const buf = new Uint8Array(1200);
        let pos = writePing(buf, START, buf.length);
        for (const [write] of cases) pos = write(buf, pos, buf.length);
        assert.deepEqual(linesOf(buf, pos), ["PING", ...cases.map(([, line]) => line)]);
      }),
    );
  });
});

describe("frames that carry data", () => {
  test("RFC 9000 §19.8 STREAM with and without length and offset", () => {
    const bytes = fc.uint8Array({ maxLength: 100 });
    fc.assert(
      fc.property(
        number,
        fc.oneof(fc.constant(0), number),
        bytes,
        fc.boolean(),
        fc.boolean(),
        (id, offset, body, hasLength, fin) => {
          const buf = new Uint8Array(200).fill(POISON);
          const start = writeStreamHeader(buf, START, id, offset, hasLength ? body.length : -1, fin);
          if (!hasLength) assert.equal(start, START + streamHeaderLength(id, offset));
          buf.set(body, start);
          const end = start + body.length;
          const rest = hasLength ? ["PING"] : [];
          if (hasLength) buf[end] = 1;
          const line = `STREAM ${id} ${offset} ${toHex(body)}${fin ? " fin" : ""}`;
          assert.deepEqual(linesOf(buf, end + rest.length), [line, ...rest]);
        },
      ),
    );
  });

  test("RFC 9000 §19.6 CRYPTO, as much as fits", () => {
    fc.assert(
      fc.property(number, fc.integer({ min: 12, max: 200 }), (offset, room) => {
        const buf = new Uint8Array(300).fill(7);
        const length = prefixedRoom(room - cryptoHeaderLength(offset));
        const end = writeCryptoHeader(buf, START, offset, length) + length;
        assert.ok(end <= START + room && end > START + room - 2);
        assert.deepEqual(linesOf(buf, end), [`CRYPTO ${offset} ${"07".repeat(length)}`]);
      }),
    );
  });
});

describe("CONNECTION_CLOSE reasons", () => {
  test("RFC 9000 §19.19 a reason is cut to what fits, between characters", () => {
    const reason = new TextEncoder().encode("né€𝄞".repeat(40));
    const whole = new Uint8Array(600);
    const end = writeConnectionClose(whole, START, 600, true, 0n, 0, reason);
    assert.deepEqual(linesOf(whole, end), [`CONNECTION_CLOSE application 0 ${toHex(reason)}`]);
    for (let limit = START + 3; limit < end; limit++) {
      const buf = new Uint8Array(600).fill(POISON);
      const cutEnd = writeConnectionClose(buf, START, limit, true, 0n, 0, reason);
      assert.ok(cutEnd <= limit && cutEnd > limit - 6, `${limit}`);
      const hex = linesOf(buf, cutEnd)[0]?.split(" ")[3] ?? "";
      assert.ok(toHex(reason).startsWith(hex));
      const cut = Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
      new TextDecoder("utf-8", { fatal: true }).decode(cut);
      assert.equal(buf[cutEnd], POISON);
    }
  });
});

describe("writeAck", () => {
  /** Ascending ranges that do not touch, built from the distances between them. */
  const rangesOf = fc
    .tuple(
      fc.oneof(fc.nat(100), fc.nat({ max: 2 ** 40 })),
      fc.array(fc.tuple(fc.oneof(fc.nat(3), fc.nat(20_000)), fc.oneof(fc.nat(3), fc.nat(20_000))), {
        minLength: 1,
        maxLength: 100,
      }),
    )
    .map(([start, steps]) => {
      const first = new Float64Array(128);
      const last = new Float64Array(128);
      let at = start;
      steps.forEach(([length, gap], i) => {
        first[i] = at;
        last[i] = at + length;
        at += length + 2 + gap;
      });
      return { first, last, count: steps.length, toldBelow: 0 };
    });
  const ecnOf = fc.option(fc.record({ ect0: number, ect1: number, ce: number }), { nil: null });

  test("RFC 9000 §13.2.3, §19.3 the newest ranges that fit, and never a byte too many", () => {
    fc.assert(
      fc.property(rangesOf, number, ecnOf, fc.integer({ min: 0, max: 400 }), (ranges, delay, ecn, room) => {
        const buf = new Uint8Array(500).fill(POISON);
        const end = writeAck(buf, START, START + room, ranges, delay, ecn);
        assert.ok(end <= START + room);
        const touchedTo = end === -1 ? START : end;
        assert.ok(buf.every((byte, i) => (i >= START && i < touchedTo) || byte === POISON));
        const all = Array.from({ length: ranges.count }, (_, i) => `${ranges.first[i]}-${ranges.last[i]}`).reverse();
        const line = (count: number): string => {
          const counts = ecn === null ? "" : ` ecn ${ecn.ect0} ${ecn.ect1} ${ecn.ce}`;
          return `ACK ${ranges.last[ranges.count - 1]} delay ${delay} ${all.slice(0, count).join(",")}${counts}`;
        };
        const most = Math.min(ranges.count, MAX_ACK_RANGES_SENT);
        if (end === -1) {
          const least = new Uint8Array(500);
          const one = {
            first: ranges.first.subarray(ranges.count - 1),
            last: ranges.last.subarray(ranges.count - 1),
            count: 1,
            toldBelow: 0,
          };
          assert.ok(writeAck(least, START, 500, one, delay, ecn) > START + room, "not even one range fits");
          return;
        }
        const written = linesOf(buf, end);
        const count = written[0]?.split(" ")[4]?.split(",").length ?? 0;
        assert.deepEqual(written, [line(count)]);
        assert.ok(count <= most);
        if (count < most) assert.ok(end > START + room - 8, "room for one more range was left");
      }),
      { numRuns: 300 },
    );
  });

  test("RFC 9000 §13.2.4 what was told often enough is left out, but for the newest range", () => {
    const ranges = { first: Float64Array.of(0, 10, 20), last: Float64Array.of(5, 15, 25), count: 3 };
    const told = (toldBelow: number): string => {
      const buf = new Uint8Array(100);
      return linesOf(buf, writeAck(buf, START, 100, { ...ranges, toldBelow }, 0, null))[0] ?? "";
    };
    assert.match(told(0), / 20-25,10-15,0-5$/);
    assert.match(told(6), / 20-25,10-15$/);
    assert.match(told(15), / 20-25,10-15$/);
    assert.match(told(16), / 20-25$/);
    assert.match(told(100), / 20-25$/);
  });

  test("nothing to acknowledge is no frame", () => {
    const none = { first: new Float64Array(1), last: new Float64Array(1), count: 0, toldBelow: 0 };
    assert.equal(writeAck(new Uint8Array(50), 0, 50, none, 0, null), -1);
  });
});
