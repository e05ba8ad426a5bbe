/**
 * One stream as the table, the queues and the events share it. Besides the halves it carries the bits and links that
 * the queues keep on it, so that marking a stream is a few stores and allocates nothing. Each field has one owner.
 */

import type { StreamKind } from "../port/transport.js";
import { DEFAULT_URGENCY } from "../proto/limits.js";
import type { RecvStream } from "./recv.js";
import type { SendStream } from "./send.js";

/** What happened, for the application; told in this order. */
export const EVENT_OPENED = 1;
export const EVENT_READABLE = 2;
export const EVENT_WRITABLE = 4;
export const EVENT_RESET = 8;
export const EVENT_STOP_SENDING = 16;
export const EVENT_SEND_DONE = 32;
export const EVENT_CLOSED = 64;

/** Control frames of the stream that wait to be sent. */
export const CONTROL_RESET_STREAM = 1;
export const CONTROL_STOP_SENDING = 2;
export const CONTROL_MAX_STREAM_DATA = 4;
export const CONTROL_STREAM_DATA_BLOCKED = 8;

export class Stream {
  readonly id: number;
  /** Null where the kind has no such half. */
  readonly send: SendStream | null;
  readonly recv: RecvStream | null;
  /** RFC 9218 §4; changed by the table only. */
  urgency = DEFAULT_URGENCY;
  incremental = true;
  /** Some of it came in 0-RTT. */
  isEarly = false;
  /** Opened under remembered limits that do not hold: nothing of it is sent until MAX_STREAMS allows it. */
  barred = false;

  /** Events not yet told; owned by the events, nonzero = queued there. */
  eventBits = 0;
  /** Owned by the output: control frames waiting, and the queue of such streams. */
  controlBits = 0;
  controlQueued = false;
  controlNext: Stream | null = null;
  /** Owned by the schedule: the list it is in (0 = none) and its neighbours. */
  place = 0;
  prev: Stream | null = null;
  next: Stream | null = null;

  constructor(id: number, send: SendStream | null, recv: RecvStream | null) {
    this.id = id;
    this.send = send;
    this.recv = recv;
  }
}

/** Where the table reports what the application shall learn. */
export interface StreamEvents {
  /** Set by the table: learns what is told, just before the application does. */
  sink: StreamEventSink | null;
  note(stream: Stream, bits: number): void;
  noteStreamsAvailable(kind: StreamKind): void;
  /** DETAIL_* of port/transport. */
  noteDetail(detail: number, id: number, value: number): void;
}

export interface StreamEventSink {
  /** The peer's reset is being told. */
  onResetTold(stream: Stream): void;
  /** The end of the stream is being told: its id is free to be forgotten. */
  forget(stream: Stream): void;
}

/** Where the table reports that something about sending has changed. */
export interface StreamSendQueue {
  /** The stream may have begun, or ceased, to have data to send. */
  onSendable(stream: Stream): void;
  /** Urgency or incremental are about to change; `onSendable` follows. */
  onReprioritize(stream: Stream): void;
  /** One of the control frames is to be sent. */
  onControl(stream: Stream, bits: number): void;
  /** The connection's credit grew. */
  onCredit(): void;
  /** The stream is gone. */
  onForgotten(stream: Stream): void;
}
