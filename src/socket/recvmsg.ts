/** `recvmsg` without waiting: the next message of the receive list, or a negative errno. */

import { concatBytes } from "../base/bytes.js";
import { T_RESET, T_STATE, type Transport } from "../port/transport.js";
import { EAGAIN, ENOTCONN } from "./errno.js";
import type { InMessage } from "./message.js";
import {
  MSG_EOR,
  MSG_PEEK,
  MSG_QUIC_DATAGRAM,
  MSG_QUIC_NOTIFICATION,
  MSG_QUIC_STREAM_FIN,
  QUIC_SS_CLOSED,
  QUIC_SS_LISTENING,
} from "./numbers.js";
import type { Message, StreamItem } from "./receive-list.js";
import type { QuicSock } from "./sock.js";

/**
 * Up to `maxBytes` bytes. Results below 0: -EAGAIN, and -ENOTCONN on a socket that listens, or that is closed with
 * nothing left to read. With MSG_PEEK the message stays.
 */
export function recvmsg(sock: QuicSock, maxBytes: number, flags: number): InMessage | number {
  if (sock.state === QUIC_SS_LISTENING) return -ENOTCONN;
  const { list } = sock;
  const isPeek = (flags & MSG_PEEK) !== 0;
  const [handshake] = list.handshake;
  if (handshake !== undefined) {
    const part = take(handshake, maxBytes, isPeek, () => list.shiftHandshake());
    return { ...part, handshake: { crypto_level: handshake.level } };
  }
  const event = list.firstEvent();
  if (event !== null) {
    const part = take(event, maxBytes, isPeek, () => sock.dropEvent(event));
    return { data: part.data, flags: part.flags | MSG_QUIC_NOTIFICATION };
  }
  for (let item = list.data[0]; item !== undefined; item = list.data[0]) {
    if (item.kind === "datagram") {
      const part = take(item, maxBytes, isPeek, () => list.dropData());
      return { data: part.data, flags: part.flags | MSG_QUIC_DATAGRAM };
    }
    const message = takeStream(sock, item, maxBytes, isPeek);
    if (message !== null) return message;
    list.dropData();
  }
  return sock.state === QUIC_SS_CLOSED ? -ENOTCONN : -EAGAIN;
}

/** A part of a message that is whole; MSG_EOR with its last byte. */
function take(message: Message, maxBytes: number, isPeek: boolean, drop: () => void): InMessage {
  const end = Math.min(message.bytes.length, message.offset + maxBytes);
  const data = message.bytes.slice(message.offset, end);
  const isAll = end === message.bytes.length;
  if (!isPeek) message.offset = end;
  if (!isPeek && isAll) drop();
  return { data, flags: isAll ? MSG_EOR : 0 };
}

/** What the stream has in order, with FIN when that is all there ever is; null when there is neither. */
function takeStream(
  { attached, list }: QuicSock,
  item: StreamItem,
  maxBytes: number,
  isPeek: boolean,
): InMessage | null {
  if (attached === null) return null;
  const { transport } = attached;
  const { id } = item;
  const part = readItem(transport, item, maxBytes, isPeek);
  if (part === null || (part.data.length === 0 && !part.fin && maxBytes > 0)) return null;
  if (!isPeek && item.peeked === null && transport.readable(id) === 0) list.dropData();
  const stream_flags = part.fin ? MSG_QUIC_STREAM_FIN : 0;
  return { data: part.data, flags: 0, stream: { stream_id: id, stream_flags } };
}

/** Up to `maxBytes` bytes, and whether nothing follows them; null after a reset. A peek leaves them. */
export function readItem(
  transport: Transport,
  item: StreamItem,
  maxBytes: number,
  isPeek: boolean,
): { data: Uint8Array; fin: boolean } | null {
  const data = readStream(transport, item, maxBytes);
  if (data === null) return null;
  item.ended ||= transport.atEnd(item.id); // it forgets the stream, so it is asked once
  const fin = item.ended && item.peeked === null;
  if (isPeek) item.peeked = item.peeked === null ? data : concatBytes(data, item.peeked);
  return { data, fin };
}

/** Takes out of the streams what was not read: the connection is about to forget them. */
export function keepUnread({ attached, list, peeled }: QuicSock): void {
  if (attached === null) return;
  for (const item of list.data) if (item.kind === "stream") takeAll(attached.transport, item);
  for (const stream of peeled.values()) stream.keepUnread();
}

export function takeAll(transport: Transport, item: StreamItem): void {
  const data = readStream(transport, item, Infinity);
  item.ended ||= transport.atEnd(item.id);
  item.peeked = data === null || data.length === 0 ? null : data;
}

/** Null after a reset. What was looked at before comes first. */
function readStream(transport: Transport, item: StreamItem, maxBytes: number): Uint8Array | null {
  const before = item.peeked ?? new Uint8Array(0);
  const fresh = new Uint8Array(Math.min(Math.max(0, maxBytes - before.length), transport.readable(item.id)));
  const length = transport.read(item.id, fresh, 0, fresh.length);
  const isGone = length === T_RESET || length === T_STATE;
  if (isGone && before.length === 0 && !item.ended) return null;
  const all = concatBytes(before, fresh.subarray(0, Math.max(0, length)));
  item.peeked = all.length > maxBytes ? all.slice(maxBytes) : null;
  return all.slice(0, maxBytes);
}
