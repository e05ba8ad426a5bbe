/**
 * As much DNS over QUIC as a client needs to be answered (RFC 9250 §4.2): one query for each stream, both directions with a
 * length of two bytes in front, an answer of TXT records that hold the bytes which the query's first label asks for:
 * `N.interop.` for N bytes in hex. Test code, for peers that speak nothing else.
 */

import type { InteropStream } from "../protocol.js";
import { readAll } from "../protocol.js";

const HEADER_BYTES = 12;
const TYPE_TXT = 16;
const CLASS_IN = 1;
/** The flags of a response to a query that wanted recursion (RFC 1035 §4.1.1). */
const FLAGS_RESPONSE = 0x8180;
/** A pointer to the question's name, which every answer repeats (RFC 1035 §4.1.4). */
const NAME_OF_QUESTION = 0xc000 | HEADER_BYTES;
const RECORD_HEAD_BYTES = 12;
/** One character-string (RFC 1035 §3.3), one record each: what is printed then has one line for each. */
const STRING_BYTES = 250;
const MAX_MESSAGE_BYTES = 0xffff;

/** Most bytes that one answer carries: each is two digits of hex. */
export const MAX_DOQ_BYTES = 29_000;

/** Server: reads one query to its end and answers it with what `body` makes of the count. */
export async function answerQuery(stream: InteropStream, body: (count: number) => Uint8Array): Promise<void> {
  const message = await readAll(stream.read);
  const length = ((message[0] ?? 0) << 8) | (message[1] ?? 0);
  if (length !== message.length - 2)
    throw new Error(`a query of ${message.length - 2} bytes says that it has ${length}`);
  const answer = respond(message.subarray(2), body);
  await stream.write(Uint8Array.of(answer.length >> 8, answer.length & 0xff, ...answer));
  await stream.end();
}

/** The response to one query for TXT records. */
export function respond(query: Uint8Array, body: (count: number) => Uint8Array): Uint8Array {
  const nameEnd = endOfName(query);
  const count = Number(
    new TextDecoder().decode(query.subarray(HEADER_BYTES + 1, HEADER_BYTES + 1 + query[HEADER_BYTES]!)),
  );
  if (!Number.isInteger(count) || count > MAX_DOQ_BYTES) throw new Error("the name does not begin with a count");
  const text = Array.from(body(count), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const records = Math.ceil(text.length / STRING_BYTES);
  const question = query.subarray(HEADER_BYTES, nameEnd + 4);
  const out = new Uint8Array(HEADER_BYTES + question.length + records * (RECORD_HEAD_BYTES + 1) + text.length);
  if (out.length > MAX_MESSAGE_BYTES) throw new Error(`an answer of ${out.length} bytes`);
  const view = new DataView(out.buffer);
  out.set(query.subarray(0, 2));
  view.setUint16(2, FLAGS_RESPONSE);
  view.setUint16(4, 1);
  view.setUint16(6, records);
  out.set(question, HEADER_BYTES);
  let pos = HEADER_BYTES + question.length;
  for (let at = 0; at < text.length; at += STRING_BYTES) {
    const string = new TextEncoder().encode(text.slice(at, at + STRING_BYTES));
    view.setUint16(pos, NAME_OF_QUESTION);
    view.setUint16(pos + 2, TYPE_TXT);
    view.setUint16(pos + 4, CLASS_IN);
    view.setUint16(pos + RECORD_HEAD_BYTES - 2, string.length + 1); // after a TTL of 0
    out[pos + RECORD_HEAD_BYTES] = string.length;
    out.set(string, pos + RECORD_HEAD_BYTES + 1);
    pos += RECORD_HEAD_BYTES + 1 + string.length;
  }
  return out;
}

/** Where the labels of the question end, the root's included. */
function endOfName(query: Uint8Array): number {
  let pos = HEADER_BYTES;
  while (pos < query.length && query[pos]! !== 0) pos += 1 + query[pos]!;
  if (query.length < HEADER_BYTES + 5 || pos + 5 > query.length) throw new Error("the query is cut");
  return pos + 1;
}
