/**
 * Which stream a message is for, and whether that opens one: the rules of `sendmsg` and STREAM_OPEN. The active stream is
 * the one that was opened last; messages that name none go there, until it is ended.
 *
 * Invariant: a call that is refused opens nothing.
 */

import { type DetailTransport, STREAM_BIDI, STREAM_UNI, type StreamKind, type Transport } from "../port/transport.js";
import { EAGAIN, EINVAL, ENOSTR, EPIPE } from "./errno.js";
import {
  MSG_QUIC_STREAM_NEW,
  MSG_QUIC_STREAM_SNDBLOCK,
  MSG_QUIC_STREAM_UNI,
  QUIC_STREAM_SEND_STATE_READY,
  QUIC_STREAM_TYPE_SERVER_MASK,
  QUIC_STREAM_TYPE_UNI_MASK,
} from "./numbers.js";

/** Names no stream: the active one, or with NEW the next. */
export const NO_STREAM = -1;

export class StreamIds {
  /** Opened last and not ended; NO_STREAM. */
  private active = NO_STREAM;

  get activeId(): number {
    return this.active;
  }

  constructor(
    private readonly transport: Transport,
    private readonly details: DetailTransport,
  ) {}

  /**
   * The stream to send on, opened now if `flags` has NEW: its id, or -EINVAL, -ENOSTR, -EPIPE, and -EAGAIN while the
   * peer allows no more streams.
   */
  resolve(given: number, flags: number): number {
    const isNew = (flags & MSG_QUIC_STREAM_NEW) !== 0;
    const kind = (flags & MSG_QUIC_STREAM_UNI) === 0 ? STREAM_BIDI : STREAM_UNI;
    const id = given !== NO_STREAM ? given : !isNew && this.active !== NO_STREAM ? this.active : this.nextId(kind);
    if (!Number.isSafeInteger(id) || id < 0) return -EINVAL;
    if (!this.isOurs(id)) return isNew ? -EINVAL : this.ofPeer(id);
    return indexOf(id) < this.details.opened(kindOf(id), false) ? this.known(id, isNew) : this.open(id, flags);
  }

  /** STREAM_OPEN: opens `given`, or with NO_STREAM the next id; -EINVAL for one that is open. Else as `resolve`. */
  openNew(given: number, flags: number): number {
    const kind = (flags & MSG_QUIC_STREAM_UNI) === 0 ? STREAM_BIDI : STREAM_UNI;
    const id = given !== NO_STREAM ? given : this.nextId(kind);
    if (!Number.isSafeInteger(id) || id < 0 || !this.isOurs(id)) return -EINVAL;
    if (indexOf(id) >= this.details.opened(kindOf(id), false)) return this.open(id, flags | MSG_QUIC_STREAM_NEW);
    return this.details.stream(id) === null ? -ENOSTR : -EINVAL;
  }

  /** The half of a stream that is there to be read, or stopped: its id, or -EINVAL, -ENOSTR. */
  resolveRecv(id: number): number {
    if (this.isOurs(id) && isUni(id)) return -EINVAL;
    return this.existing(id);
  }

  /** The half of a stream that is there to be written, or reset: its id, or -EINVAL, -ENOSTR. */
  resolveSend(id: number): number {
    return this.isOurs(id) ? this.existing(id) : this.ofPeer(id);
  }

  /** The stream is ended or reset: messages without an id do not go there any more. */
  forget(id: number): void {
    if (this.active === id) this.active = NO_STREAM;
  }

  private isOurs(id: number): boolean {
    return ((id & QUIC_STREAM_TYPE_SERVER_MASK) !== 0) === this.transport.isServer;
  }

  private nextId(kind: StreamKind): number {
    const type = (kind === STREAM_UNI ? QUIC_STREAM_TYPE_UNI_MASK : 0) | (this.transport.isServer ? 1 : 0);
    return 4 * this.details.opened(kind, false) + type;
  }

  private ofPeer(id: number): number {
    return isUni(id) ? -EINVAL : this.existing(id);
  }

  private existing(id: number): number {
    if (!Number.isSafeInteger(id) || id < 0) return -EINVAL;
    if (indexOf(id) >= this.details.opened(kindOf(id), !this.isOurs(id))) return -EINVAL;
    return this.details.stream(id) === null ? -ENOSTR : id;
  }

  private known(id: number, isNew: boolean): number {
    const state = this.details.stream(id)?.sendState;
    if (state === undefined) return -ENOSTR;
    return isNew && state !== QUIC_STREAM_SEND_STATE_READY ? -EINVAL : id;
  }

  /** Opens `id` and all lower ones of its type, or none. */
  private open(id: number, flags: number): number {
    if ((flags & MSG_QUIC_STREAM_NEW) === 0) return -EINVAL;
    const kind = kindOf(id);
    const count = indexOf(id) + 1 - this.details.opened(kind, false);
    if (count > this.details.openable(kind)) {
      // without 1-RTT keys the limit is a remembered one, and waiting would change nothing
      if (this.transport.handshake === null) return -EINVAL;
      // `open` tells the peer that we are blocked, if that is wanted, and us when we are no longer
      if ((flags & MSG_QUIC_STREAM_SNDBLOCK) !== 0 && this.details.openable(kind) === 0) this.transport.open(kind);
      return -EAGAIN;
    }
    for (let i = 0; i < count; i++) if (this.transport.open(kind) < 0) return -EPIPE;
    this.active = id;
    return id;
  }
}

function isUni(id: number): boolean {
  return (id & QUIC_STREAM_TYPE_UNI_MASK) !== 0;
}

function kindOf(id: number): StreamKind {
  return isUni(id) ? STREAM_UNI : STREAM_BIDI;
}

function indexOf(id: number): number {
  return Math.floor(id / 4);
}
