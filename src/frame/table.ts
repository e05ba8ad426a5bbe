/**
 * Frame types and what RFC 9000 §12.4 (table 3) and §12.5, RFC 9221 §4 and draft-ietf-quic-ack-frequency say about each:
 * the levels that may carry it, whether it elicits an acknowledgement, whether it may probe a path. One row per type; types
 * without a row are unknown.
 */

import { LEVEL_APP, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_INITIAL, type Level } from "../port/tls.js";

export const FRAME_PADDING = 0x00;
export const FRAME_PING = 0x01;
export const FRAME_ACK = 0x02;
export const FRAME_ACK_ECN = 0x03;
export const FRAME_RESET_STREAM = 0x04;
export const FRAME_STOP_SENDING = 0x05;
export const FRAME_CRYPTO = 0x06;
export const FRAME_NEW_TOKEN = 0x07;
/** 0x08 to 0x0f: STREAM with the bits below. */
export const FRAME_STREAM = 0x08;
export const FRAME_MAX_DATA = 0x10;
export const FRAME_MAX_STREAM_DATA = 0x11;
export const FRAME_MAX_STREAMS_BIDI = 0x12;
export const FRAME_MAX_STREAMS_UNI = 0x13;
export const FRAME_DATA_BLOCKED = 0x14;
export const FRAME_STREAM_DATA_BLOCKED = 0x15;
export const FRAME_STREAMS_BLOCKED_BIDI = 0x16;
export const FRAME_STREAMS_BLOCKED_UNI = 0x17;
export const FRAME_NEW_CONNECTION_ID = 0x18;
export const FRAME_RETIRE_CONNECTION_ID = 0x19;
export const FRAME_PATH_CHALLENGE = 0x1a;
export const FRAME_PATH_RESPONSE = 0x1b;
export const FRAME_CONNECTION_CLOSE = 0x1c;
export const FRAME_CONNECTION_CLOSE_APP = 0x1d;
export const FRAME_HANDSHAKE_DONE = 0x1e;
/** draft-ietf-quic-ack-frequency §5. */
export const FRAME_IMMEDIATE_ACK = 0x1f;
/** Types below this have a row. */
export const FRAME_TYPES = 0x20;
/** RFC 9221 §4: up to the end of the packet, or with a length. They have rows, too. */
export const FRAME_DATAGRAM = 0x30;
export const FRAME_DATAGRAM_LENGTH = 0x31;
/** draft-ietf-quic-ack-frequency §4: the one type of two bytes, with a row as well. */
export const FRAME_ACK_FREQUENCY = 0xaf;

/** Bits of a STREAM frame's type (RFC 9000 §19.8). */
export const STREAM_FIN_BIT = 0x01;
export const STREAM_LEN_BIT = 0x02;
export const STREAM_OFF_BIT = 0x04;

/** Length of the data of PATH_CHALLENGE and PATH_RESPONSE (RFC 9000 §19.17). */
export const PATH_DATA_BYTES = 8;

/** Bits of a row: 1 << level for each level that may carry the frame, and then these. */
export const ROW_ACK_ELICITING = 0x10;
/** May be in a packet that probes a path (RFC 9000 §9.1). */
export const ROW_PROBING = 0x20;

const I = 1 << LEVEL_INITIAL;
const E = 1 << LEVEL_EARLY;
const H = 1 << LEVEL_HANDSHAKE;
const A = 1 << LEVEL_APP;
const ACK_ELICITING = ROW_ACK_ELICITING;
const PROBING = ROW_PROBING;

/** Indexed by frame type. */
export const FRAME_ROWS: Uint8Array = Uint8Array.of(
  I | E | H | A | PROBING, // PADDING
  I | E | H | A | ACK_ELICITING, // PING
  I | H | A, // ACK
  I | H | A, // ACK with ECN counts
  E | A | ACK_ELICITING, // RESET_STREAM
  E | A | ACK_ELICITING, // STOP_SENDING
  I | H | A | ACK_ELICITING, // CRYPTO
  A | ACK_ELICITING, // NEW_TOKEN
  E | A | ACK_ELICITING, // STREAM
  E | A | ACK_ELICITING,
  E | A | ACK_ELICITING,
  E | A | ACK_ELICITING,
  E | A | ACK_ELICITING,
  E | A | ACK_ELICITING,
  E | A | ACK_ELICITING,
  E | A | ACK_ELICITING,
  E | A | ACK_ELICITING, // MAX_DATA
  E | A | ACK_ELICITING, // MAX_STREAM_DATA
  E | A | ACK_ELICITING, // MAX_STREAMS, bidirectional
  E | A | ACK_ELICITING, // and unidirectional
  E | A | ACK_ELICITING, // DATA_BLOCKED
  E | A | ACK_ELICITING, // STREAM_DATA_BLOCKED
  E | A | ACK_ELICITING, // STREAMS_BLOCKED, bidirectional
  E | A | ACK_ELICITING, // and unidirectional
  E | A | ACK_ELICITING | PROBING, // NEW_CONNECTION_ID
  A | ACK_ELICITING, // RETIRE_CONNECTION_ID: table 3 allows 0-RTT, RFC 9000 §12.5 takes it back
  E | A | ACK_ELICITING | PROBING, // PATH_CHALLENGE
  A | ACK_ELICITING | PROBING, // PATH_RESPONSE
  I | E | H | A, // CONNECTION_CLOSE
  E | A, // CONNECTION_CLOSE of the application
  A | ACK_ELICITING, // HANDSHAKE_DONE
  A | ACK_ELICITING, // IMMEDIATE_ACK
  ...new Uint8Array(FRAME_DATAGRAM - FRAME_TYPES), // unknown types
  E | A | ACK_ELICITING, // DATAGRAM
  E | A | ACK_ELICITING,
  ...new Uint8Array(FRAME_ACK_FREQUENCY - FRAME_DATAGRAM_LENGTH - 1),
  A | ACK_ELICITING, // ACK_FREQUENCY
);

const NAMES: readonly string[] = [
  "PADDING",
  "PING",
  "ACK",
  "ACK_ECN",
  "RESET_STREAM",
  "STOP_SENDING",
  "CRYPTO",
  "NEW_TOKEN",
  ...Array<string>(8).fill("STREAM"),
  "MAX_DATA",
  "MAX_STREAM_DATA",
  "MAX_STREAMS_BIDI",
  "MAX_STREAMS_UNI",
  "DATA_BLOCKED",
  "STREAM_DATA_BLOCKED",
  "STREAMS_BLOCKED_BIDI",
  "STREAMS_BLOCKED_UNI",
  "NEW_CONNECTION_ID",
  "RETIRE_CONNECTION_ID",
  "PATH_CHALLENGE",
  "PATH_RESPONSE",
  "CONNECTION_CLOSE",
  "CONNECTION_CLOSE_APP",
  "HANDSHAKE_DONE",
  "IMMEDIATE_ACK",
];

function rowOf(type: number): number {
  return FRAME_ROWS[type] ?? 0;
}

/** Whether a packet of `level` may carry this frame; false for unknown types. */
export function frameAllowed(type: number, level: Level): boolean {
  return (rowOf(type) & (1 << level)) !== 0;
}

/** RFC 9000 §13.2: all but PADDING, ACK and CONNECTION_CLOSE. */
export function isAckEliciting(type: number): boolean {
  return (rowOf(type) & ROW_ACK_ELICITING) !== 0;
}

/** RFC 9000 §9.1. */
export function isProbing(type: number): boolean {
  return (rowOf(type) & ROW_PROBING) !== 0;
}

/** The RFC's name, for people and logs; `UNKNOWN(0x21)` for a type without a row. */
export function frameName(type: number): string {
  if (type === FRAME_DATAGRAM || type === FRAME_DATAGRAM_LENGTH) return "DATAGRAM";
  if (type === FRAME_ACK_FREQUENCY) return "ACK_FREQUENCY";
  return NAMES[type] ?? `UNKNOWN(0x${type.toString(16)})`;
}
