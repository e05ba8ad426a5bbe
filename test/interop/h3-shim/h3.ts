/**
 * As much HTTP/3 as it takes to move one body over a raw QUIC stream, for peers that speak nothing else: a control stream
 * with empty SETTINGS, one request for each stream, field sections without a dynamic table (RFC 9114 §4.1, §6.2.1, §7.2;
 * RFC 9204 §4.5). Test code: the real HTTP/3 replaces it. Huffman-coded strings are passed over, not decoded, because only
 * `:method`, `:path` and `:status` are read and the requests keep to values of the static table.
 */

import type { InteropStream } from "../protocol.js";
import { readAll } from "../protocol.js";

const FRAME_DATA = 0x00;
const FRAME_HEADERS = 0x01;
const FRAME_SETTINGS = 0x04;
const STREAM_CONTROL = 0x00;
const DATA_FRAME_BYTES = 64 * 1024;

/** Rows of the QPACK static table (RFC 9204 §A) that the shim knows. */
const STATIC_TABLE = new Map<number, readonly [string, string]>([
  [0, [":authority", ""]],
  [1, [":path", "/"]],
  [17, [":method", "GET"]],
  [20, [":method", "POST"]],
  [23, [":scheme", "https"]],
  [24, [":status", "103"]],
  [25, [":status", "200"]],
  [26, [":status", "304"]],
  [27, [":status", "404"]],
  [28, [":status", "503"]],
]);

export interface H3Message {
  /** Pseudo-header fields and whatever else stood there in the clear. */
  fields: Map<string, string>;
  body: Uint8Array;
}

/** The first bytes of a control stream; the stream stays open. */
export function controlStreamStart(): Uint8Array {
  return Uint8Array.of(STREAM_CONTROL, FRAME_SETTINGS, 0);
}

/** Client: one request on a new stream, and its answer. `path` other than "/" is sent as a plain literal. */
export async function request(
  stream: InteropStream,
  method: "GET" | "POST",
  path: string,
  body: Uint8Array | null,
): Promise<H3Message> {
  const answer = readAll(stream.read);
  await stream.write(
    headersFrame([indexed(method === "GET" ? 17 : 20), indexed(23), literal(0, "localhost"), literal(1, path)]),
  );
  if (body !== null) await writeData(stream, body);
  await stream.end();
  return parseMessage(await answer);
}

/** Server: reads one request to its end and answers it with status 200. */
export async function answer(stream: InteropStream, handler: (message: H3Message) => Uint8Array): Promise<void> {
  const body = handler(parseMessage(await readAll(stream.read)));
  await stream.write(headersFrame([indexed(25)]));
  await writeData(stream, body);
  await stream.end();
}

/** The frames of a request stream from its first byte to FIN. */
export function parseMessage(bytes: Uint8Array): H3Message {
  const fields = new Map<string, string>();
  const parts: Uint8Array[] = [];
  let pos = 0;
  while (pos < bytes.length) {
    const type = readVarint(bytes, pos);
    const length = readVarint(bytes, type.pos);
    const end = length.pos + length.value;
    if (end > bytes.length) throw new Error(`frame of type ${type.value} is cut: ${end} > ${bytes.length}`);
    const payload = bytes.subarray(length.pos, end);
    if (type.value === FRAME_HEADERS) parseFields(payload, fields);
    if (type.value === FRAME_DATA) parts.push(payload);
    pos = end;
  }
  return { fields, body: Buffer.concat(parts) };
}

async function writeData(stream: InteropStream, body: Uint8Array): Promise<void> {
  for (let at = 0; at < body.length; at += DATA_FRAME_BYTES) {
    const part = body.subarray(at, at + DATA_FRAME_BYTES);
    await stream.write(Uint8Array.of(FRAME_DATA, ...varint(part.length)));
    await stream.write(part);
  }
}

function headersFrame(lines: number[][]): Uint8Array {
  const section = [0, 0, ...lines.flat()]; // Required Insert Count 0, Delta Base 0
  return Uint8Array.of(FRAME_HEADERS, ...varint(section.length), ...section);
}

/** Indexed field line of the static table (RFC 9204 §4.5.2). */
function indexed(index: number): number[] {
  return prefixed(0b1100_0000, 6, index);
}

/** Literal field line with a name of the static table (RFC 9204 §4.5.4), not Huffman-coded. */
function literal(index: number, value: string): number[] {
  const bytes = [...new TextEncoder().encode(value)];
  return [...prefixed(0b0101_0000, 4, index), ...prefixed(0, 7, bytes.length), ...bytes];
}

function parseFields(section: Uint8Array, fields: Map<string, string>): void {
  let pos = readPrefixed(section, readPrefixed(section, 0, 8).pos, 7).pos;
  while (pos < section.length) {
    const first = section[pos]!;
    if ((first & 0x80) !== 0) {
      if ((first & 0x40) === 0) throw new Error("a field line refers to a dynamic table that was never allowed");
      const index = readPrefixed(section, pos, 6);
      const row = STATIC_TABLE.get(index.value);
      if (row !== undefined) fields.set(row[0], row[1]);
      pos = index.pos;
    } else if ((first & 0x40) !== 0) {
      const index = readPrefixed(section, pos, 4);
      const value = readString(section, index.pos, 7);
      const row = STATIC_TABLE.get(index.value);
      if (row !== undefined && value.text !== null) fields.set(row[0], value.text);
      pos = value.pos;
    } else {
      const name = readString(section, pos, 3);
      const value = readString(section, name.pos, 7);
      if (name.text !== null && value.text !== null) fields.set(name.text, value.text);
      pos = value.pos;
    }
  }
}

/** A string literal (RFC 9204 §4.1.2); null when it is Huffman-coded. */
function readString(bytes: Uint8Array, pos: number, prefixBits: number): { text: string | null; pos: number } {
  const isHuffman = (bytes[pos]! & (1 << prefixBits)) !== 0;
  const length = readPrefixed(bytes, pos, prefixBits);
  const end = length.pos + length.value;
  if (end > bytes.length) throw new Error("a string is cut");
  return { text: isHuffman ? null : new TextDecoder().decode(bytes.subarray(length.pos, end)), pos: end };
}

/** Prefixed integers (RFC 9204 §4.1.1). */
function prefixed(flags: number, bits: number, value: number): number[] {
  const max = 2 ** bits - 1;
  if (value < max) return [flags | value];
  const out = [flags | max];
  let rest = value - max;
  for (; rest >= 128; rest >>= 7) out.push((rest & 0x7f) | 0x80);
  out.push(rest);
  return out;
}

function readPrefixed(bytes: Uint8Array, pos: number, bits: number): { value: number; pos: number } {
  const max = 2 ** bits - 1;
  let value = bytes[pos]! & max;
  if (value < max) return { value, pos: pos + 1 };
  for (let at = pos + 1, shift = 0; at < bytes.length && shift <= 28; at++, shift += 7) {
    value += (bytes[at]! & 0x7f) * 2 ** shift;
    if ((bytes[at]! & 0x80) === 0) return { value, pos: at + 1 };
  }
  throw new Error("a prefixed integer is cut");
}

function varint(value: number): number[] {
  if (value < 0x40) return [value];
  if (value < 0x4000) return [0x40 | (value >> 8), value & 0xff];
  return [0x80 | (value >>> 24), (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}

function readVarint(bytes: Uint8Array, pos: number): { value: number; pos: number } {
  const length = 1 << (bytes[pos]! >> 6);
  if (pos + length > bytes.length) throw new Error("a varint is cut");
  let value = bytes[pos]! & 0x3f;
  for (let i = 1; i < length; i++) value = value * 256 + bytes[pos + i]!;
  return { value, pos: pos + length };
}
