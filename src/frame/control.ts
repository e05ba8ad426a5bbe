/**
 * Writers of the frames without stream data (RFC 9000 §19). Each writes one frame at `pos` and returns the position
 * after it, or -1 when it does not fit below `limit`; then nothing was written.
 */

import { varintLength, varintLengthBig, writeVarint, writeVarintBig } from "../base/varint.js";
import { STREAM_BIDI, type StreamKind } from "../port/transport.js";
import {
  FRAME_ACK_FREQUENCY,
  FRAME_DATA_BLOCKED,
  FRAME_HANDSHAKE_DONE,
  FRAME_IMMEDIATE_ACK,
  FRAME_MAX_DATA,
  FRAME_MAX_STREAM_DATA,
  FRAME_MAX_STREAMS_BIDI,
  FRAME_MAX_STREAMS_UNI,
  FRAME_NEW_CONNECTION_ID,
  FRAME_NEW_TOKEN,
  FRAME_PATH_CHALLENGE,
  FRAME_PATH_RESPONSE,
  FRAME_PING,
  FRAME_RESET_STREAM,
  FRAME_RETIRE_CONNECTION_ID,
  FRAME_STOP_SENDING,
  FRAME_STREAM_DATA_BLOCKED,
  FRAME_STREAMS_BLOCKED_BIDI,
  FRAME_STREAMS_BLOCKED_UNI,
} from "./table.js";

export function writePing(buf: Uint8Array, pos: number, limit: number): number {
  return writeType(buf, pos, limit, FRAME_PING);
}

/** draft-ietf-quic-ack-frequency §5. */
export function writeImmediateAck(buf: Uint8Array, pos: number, limit: number): number {
  return writeType(buf, pos, limit, FRAME_IMMEDIATE_ACK);
}

/** draft-ietf-quic-ack-frequency §4: `thresholdPackets` ack-eliciting packets need no answer, one more does. */
export function writeAckFrequency(
  buf: Uint8Array,
  pos: number,
  limit: number,
  seq: number,
  thresholdPackets: number,
  maxAckDelayMicros: number,
  reorderingPackets: number,
): number {
  const bytes = varintLength(seq) + varintLength(thresholdPackets) + varintLength(maxAckDelayMicros);
  if (pos + 2 + bytes + varintLength(reorderingPackets) > limit) return -1;
  let at = writeVarint(buf, pos, FRAME_ACK_FREQUENCY);
  at = writeVarint(buf, writeVarint(buf, at, seq), thresholdPackets);
  return writeVarint(buf, writeVarint(buf, at, maxAckDelayMicros), reorderingPackets);
}

/** RFC 9000 §19.20; a server sends it. */
export function writeHandshakeDone(buf: Uint8Array, pos: number, limit: number): number {
  return writeType(buf, pos, limit, FRAME_HANDSHAKE_DONE);
}

/** RFC 9000 §19.4. `code` is an application error code, 0..2^62-1. */
export function writeResetStream(
  buf: Uint8Array,
  pos: number,
  limit: number,
  id: number,
  code: bigint,
  finalSize: number,
): number {
  if (pos + 1 + varintLength(id) + varintLengthBig(code) + varintLength(finalSize) > limit) return -1;
  buf[pos] = FRAME_RESET_STREAM;
  const at = writeVarintBig(buf, writeVarint(buf, pos + 1, id), code);
  return writeVarint(buf, at, finalSize);
}

/** RFC 9000 §19.5. `code` as in RESET_STREAM. */
export function writeStopSending(buf: Uint8Array, pos: number, limit: number, id: number, code: bigint): number {
  if (pos + 1 + varintLength(id) + varintLengthBig(code) > limit) return -1;
  buf[pos] = FRAME_STOP_SENDING;
  return writeVarintBig(buf, writeVarint(buf, pos + 1, id), code);
}

/** RFC 9000 §19.7; a server sends it. */
export function writeNewToken(buf: Uint8Array, pos: number, limit: number, token: Uint8Array): number {
  if (pos + 1 + varintLength(token.length) + token.length > limit) return -1;
  buf[pos] = FRAME_NEW_TOKEN;
  return writeBytes(buf, writeVarint(buf, pos + 1, token.length), token);
}

/** RFC 9000 §19.9, bytes. */
export function writeMaxData(buf: Uint8Array, pos: number, limit: number, max: number): number {
  return writeOne(buf, pos, limit, FRAME_MAX_DATA, max);
}

/** RFC 9000 §19.10, bytes. */
export function writeMaxStreamData(buf: Uint8Array, pos: number, limit: number, id: number, max: number): number {
  return writeTwo(buf, pos, limit, FRAME_MAX_STREAM_DATA, id, max);
}

/** RFC 9000 §19.11. `max` counts all streams of that kind over the connection's life, up to 2^60. */
export function writeMaxStreams(buf: Uint8Array, pos: number, limit: number, kind: StreamKind, max: number): number {
  return writeOne(buf, pos, limit, kind === STREAM_BIDI ? FRAME_MAX_STREAMS_BIDI : FRAME_MAX_STREAMS_UNI, max);
}

/** RFC 9000 §19.12. `max` is the limit at which sending stopped, bytes. */
export function writeDataBlocked(buf: Uint8Array, pos: number, limit: number, max: number): number {
  return writeOne(buf, pos, limit, FRAME_DATA_BLOCKED, max);
}

/** RFC 9000 §19.13, bytes. */
export function writeStreamDataBlocked(buf: Uint8Array, pos: number, limit: number, id: number, max: number): number {
  return writeTwo(buf, pos, limit, FRAME_STREAM_DATA_BLOCKED, id, max);
}

/** RFC 9000 §19.14, a number of streams. */
export function writeStreamsBlocked(
  buf: Uint8Array,
  pos: number,
  limit: number,
  kind: StreamKind,
  max: number,
): number {
  return writeOne(buf, pos, limit, kind === STREAM_BIDI ? FRAME_STREAMS_BLOCKED_BIDI : FRAME_STREAMS_BLOCKED_UNI, max);
}

/** RFC 9000 §19.15. `cid` has 1 to 20 bytes, `token` 16. */
export function writeNewConnectionId(
  buf: Uint8Array,
  pos: number,
  limit: number,
  seq: number,
  retirePriorTo: number,
  cid: Uint8Array,
  token: Uint8Array,
): number {
  const bytes = 2 + varintLength(seq) + varintLength(retirePriorTo) + cid.length + token.length;
  if (pos + bytes > limit) return -1;
  buf[pos] = FRAME_NEW_CONNECTION_ID;
  let at = writeVarint(buf, writeVarint(buf, pos + 1, seq), retirePriorTo);
  buf[at++] = cid.length;
  at = writeBytes(buf, at, cid);
  return writeBytes(buf, at, token);
}

/** RFC 9000 §19.16. */
export function writeRetireConnectionId(buf: Uint8Array, pos: number, limit: number, seq: number): number {
  return writeOne(buf, pos, limit, FRAME_RETIRE_CONNECTION_ID, seq);
}

/** RFC 9000 §19.17. `data` has 8 bytes. */
export function writePathChallenge(buf: Uint8Array, pos: number, limit: number, data: Uint8Array): number {
  return writeData(buf, pos, limit, FRAME_PATH_CHALLENGE, data);
}

/** RFC 9000 §19.18. `data` has 8 bytes. */
export function writePathResponse(buf: Uint8Array, pos: number, limit: number, data: Uint8Array): number {
  return writeData(buf, pos, limit, FRAME_PATH_RESPONSE, data);
}

function writeType(buf: Uint8Array, pos: number, limit: number, type: number): number {
  if (pos + 1 > limit) return -1;
  buf[pos] = type;
  return pos + 1;
}

function writeOne(buf: Uint8Array, pos: number, limit: number, type: number, value: number): number {
  if (pos + 1 + varintLength(value) > limit) return -1;
  buf[pos] = type;
  return writeVarint(buf, pos + 1, value);
}

function writeTwo(buf: Uint8Array, pos: number, limit: number, type: number, a: number, b: number): number {
  if (pos + 1 + varintLength(a) + varintLength(b) > limit) return -1;
  buf[pos] = type;
  return writeVarint(buf, writeVarint(buf, pos + 1, a), b);
}

function writeData(buf: Uint8Array, pos: number, limit: number, type: number, data: Uint8Array): number {
  if (pos + 1 + data.length > limit) return -1;
  buf[pos] = type;
  return writeBytes(buf, pos + 1, data);
}

function writeBytes(buf: Uint8Array, pos: number, bytes: Uint8Array): number {
  buf.set(bytes, pos);
  return pos + bytes.length;
}
