/**
 * Bounded cursors over bytes, and comparisons. `Reader` is for the hot path: one object is reset over packet after
 * packet and copies nothing. `Writer` grows and is for cold paths only (parameters, TLS messages, tokens).
 *
 * Invariant of Reader: no read touches a byte outside [pos, end). The first one that would turns `ok` false and moves
 * `pos` to `end`; it and every later read of one byte or more give 0, so a parser may check `ok` once, at the end.
 */

import { MAX_VARINT, varintLength, varintLengthAt, varintLengthBig, writeVarint, writeVarintBig } from "./varint.js";

const WORD = 2 ** 32;
/** Above this, the high word of an 8-byte varint means more than 2^53-1. */
const MAX_HIGH = 2 ** 21 - 1;
const NO_BYTES = new Uint8Array(0);

export class Reader {
  buf: Uint8Array = NO_BYTES;
  /** Next byte to read. */
  pos = 0;
  /** One past the last byte that may be read. */
  end = 0;
  /** False once a read went past the end. */
  ok = true;

  /** Starts over at [start, end), which the caller guarantees to lie inside `buf`. */
  reset(buf: Uint8Array, start: number, end: number): void {
    this.buf = buf;
    this.pos = start;
    this.end = end;
    this.ok = true;
  }

  get remaining(): number {
    return this.end - this.pos;
  }

  u8(): number {
    const pos = this.pos;
    if (pos >= this.end) return this.overrun();
    this.pos = pos + 1;
    return this.buf[pos];
  }

  u16(): number {
    const { buf, pos } = this;
    if (this.end - pos < 2) return this.overrun();
    this.pos = pos + 2;
    return (buf[pos] << 8) | buf[pos + 1];
  }

  u24(): number {
    const { buf, pos } = this;
    if (this.end - pos < 3) return this.overrun();
    this.pos = pos + 3;
    return (buf[pos] << 16) | (buf[pos + 1] << 8) | buf[pos + 2];
  }

  u32(): number {
    const pos = this.pos;
    if (this.end - pos < 4) return this.overrun();
    this.pos = pos + 4;
    return u32At(this.buf, pos);
  }

  /** RFC 9000 §16; more than 2^53-1 reads as {@link MAX_VARINT}. Not only the shortest form is taken. */
  varint(): number {
    const pos = this.pos;
    if (pos >= this.end) return this.overrun();
    const first = this.buf[pos];
    if (first < 0x40) {
      this.pos = pos + 1;
      return first;
    }
    return this.longVarint(first);
  }

  /** All 62 bits of a varint, for the few fields that need them. */
  varintBig(): bigint {
    const { buf, pos } = this;
    const low = this.varint();
    if (low < MAX_VARINT) return BigInt(low);
    return (BigInt(u32At(buf, pos) & 0x3fffffff) << 32n) | BigInt(u32At(buf, pos + 4));
  }

  /** Steps over `count` bytes and returns where they start. */
  skip(count: number): number {
    const pos = this.pos;
    if (this.end - pos < count) {
      this.overrun();
      return this.end;
    }
    this.pos = pos + count;
    return pos;
  }

  /** A copy of the next `count` bytes, empty when there are not so many. */
  take(count: number): Uint8Array {
    const start = this.skip(count);
    return this.buf.slice(start, this.pos);
  }

  private longVarint(first: number): number {
    const { buf, pos } = this;
    const length = varintLengthAt(first);
    if (this.end - pos < length) return this.overrun();
    this.pos = pos + length;
    if (length === 2) return ((first & 0x3f) << 8) | buf[pos + 1];
    const high = u32At(buf, pos) & 0x3fffffff;
    if (length === 4) return high;
    return high > MAX_HIGH ? MAX_VARINT : high * WORD + u32At(buf, pos + 4);
  }

  private overrun(): 0 {
    this.ok = false;
    this.pos = this.end;
    return 0;
  }
}

/** The DataView of the array that was asked for last: slabs stay the same from batch to batch. */
export class LastView {
  private buf: Uint8Array = NO_BYTES;
  private view: DataView = new DataView(NO_BYTES.buffer);

  of(buf: Uint8Array): DataView {
    if (buf === this.buf) return this.view;
    this.buf = buf;
    this.view = new DataView(buf.buffer, buf.byteOffset, buf.byteLength);
    return this.view;
  }
}

/** Bytes that grow as they are written. */
export class Writer {
  private buf: Uint8Array;
  private used = 0;

  constructor(capacityBytes: number) {
    this.buf = new Uint8Array(capacityBytes);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.used;
  }

  u8(value: number): void {
    const at = this.grow(1);
    this.buf[at] = value;
  }

  u16(value: number): void {
    this.u8(value >>> 8);
    this.u8(value);
  }

  u24(value: number): void {
    this.u8(value >>> 16);
    this.u16(value);
  }

  u32(value: number): void {
    this.u16(value >>> 16);
    this.u16(value);
  }

  varint(value: number): void {
    const at = this.grow(varintLength(value));
    writeVarint(this.buf, at, value);
  }

  varintBig(value: bigint): void {
    const at = this.grow(varintLengthBig(value));
    writeVarintBig(this.buf, at, value);
  }

  bytes(src: Uint8Array, start = 0, end = src.length): void {
    const at = this.grow(end - start);
    this.buf.set(src.subarray(start, end), at);
  }

  /** A copy of what was written, of exactly that length. */
  finish(): Uint8Array {
    return this.buf.slice(0, this.used);
  }

  /** Makes room for `count` more bytes, claims them and returns where they start. */
  private grow(count: number): number {
    const at = this.used;
    this.used += count;
    if (this.used > this.buf.length) {
      const larger = new Uint8Array(Math.max(this.used, 2 * this.buf.length));
      larger.set(this.buf.subarray(0, at));
      this.buf = larger;
    }
    return at;
  }
}

/** The 32 bits at `pos` in network order, unsigned. */
export function u32At(buf: Uint8Array, pos: number): number {
  return ((buf[pos] << 24) | (buf[pos + 1] << 16) | (buf[pos + 2] << 8) | buf[pos + 3]) >>> 0;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && equalBytesAt(a, 0, b);
}

/** Whether `buf` holds exactly the bytes of `other` at `start`. */
export function equalBytesAt(buf: Uint8Array, start: number, other: Uint8Array): boolean {
  if (start < 0 || start + other.length > buf.length) return false;
  for (let i = 0; i < other.length; i++) {
    if (buf[start + i] !== other[i]) return false;
  }
  return true;
}

/** Whether `buf[start, end)` is `other`, in length too. */
export function equalRange(buf: Uint8Array, start: number, end: number, other: Uint8Array): boolean {
  return end - start === other.length && equalBytesAt(buf, start, other);
}

/** {@link equalBytesAt} in constant time, for secrets such as stateless reset tokens (RFC 9000 §10.3.1). */
export function equalConstantTimeAt(buf: Uint8Array, start: number, other: Uint8Array): boolean {
  if (start < 0 || start + other.length > buf.length) return false;
  let difference = 0;
  for (let i = 0; i < other.length; i++) difference |= buf[start + i] ^ other[i];
  return difference === 0;
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Lower case, two digits a byte. */
/** A byte for each character; those above 255 are cut. */
export function latin1Bytes(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** The bytes of hexadecimal text; white space is ignored. Throws a RangeError on anything else. */
export function fromHex(text: string): Uint8Array {
  const digits = text.replace(/\s/g, "");
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(digits)) throw new RangeError("not hexadecimal text");
  const out = new Uint8Array(digits.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return out;
}
