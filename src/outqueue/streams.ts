/**
 * Writes stream data and the control frames of streams into packets (RFC 9000 §2.3, §4, §13.3), and learns what became
 * of them. Packets are never resent: a lost frame puts its range, or the control frame with its current value, back in
 * the queue. Lost ranges of a stream go before its new data and take no credit.
 *
 * Invariant: a stream is in the schedule if and only if it can send something now; parked there, all but for want of
 * the connection's credit.
 */

import { DOUBLE } from "../base/double.js";
import { prefixedRoom } from "../base/varint.js";
import { streamHeaderLength, writeStreamHeader } from "../frame/stream.js";
import { MAX_TURN_FRAMES, MIN_STREAM_PIECE_BYTES, TURN_FLIGHT_SHARE } from "../proto/limits.js";
import type { ByteGather } from "../stream/ring.js";
import { SEND_RESET_RECVD, SEND_RESET_SENT } from "../stream/send.js";
import { CONTROL_STREAM_DATA_BLOCKED, type Stream, type StreamSendQueue } from "../stream/stream.js";
import { CONN_DATA_BLOCKED, type StreamTable } from "../stream/table.js";
import { StreamControl } from "./flow.js";
import { PLACE_NONE, PLACE_PARKED, Schedule } from "./schedule.js";
import { REC_RESET_STREAM, REC_STREAM, REC_STREAM_FIN, type SentPackets } from "./sent.js";

export class StreamOutput implements StreamSendQueue {
  /** Payload of STREAM frames, repetitions included, bytes. */
  streamBytesSent = DOUBLE;
  /** Times that data waited for the connection's credit; once for each limit. */
  flowBlocked = 0;
  /** Nagle's rule, as `holdsBack` has it: small writes wait while anything is in flight; corked, they wait in any case. */
  delaysSmall = false;
  isCorked = false;
  private readonly table: StreamTable;
  private readonly schedule = new Schedule();
  private readonly control: StreamControl;
  /** Of the `fill` that runs now. */
  private gather: ByteGather | null = null;

  constructor(table: StreamTable) {
    this.streamBytesSent = 0;
    this.table = table;
    this.control = new StreamControl(table);
    table.attach(this);
  }

  /** Whether `fill` would write something, given room. */
  hasPending(): boolean {
    return this.peek() !== null || !this.control.isEmpty;
  }

  get mayHold(): boolean {
    return this.isCorked || this.delaysSmall;
  }

  /** Whether new data waits for more of it: all of it together is less than `fullBytes`. Lost data never does. */
  holdsBack(fullBytes: number, bytesInFlight: number): boolean {
    if (!this.isCorked && (!this.delaysSmall || bytesInFlight === 0)) return false;
    return this.freshHead() !== null && this.queuedBytes("next") < fullBytes;
  }

  /** Of what was written, over all streams: bytes that were never sent (`next`), bytes that the peer does not have (`base`). */
  queuedBytes(from: "next" | "base"): number {
    let bytes = 0;
    for (const { send } of this.table.streams.values()) if (send !== null) bytes += send.buffer.end - send.buffer[from];
    return bytes;
  }

  /** The next acknowledgement of anything that was written is told as room for more. */
  wantRoom(): void {
    for (const { send } of this.table.streams.values()) {
      if (send !== null && send.buffer.end > send.buffer.base) send.writeBlocked = true;
    }
  }

  /** Whether frames other than STREAM wait. */
  hasControl(): boolean {
    this.peek(); // may find that DATA_BLOCKED is due
    return !this.control.isEmpty;
  }

  /**
   * Writes as many frames as fit into `buf[pos, limit)`, notes each in `sent`, and returns the position after them. The
   * last frame may run to `limit` without a length: then nothing may follow it in the packet, padding included.
   * With `gather`, the payload is only noted there, to be copied when the packet is sealed.
   */
  fill(
    buf: Uint8Array,
    pos: number,
    limit: number,
    sent: SentPackets,
    nowMicros: number,
    gather: ByteGather | null = null,
  ): number {
    this.gather = gather;
    let at = this.control.fill(buf, pos, limit, sent, nowMicros);
    for (let stream = this.peek(); stream !== null; stream = this.peek()) {
      const after = this.writeFrame(stream, buf, at, limit, sent);
      if (after === at) return at;
      at = after;
    }
    return this.control.fill(buf, at, limit, sent, nowMicros);
  }

  /** Lets streams that take turns send a part of a flight at a time: it costs both ends less than single frames. */
  setFlight(packets: number): void {
    this.schedule.turnLimit = Math.max(1, Math.min(MAX_TURN_FRAMES, Math.floor(packets * TURN_FLIGHT_SHARE)));
  }

  // --- for trains of packets (conn/train) ------------------------------------------------------------------------

  /** The stream whose turn it is, when no control frame waits and it has no lost data to send; else null. */
  freshHead(): Stream | null {
    const stream = this.peek();
    return stream !== null && this.control.isEmpty && !stream.send!.buffer.hasLost ? stream : null;
  }

  /** New bytes that `stream` may send. */
  freshBytes(stream: Stream): number {
    return Math.min(stream.send!.freshBytes, this.table.sendCredit.available);
  }

  /** Packets that `stream`, which has its turn, fills before another stream has. */
  turnPackets(stream: Stream): number {
    return this.schedule.turnFrames(stream);
  }

  /** Packets full of new data of `stream` are on their way, and more than `bytes` was there to send. */
  onRunSent(stream: Stream, bytes: number, packets: number): void {
    this.streamBytesSent += bytes;
    this.table.sendCredit.used += bytes;
    stream.send!.onSent(bytes, false);
    this.schedule.rotate(stream, packets);
  }

  // --- fates of frames ---------------------------------------------------------------------------------------------

  onFrameAcked(kind: number, id: number, offset: number, length: number): void {
    if (kind !== REC_STREAM && kind !== REC_STREAM_FIN && kind !== REC_RESET_STREAM) return;
    const { table } = this;
    const stream = table.find(id);
    if (stream === null || stream.send === null) return;
    const { send } = stream;
    if (kind === REC_RESET_STREAM) {
      if (send.state !== SEND_RESET_SENT) return;
      send.state = SEND_RESET_RECVD;
      table.onResetAcked(stream, send);
      return;
    }
    if (send.onAcked(offset, length, kind === REC_STREAM_FIN)) table.onSendDone(stream);
    if (stream.place !== PLACE_NONE && !send.isSendable) this.schedule.remove(stream);
    table.onRoom(stream, send);
  }

  onFrameLost(kind: number, id: number, offset: number, length: number): void {
    if (kind !== REC_STREAM && kind !== REC_STREAM_FIN) {
      this.control.onLost(kind, id, offset);
      return;
    }
    const stream = this.table.find(id);
    if (stream === null || stream.send === null) return;
    stream.send.onLost(offset, length, kind === REC_STREAM_FIN);
    this.onSendable(stream);
  }

  // --- told by the table -------------------------------------------------------------------------------------------

  onSendable(stream: Stream): void {
    const send = stream.send!;
    const { schedule } = this;
    if (send.isSendable && !stream.barred) {
      if (stream.place === PLACE_PARKED && send.needsNoCredit) schedule.remove(stream);
      if (stream.place === PLACE_NONE) schedule.insert(stream);
      return;
    }
    schedule.remove(stream);
    if (!stream.barred && send.isBlocked && send.blockedAt !== send.maxStreamData)
      this.control.add(stream, CONTROL_STREAM_DATA_BLOCKED);
  }

  onReprioritize(stream: Stream): void {
    this.schedule.remove(stream);
  }

  onControl(stream: Stream, bits: number): void {
    this.control.add(stream, bits);
  }

  onCredit(): void {
    this.table.controlBits &= ~CONN_DATA_BLOCKED;
    this.schedule.unparkAll();
  }

  onForgotten(stream: Stream): void {
    this.schedule.remove(stream);
    stream.controlBits = 0;
  }

  // --- helpers -------------------------------------------------------------------------------------------------------

  /** The next stream that can send; parks those that wait for the connection's credit. */
  private peek(): Stream | null {
    const { schedule } = this;
    const { sendCredit } = this.table;
    for (let stream = schedule.peek(); stream !== null; stream = schedule.peek()) {
      if (sendCredit.available > 0 || stream.send!.needsNoCredit) return stream;
      schedule.park(stream);
      if (sendCredit.blockedAt === sendCredit.max) continue;
      sendCredit.blockedAt = sendCredit.max;
      this.table.controlBits |= CONN_DATA_BLOCKED;
      this.flowBlocked++;
    }
    return null;
  }

  /** Writes one STREAM frame and returns the position after it; `pos` when none fits. */
  private writeFrame(stream: Stream, buf: Uint8Array, pos: number, limit: number, sent: SentPackets): number {
    const send = stream.send!;
    const { buffer } = send;
    const { sendCredit } = this.table;
    const isLost = buffer.hasLost;
    const offset = isLost ? buffer.lostStart : buffer.next;
    const wanted = isLost ? buffer.lostEnd - offset : Math.min(send.freshBytes, sendCredit.available);
    const room = limit - pos - streamHeaderLength(stream.id, offset);
    if (room < MIN_STREAM_PIECE_BYTES && wanted > room) return pos;
    const fillsPacket = wanted >= room;
    const length = fillsPacket ? room : Math.min(wanted, prefixedRoom(room));
    if (length < 0) return pos;

    const fin = send.finWritten && offset + length === buffer.end;
    const dataPos = writeStreamHeader(buf, pos, stream.id, offset, fillsPacket ? -1 : length, fin);
    if (length > 0 && this.gather !== null) buffer.gatherOut(offset, length, this.gather, buf, dataPos);
    else if (length > 0) buffer.copyOut(offset, length, buf, dataPos);
    sent.note(fin ? REC_STREAM_FIN : REC_STREAM, stream.id, offset, length);
    this.streamBytesSent += length;
    if (isLost) {
      buffer.onResent(length);
      if (fin) send.onFinSent();
    } else {
      sendCredit.used += length;
      send.onSent(length, fin);
    }
    if (send.isSendable) this.schedule.rotate(stream);
    else this.onSendable(stream);
    return dataPos + length;
  }
}
