/** Reads frames (RFC 9000 §19, RFC 9221 §4, draft-ietf-quic-ack-frequency) for the raw peer; the writers are in support/raw-frames. */

import { readVarint } from "./varint.js";

/** One frame as it came. Fields that its type does not have are 0 or empty. */
export interface Frame {
  type: number;
  name: string;
  /** The integers of the frame in their order on the wire, without lengths. */
  values: bigint[];
  /** STREAM, CRYPTO, DATAGRAM: data. NEW_TOKEN: token. NEW_CONNECTION_ID: id. PATH_*: the 8 bytes. CLOSE: reason. */
  data: Buffer;
  fin: boolean;
  /** NEW_CONNECTION_ID. */
  resetToken: Buffer;
  /** ACK: inclusive ranges, largest first. */
  ranges: [first: number, last: number][];
}

const NAMES: Record<number, string> = {
  0x00: "PADDING",
  0x01: "PING",
  0x02: "ACK",
  0x03: "ACK",
  0x04: "RESET_STREAM",
  0x05: "STOP_SENDING",
  0x06: "CRYPTO",
  0x07: "NEW_TOKEN",
  0x10: "MAX_DATA",
  0x11: "MAX_STREAM_DATA",
  0x12: "MAX_STREAMS",
  0x13: "MAX_STREAMS",
  0x14: "DATA_BLOCKED",
  0x15: "STREAM_DATA_BLOCKED",
  0x16: "STREAMS_BLOCKED",
  0x17: "STREAMS_BLOCKED",
  0x18: "NEW_CONNECTION_ID",
  0x19: "RETIRE_CONNECTION_ID",
  0x1a: "PATH_CHALLENGE",
  0x1b: "PATH_RESPONSE",
  0x1c: "CONNECTION_CLOSE",
  0x1d: "CONNECTION_CLOSE",
  0x1e: "HANDSHAKE_DONE",
  0x1f: "IMMEDIATE_ACK",
  0x30: "DATAGRAM",
  0x31: "DATAGRAM",
  0xaf: "ACK_FREQUENCY",
};

/** How many integers follow the type, for frames that are nothing else. */
const INTEGERS: Record<number, number> = {
  0x04: 3,
  0x05: 2,
  0x10: 1,
  0x11: 2,
  0x12: 1,
  0x13: 1,
  0x14: 1,
  0x15: 2,
  0x16: 1,
  0x17: 1,
  0x19: 1,
  0xaf: 4,
};

class Cursor {
  at = 0;
  constructor(readonly buf: Buffer) {}

  varint(): bigint {
    const { value, next } = readVarint(this.buf, this.at);
    this.at = next;
    return value;
  }

  take(count: number): Buffer {
    if (this.at + count > this.buf.length) throw new Error(`a frame ends ${count} bytes too early`);
    const out = this.buf.subarray(this.at, this.at + count);
    this.at += count;
    return out;
  }

  rest(): Buffer {
    return this.take(this.buf.length - this.at);
  }
}

/** All frames of a payload but PADDING. @throws Error for what no correct endpoint sends. */
export function readFrames(payload: Buffer): Frame[] {
  const cursor = new Cursor(payload);
  const frames: Frame[] = [];
  while (cursor.at < payload.length) {
    const frame = readFrame(cursor);
    if (frame.type !== 0) frames.push(frame);
  }
  return frames;
}

function readFrame(cursor: Cursor): Frame {
  const type = Number(cursor.varint());
  const isStream = (type & ~7) === 8;
  const name = isStream ? "STREAM" : NAMES[type];
  if (name === undefined) throw new Error(`frame type ${type} is unknown`);
  const frame: Frame = {
    type,
    name,
    values: [],
    data: Buffer.alloc(0),
    fin: false,
    resetToken: Buffer.alloc(0),
    ranges: [],
  };
  if (isStream) readStream(cursor, frame);
  else readOther(cursor, frame);
  return frame;
}

function readStream(cursor: Cursor, frame: Frame): void {
  frame.values = [cursor.varint(), (frame.type & 4) === 0 ? 0n : cursor.varint()];
  frame.data = (frame.type & 2) === 0 ? cursor.rest() : cursor.take(Number(cursor.varint()));
  frame.fin = (frame.type & 1) !== 0;
}

function readOther(cursor: Cursor, frame: Frame): void {
  const { type } = frame;
  const count = INTEGERS[type];
  if (count !== undefined) {
    for (let i = 0; i < count; i++) frame.values.push(cursor.varint());
  } else if (type === 0x02 || type === 0x03) readAck(cursor, frame);
  else if (type === 0x06) {
    frame.values = [cursor.varint()];
    frame.data = cursor.take(Number(cursor.varint()));
  } else if (type === 0x07) frame.data = cursor.take(Number(cursor.varint()));
  else if (type === 0x18) {
    frame.values = [cursor.varint(), cursor.varint()];
    frame.data = cursor.take(cursor.take(1)[0] as number);
    frame.resetToken = cursor.take(16);
  } else if (type === 0x1a || type === 0x1b) frame.data = cursor.take(8);
  else if (type === 0x1c || type === 0x1d) {
    frame.values = [cursor.varint(), type === 0x1c ? cursor.varint() : 0n];
    frame.data = cursor.take(Number(cursor.varint()));
  } else if (type === 0x30) frame.data = cursor.rest();
  else if (type === 0x31) frame.data = cursor.take(Number(cursor.varint()));
}

function readAck(cursor: Cursor, frame: Frame): void {
  const largest = Number(cursor.varint());
  frame.values = [BigInt(largest), cursor.varint()];
  const count = Number(cursor.varint());
  let last = largest;
  let first = last - Number(cursor.varint());
  frame.ranges.push([first, last]);
  for (let i = 0; i < count; i++) {
    last = first - Number(cursor.varint()) - 2;
    first = last - Number(cursor.varint());
    frame.ranges.push([first, last]);
  }
  if (frame.type === 0x03) for (let i = 0; i < 3; i++) frame.values.push(cursor.varint());
}
