import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { concatBytes, toHex } from "../base/bytes.js";
import { LEVEL_APP, LEVELS, type Level } from "../port/tls.js";
import { MAX_ACK_RANGES } from "../proto/limits.js";
import { FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import { FrameDecoder } from "./decode.js";
import { FrameRecorder } from "./recorder.contract.js";
import {
  FRAME_ACK_FREQUENCY,
  FRAME_DATAGRAM,
  FRAME_DATAGRAM_LENGTH,
  FRAME_TYPES,
  frameAllowed,
  isAckEliciting,
  isProbing,
} from "./table.js";

const MAX_SAFE = 2n ** 53n - 1n;
const MAX_WIRE = 2n ** 62n - 1n;

interface Outcome {
  error: number;
  lines: string[];
  ackEliciting: boolean;
  nonProbing: boolean;
}

const TYPES = [
  ...Array.from({ length: FRAME_TYPES }, (_, type) => type),
  FRAME_DATAGRAM,
  FRAME_DATAGRAM_LENGTH,
  FRAME_ACK_FREQUENCY,
];

/** Thrown by the model: a transport error code, or INEXACT where numbers above 2^53-1 make the answer a free choice. */
class ModelError {
  readonly code: number;
  constructor(code: number) {
    this.code = code;
  }
}
const INEXACT = -1;

/** RFC 9000 §19 read the slow way: a growing list of lines, all numbers bigint, slices instead of offsets. */
class Model {
  private readonly bytes: Uint8Array;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  run(level: Level): Outcome {
    const lines: string[] = [];
    const types: number[] = [];
    let error = 0;
    try {
      if (this.bytes.length === 0) throw new ModelError(PROTOCOL_VIOLATION);
      while (this.at < this.bytes.length) {
        const from = this.at;
        const type = this.int();
        const shortest = [1, 2, 4, 8].find((length) => type < 1n << BigInt(8 * length - 2));
        if (shortest !== this.at - from) throw new ModelError(PROTOCOL_VIOLATION);
        if (!TYPES.includes(Number(type))) throw new ModelError(FRAME_ENCODING_ERROR);
        if (!frameAllowed(Number(type), level)) throw new ModelError(PROTOCOL_VIOLATION);
        types.push(Number(type));
        lines.push(this.body(Number(type)));
      }
    } catch (thrown) {
      if (!(thrown instanceof ModelError)) throw thrown;
      error = thrown.code;
    }
    return { error, lines, ackEliciting: types.some(isAckEliciting), nonProbing: !types.every(isProbing) };
  }

  private take(count: bigint): Uint8Array {
    if (BigInt(this.bytes.length - this.at) < count) throw new ModelError(FRAME_ENCODING_ERROR);
    this.at += Number(count);
    return this.bytes.slice(this.at - Number(count), this.at);
  }

  private int(): bigint {
    const [first] = this.take(1n);
    const rest = this.take((1n << BigInt((first as number) >> 6)) - 1n);
    return rest.reduce((value, byte) => (value << 8n) | BigInt(byte), BigInt((first as number) & 0x3f));
  }

  private hex(count: bigint): string {
    return toHex(this.take(count));
  }

  private body(type: number): string {
    const number = (): bigint => saturate(this.int());
    const streamId = (): bigint => {
      const id = this.int();
      return saturate(id) === id ? id : (saturate(id) & ~3n) | (id & 3n);
    };
    switch (type) {
      case 0x00: {
        const from = this.at - 1;
        while (this.bytes[this.at] === 0) this.at++;
        return `PADDING ${this.at - from}`;
      }
      case 0x01:
        return "PING";
      case 0x02:
      case 0x03:
        return this.ack(type === 0x03);
      case 0x04:
        return `RESET_STREAM ${streamId()} ${this.int()} ${number()}`;
      case 0x05:
        return `STOP_SENDING ${streamId()} ${this.int()}`;
      case 0x06:
        return `CRYPTO ${this.data(true, true)}`;
      case 0x07: {
        const token = this.hex(this.int());
        if (token === "") throw new ModelError(FRAME_ENCODING_ERROR);
        return `NEW_TOKEN ${token}`;
      }
      case 0x30:
      case 0x31: {
        const from = this.at - 1;
        const payload = this.hex(type === 0x31 ? this.int() : BigInt(this.bytes.length - this.at));
        return `DATAGRAM ${this.at - from} ${payload}`;
      }
      case 0x10:
        return `MAX_DATA ${number()}`;
      case 0x11:
        return `MAX_STREAM_DATA ${streamId()} ${number()}`;
      case 0x12:
      case 0x13:
        return `MAX_STREAMS ${type - 0x12} ${this.streams()}`;
      case 0x14:
        return `DATA_BLOCKED ${number()}`;
      case 0x15:
        return `STREAM_DATA_BLOCKED ${streamId()} ${number()}`;
      case 0x16:
      case 0x17:
        return `STREAMS_BLOCKED ${type - 0x16} ${this.streams()}`;
      case 0x18: {
        const [seq, retire, length] = [this.int(), this.int(), BigInt(this.take(1n)[0] as number)];
        const [cid, token] = [this.hex(length), this.hex(16n)];
        if (retire > seq || length < 1n || length > 20n) throw new ModelError(FRAME_ENCODING_ERROR);
        return `NEW_CONNECTION_ID ${saturate(seq)} ${saturate(retire)} ${cid} ${token}`;
      }
      case 0x19:
        return `RETIRE_CONNECTION_ID ${number()}`;
      case 0x1a:
        return `PATH_CHALLENGE ${this.hex(8n)}`;
      case 0x1b:
        return `PATH_RESPONSE ${this.hex(8n)}`;
      case 0x1c: {
        const [code, cause] = [this.int(), number()];
        return `CONNECTION_CLOSE transport ${cause} ${code} ${this.hex(this.int())}`;
      }
      case 0x1d:
        return `CONNECTION_CLOSE application ${this.int()} ${this.hex(this.int())}`;
      case 0x1e:
        return "HANDSHAKE_DONE";
      case 0x1f:
        return "IMMEDIATE_ACK";
      case 0xaf:
        return `ACK_FREQUENCY ${number()} ${number()} ${number()} ${number()}`;
      default: {
        const id = streamId();
        return `STREAM ${id} ${this.data((type & 4) !== 0, (type & 2) !== 0)}${(type & 1) === 0 ? "" : " fin"}`;
      }
    }
  }

  private data(hasOffset: boolean, hasLength: boolean): string {
    const offset = hasOffset ? this.int() : 0n;
    const length = hasLength ? this.int() : BigInt(this.bytes.length - this.at);
    const bytes = this.hex(length);
    if (offset + length > MAX_WIRE) throw new ModelError(FRAME_ENCODING_ERROR);
    return `${saturate(offset)} ${bytes}`;
  }

  private streams(): bigint {
    const count = this.int();
    if (count > 1n << 60n) throw new ModelError(FRAME_ENCODING_ERROR);
    return saturate(count);
  }

  private ack(hasEcn: boolean): string {
    const largest = this.int();
    const delay = saturate(this.int());
    const more = this.int();
    if (more > BigInt(this.bytes.length)) throw new ModelError(FRAME_ENCODING_ERROR);
    const ranges: string[] = [];
    let last = largest;
    for (let i = 0n; i <= more; i++) {
      if (i > 0n) last -= this.int() + 2n;
      const first = last - this.int();
      // One that cannot be kept apart from its neighbour as a number was never sent: any error will do.
      if (largest > MAX_SAFE) throw new ModelError(INEXACT);
      if (first < 0n) throw new ModelError(FRAME_ENCODING_ERROR);
      ranges.push(`${first}-${last}`);
      last = first;
    }
    const ecn = hasEcn ? ` ecn ${saturate(this.int())} ${saturate(this.int())} ${saturate(this.int())}` : "";
    return `ACK ${largest} delay ${delay} ${ranges.slice(0, MAX_ACK_RANGES).join(",")}${ecn}`;
  }
}

function saturate(value: bigint): bigint {
  return value > MAX_SAFE ? MAX_SAFE : value;
}

const decoder = new FrameDecoder();

/** Decodes in the middle of a larger buffer whose other bytes are `around`. */
function decode(bytes: Uint8Array, level: Level, around: number): Outcome {
  const margin = new Uint8Array(9).fill(around);
  const buf = concatBytes(margin, bytes, margin);
  const recorder = new FrameRecorder();
  const fine = decoder.decode(level, buf, 9, 9 + bytes.length, recorder);
  if (!fine) assert.notEqual(decoder.errorReason, "");
  const error = fine ? 0 : decoder.errorCode;
  return { error, lines: recorder.lines, ackEliciting: decoder.ackEliciting, nonProbing: decoder.nonProbing };
}

function check(bytes: Uint8Array, level: Level): void {
  const expected = new Model(bytes).run(level);
  for (const around of [0x00, 0xff]) {
    const outcome = decode(bytes, level, around);
    if (expected.error === INEXACT) assert.deepEqual(outcome.lines.slice(0, expected.lines.length), expected.lines);
    else assert.deepEqual(outcome, expected, toHex(bytes));
  }
}

/** A varint of any value, edges more often, not always in the shortest form. */
function varint(max: bigint = MAX_WIRE): fc.Arbitrary<Uint8Array> {
  const edges = [
    0n,
    1n,
    63n,
    64n,
    2n ** 32n,
    MAX_SAFE - 1n,
    MAX_SAFE,
    MAX_SAFE + 1n,
    1n << 60n,
    (1n << 60n) + 1n,
    MAX_WIRE,
  ];
  const value = fc.oneof(
    { weight: 4, arbitrary: fc.bigInt(0n, max < 64n ? max : 63n) },
    { weight: 1, arbitrary: fc.constantFrom(...edges.filter((edge) => edge <= max)) },
    { weight: 1, arbitrary: fc.bigInt(0n, max) },
  );
  return fc.tuple(value, fc.nat(3)).map(([number, wider]) => encode(number, wider));
}

function encode(value: bigint, atLeast: number): Uint8Array {
  const exponent = Math.max(
    [1, 2, 4, 8].findIndex((length) => value < 1n << BigInt(8 * length - 2)),
    atLeast,
  );
  const out = new Uint8Array(1 << exponent);
  let left = value;
  for (let i = out.length - 1; i >= 0; i--, left >>= 8n) out[i] = Number(left & 0xffn);
  out[0] |= exponent << 6;
  return out;
}

/** Bytes behind their length, which is right. */
function prefixed(maxLength: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ maxLength }).map((bytes) => concatBytes(encode(BigInt(bytes.length), 0), bytes));
}

/** A body of roughly the right shape for a type: most are valid. */
function body(type: number): fc.Arbitrary<Uint8Array> {
  const parts = (...all: fc.Arbitrary<Uint8Array>[]): fc.Arbitrary<Uint8Array> =>
    fc.tuple(...all).map((bytes) => concatBytes(...bytes));
  const sized = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
  if (type === 0x00 || type === 0x01 || type === 0x1e) return fc.constant(new Uint8Array(0));
  if (type === 0x02 || type === 0x03) {
    const range = parts(varint(20n), varint(20n));
    const ranges = fc
      .array(range, { maxLength: 8 })
      .map((all) => concatBytes(encode(BigInt(all.length), 0), encode(3n, 0), ...all));
    const largest = fc.nat(400).map((value) => encode(BigInt(value), 0));
    const head = parts(fc.oneof(largest, largest, varint()), varint(), ranges);
    return type === 0x02 ? head : parts(head, varint(), varint(), varint());
  }
  if (type >= 0x08 && type <= 0x0f) {
    const offset = (type & 4) === 0 ? [] : [varint()];
    return parts(varint(), ...offset, (type & 2) === 0 ? fc.uint8Array({ maxLength: 9 }) : prefixed(70));
  }
  if (type === 0x30) return fc.uint8Array({ maxLength: 9 });
  if (type === 0x31) return prefixed(70);
  if (type === 0x06) return parts(varint(), prefixed(70));
  if (type === 0x07) return prefixed(20);
  if (type === 0x18) return parts(varint(), varint(1n), fc.oneof(prefixed(20), prefixed(30)), sized(16));
  if (type === 0x1a || type === 0x1b) return sized(8);
  if (type === 0x1c) return parts(varint(), varint(), prefixed(20));
  if (type === 0x1d) return parts(varint(), prefixed(20));
  if (type === 0x04) return parts(varint(), varint(), varint());
  return type === 0x05 || type === 0x11 || type === 0x15 ? parts(varint(), varint()) : varint();
}

const frame = fc
  .constantFrom(...TYPES)
  .chain((type) => body(type).map((bytes) => concatBytes(Uint8Array.of(type), bytes)));
const packet = fc.array(frame, { minLength: 1, maxLength: 8 }).map((frames) => concatBytes(...frames));
const level = fc.oneof(
  { weight: 3, arbitrary: fc.constant(LEVEL_APP) },
  { weight: 1, arbitrary: fc.nat(LEVELS - 1) },
) as fc.Arbitrary<Level>;

describe("FrameDecoder against the slow reading of RFC 9000 §19", () => {
  test("frames of every type with any numbers", () => {
    fc.assert(
      fc.property(packet, level, (bytes, at) => check(bytes, at)),
      { numRuns: 2000 },
    );
  });

  test("every type alone", () => {
    for (const type of TYPES) {
      const alone = body(type).map((bytes) => concatBytes(Uint8Array.of(type), bytes));
      fc.assert(
        fc.property(alone, (bytes) => check(bytes, LEVEL_APP)),
        { numRuns: 40 },
      );
    }
  });

  test("frames cut at every byte", () => {
    fc.assert(
      fc.property(frame, (bytes) => {
        for (let length = 0; length <= bytes.length; length++) check(bytes.slice(0, length), LEVEL_APP);
      }),
      { numRuns: 150 },
    );
  });

  test("packets with some bytes changed", () => {
    const change = fc.tuple(
      fc.nat(),
      fc.oneof(fc.nat(255), fc.constantFrom(0x00, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xff)),
    );
    fc.assert(
      fc.property(packet, fc.array(change, { minLength: 1, maxLength: 4 }), level, (bytes, changes, at) => {
        const changed = bytes.slice();
        for (const [index, value] of changes) changed[index % changed.length] = value;
        check(changed, at);
      }),
      { numRuns: 1500 },
    );
  });

  test("any bytes", () => {
    const byte = fc.oneof(fc.nat(FRAME_DATAGRAM_LENGTH + 2), fc.nat(255));
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 60 }), level, (bytes, at) => check(Uint8Array.from(bytes), at)),
      { numRuns: 3000 },
    );
  });

  test("decoding ends after the frame at which the handler fails, whichever it is", () => {
    fc.assert(
      fc.property(packet, fc.integer({ min: 1, max: 8 }), (bytes, failAfter) => {
        const expected = new Model(bytes).run(LEVEL_APP);
        fc.pre(expected.error !== INEXACT && expected.lines.length >= failAfter);
        const recorder = new FrameRecorder();
        recorder.failAfter = failAfter;
        assert.equal(decoder.decode(LEVEL_APP, bytes, 0, bytes.length, recorder), true);
        assert.deepEqual(recorder.lines, expected.lines.slice(0, failAfter));
      }),
      { numRuns: 200 },
    );
  });
});
