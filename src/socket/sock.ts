/**
 * One QUIC socket with the rules of Linux, sans I/O: calls never wait and return negative errno; who wants to wait calls
 * again when `onWake` was called. What it says and hears goes through a transport, once it has one.
 *
 * Invariant: the state that a program sees is CLOSED from the moment in which either side closes, whatever the connection
 * below still has to do (RFC 9000 §10.2).
 */

import { latin1Bytes } from "../base/bytes.js";
import {
  type CloseInfo,
  DETAIL_KEY_PHASE,
  DETAIL_LOCAL_IDS,
  DETAIL_PEER_IDS,
  DETAIL_RESET_ACKED,
  DETAIL_SIZE_KNOWN,
  DETAIL_STREAM_CREDIT,
  DETAIL_STREAM_LIMIT,
  type DetailTransport,
  NOBODY,
  type PathValidation,
  RECV_STATE_RECEIVED,
  STREAM_UNI,
  TOKEN_HEADER_BYTES,
  type Transport,
  type TransportHandler,
} from "../port/transport.js";
import { MAX_SOCKET_EVENTS, MAX_SOCKET_HANDSHAKE_BYTES } from "../proto/limits.js";
import { CRYPTO_BUFFER_EXCEEDED } from "../proto/transport-error.js";
import { EventMask, eventBytes } from "./events.js";
import {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  QUIC_EVENT_CONNECTION_CLOSE,
  QUIC_EVENT_CONNECTION_ID,
  QUIC_EVENT_CONNECTION_MIGRATION,
  QUIC_EVENT_KEY_UPDATE,
  QUIC_EVENT_NEW_SESSION_TICKET,
  QUIC_EVENT_NEW_TOKEN,
  QUIC_EVENT_STREAM_MAX_DATA,
  QUIC_EVENT_STREAM_MAX_STREAM,
  QUIC_EVENT_STREAM_UPDATE,
  QUIC_SS_CLOSED,
  QUIC_SS_ESTABLISHED,
  QUIC_SS_ESTABLISHING,
  QUIC_SS_LISTENING,
  QUIC_STREAM_RECV_STATE_RECV,
  QUIC_STREAM_RECV_STATE_RECVD,
  QUIC_STREAM_RECV_STATE_RESET_RECVD,
  QUIC_STREAM_RECV_STATE_SIZE_KNOWN,
  QUIC_STREAM_SEND_STATE_RECVD,
  QUIC_STREAM_SEND_STATE_RESET_RECVD,
  QUIC_STREAM_SEND_STATE_RESET_SENT,
} from "./numbers.js";
import type { PeeledStream } from "./peeled.js";
import { type EventMessage, ReceiveList } from "./receive-list.js";
import { keepUnread } from "./recvmsg.js";
import { SocketSettings } from "./settings.js";
import { NO_STREAM, StreamIds } from "./stream-ids.js";
import type { MessageTls } from "./tls-messages.js";
import { connectionClose, connectionIdInfo, type Of, streamMaxData, streamUpdate } from "./structs.js";

/** Details that decide when a blocked call goes on, whatever events are wanted. */
const WAKING_DETAILS = DETAIL_STREAM_LIMIT | DETAIL_STREAM_CREDIT;
/** Send memory in windows, where the program does not set it: Linux's sk_sndbuf. Each stream takes 4 KiB at least. */
const SEND_BUFFER_WINDOWS = 4;
const MIN_SEND_BUFFER_BYTES = 2 ** 20;
const RECEIVE_BUFFER_WINDOWS = 4;
/** What the peer's stateless reset reads as in CONNECTION_CLOSE. */
const STATELESS_RESET_ERRCODE = 0x100;

export type SocketState =
  | typeof QUIC_SS_CLOSED
  | typeof QUIC_SS_LISTENING
  | typeof QUIC_SS_ESTABLISHING
  | typeof QUIC_SS_ESTABLISHED;
export type CloseValue = Of<typeof connectionClose>;

/** A transport and what the socket needs beyond it. */
export interface Attached {
  readonly transport: Transport;
  readonly details: DetailTransport;
  readonly ids: StreamIds;
}

export class QuicSock implements TransportHandler {
  state: SocketState = QUIC_SS_CLOSED;
  readonly settings = new SocketSettings();
  readonly events = new EventMask();
  readonly list = new ReceiveList();
  alpn: readonly string[] = [];
  token: Uint8Array = new Uint8Array(0);
  /** Set by the program: a client's session data, a server's key. */
  ticket: Uint8Array = new Uint8Array(0);
  /** What the server gave for the next connection; empty before. */
  newTicket: Uint8Array = new Uint8Array(0);
  /** What `close` and `shutdown` will say. */
  readonly closeWith: CloseValue = connectionClose.decode(new Uint8Array(0));
  /** What the peer said; zeros before. */
  readonly peerClose: CloseValue = connectionClose.decode(new Uint8Array(0));
  /** SO_SNDBUF, bytes of memory; 0 = four congestion windows, 1 MiB at least. */
  sendBufferBytes = 0;
  /** SO_RCVBUF, bytes; 0 = four times max_data. */
  receiveBufferBytes = 0;
  /** The handshake, where the program does it by messages. */
  tls: MessageTls | null = null;
  /** Called when something may have changed for a call that waits. */
  onWake: (() => void) | null = null;
  /** Called when the handshake is confirmed (RFC 9001 §4.1.2). */
  onConfirmed: (() => void) | null = null;
  /** The id of ours that the program last named as `active` in CONNECTION_ID. */
  sourceActive = 0;
  /** Streams that have a descriptor of their own. */
  readonly peeled = new Map<number, PeeledStream>();
  /** Of these, those whose last send found no room. */
  readonly blocked = new Set<PeeledStream>();
  /** Error codes of our resets whose acknowledgement is to be told. */
  readonly resetCodes = new Map<number, number>();
  private bound: Attached | null = null;
  /** Streams of which RECV was told, so that it is told once. */
  private readonly begun = new Set<number>();

  /** Accepted, or listening. */
  isServer = false;

  /** The connection of this socket; from then on it is ESTABLISHING or ESTABLISHED. */
  attach(transport: Transport, details: DetailTransport): void {
    this.bound = { transport, details, ids: new StreamIds(transport, details) };
    this.state = transport.handshake === null ? QUIC_SS_ESTABLISHING : QUIC_SS_ESTABLISHED;
    this.watch();
  }

  /** Null before there is a connection. */
  get attached(): Attached | null {
    return this.bound;
  }

  /** 0 or -EINVAL. */
  setEvent(type: number, on: boolean): number {
    const result = this.events.set(type, on);
    this.watch();
    return result;
  }

  /** Bytes of streams and datagrams that wait to be read. */
  get readableBytes(): number {
    let bytes = 0;
    for (const item of this.list.data) {
      if (item.kind === "datagram") bytes += item.bytes.length - item.offset;
      else bytes += (item.peeked?.length ?? 0) + (item.ended ? 0 : (this.bound?.transport.readable(item.id) ?? 0));
    }
    return bytes;
  }

  /** Send memory that is left, bytes. */
  get sendRoomBytes(): number {
    if (this.bound === null) return 0;
    return Math.max(0, this.sendMemoryBytes - this.bound.details.sendHeldBytes);
  }

  /** Send memory in all, bytes. */
  get sendMemoryBytes(): number {
    if (this.sendBufferBytes > 0) return this.sendBufferBytes;
    return Math.max(MIN_SEND_BUFFER_BYTES, SEND_BUFFER_WINDOWS * (this.bound?.details.cwndBytes ?? 0));
  }

  /** Memory for datagrams that nobody has read, bytes: Linux's sk_rcvbuf. */
  get receiveMemoryBytes(): number {
    return this.receiveBufferBytes > 0
      ? this.receiveBufferBytes
      : RECEIVE_BUFFER_WINDOWS * this.settings.params.max_data;
  }

  /** A TLS message of the peer's, QUIC_CRYPTO_* level; who sends without end ends the connection. */
  onHandshakeMessage(level: number, bytes: Uint8Array): void {
    this.list.pushHandshake(level, bytes);
    if (this.list.handshakeBytes > MAX_SOCKET_HANDSHAKE_BYTES) {
      this.bound?.transport.close("transport", BigInt(CRYPTO_BUFFER_EXCEEDED), "TLS messages that nobody reads");
    }
    this.wake();
  }

  /** An event was read. */
  dropEvent(event: EventMessage): void {
    this.list.dropEvent(event);
    if (this.list.eventCount === MAX_SOCKET_EVENTS / 2) this.bound?.details.holdStreams(false);
  }

  /** POLL* bits; `hasRequest`: a listener has a connection to accept. */
  poll(hasRequest: boolean): number {
    if (this.state === QUIC_SS_LISTENING) return hasRequest ? POLLIN : 0;
    if (this.state === QUIC_SS_CLOSED) return POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR;
    const isWritable = this.sendRoomBytes > 0 && (this.bound?.details.creditBytes ?? 0) > 0;
    return (this.list.isEmpty ? 0 : POLLIN) | (isWritable ? POLLOUT : 0);
  }

  /** The program is done with the connection: it reads CLOSED from now on. */
  markClosed(): void {
    this.state = QUIC_SS_CLOSED;
    this.wakeAll();
  }

  // --- the transport -------------------------------------------------------------------------------------------------

  onHandshake(): void {
    if (this.state === QUIC_SS_ESTABLISHING) this.state = QUIC_SS_ESTABLISHED;
    this.wake();
  }

  /** The connection says so by itself only when it has had its turn. */
  onTlsComplete(): void {
    this.onHandshake();
  }

  onHandshakeConfirmed(): void {
    this.onConfirmed?.();
  }

  onStream(id: number): void {
    this.noteBegun(id);
  }

  onReadable(id: number): void {
    this.noteBegun(id);
    if (!this.peeled.has(id)) this.list.pushStream(id);
    const stream = this.bound?.details.stream(id);
    if (stream?.recvState === RECV_STATE_RECEIVED) {
      this.streamUpdate(id, QUIC_STREAM_RECV_STATE_RECVD, 0, stream.recvFinalSize);
    }
    this.wake(id);
  }

  onWritable(id: number): void {
    this.wake(id);
  }

  onReset(id: number, code: bigint): void {
    this.list.takeStream(id);
    this.peeled.get(id)?.onReset();
    const finalSize = this.bound?.details.stream(id)?.recvFinalSize ?? 0;
    this.streamUpdate(id, QUIC_STREAM_RECV_STATE_RESET_RECVD, Number(code), finalSize);
    this.wake();
  }

  onStopSending(id: number, code: bigint): void {
    this.bound?.ids.forget(id);
    const sentBytes = this.bound?.details.stream(id)?.sentBytes ?? 0;
    this.streamUpdate(id, QUIC_STREAM_SEND_STATE_RESET_SENT, Number(code), sentBytes);
    this.wake(id);
  }

  onSendDone(id: number): void {
    const sentBytes = this.bound?.details.stream(id)?.sentBytes ?? 0;
    this.streamUpdate(id, QUIC_STREAM_SEND_STATE_RECVD, 0, sentBytes);
    this.wake(id);
  }

  onStreamClosed(id: number): void {
    this.begun.delete(id);
    this.bound?.ids.forget(id);
    this.wake(id);
  }

  onStreamsAvailable(): void {
    this.wake();
  }

  /** The library's message, which the kernel hands on as it is. */
  onTicket(bytes: Uint8Array): void {
    if (this.newTicket.length > 0) return; // as in Linux, the first one counts
    this.newTicket = bytes;
    this.tell(QUIC_EVENT_NEW_SESSION_TICKET, "", bytes);
    this.wake();
  }

  onNewToken(bytes: Uint8Array): void {
    this.token = bytes.slice(TOKEN_HEADER_BYTES);
    this.tell(QUIC_EVENT_NEW_TOKEN, "", this.token);
    this.wake();
  }

  onDatagram(bytes: Uint8Array): void {
    if (this.list.pushDatagram(bytes, this.receiveMemoryBytes)) this.wake();
  }

  readonly onDatagramFate = NOBODY.onDatagramFate;

  /** What moved: a client itself, or its server to the address that this prefers; from there both look at it the other way. */
  onPathValidation({ result, preferred, socket, oldSocket }: PathValidation): void {
    const isLocal = this.bound?.transport.isServer === true ? socket !== oldSocket : !preferred;
    if (result === "success") this.tell(QUIC_EVENT_CONNECTION_MIGRATION, "", Uint8Array.of(Number(isLocal)));
    this.wake();
  }

  readonly onKeylog = NOBODY.onKeylog;

  onDetail(detail: number, id: number, value: number): void {
    this.wake(id);
    switch (detail) {
      case DETAIL_STREAM_CREDIT:
        this.tell(QUIC_EVENT_STREAM_MAX_DATA, `${id}`, streamMaxData.encode({ id, max_data: value }));
        return;
      case DETAIL_STREAM_LIMIT:
        this.tell(QUIC_EVENT_STREAM_MAX_STREAM, `${id}`, this.lastStreamId(id, value));
        return;
      case DETAIL_SIZE_KNOWN:
        this.streamUpdate(id, QUIC_STREAM_RECV_STATE_SIZE_KNOWN, 0, value);
        return;
      case DETAIL_RESET_ACKED:
        this.streamUpdate(id, QUIC_STREAM_SEND_STATE_RESET_RECVD, this.resetCodes.get(id) ?? 0, value);
        this.resetCodes.delete(id);
        return;
      case DETAIL_LOCAL_IDS:
      case DETAIL_PEER_IDS: {
        const dest = Number(detail === DETAIL_PEER_IDS);
        this.tell(
          QUIC_EVENT_CONNECTION_ID,
          `${dest}`,
          connectionIdInfo.encode({ dest, active: value, prior_to: value }),
        );
        return;
      }
      case DETAIL_KEY_PHASE:
        this.tell(QUIC_EVENT_KEY_UPDATE, "", Uint8Array.of(value));
    }
  }

  onClosed(info: CloseInfo): void {
    this.state = QUIC_SS_CLOSED;
    keepUnread(this);
    Object.assign(this.peerClose, closeValue(info));
    if (info.remote || info.type !== "application") {
      this.tell(QUIC_EVENT_CONNECTION_CLOSE, "", connectionClose.encode(this.peerClose));
    }
    this.wakeAll();
  }

  // --- inside ----------------------------------------------------------------------------------------------------------

  private watch(): void {
    this.bound?.details.watch(this.events.details | WAKING_DETAILS);
  }

  /** Something happened, to this stream if there is one: for calls on the socket, on that stream, and on those that wait for room. */
  private wake(id = NO_STREAM): void {
    this.onWake?.();
    if (this.peeled.size === 0) return;
    this.peeled.get(id)?.wake();
    if (this.blocked.size === 0) return;
    const waiting = [...this.blocked];
    this.blocked.clear();
    for (const stream of waiting) stream.wake();
  }

  private wakeAll(): void {
    this.onWake?.();
    for (const stream of this.peeled.values()) stream.wake();
  }

  private noteBegun(id: number): void {
    if (!this.events.has(QUIC_EVENT_STREAM_UPDATE) || this.begun.has(id)) return;
    this.begun.add(id);
    this.streamUpdate(id, QUIC_STREAM_RECV_STATE_RECV, 0, 0);
  }

  private streamUpdate(id: number, state: number, errcode: number, finalsz: number): void {
    this.tell(QUIC_EVENT_STREAM_UPDATE, `${id} ${state}`, streamUpdate.encode({ id, state, errcode, finalsz }));
  }

  /** MAX_STREAMS as the id of the last stream that may be opened. */
  private lastStreamId(kind: number, count: number): Uint8Array {
    const bytes = new Uint8Array(8);
    const type = (kind === STREAM_UNI ? 2 : 0) + (this.bound?.transport.isServer === true ? 1 : 0);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(4 * (count - 1) + type), true);
    return bytes;
  }

  private tell(type: number, what: string, payload: Uint8Array): void {
    if (!this.events.has(type)) return;
    this.list.pushEvent(`${type} ${what}`, eventBytes(type, payload));
    if (this.list.eventCount >= MAX_SOCKET_EVENTS) this.bound?.details.holdStreams(true);
  }
}

/** How an end reads in QUIC_SOCKOPT_CONNECTION_CLOSE: zeros for an idle timeout. */
function closeValue(info: CloseInfo): CloseValue {
  const phrase = new Uint8Array(64);
  if (info.type === "idle-timeout") return { errcode: 0, frame: 0, phrase };
  if (info.type === "stateless-reset") return { errcode: STATELESS_RESET_ERRCODE, frame: 0, phrase };
  phrase.set(latin1Bytes(info.reason).subarray(0, 63));
  return { errcode: Number(BigInt.asUintN(32, info.code)), frame: info.frameType & 0xff, phrase };
}
