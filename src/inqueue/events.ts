/**
 * What happened on one connection and the application was not told yet. Stream events are coalesced: bits on the stream
 * and one place in a list, so the memory is bounded by the number of streams and none is ever lost. The engine only
 * notes; `drain` tells, and what the application does meanwhile may note more, which is told in the same drain.
 */

import {
  type CloseInfo,
  type DatagramFate,
  type HandshakeInfo,
  type PathValidation,
  STREAM_BIDI,
  STREAM_UNI,
  type StreamKind,
  type TransportHandler,
} from "../port/transport.js";
import {
  MAX_DATAGRAM_IN_BYTES,
  MAX_DATAGRAMS_IN,
  MAX_HELD_KEYLOG_LINES,
  MAX_HELD_PATH_RESULTS,
  MAX_HELD_TICKETS,
} from "../proto/limits.js";
import {
  EVENT_CLOSED,
  EVENT_OPENED,
  EVENT_READABLE,
  EVENT_RESET,
  EVENT_SEND_DONE,
  EVENT_STOP_SENDING,
  EVENT_WRITABLE,
  type Stream,
  type StreamEvents,
  type StreamEventSink,
} from "../stream/stream.js";

interface FateNote {
  readonly id: number;
  readonly fate: DatagramFate;
}

interface DetailNote {
  readonly detail: number;
  readonly id: number;
  readonly value: number;
}

interface DatagramNote {
  readonly bytes: Uint8Array;
  readonly early: boolean;
}

// Shared by all connections that have had no datagrams; never pushed to.
const NO_DATAGRAMS: DatagramNote[] = [];
const NO_FATES: FateNote[] = [];
/** As those: most connections stay on one path. */
const NO_VALIDATIONS: PathValidation[] = [];

export class Events implements StreamEvents {
  sink: StreamEventSink | null = null;
  /** Something is to be told. */
  pending = false;
  private handshake: HandshakeInfo | null = null;
  private confirmed = false;
  /** Streams with event bits, in order of their first event; those before `told` are done. */
  private streams: Stream[] = [];
  private told = 0;
  /** 1 << stream kind. */
  private availableBits = 0;
  private tickets: Uint8Array[] = [];
  private newTokens: Uint8Array[] = [];
  private keylog: string[] = [];
  private validations: PathValidation[] = NO_VALIDATIONS;
  private datagrams: DatagramNote[] = NO_DATAGRAMS;
  private datagramFates: FateNote[] = NO_FATES;
  /** DETAIL_* bits of port/transport that somebody wants. */
  watched = 0;
  /** By bit and id, so that there is one of each at most; null until the first. */
  private details: Map<string, DetailNote> | null = null;
  datagramsReceived = 0;
  /** For want of room: the oldest goes. */
  datagramsDropped = 0;
  /** Of datagrams that wait. */
  datagramBytes = 0;
  private closed: CloseInfo | null = null;
  /** onClosed was called: nothing follows. */
  private ended = false;
  private draining = false;

  note(stream: Stream, bits: number): void {
    if (stream.eventBits === 0) {
      this.streams.push(stream);
      this.wake();
    }
    stream.eventBits |= bits;
  }

  noteStreamsAvailable(kind: StreamKind): void {
    this.availableBits |= 1 << kind;
    this.wake();
  }

  noteHandshake(info: HandshakeInfo): void {
    this.handshake = info;
    this.wake();
  }

  noteConfirmed(): void {
    this.confirmed = true;
    this.wake();
  }

  /** Of more than MAX_HELD_TICKETS in one drain the oldest is forgotten. */
  noteTicket(bytes: Uint8Array): void {
    if (this.tickets.length === MAX_HELD_TICKETS) this.tickets.shift();
    this.tickets.push(bytes);
    this.wake();
  }

  noteNewToken(bytes: Uint8Array): void {
    if (this.newTokens.length === MAX_HELD_TICKETS) this.newTokens.shift();
    this.newTokens.push(bytes);
    this.wake();
  }

  /** Of more than what may be held in one drain the oldest are dropped. */
  noteDatagram(bytes: Uint8Array, early = false): void {
    this.datagramsReceived++;
    if (this.datagrams === NO_DATAGRAMS) this.datagrams = [];
    const { datagrams } = this;
    datagrams.push({ bytes, early });
    this.datagramBytes += bytes.length;
    while (datagrams.length > MAX_DATAGRAMS_IN || this.datagramBytes > MAX_DATAGRAM_IN_BYTES) {
      this.datagramBytes -= datagrams.shift()!.bytes.length;
      this.datagramsDropped++;
    }
    this.wake();
  }

  /** No more than were sent: their sender bounds them. */
  noteDatagramFate(id: number, fate: DatagramFate): void {
    if (this.datagramFates === NO_FATES) this.datagramFates = [];
    this.datagramFates.push({ id, fate });
    this.wake();
  }

  /** Of more than MAX_HELD_PATH_RESULTS in one drain the oldest is forgotten. */
  notePathValidation(validation: PathValidation): void {
    if (this.validations === NO_VALIDATIONS) this.validations = [];
    if (this.validations.length === MAX_HELD_PATH_RESULTS) this.validations.shift();
    this.validations.push(validation);
    this.wake();
  }

  /** For a bit that is watched; a later one of the same stream takes the place of one that was not told. */
  noteDetail(detail: number, id: number, value: number): void {
    if ((this.watched & detail) === 0) return;
    (this.details ??= new Map()).set(`${detail} ${id}`, { detail, id, value });
    this.wake();
  }

  noteKeylog(line: string): void {
    if (this.keylog.length === MAX_HELD_KEYLOG_LINES) return;
    this.keylog.push(line);
    this.wake();
  }

  /** The first reason stays. */
  noteClosed(info: CloseInfo): void {
    this.closed ??= info;
    this.wake();
  }

  /** Tells everything, in the order that `port/transport` promises. A call from inside a handler does nothing. */
  drain(handler: TransportHandler): void {
    if (this.draining || !this.pending) return;
    this.draining = true;
    try {
      while (this.pending && !this.ended) {
        this.pending = false;
        this.tellEstablishment(handler);
        this.tellStreams(handler);
        this.tellDatagrams(handler);
        this.tellTickets(handler);
        while (this.validations.length > 0) handler.onPathValidation(this.validations.shift()!);
        this.tellDetails(handler);
        this.tellClosed(handler);
      }
    } finally {
      // A handler that throws ends the drain; what it was not told stays for the next one.
      this.draining = false;
      this.pending = !this.ended && this.hasMore();
    }
  }

  private wake(): void {
    this.pending = !this.ended;
  }

  private hasMore(): boolean {
    const datagrams = this.datagrams.length + this.datagramFates.length;
    const tickets = this.tickets.length + this.newTokens.length + this.keylog.length;
    const lists = this.streams.length + datagrams + tickets + this.validations.length + (this.details?.size ?? 0);
    return this.handshake !== null || this.confirmed || this.availableBits !== 0 || lists > 0 || this.closed !== null;
  }

  private tellEstablishment(handler: TransportHandler): void {
    while (this.keylog.length > 0) handler.onKeylog(this.keylog.shift()!);
    const info = this.handshake;
    this.handshake = null;
    if (info !== null) handler.onHandshake(info);
    if (!this.confirmed) return;
    this.confirmed = false;
    handler.onHandshakeConfirmed();
  }

  private tellStreams(handler: TransportHandler): void {
    try {
      while (this.told < this.streams.length) {
        const stream = this.streams[this.told++];
        const bits = stream.eventBits;
        stream.eventBits = 0;
        this.tellStream(stream, bits, handler);
      }
    } finally {
      this.streams = this.told === this.streams.length ? [] : this.streams.slice(this.told);
      this.told = 0;
    }
    for (const kind of [STREAM_BIDI, STREAM_UNI] as const) {
      if ((this.availableBits & (1 << kind)) === 0) continue;
      this.availableBits &= ~(1 << kind);
      handler.onStreamsAvailable(kind);
    }
  }

  private tellDatagrams(handler: TransportHandler): void {
    while (this.datagrams.length > 0) {
      const { bytes, early } = this.datagrams.shift()!;
      this.datagramBytes -= bytes.length;
      handler.onDatagram(bytes, early);
    }
    while (this.datagramFates.length > 0) {
      const { id, fate } = this.datagramFates.shift()!;
      handler.onDatagramFate(id, fate);
    }
  }

  private tellTickets(handler: TransportHandler): void {
    while (this.tickets.length > 0) handler.onTicket(this.tickets.shift()!);
    while (this.newTokens.length > 0) handler.onNewToken(this.newTokens.shift()!);
  }

  private tellDetails(handler: TransportHandler): void {
    for (const [key, { detail, id, value }] of this.details ?? []) {
      this.details?.delete(key);
      handler.onDetail?.(detail, id, value);
    }
  }

  /** Last of all: not while anything else is left to tell. */
  private tellClosed(handler: TransportHandler): void {
    if (this.closed === null || this.pending) return;
    const info = this.closed;
    this.closed = null;
    this.ended = true;
    handler.onClosed(info);
  }

  private tellStream(stream: Stream, bits: number, handler: TransportHandler): void {
    const { id, send, recv } = stream;
    if ((bits & EVENT_OPENED) !== 0) handler.onStream(id);
    // What the application has ended or seen by itself since is no news.
    if ((bits & EVENT_READABLE) !== 0 && !recv!.isTerminal && !recv!.stopped) handler.onReadable(id);
    if ((bits & EVENT_WRITABLE) !== 0 && send!.isWritable) handler.onWritable(id);
    if ((bits & EVENT_RESET) !== 0) {
      this.sink?.onResetTold(stream);
      handler.onReset(id, recv!.resetCode);
    }
    if ((bits & EVENT_STOP_SENDING) !== 0) handler.onStopSending(id, send!.stopCode);
    if ((bits & EVENT_SEND_DONE) !== 0) handler.onSendDone(id);
    if ((bits & EVENT_CLOSED) === 0) return;
    this.sink?.forget(stream);
    handler.onStreamClosed(id);
  }
}
