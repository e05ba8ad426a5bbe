/**
 * The streams of one connection: ids and limits (RFC 9000 §2.1, §4.6), flow control over all of them (§4.1), and the
 * stream calls of `port/transport` with exactly its results. What arrives comes through `inqueue/streams`, what is sent
 * leaves through `outqueue/streams`; both work on the parts kept here.
 *
 * A stream is forgotten when both halves are terminal and the application was told: frames for its id are then ignored.
 */

import { u32At } from "../base/bytes.js";
import { DOUBLE } from "../base/double.js";
import { IdMap } from "../base/id-map.js";
import type { FileSource } from "../port/file.js";
import type { MemoryPressure } from "../port/memory.js";
import type { Random } from "../port/random.js";
import {
  DETAIL_RESET_ACKED,
  DETAIL_STREAM_CREDIT,
  DETAIL_STREAM_LIMIT,
  STREAM_BIDI,
  STREAM_UNI,
  T_BLOCKED,
  T_RESET,
  T_STATE,
  T_STOPPED,
  type StreamKind,
} from "../port/transport.js";
import { CONN_WINDOW_PER_STREAM_WINDOW, INITIAL_RTT_MICROS, URGENCIES } from "../proto/limits.js";
import { defaultParams, type TransportParams } from "../proto/params.js";
import { RecvCredit, SendCredit } from "./credit.js";
import { HeldBytes } from "./held.js";
import { indexOf, isServerInitiated, isUni, kindOf, makeId } from "./id.js";
import { StreamCounts } from "./limits.js";
import { RECV_DATA_READ, RECV_DATA_RECVD, RECV_RESET_READ, RECV_RESET_RECVD, RecvStream } from "./recv.js";
import { SendStream } from "./send.js";
import {
  CONTROL_MAX_STREAM_DATA,
  CONTROL_RESET_STREAM,
  CONTROL_STOP_SENDING,
  EVENT_CLOSED,
  EVENT_OPENED,
  EVENT_SEND_DONE,
  EVENT_WRITABLE,
  Stream,
  type StreamEvents,
  type StreamEventSink,
  type StreamSendQueue,
} from "./stream.js";

/** Connection-level control frames that wait to be sent. */
export const CONN_MAX_DATA = 1;
export const CONN_DATA_BLOCKED = 2;
/** Shifted left by the stream kind. */
export const CONN_MAX_STREAMS = 4;
export const CONN_STREAMS_BLOCKED = 16;

export interface StreamWindows {
  /** Up to here receive windows grow with use, bytes. */
  streamMaxBytes: number;
  connMaxBytes: number;
  /** What `write` takes ahead of acknowledgements, bytes for each stream. */
  sendBufferBytes: number;
  pressure: Readonly<MemoryPressure>;
}

/** What we announce; the engine's configuration of many connections serves. */
export type LocalLimits = Readonly<
  Pick<
    TransportParams,
    | "initialMaxData"
    | "initialMaxStreamDataBidiLocal"
    | "initialMaxStreamDataBidiRemote"
    | "initialMaxStreamDataUni"
    | "initialMaxStreamsBidi"
    | "initialMaxStreamsUni"
  >
>;

/** A new space of a quarter of the send buffer is worth an event; less is not. */
const WRITABLE_SHARE = 1 / 4;
/** Receive rings double up to this share of the connection's window, see `held`. */
const GENEROUS_SHARE = 1 / 4;

const secretWord = new Uint8Array(4);

export class StreamTable implements StreamEventSink {
  readonly isServer: boolean;
  readonly counts: readonly [StreamCounts, StreamCounts];
  readonly sendCredit = new SendCredit();
  readonly recvCredit: RecvCredit;
  readonly held: HeldBytes;
  /** CONN_* bits of the frames to be sent. */
  controlBits = 0;
  /** Set by the connection when it has a sample; windows are tuned by it. */
  smoothedRttMicros = INITIAL_RTT_MICROS;
  /** Payload of STREAM frames, repetitions included, bytes. */
  bytesReceived = DOUBLE;

  private readonly local: LocalLimits;
  private peer: TransportParams = defaultParams();
  private peerKnown = false;
  private windows: StreamWindows;
  private readonly events: StreamEvents;
  private queue: StreamSendQueue | null = null;
  readonly streams: IdMap<Stream>;
  /** Streams that wait for the peer's limit although they are open, see {@link restart}. */
  private barredCount = 0;
  /** The stream asked for last: runs of frames and calls for one stream look it up once. */
  private last: Stream | null = null;

  constructor(isServer: boolean, local: LocalLimits, windows: StreamWindows, events: StreamEvents, random: Random) {
    this.bytesReceived = 0;
    random.fill(secretWord, 0, 4);
    this.streams = new IdMap(u32At(secretWord, 0));
    this.isServer = isServer;
    this.local = local;
    this.windows = windows;
    this.events = events;
    this.counts = [new StreamCounts(local.initialMaxStreamsBidi), new StreamCounts(local.initialMaxStreamsUni)];
    this.recvCredit = new RecvCredit(local.initialMaxData, windows.connMaxBytes, 0);
    this.held = new HeldBytes(this.recvCredit.windowBytes * GENEROUS_SHARE);
    events.sink = this;
  }

  /** The output; set once, before anything is written. */
  attach(queue: StreamSendQueue): void {
    this.queue = queue;
  }

  /** Our limits are others now, and the peer was told none. */
  begin(windows: StreamWindows): void {
    this.windows = windows;
    this.recvCredit.begin(this.local.initialMaxData, windows.connMaxBytes);
    this.held.generousBytes = this.recvCredit.windowBytes * GENEROUS_SHARE;
  }

  /** The peer's limits: remembered ones for 0-RTT first, then the real ones. They only grow (RFC 9000 §7.4.1). */
  applyPeerParams(peer: TransportParams): void {
    this.peer = peer;
    this.peerKnown = true;
    this.raiseMaxData(peer.initialMaxData);
    this.raiseMaxStreams(STREAM_BIDI, peer.initialMaxStreamsBidi);
    this.raiseMaxStreams(STREAM_UNI, peer.initialMaxStreamsUni);
    for (const stream of this.streams.values()) this.raiseMaxStreamData(stream, this.initialSendMax(stream.id));
  }

  /**
   * The server refused 0-RTT (RFC 9001 §4.6.2): its limits are these, whatever was remembered, and nothing of what was
   * sent has arrived. Streams above its limit wait for MAX_STREAMS.
   */
  restart(peer: TransportParams): void {
    this.peer = peer;
    this.peerKnown = true;
    this.sendCredit.restart(peer.initialMaxData);
    this.counts[STREAM_BIDI].peerMax = peer.initialMaxStreamsBidi;
    this.counts[STREAM_UNI].peerMax = peer.initialMaxStreamsUni;
    this.controlBits &= ~(
      CONN_DATA_BLOCKED |
      (CONN_STREAMS_BLOCKED << STREAM_BIDI) |
      (CONN_STREAMS_BLOCKED << STREAM_UNI)
    );
    for (const stream of this.streams.values()) {
      this.queue?.onReprioritize(stream);
      stream.send?.rewind(this.initialSendMax(stream.id));
      stream.barred = indexOf(stream.id) >= this.counts[kindOf(stream.id)].peerMax;
      if (stream.barred) this.barredCount++;
      this.requeue(stream);
    }
  }

  /** The stream, made now when the peer had opened it without using it; null when there is none. */
  get(id: number): Stream | null {
    const stream = this.find(id);
    if (stream !== null) return stream;
    if (isServerInitiated(id) === this.isServer || !this.counts[kindOf(id)].isUntouched(indexOf(id))) return null;
    return this.touchPeerStream(id);
  }

  /** The stream when it is in the table. */
  find(id: number): Stream | null {
    const { last } = this;
    if (last !== null && last.id === id) return last;
    const stream = this.streams.get(id);
    if (stream === undefined) return null;
    this.last = stream;
    return stream;
  }

  /** The stream that was asked for last, null when it is gone. */
  get lastUsed(): Stream | null {
    return this.last;
  }

  /** The peer used its stream `id`, within our limit. Null when that stream is finished and forgotten. */
  touchPeerStream(id: number): Stream | null {
    if (!this.counts[kindOf(id)].touch(indexOf(id))) return null;
    const stream = this.add(id);
    this.events.note(stream, EVENT_OPENED);
    return stream;
  }

  /** Streams in the table. */
  get size(): number {
    return this.streams.size;
  }

  /** Receive and send memory of all streams, bytes, for the ledger. */
  heldBytes(): number {
    return this.held.total;
  }

  /** Forgets all streams and their memory, telling nobody: the connection is gone. */
  clear(): void {
    for (const stream of this.streams.values()) this.release(stream);
    this.streams.clear();
    this.barredCount = 0;
    this.last = null;
  }

  // --- the calls of port/transport -------------------------------------------------------------------------------

  open(kind: StreamKind): number {
    const counts = this.counts[kind];
    if (counts.opened >= counts.peerMax) {
      counts.openBlocked = true;
      if (this.peerKnown && counts.blockedAt !== counts.peerMax) this.controlBits |= CONN_STREAMS_BLOCKED << kind;
      return T_BLOCKED;
    }
    const id = makeId(counts.opened++, this.isServer, kind);
    this.add(id);
    return id;
  }

  write(id: number, buf: Uint8Array, start: number, end: number, fin: boolean): number {
    const stream = this.get(id);
    if (stream === null || stream.send === null) return T_STATE;
    const { send } = stream;
    if (!send.isWritable) return send.stopped ? T_STOPPED : T_STATE;
    const taken = send.write(buf, start, end, fin);
    if (send.isSendable || send.isBlocked) this.queue?.onSendable(stream);
    return taken;
  }

  writeFrom(id: number, source: FileSource): number {
    const stream = this.get(id);
    if (stream === null || stream.send === null) return T_STATE;
    const { send } = stream;
    if (!send.isWritable) return send.stopped ? T_STOPPED : T_STATE;
    const taken = send.writeFrom(source);
    if (send.isSendable || send.isBlocked) this.queue?.onSendable(stream);
    return taken;
  }

  writable(id: number): number {
    const send = this.get(id)?.send;
    return send?.isWritable ? send.buffer.room : 0;
  }

  read(id: number, buf: Uint8Array, start: number, end: number): number {
    const stream = this.get(id);
    if (stream === null || stream.recv === null) return T_STATE;
    const { recv } = stream;
    if (recv.state >= RECV_RESET_RECVD) {
      this.onResetTold(stream);
      return T_RESET;
    }
    if (recv.stopped) return T_STATE;
    const length = recv.read(buf, start, end);
    if (length > 0) {
      this.recvCredit.consumed += length;
      this.wantCredit(stream);
    }
    this.checkEnd(stream);
    return length;
  }

  expect(id: number, buf: Uint8Array | null, start: number, end: number): void {
    this.find(id)?.recv?.buffer.expect(buf, start, end);
  }

  readable(id: number): number {
    return this.get(id)?.recv?.buffer.readable ?? 0;
  }

  atEnd(id: number): boolean {
    const stream = this.get(id);
    if (stream === null || stream.recv === null || !stream.recv.isAtEnd) return false;
    this.checkEnd(stream);
    return true;
  }

  reset(id: number, code: bigint): boolean {
    const stream = this.get(id);
    return stream !== null && this.resetStream(stream, code);
  }

  stopSending(id: number, code: bigint): boolean {
    const stream = this.get(id);
    const recv = stream?.recv ?? null;
    if (stream === null || recv === null || !recv.stop(code)) return false;
    this.dropUnread(recv);
    if (recv.isOpen) this.queue?.onControl(stream, CONTROL_STOP_SENDING);
    else this.checkDone(stream);
    return true;
  }

  resetCode(id: number): bigint {
    return this.find(id)?.recv?.resetCode ?? 0n;
  }

  stopCode(id: number): bigint {
    return this.find(id)?.send?.stopCode ?? 0n;
  }

  /** Some of the stream came in 0-RTT. */
  noteEarly(id: number): void {
    const stream = this.find(id);
    if (stream !== null) stream.isEarly = true;
  }

  isEarly(id: number): boolean {
    return this.find(id)?.isEarly ?? false;
  }

  setPriority(id: number, urgency: number, incremental: boolean): void {
    const stream = this.get(id);
    if (stream === null) return;
    const bounded = Math.min(Math.max(Math.trunc(urgency), 0), URGENCIES - 1);
    this.queue?.onReprioritize(stream);
    stream.urgency = bounded;
    stream.incremental = incremental;
    if (stream.send !== null) this.queue?.onSendable(stream);
  }

  // --- what the queues report --------------------------------------------------------------------------------------

  raiseMaxData(max: number): void {
    if (this.sendCredit.raise(max)) this.queue?.onCredit();
  }

  raiseMaxStreams(kind: StreamKind, max: number): void {
    const counts = this.counts[kind];
    if (max <= counts.peerMax) return;
    counts.peerMax = max;
    this.controlBits &= ~(CONN_STREAMS_BLOCKED << kind);
    this.unbar(kind, max);
    this.events.noteDetail(DETAIL_STREAM_LIMIT, kind, max);
    if (!counts.openBlocked) return;
    counts.openBlocked = false;
    this.events.noteStreamsAvailable(kind);
  }

  raiseMaxStreamData(stream: Stream, max: number): void {
    const { send } = stream;
    if (send === null || max <= send.maxStreamData) return;
    send.maxStreamData = max;
    this.events.noteDetail(DETAIL_STREAM_CREDIT, stream.id, max);
    if (send.isSendable) this.queue?.onSendable(stream);
  }

  /** RESET_STREAM by the application, or in answer to STOP_SENDING. */
  resetStream(stream: Stream, code: bigint): boolean {
    if (stream.send === null || !stream.send.reset(code)) return false;
    this.queue?.onSendable(stream);
    this.queue?.onControl(stream, CONTROL_RESET_STREAM);
    return true;
  }

  /** Our RESET_STREAM is acknowledged. */
  onResetAcked(stream: Stream, send: SendStream): void {
    this.events.noteDetail(DETAIL_RESET_ACKED, stream.id, send.finalSize);
    this.checkDone(stream);
  }

  /** All of the sending half is acknowledged, FIN included. */
  onSendDone(stream: Stream): void {
    this.events.note(stream, EVENT_SEND_DONE);
    this.checkDone(stream);
  }

  /** The peer acknowledged bytes: there may be room to write, or nothing left to do. */
  onRoom(stream: Stream, send: SendStream): void {
    if (!send.writeBlocked || send.buffer.room < this.windows.sendBufferBytes * WRITABLE_SHARE) return;
    send.writeBlocked = false;
    this.events.note(stream, EVENT_WRITABLE);
  }

  /** Asks for a control frame of the stream. */
  control(stream: Stream, bits: number): void {
    this.queue?.onControl(stream, bits);
  }

  /** Asks for the updates that reading has made worth a frame. */
  wantCredit(stream: Stream): void {
    if (this.recvCredit.isDue()) this.controlBits |= CONN_MAX_DATA;
    const recv = stream.recv!;
    if (recv.isOpen && !recv.stopped && recv.credit.isDue()) this.queue?.onControl(stream, CONTROL_MAX_STREAM_DATA);
  }

  /** Returns the credit of what nobody will read to the connection. */
  dropUnread(recv: RecvStream): void {
    this.recvCredit.consumed += recv.takeUnread();
    if (this.recvCredit.isDue()) this.controlBits |= CONN_MAX_DATA;
  }

  /** New limits, to be sent now. A stream's window never outgrows its share of the connection's. */
  nextMaxData(nowMicros: number): number {
    const max = this.recvCredit.update(nowMicros, this.smoothedRttMicros, this.windows.pressure.windowGrowth);
    this.held.generousBytes = this.recvCredit.windowBytes * GENEROUS_SHARE;
    return max;
  }

  nextMaxStreamData(recv: RecvStream, nowMicros: number): number {
    const max = recv.credit.update(nowMicros, this.smoothedRttMicros, this.windows.pressure.windowGrowth);
    this.recvCredit.widen(recv.credit.windowBytes * CONN_WINDOW_PER_STREAM_WINDOW);
    return max;
  }

  /** Both halves terminal: the application is told, and then the stream goes. Asking again changes nothing. */
  checkDone(stream: Stream): void {
    if (stream.send !== null && !stream.send.isTerminal) return;
    if (stream.recv !== null && !stream.recv.isTerminal) return;
    this.events.note(stream, EVENT_CLOSED);
  }

  onResetTold(stream: Stream): void {
    const recv = stream.recv!;
    if (recv.state !== RECV_RESET_RECVD) return;
    recv.state = RECV_RESET_READ;
    this.checkDone(stream);
  }

  forget(stream: Stream): void {
    this.streams.delete(stream.id);
    if (this.last === stream) this.last = null;
    if (stream.barred) this.barredCount--;
    this.release(stream);
    if (isServerInitiated(stream.id) === this.isServer) return;
    const kind = kindOf(stream.id);
    this.counts[kind].onPeerStreamForgotten();
    if (this.counts[kind].isUpdateDue()) this.controlBits |= CONN_MAX_STREAMS << kind;
  }

  // --- helpers -------------------------------------------------------------------------------------------------------

  /** Streams that wait for a limit: only after 0-RTT was refused, and then only those that were opened in it. */
  private unbar(kind: StreamKind, max: number): void {
    if (this.barredCount === 0) return;
    for (const stream of this.streams.values()) {
      if (!stream.barred || kindOf(stream.id) !== kind || indexOf(stream.id) >= max) continue;
      stream.barred = false;
      this.barredCount--;
      this.requeue(stream);
    }
  }

  /** Puts everything that the stream has to say in the queue: none of it was ever heard. */
  private requeue(stream: Stream): void {
    this.queue?.onControl(stream, CONTROL_RESET_STREAM | CONTROL_STOP_SENDING);
    if (stream.send !== null) this.queue?.onSendable(stream);
  }

  private checkEnd(stream: Stream): void {
    const recv = stream.recv!;
    if (recv.state !== RECV_DATA_RECVD || recv.buffer.readable > 0) return;
    recv.state = RECV_DATA_READ;
    this.checkDone(stream);
  }

  private add(id: number): Stream {
    const isOurs = isServerInitiated(id) === this.isServer;
    const hasSend = isOurs || !isUni(id);
    const hasRecv = !isOurs || !isUni(id);
    const { held, windows } = this;
    const send = hasSend ? new SendStream(this.initialSendMax(id), windows.sendBufferBytes, held) : null;
    const recv = hasRecv ? new RecvStream(this.initialRecvWindow(id), windows.streamMaxBytes, held) : null;
    const stream = new Stream(id, send, recv);
    this.streams.set(id, stream);
    this.last = stream;
    return stream;
  }

  private release(stream: Stream): void {
    stream.send?.buffer.drop();
    stream.recv?.buffer.discard();
    this.queue?.onForgotten(stream);
  }

  /** RFC 9000 §18.2: "local" and "remote" are as seen by the side that sent the parameter. */
  private initialSendMax(id: number): number {
    if (isUni(id)) return this.peer.initialMaxStreamDataUni;
    const isOurs = isServerInitiated(id) === this.isServer;
    return isOurs ? this.peer.initialMaxStreamDataBidiRemote : this.peer.initialMaxStreamDataBidiLocal;
  }

  private initialRecvWindow(id: number): number {
    if (isUni(id)) return this.local.initialMaxStreamDataUni;
    const isOurs = isServerInitiated(id) === this.isServer;
    return isOurs ? this.local.initialMaxStreamDataBidiLocal : this.local.initialMaxStreamDataBidiRemote;
  }
}
