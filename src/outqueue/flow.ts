/**
 * Control frames of streams and flow control that wait to be sent (RFC 9000 §19.4, §19.5, §19.9 to §19.14), and what
 * becomes of them when they are lost (§13.3): a limit is repeated with its current value and only if the lost frame
 * carried the latest one, a RESET_STREAM or STOP_SENDING as long as it means something, a BLOCKED frame only while
 * the same limit still blocks. At most one of each kind waits for a stream: memory is bounded by the streams.
 */

import {
  writeDataBlocked,
  writeMaxData,
  writeMaxStreamData,
  writeMaxStreams,
  writeResetStream,
  writeStopSending,
  writeStreamDataBlocked,
  writeStreamsBlocked,
} from "../frame/control.js";
import { STREAM_BIDI, STREAM_UNI, type StreamKind } from "../port/transport.js";
import { SEND_RESET_SENT } from "../stream/send.js";
import {
  CONTROL_MAX_STREAM_DATA,
  CONTROL_RESET_STREAM,
  CONTROL_STOP_SENDING,
  CONTROL_STREAM_DATA_BLOCKED,
  type Stream,
} from "../stream/stream.js";
import {
  CONN_DATA_BLOCKED,
  CONN_MAX_DATA,
  CONN_MAX_STREAMS,
  CONN_STREAMS_BLOCKED,
  type StreamTable,
} from "../stream/table.js";
import {
  REC_DATA_BLOCKED,
  REC_MAX_DATA,
  REC_MAX_STREAM_DATA,
  REC_MAX_STREAMS,
  REC_RESET_STREAM,
  REC_STOP_SENDING,
  REC_STREAM_DATA_BLOCKED,
  REC_STREAMS_BLOCKED,
  type SentPackets,
} from "./sent.js";

const KINDS = [STREAM_BIDI, STREAM_UNI] as const;

export class StreamControl {
  private readonly table: StreamTable;
  /** Streams with control bits, first come first served. */
  private head: Stream | null = null;
  private tail: Stream | null = null;

  constructor(table: StreamTable) {
    this.table = table;
  }

  get isEmpty(): boolean {
    this.prune();
    return this.head === null && this.table.controlBits === 0;
  }

  add(stream: Stream, bits: number): void {
    stream.controlBits |= bits;
    if (stream.controlQueued) return;
    stream.controlQueued = true;
    if (this.tail === null) this.head = stream;
    else this.tail.controlNext = stream;
    this.tail = stream;
  }

  /** Writes what fits and returns the new position. */
  fill(buf: Uint8Array, pos: number, limit: number, sent: SentPackets, nowMicros: number): number {
    let at = this.table.controlBits === 0 ? pos : this.fillConnection(buf, pos, limit, sent, nowMicros);
    for (this.prune(); this.head !== null; this.prune()) {
      const after = this.writeNext(this.head, buf, at, limit, sent, nowMicros);
      if (after < 0) return at;
      at = after;
    }
    return at;
  }

  onLost(kind: number, id: number, value: number): void {
    const { table } = this;
    if (kind === REC_MAX_DATA) {
      if (value === table.recvCredit.advertised) table.controlBits |= CONN_MAX_DATA;
    } else if (kind === REC_MAX_STREAMS) {
      if (value === table.counts[id as StreamKind].advertised) table.controlBits |= CONN_MAX_STREAMS << id;
    } else if (kind === REC_STREAMS_BLOCKED) {
      const counts = table.counts[id as StreamKind];
      if (counts.openBlocked && value === counts.peerMax) table.controlBits |= CONN_STREAMS_BLOCKED << id;
    } else if (kind === REC_DATA_BLOCKED) {
      const { sendCredit } = table;
      if (sendCredit.available === 0 && value === sendCredit.max) table.controlBits |= CONN_DATA_BLOCKED;
    } else {
      const stream = table.find(id);
      if (stream !== null) this.onStreamFrameLost(stream, kind, value);
    }
  }

  private onStreamFrameLost(stream: Stream, kind: number, value: number): void {
    const { send, recv } = stream;
    if (kind === REC_RESET_STREAM) this.add(stream, CONTROL_RESET_STREAM);
    else if (kind === REC_STOP_SENDING) this.add(stream, CONTROL_STOP_SENDING);
    else if (kind === REC_MAX_STREAM_DATA) {
      if (value === recv!.credit.advertised) this.add(stream, CONTROL_MAX_STREAM_DATA);
    } else if (kind === REC_STREAM_DATA_BLOCKED && value === send!.maxStreamData) {
      this.add(stream, CONTROL_STREAM_DATA_BLOCKED);
    }
  }

  private fillConnection(buf: Uint8Array, pos: number, limit: number, sent: SentPackets, nowMicros: number): number {
    const { table } = this;
    let at = pos;
    if ((table.controlBits & CONN_MAX_DATA) !== 0) {
      const max = table.nextMaxData(nowMicros);
      const after = writeMaxData(buf, at, limit, max);
      if (after < 0) return at;
      sent.note(REC_MAX_DATA, 0, max, 0);
      table.controlBits &= ~CONN_MAX_DATA;
      at = after;
    }
    if ((table.controlBits & CONN_DATA_BLOCKED) !== 0) {
      const { max } = table.sendCredit;
      const after = writeDataBlocked(buf, at, limit, max);
      if (after < 0) return at;
      sent.note(REC_DATA_BLOCKED, 0, max, 0);
      table.controlBits &= ~CONN_DATA_BLOCKED;
      at = after;
    }
    for (const kind of KINDS) {
      const after = this.fillStreamCounts(kind, buf, at, limit, sent);
      if (after < 0) return at;
      at = after;
    }
    return at;
  }

  /** MAX_STREAMS and STREAMS_BLOCKED of one kind; -1 when one did not fit. */
  private fillStreamCounts(kind: StreamKind, buf: Uint8Array, pos: number, limit: number, sent: SentPackets): number {
    const { table } = this;
    const counts = table.counts[kind];
    let at = pos;
    if ((table.controlBits & (CONN_MAX_STREAMS << kind)) !== 0) {
      const max = counts.update();
      at = writeMaxStreams(buf, at, limit, kind, max);
      if (at < 0) return -1;
      sent.note(REC_MAX_STREAMS, kind, max, 0);
      table.controlBits &= ~(CONN_MAX_STREAMS << kind);
    }
    if ((table.controlBits & (CONN_STREAMS_BLOCKED << kind)) !== 0) {
      const after = writeStreamsBlocked(buf, at, limit, kind, counts.peerMax);
      if (after < 0) return at === pos ? -1 : at;
      sent.note(REC_STREAMS_BLOCKED, kind, counts.peerMax, 0);
      counts.blockedAt = counts.peerMax;
      table.controlBits &= ~(CONN_STREAMS_BLOCKED << kind);
      at = after;
    }
    return at;
  }

  /** Writes one frame of the stream and clears its bit; -1 when it does not fit. */
  private writeNext(
    stream: Stream,
    buf: Uint8Array,
    pos: number,
    limit: number,
    sent: SentPackets,
    nowMicros: number,
  ): number {
    const { id, send, recv, controlBits } = stream;
    if ((controlBits & CONTROL_RESET_STREAM) !== 0) {
      const after = writeResetStream(buf, pos, limit, id, send!.resetCode, send!.finalSize);
      return this.noted(stream, CONTROL_RESET_STREAM, after, sent, REC_RESET_STREAM, 0);
    }
    if ((controlBits & CONTROL_STOP_SENDING) !== 0) {
      const after = writeStopSending(buf, pos, limit, id, recv!.stopCode);
      return this.noted(stream, CONTROL_STOP_SENDING, after, sent, REC_STOP_SENDING, 0);
    }
    if ((controlBits & CONTROL_MAX_STREAM_DATA) !== 0) {
      const max = this.table.nextMaxStreamData(recv!, nowMicros);
      const after = writeMaxStreamData(buf, pos, limit, id, max);
      return this.noted(stream, CONTROL_MAX_STREAM_DATA, after, sent, REC_MAX_STREAM_DATA, max);
    }
    const max = send!.maxStreamData;
    const after = writeStreamDataBlocked(buf, pos, limit, id, max);
    if (after >= 0) send!.blockedAt = max;
    return this.noted(stream, CONTROL_STREAM_DATA_BLOCKED, after, sent, REC_STREAM_DATA_BLOCKED, max);
  }

  private noted(stream: Stream, bit: number, after: number, sent: SentPackets, kind: number, value: number): number {
    if (after < 0) return -1;
    stream.controlBits &= ~bit;
    sent.note(kind, stream.id, value, 0);
    return after;
  }

  /** Drops frames at the head of the queue that have lost their meaning, so that what is left will be written. */
  private prune(): void {
    for (let stream = this.head; stream !== null; stream = this.head) {
      stream.controlBits &= meaningful(stream);
      if (stream.controlBits !== 0) return;
      this.head = stream.controlNext;
      if (this.head === null) this.tail = null;
      stream.controlNext = null;
      stream.controlQueued = false;
    }
  }
}

/** The control frames that still tell the peer something in the states that the stream is in now (RFC 9000 §3). */
function meaningful(stream: Stream): number {
  const { send, recv, barred } = stream;
  if (barred) return 0;
  let bits = 0;
  if (send !== null) {
    if (send.state === SEND_RESET_SENT) bits |= CONTROL_RESET_STREAM;
    if (send.isBlocked) bits |= CONTROL_STREAM_DATA_BLOCKED;
  }
  if (recv?.isOpen) bits |= recv.stopped ? CONTROL_STOP_SENDING : CONTROL_MAX_STREAM_DATA;
  return bits;
}
