/**
 * Frames about streams that arrived, applied to the stream table (RFC 9000 §2, §3, §4, §19.4, §19.5, §19.8 to §19.14).
 * What can be wrong returns 0 or the transport error that the frame is; `errorReason` then says why. A frame for a stream
 * that is finished and forgotten is ignored.
 *
 * Order of the checks on an id: the half that the frame needs (a send-only stream has no receiving half), then whether
 * a stream of ours was ever created, then our limit for the peer's.
 */

import { DETAIL_SIZE_KNOWN, type StreamKind } from "../port/transport.js";
import { MIN_CONN_RECV_GAPS, MIN_RECV_GAPS, RECV_GAP_WINDOW_SHARE } from "../proto/limits.js";
import {
  FLOW_CONTROL_ERROR,
  INTERNAL_ERROR,
  NO_ERROR,
  STREAM_LIMIT_ERROR,
  STREAM_STATE_ERROR,
} from "../proto/transport-error.js";
import { indexOf, isServerInitiated, isUni, kindOf } from "../stream/id.js";
import { RECV_SIZE_KNOWN, type RecvStream } from "../stream/recv.js";
import type { BytePieces } from "../stream/ring.js";
import { SEND_DATA_SENT } from "../stream/send.js";
import {
  CONTROL_MAX_STREAM_DATA,
  EVENT_READABLE,
  EVENT_RESET,
  EVENT_STOP_SENDING,
  type Stream,
  type StreamEvents,
} from "../stream/stream.js";
import { CONN_MAX_DATA, CONN_MAX_STREAMS, type StreamTable } from "../stream/table.js";

export class StreamInput {
  /** Why the last error was returned. */
  errorReason = "";
  private readonly table: StreamTable;
  private readonly events: StreamEvents;
  /** Set with a null from `resolve`: 0 = ignore the frame. */
  private error = NO_ERROR;

  constructor(table: StreamTable, events: StreamEvents) {
    this.table = table;
    this.events = events;
  }

  onStream(id: number, offset: number, buf: Uint8Array, start: number, end: number, fin: boolean): number {
    const { table } = this;
    const stream = table.find(id) ?? this.resolveRecv(id);
    if (stream === null) return this.error;
    const { recv } = stream;
    if (recv === null) return this.fail(STREAM_STATE_ERROR, "STREAM for a send-only stream");

    const error = this.account(recv, offset + (end - start), fin);
    if (error !== NO_ERROR) return error;
    table.bytesReceived += end - start;
    const { buffer } = recv;
    const rangesBefore = buffer.rangeCount;
    if (recv.receive(offset, buf, start, end, fin)) this.events.note(stream, EVENT_READABLE);
    if (buffer.rangeCount > rangesBefore && this.isTooSparse(recv)) {
      return this.fail(INTERNAL_ERROR, "stream data in too many pieces");
    }
    if (fin && recv.state === RECV_SIZE_KNOWN) this.events.noteDetail(DETAIL_SIZE_KNOWN, id, recv.finalSize);
    if (recv.stopped) {
      table.dropUnread(recv);
      table.checkDone(stream);
    }
    return NO_ERROR;
  }

  /**
   * The stream of the frame before, when frames that continue it in order change nothing but bytes and credit: data can
   * still come, is wanted, and none was received above a gap. Else null.
   */
  runStream(): Stream | null {
    const stream = this.table.lastUsed;
    if (stream === null) return null;
    const { recv } = stream;
    if (recv === null || !recv.isOpen || recv.stopped || recv.credit.received !== recv.buffer.end) return null;
    return stream;
  }

  /** Offset up to which a run of this stream stays within both limits (RFC 9000 §4.1). */
  runLimit(recv: RecvStream): number {
    const { recvCredit } = this.table;
    return Math.min(recv.credit.advertised, recv.buffer.end + recvCredit.advertised - recvCredit.received);
  }

  /** `bytes` bytes that continue the stream of `runStream`, up to its limit: as so many calls of `onStream`. */
  onRun(stream: Stream, pieces: BytePieces, bytes: number): void {
    const { table } = this;
    const { credit, buffer } = stream.recv!;
    credit.received += bytes;
    table.recvCredit.received += bytes;
    table.bytesReceived += bytes;
    buffer.append(pieces, bytes);
    this.events.note(stream, EVENT_READABLE);
  }

  onResetStream(id: number, code: bigint, finalSize: number): number {
    const { table } = this;
    const stream = table.find(id) ?? this.resolveRecv(id);
    if (stream === null) return this.error;
    const { recv } = stream;
    if (recv === null) return this.fail(STREAM_STATE_ERROR, "RESET_STREAM for a send-only stream");

    const error = this.account(recv, finalSize, true);
    if (error !== NO_ERROR) return error;
    if (!recv.onReset(code, finalSize)) return NO_ERROR;
    table.dropUnread(recv);
    this.events.note(stream, EVENT_READABLE | EVENT_RESET);
    return NO_ERROR;
  }

  /** Answered with RESET_STREAM of the same code (RFC 9000 §3.5), unless everything has arrived already. */
  onStopSending(id: number, code: bigint): number {
    const { table } = this;
    const stream = table.find(id) ?? this.resolveSend(id);
    if (stream === null) return this.error;
    const { send } = stream;
    if (send === null) return this.fail(STREAM_STATE_ERROR, "STOP_SENDING for a receive-only stream");

    if (send.stopped || send.state > SEND_DATA_SENT) return NO_ERROR;
    send.stopped = true;
    send.stopCode = code;
    table.resetStream(stream, code);
    this.events.note(stream, EVENT_STOP_SENDING);
    return NO_ERROR;
  }

  onMaxData(max: number): void {
    this.table.raiseMaxData(max);
  }

  onMaxStreamData(id: number, max: number): number {
    const stream = this.table.find(id) ?? this.resolveSend(id);
    if (stream === null) return this.error;
    if (stream.send === null) return this.fail(STREAM_STATE_ERROR, "MAX_STREAM_DATA for a receive-only stream");
    this.table.raiseMaxStreamData(stream, max);
    return NO_ERROR;
  }

  onMaxStreams(kind: StreamKind, max: number): void {
    this.table.raiseMaxStreams(kind, max);
  }

  /** The BLOCKED frames ask for credit that we would otherwise batch a while longer (RFC 9000 §4.1). */
  onDataBlocked(limit: number): void {
    const { table } = this;
    if (limit >= table.recvCredit.advertised && table.recvCredit.canRaise()) table.controlBits |= CONN_MAX_DATA;
  }

  onStreamDataBlocked(id: number, limit: number): number {
    const stream = this.table.find(id) ?? this.resolveRecv(id);
    if (stream === null) return this.error;
    const { recv } = stream;
    if (recv === null) return this.fail(STREAM_STATE_ERROR, "STREAM_DATA_BLOCKED for a send-only stream");
    if (recv.isOpen && !recv.stopped && limit >= recv.credit.advertised && recv.credit.canRaise()) {
      this.table.control(stream, CONTROL_MAX_STREAM_DATA);
    }
    return NO_ERROR;
  }

  onStreamsBlocked(kind: StreamKind, limit: number): void {
    const counts = this.table.counts[kind];
    if (limit >= counts.advertised && counts.canRaise()) this.table.controlBits |= CONN_MAX_STREAMS << kind;
  }

  /** Checks data up to `end` against final size and both limits, then counts it (RFC 9000 §4.1, §4.5). */
  private account(recv: RecvStream, end: number, fin: boolean): number {
    const { credit } = recv;
    const error = recv.check(end, fin);
    if (error !== NO_ERROR) {
      return this.fail(error, error === FLOW_CONTROL_ERROR ? "over MAX_STREAM_DATA" : "final size changed");
    }
    const more = end - credit.received;
    if (more <= 0) return NO_ERROR;
    const { table } = this;
    if (table.recvCredit.received + more > table.recvCredit.advertised) {
      return this.fail(FLOW_CONTROL_ERROR, "over MAX_DATA");
    }
    credit.received = end;
    table.recvCredit.received += more;
    return NO_ERROR;
  }

  /** Crumbs with gaps cost more than they carry: bounded for each stream and for all of them. */
  private isTooSparse(recv: RecvStream): boolean {
    const { recvCredit, held } = this.table;
    const allowed = Math.max(MIN_RECV_GAPS, recv.credit.windowBytes / RECV_GAP_WINDOW_SHARE);
    if (recv.buffer.rangeCount > allowed) return true;
    return held.recvRanges > Math.max(MIN_CONN_RECV_GAPS, recvCredit.windowBytes / RECV_GAP_WINDOW_SHARE);
  }

  /** The stream of an id that is not in the table, for a frame about its receiving half. */
  private resolveRecv(id: number): Stream | null {
    if (isServerInitiated(id) !== this.table.isServer) return this.resolvePeers(id);
    if (isUni(id)) this.fail(STREAM_STATE_ERROR, "frame for the receiving half of a send-only stream");
    else this.resolveOurs(id);
    return null;
  }

  /** The same for a frame about its sending half. */
  private resolveSend(id: number): Stream | null {
    if (isServerInitiated(id) === this.table.isServer) {
      this.resolveOurs(id);
      return null;
    }
    if (!isUni(id)) return this.resolvePeers(id);
    this.fail(STREAM_STATE_ERROR, "frame for the sending half of a receive-only stream");
    return null;
  }

  /** A stream of ours that is not in the table was never created, or is forgotten. */
  private resolveOurs(id: number): void {
    this.error = NO_ERROR;
    if (indexOf(id) >= this.table.counts[kindOf(id)].opened) {
      this.fail(STREAM_STATE_ERROR, "frame for a stream that was not created");
    }
  }

  private resolvePeers(id: number): Stream | null {
    this.error = NO_ERROR;
    if (indexOf(id) < this.table.counts[kindOf(id)].advertised) return this.table.touchPeerStream(id);
    this.fail(STREAM_LIMIT_ERROR, "over MAX_STREAMS");
    return null;
  }

  private fail(error: number, reason: string): number {
    this.error = error;
    this.errorReason = reason;
    return error;
  }
}
