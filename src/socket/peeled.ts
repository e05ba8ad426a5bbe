/**
 * One stream of a socket as a descriptor of its own (STREAM_PEELOFF): bytes without control messages, and halves that end
 * separately. What the stream had in the socket's receive list moves here, what comes later goes past that list.
 *
 * Invariant: a stream is read and written through one descriptor only, the socket's or this one.
 */

import { EAGAIN, ECONNRESET, EINVAL, ENOSPC, EPIPE } from "./errno.js";
import {
  MSG_BATCH,
  MSG_DONTWAIT,
  MSG_MORE,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_WAITALL,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  QUIC_SS_CLOSED,
  QUIC_SS_ESTABLISHED,
  QUIC_STREAM_SEND_STATE_SENT,
  QUIC_STREAM_TYPE_SERVER_MASK,
  QUIC_STREAM_TYPE_UNI_MASK,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
} from "./numbers.js";
import { readItem, takeAll } from "./recvmsg.js";
import type { StreamItem } from "./receive-list.js";
import { sendStream } from "./sendmsg.js";
import type { Attached, QuicSock } from "./sock.js";

const SEND_FLAGS = MSG_BATCH | MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITALL;
const NO_BYTES = new Uint8Array(0);

/** -EINVAL for flags that are none, and for a stream that is not open, is over, or has a descriptor already. */
export function peelOff(sock: QuicSock, id: number, flags: number): PeeledStream | number {
  const { attached, state, peeled } = sock;
  if (state !== QUIC_SS_ESTABLISHED || attached === null) return -EINVAL;
  if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0 || peeled.has(id)) return -EINVAL;
  const item = sock.list.takeStream(id);
  // what is left of a stream that the connection has forgotten is its unread end
  if (item === null && (!Number.isSafeInteger(id) || id < 0 || attached.details.stream(id) === null)) return -EINVAL;
  const stream = new PeeledStream(sock, attached, item ?? { kind: "stream", id, peeked: null, ended: false });
  peeled.set(id, stream);
  attached.ids.forget(id);
  return stream;
}

export class PeeledStream {
  /** Called when something may have changed for a call that waits. */
  onWake: (() => void) | null = null;
  readonly id: number;
  /** There is such a half at all. */
  readonly receives: boolean;
  readonly sends: boolean;
  /** This side is done with the half. */
  private readDone = false;
  private sendDone = false;
  private isReset = false;

  constructor(
    private readonly sock: QuicSock,
    private readonly attached: Attached,
    private readonly item: StreamItem,
  ) {
    this.id = item.id;
    const isUni = (this.id & QUIC_STREAM_TYPE_UNI_MASK) !== 0;
    const isOurs = ((this.id & QUIC_STREAM_TYPE_SERVER_MASK) !== 0) === attached.transport.isServer;
    this.receives = !isUni || !isOurs;
    this.sends = !isUni || isOurs;
  }

  /** How many bytes were taken, or -EINVAL (flags, no such half), -EPIPE (the half or the connection is over), -EAGAIN. */
  send(data: Uint8Array, flags: number): number {
    if ((flags & ~SEND_FLAGS) !== 0 || !this.sends) return -EINVAL;
    if (this.sendDone || this.sock.state === QUIC_SS_CLOSED) return -EPIPE;
    return data.length === 0 ? 0 : this.write(data, flags, false);
  }

  /**
   * Up to `maxBytes` bytes, none at the end of the stream. Below 0: -EINVAL (flags, no such half), -EAGAIN, -ECONNRESET (the
   * peer has reset the stream) and -EPIPE (the connection is over, and what had come was read).
   */
  recv(maxBytes: number, flags: number): Uint8Array | number {
    if ((flags & ~(MSG_PEEK | MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL)) !== 0 || !this.receives) return -EINVAL;
    if (this.readDone) return NO_BYTES;
    const part = readItem(this.attached.transport, this.item, maxBytes, (flags & MSG_PEEK) !== 0);
    if (part !== null && (part.data.length > 0 || part.fin || maxBytes === 0)) return part.data;
    if (this.isReset) return -ECONNRESET;
    return this.sock.state === QUIC_SS_CLOSED ? -EPIPE : -EAGAIN;
  }

  /** POLL* bits: what the stream has, and a connection that is over. */
  poll(): number {
    const { item, attached, sock } = this;
    if (sock.state === QUIC_SS_CLOSED) return POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR;
    item.ended ||= attached.transport.atEnd(this.id);
    const isOver = item.ended || this.isReset || this.readDone;
    const hasData = item.peeked !== null || attached.transport.readable(this.id) > 0;
    const details = attached.details.stream(this.id);
    const sendState = details?.sendState ?? QUIC_STREAM_SEND_STATE_SENT;
    const isSent = this.sendDone || sendState >= QUIC_STREAM_SEND_STATE_SENT;
    const hasRoom = (details?.creditBytes ?? 0) > 0 && sock.sendRoomBytes > 0;
    let bits = 0;
    if (this.receives && (hasData || isOver)) bits |= POLLIN;
    if (this.sends && (hasRoom || isSent)) bits |= POLLOUT;
    if (this.receives && isOver) bits |= POLLRDHUP;
    if ((isOver || !this.receives) && (isSent || !this.sends)) bits |= POLLHUP;
    if (this.isReset) bits |= POLLERR;
    return bits;
  }

  /** SHUT_WR ends what is sent with FIN, SHUT_RD tells the peer to stop, SHUT_RDWR both: 0, -EINVAL or -EPIPE. */
  shutdown(how: number): number {
    if (how !== SHUT_RD && how !== SHUT_WR && how !== SHUT_RDWR) return -EINVAL;
    if (this.sock.state === QUIC_SS_CLOSED) return -EPIPE;
    if (how !== SHUT_RD) this.endSending();
    if (how !== SHUT_WR) this.endReceiving();
    this.wake();
    return 0;
  }

  /** What was not sent is dropped, and the peer is told so: RESET_STREAM with code 0. */
  reset(): void {
    if (this.sends && !this.sendDone) this.attached.transport.reset(this.id, 0n);
    this.sendDone = true;
  }

  /** Both halves end, as far as they have not. */
  close(): void {
    if (this.sock.state !== QUIC_SS_CLOSED) this.shutdown(SHUT_RDWR);
    this.sock.peeled.delete(this.id);
    this.sock.blocked.delete(this);
    this.onWake = null;
  }

  // --- the socket ------------------------------------------------------------------------------------------------------

  wake(): void {
    this.onWake?.();
  }

  onReset(): void {
    this.isReset = true;
    this.item.peeked = null;
    this.wake();
  }

  /** The connection is about to forget the stream. */
  keepUnread(): void {
    takeAll(this.attached.transport, this.item);
    this.wake();
  }

  // --- inside ----------------------------------------------------------------------------------------------------------

  private write(data: Uint8Array, flags: number, fin: boolean): number {
    const taken = sendStream(this.sock, this.attached, this.id, data, flags, fin);
    if (taken >= 0 || taken === -EPIPE) return taken;
    if (taken !== -EAGAIN && taken !== -ENOSPC) return -EPIPE; // the peer has stopped it, or it is reset
    this.sock.blocked.add(this);
    return -EAGAIN;
  }

  private endSending(): void {
    if (!this.sends || this.sendDone) return;
    this.sendDone = true;
    this.write(NO_BYTES, 0, true);
  }

  private endReceiving(): void {
    if (!this.receives || this.readDone) return;
    this.readDone = true;
    if (!this.item.ended && !this.isReset) this.attached.transport.stopSending(this.id, 0n);
    this.item.peeked = null;
  }
}
