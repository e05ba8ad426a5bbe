/**
 * The frames of one decrypted packet (RFC 9000 §12.4, §19), read one by one and handed to a handler as numbers: nothing
 * is copied or allocated, except the error codes of three cold frames, which are bigint.
 *
 * Invariant: a frame reaches its handler only when all of it was read and found valid by itself. Whether it is valid
 * for this connection (roles, limits, stream states) is for the handler's rooms to say. Every turn of the loop consumes
 * at least the byte of the frame's type, or ends.
 */

import { Reader, u32At } from "../base/bytes.js";
import { MAX_VARINT, varintLength, varintLengthAt } from "../base/varint.js";
import type { Level } from "../port/tls.js";
import { STREAM_BIDI, STREAM_UNI, type StreamKind } from "../port/transport.js";
import { MAX_CID_BYTES } from "../proto/limits.js";
import { RESET_TOKEN_BYTES } from "../proto/params.js";
import { FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import { type AckFrame, newAckFrame, readAck } from "./ack.js";
import {
  FRAME_ACK,
  FRAME_ACK_ECN,
  FRAME_ACK_FREQUENCY,
  FRAME_CONNECTION_CLOSE,
  FRAME_CONNECTION_CLOSE_APP,
  FRAME_CRYPTO,
  FRAME_DATA_BLOCKED,
  FRAME_DATAGRAM,
  FRAME_DATAGRAM_LENGTH,
  FRAME_HANDSHAKE_DONE,
  FRAME_IMMEDIATE_ACK,
  FRAME_MAX_DATA,
  FRAME_MAX_STREAM_DATA,
  FRAME_MAX_STREAMS_BIDI,
  FRAME_MAX_STREAMS_UNI,
  FRAME_NEW_CONNECTION_ID,
  FRAME_NEW_TOKEN,
  FRAME_PADDING,
  FRAME_PATH_CHALLENGE,
  FRAME_PATH_RESPONSE,
  FRAME_PING,
  FRAME_RESET_STREAM,
  FRAME_RETIRE_CONNECTION_ID,
  FRAME_ROWS,
  FRAME_STOP_SENDING,
  FRAME_STREAM,
  FRAME_STREAM_DATA_BLOCKED,
  FRAME_STREAMS_BLOCKED_BIDI,
  FRAME_STREAMS_BLOCKED_UNI,
  FRAME_TYPES,
  PATH_DATA_BYTES,
  ROW_ACK_ELICITING,
  ROW_PROBING,
  STREAM_FIN_BIT,
  STREAM_LEN_BIT,
  STREAM_OFF_BIT,
} from "./table.js";

/** One call per frame, in their order. `buf` is the packet's buffer: what is to be kept must be copied out of it. */
export interface FrameHandler {
  /** A run of PADDING frames, `bytes` long. */
  onPadding?(bytes: number): void;
  onPing(): void;
  /** `ack` is reused: valid during the call. */
  onAck(ack: AckFrame): void;
  onResetStream(id: number, code: bigint, finalSize: number): void;
  onStopSending(id: number, code: bigint): void;
  onCrypto(offset: number, buf: Uint8Array, start: number, end: number): void;
  /** At least one byte. */
  onNewToken(buf: Uint8Array, start: number, end: number): void;
  onStream(id: number, offset: number, buf: Uint8Array, start: number, end: number, fin: boolean): void;
  onMaxData(max: number): void;
  onMaxStreamData(id: number, max: number): void;
  onMaxStreams(kind: StreamKind, max: number): void;
  onDataBlocked(limit: number): void;
  onStreamDataBlocked(id: number, limit: number): void;
  onStreamsBlocked(kind: StreamKind, limit: number): void;
  /** retirePriorTo <= seq; the id has 1 to 20 bytes, the stateless reset token 16. */
  onNewConnectionId(
    seq: number,
    retirePriorTo: number,
    buf: Uint8Array,
    cidStart: number,
    cidEnd: number,
    tokenStart: number,
  ): void;
  onRetireConnectionId(seq: number): void;
  /** 8 bytes. */
  onPathChallenge(buf: Uint8Array, start: number): void;
  /** 8 bytes. */
  onPathResponse(buf: Uint8Array, start: number): void;
  /** `frameType` is 0 when `isApplication`. */
  onConnectionClose(
    isApplication: boolean,
    code: bigint,
    frameType: number,
    buf: Uint8Array,
    reasonStart: number,
    reasonEnd: number,
  ): void;
  onHandshakeDone(): void;
  onImmediateAck(): void;
  /** After more than `thresholdPackets`, or reordering by `reorderingPackets` (0 = none), or that delay. */
  onAckFrequency(seq: number, thresholdPackets: number, maxAckDelayMicros: number, reorderingPackets: number): void;
  /** The payload may be empty; `frameBytes` counts type and length, too (RFC 9221 §3). */
  onDatagram(buf: Uint8Array, start: number, end: number, frameBytes: number): void;
  /** Once true (a frame closed the connection), decoding stops. */
  readonly failed: boolean;
}

/** What a frame's body returns when it is fine; else the reason. */
const FINE = "";
const CUT = "cut by the end of the packet";
const BEYOND_END = "offset and length exceed 2^62-1";
/** MAX_STREAMS and STREAMS_BLOCKED go to 2^60 (RFC 9000 §19.11): the first byte of that in eight bytes. */
const STREAMS_LIMIT_BYTE = 0xd0;

export class FrameDecoder {
  /** Set when `decode` returned false: a transport error code and why. */
  errorCode = 0;
  errorReason = "";
  /** And the type of the frame that caused it; also when the handler failed. */
  errorFrameType = 0;
  /** Of the packet decoded last, as far as it was decoded (RFC 9000 §13.2, §9.1). */
  ackEliciting = false;
  nonProbing = false;

  private readonly reader = new Reader();
  private readonly ack = newAckFrame();

  /**
   * Decodes the payload [start, end) of a packet of `level`. False = the connection must be closed with the `error`
   * fields. True = all frames were handed over, or the handler failed, which it knows by itself.
   */
  decode(level: Level, buf: Uint8Array, start: number, end: number, handler: FrameHandler): boolean {
    const reader = this.reader;
    reader.reset(buf, start, end);
    const levelBit = 1 << level;
    let seen = 0;
    let allProbing = ROW_PROBING;
    this.ackEliciting = false;
    this.nonProbing = false;
    if (start >= end) return this.fail(PROTOCOL_VIOLATION, FRAME_PADDING, "packet without frames");

    while (reader.pos < end) {
      let type = buf[reader.pos];
      if (type < FRAME_TYPES || (type & 0xfe) === FRAME_DATAGRAM) reader.pos++;
      else if (this.isAckFrequency()) type = FRAME_ACK_FREQUENCY;
      else return false;
      const row = FRAME_ROWS[type];
      if ((row & levelBit) === 0) return this.fail(PROTOCOL_VIOLATION, type, "not allowed in this packet type");
      seen |= row;
      allProbing &= row;
      this.ackEliciting = (seen & ROW_ACK_ELICITING) !== 0;
      this.nonProbing = allProbing === 0;

      const wrong = (type & 0xf8) === FRAME_STREAM ? this.stream(type, handler) : this.other(type, handler);
      if (wrong !== FINE) return this.fail(FRAME_ENCODING_ERROR, type, wrong);
      if (handler.failed) {
        this.errorFrameType = type;
        return true;
      }
    }
    return true;
  }

  private fail(code: number, frameType: number, reason: string): false {
    this.errorCode = code;
    this.errorFrameType = frameType;
    this.errorReason = reason;
    return false;
  }

  /** Reads a type that is not one known byte; all but one are wrong: cut, too long a form, or unknown (RFC 9000 §12.4). */
  private isAckFrequency(): boolean {
    const reader = this.reader;
    const lengthBytes = varintLengthAt(reader.buf[reader.pos]);
    const type = reader.varint();
    if (!reader.ok) return this.fail(FRAME_ENCODING_ERROR, FRAME_PADDING, "frame type cut by the end of the packet");
    if (varintLength(type) < lengthBytes) return this.fail(PROTOCOL_VIOLATION, type, "frame type not in shortest form");
    if (type === FRAME_ACK_FREQUENCY) return true;
    return this.fail(FRAME_ENCODING_ERROR, type, "unknown frame type");
  }

  private stream(type: number, handler: FrameHandler): string {
    const reader = this.reader;
    const id = this.streamId();
    const offsetAt = reader.pos;
    const offset = (type & STREAM_OFF_BIT) === 0 ? 0 : reader.varint();
    const lengthBytes = (type & STREAM_LEN_BIT) === 0 ? reader.remaining : reader.varint();
    const start = reader.skip(lengthBytes);
    if (!reader.ok) return CUT;
    if (offset === MAX_VARINT && endsBeyond(reader.buf, offsetAt, lengthBytes)) return BEYOND_END;
    handler.onStream(id, offset, reader.buf, start, reader.pos, (type & STREAM_FIN_BIT) !== 0);
    return FINE;
  }

  /** A stream id. One above 2^53-1 keeps the bits of its type, so that it fails at the limit of its kind. */
  private streamId(): number {
    const { reader } = this;
    const id = reader.varint();
    return id === MAX_VARINT ? MAX_VARINT - 3 + (reader.buf[reader.pos - 1] & 3) : id;
  }

  private other(type: number, handler: FrameHandler): string {
    const reader = this.reader;
    switch (type) {
      case FRAME_PADDING:
        this.padding(handler);
        return FINE;
      case FRAME_PING:
        handler.onPing();
        return FINE;
      case FRAME_ACK:
      case FRAME_ACK_ECN:
        return this.acknowledgement(type === FRAME_ACK_ECN, handler);
      case FRAME_RESET_STREAM: {
        const id = this.streamId();
        const code = reader.varintBig();
        const finalSize = reader.varint();
        if (!reader.ok) return CUT;
        handler.onResetStream(id, code, finalSize);
        return FINE;
      }
      case FRAME_STOP_SENDING: {
        const id = this.streamId();
        const code = reader.varintBig();
        if (!reader.ok) return CUT;
        handler.onStopSending(id, code);
        return FINE;
      }
      case FRAME_CRYPTO:
        return this.crypto(handler);
      case FRAME_NEW_TOKEN: {
        const start = reader.skip(reader.varint());
        if (!reader.ok) return CUT;
        if (start === reader.pos) return "empty token";
        handler.onNewToken(reader.buf, start, reader.pos);
        return FINE;
      }
      case FRAME_MAX_DATA: {
        const max = reader.varint();
        if (!reader.ok) return CUT;
        handler.onMaxData(max);
        return FINE;
      }
      case FRAME_MAX_STREAM_DATA: {
        const id = this.streamId();
        const max = reader.varint();
        if (!reader.ok) return CUT;
        handler.onMaxStreamData(id, max);
        return FINE;
      }
      case FRAME_MAX_STREAMS_BIDI:
      case FRAME_MAX_STREAMS_UNI:
      case FRAME_STREAMS_BLOCKED_BIDI:
      case FRAME_STREAMS_BLOCKED_UNI:
        return this.streamCount(type, handler);
      case FRAME_DATA_BLOCKED: {
        const limit = reader.varint();
        if (!reader.ok) return CUT;
        handler.onDataBlocked(limit);
        return FINE;
      }
      case FRAME_STREAM_DATA_BLOCKED: {
        const id = this.streamId();
        const limit = reader.varint();
        if (!reader.ok) return CUT;
        handler.onStreamDataBlocked(id, limit);
        return FINE;
      }
      case FRAME_NEW_CONNECTION_ID:
        return this.newConnectionId(handler);
      case FRAME_RETIRE_CONNECTION_ID: {
        const seq = reader.varint();
        if (!reader.ok) return CUT;
        handler.onRetireConnectionId(seq);
        return FINE;
      }
      case FRAME_PATH_CHALLENGE:
      case FRAME_PATH_RESPONSE: {
        const start = reader.skip(PATH_DATA_BYTES);
        if (!reader.ok) return CUT;
        if (type === FRAME_PATH_CHALLENGE) handler.onPathChallenge(reader.buf, start);
        else handler.onPathResponse(reader.buf, start);
        return FINE;
      }
      case FRAME_CONNECTION_CLOSE:
      case FRAME_CONNECTION_CLOSE_APP:
        return this.close(type === FRAME_CONNECTION_CLOSE_APP, handler);
      case FRAME_HANDSHAKE_DONE:
        handler.onHandshakeDone();
        return FINE;
      case FRAME_IMMEDIATE_ACK:
        handler.onImmediateAck();
        return FINE;
      case FRAME_ACK_FREQUENCY:
        return this.ackFrequency(handler);
      case FRAME_DATAGRAM:
      case FRAME_DATAGRAM_LENGTH: {
        const frameStart = reader.pos - 1;
        const start = reader.skip(type === FRAME_DATAGRAM ? reader.remaining : reader.varint());
        if (!reader.ok) return CUT;
        handler.onDatagram(reader.buf, start, reader.pos, reader.pos - frameStart);
        return FINE;
      }
      default:
        return "unknown frame type";
    }
  }

  private padding(handler: FrameHandler): void {
    const reader = this.reader;
    const { buf, end } = reader;
    let pos = reader.pos;
    while (pos < end && buf[pos] === FRAME_PADDING) pos++;
    handler.onPadding?.(pos - reader.pos + 1);
    reader.pos = pos;
  }

  private acknowledgement(hasEcn: boolean, handler: FrameHandler): string {
    if (!readAck(this.reader, hasEcn, this.ack))
      return this.reader.ok ? "ranges beyond the packet or below packet number 0" : CUT;
    handler.onAck(this.ack);
    return FINE;
  }

  private crypto(handler: FrameHandler): string {
    const reader = this.reader;
    const offsetAt = reader.pos;
    const offset = reader.varint();
    const lengthBytes = reader.varint();
    const start = reader.skip(lengthBytes);
    if (!reader.ok) return CUT;
    if (offset === MAX_VARINT && endsBeyond(reader.buf, offsetAt, lengthBytes)) return BEYOND_END;
    handler.onCrypto(offset, reader.buf, start, reader.pos);
    return FINE;
  }

  /** RFC 9000 §19.11, §19.14. */
  private streamCount(type: number, handler: FrameHandler): string {
    const reader = this.reader;
    const at = reader.pos;
    const count = reader.varint();
    if (!reader.ok) return CUT;
    if (count === MAX_VARINT && isAboveStreamsLimit(reader.buf, at)) return "more than 2^60 streams";
    const isUni = type === FRAME_MAX_STREAMS_UNI || type === FRAME_STREAMS_BLOCKED_UNI;
    const kind = isUni ? STREAM_UNI : STREAM_BIDI;
    if (type <= FRAME_MAX_STREAMS_UNI) handler.onMaxStreams(kind, count);
    else handler.onStreamsBlocked(kind, count);
    return FINE;
  }

  /** RFC 9000 §19.15. */
  private newConnectionId(handler: FrameHandler): string {
    const reader = this.reader;
    const seqAt = reader.pos;
    const seq = reader.varint();
    const retireAt = reader.pos;
    const retirePriorTo = reader.varint();
    const cidBytes = reader.u8();
    const cidStart = reader.skip(cidBytes);
    const tokenStart = reader.skip(RESET_TOKEN_BYTES);
    if (!reader.ok) return CUT;
    if (cidBytes < 1 || cidBytes > MAX_CID_BYTES) return "connection id length";
    if (retirePriorTo > seq) return "retire prior to exceeds the sequence number";
    if (retirePriorTo === MAX_VARINT && compareEight(reader.buf, retireAt, seqAt) > 0) {
      return "retire prior to exceeds the sequence number";
    }
    handler.onNewConnectionId(seq, retirePriorTo, reader.buf, cidStart, tokenStart, tokenStart);
    return FINE;
  }

  /** draft-ietf-quic-ack-frequency §4. */
  private ackFrequency(handler: FrameHandler): string {
    const reader = this.reader;
    const seq = reader.varint();
    const thresholdPackets = reader.varint();
    const maxAckDelayMicros = reader.varint();
    const reorderingPackets = reader.varint();
    if (!reader.ok) return CUT;
    handler.onAckFrequency(seq, thresholdPackets, maxAckDelayMicros, reorderingPackets);
    return FINE;
  }

  /** RFC 9000 §19.19. */
  private close(isApplication: boolean, handler: FrameHandler): string {
    const reader = this.reader;
    const code = reader.varintBig();
    const frameType = isApplication ? 0 : reader.varint();
    const start = reader.skip(reader.varint());
    if (!reader.ok) return CUT;
    handler.onConnectionClose(isApplication, code, frameType, reader.buf, start, reader.pos);
    return FINE;
  }
}

// What reads as MAX_VARINT is 2^53-1 or more and was eight bytes long: here the bytes themselves are compared.

/** Whether the varint at `pos` plus `lengthBytes` (less than 2^32) exceeds 2^62-1 (RFC 9000 §19.6, §19.8). */
function endsBeyond(buf: Uint8Array, pos: number, lengthBytes: number): boolean {
  if (u32At(buf, pos) !== 0xffffffff) return false;
  return u32At(buf, pos + 4) + lengthBytes > 0xffffffff;
}

function isAboveStreamsLimit(buf: Uint8Array, pos: number): boolean {
  if (buf[pos] !== STREAMS_LIMIT_BYTE) return buf[pos] > STREAMS_LIMIT_BYTE;
  for (let i = 1; i < 8; i++) {
    if (buf[pos + i] !== 0) return true;
  }
  return false;
}

/** The order of two varints of eight bytes. */
function compareEight(buf: Uint8Array, a: number, b: number): number {
  for (let i = 0; i < 8; i++) {
    if (buf[a + i] !== buf[b + i]) return buf[a + i] - buf[b + i];
  }
  return 0;
}
