/** `sendmsg` without waiting: how many bytes were taken, or a negative errno. The checks have Linux's order. */

import { T_CLOSED } from "../port/transport.js";
import { EAGAIN, EINVAL, EMSGSIZE, ENOSPC, EPIPE } from "./errno.js";
import type { OutMessage } from "./message.js";
import {
  MSG_BATCH,
  MSG_DONTWAIT,
  MSG_MORE,
  MSG_NOSIGNAL,
  MSG_QUIC_DATAGRAM,
  MSG_QUIC_STREAM_DONTWAIT,
  MSG_QUIC_STREAM_FIN,
  MSG_QUIC_STREAM_NEW,
  MSG_QUIC_STREAM_SNDBLOCK,
  MSG_QUIC_STREAM_UNI,
  MSG_WAITALL,
  QUIC_CRYPTO_EARLY,
  QUIC_SS_CLOSED,
  QUIC_SS_LISTENING,
  QUIC_STREAM_SEND_STATE_SENT,
} from "./numbers.js";
import type { Attached, QuicSock } from "./sock.js";
import { NO_STREAM } from "./stream-ids.js";

/** Those of a stream, in a control message or in the call. */
export const STREAM_FLAGS =
  MSG_QUIC_STREAM_NEW | MSG_QUIC_STREAM_FIN | MSG_QUIC_STREAM_UNI | MSG_QUIC_STREAM_DONTWAIT | MSG_QUIC_STREAM_SNDBLOCK;
const SEND_FLAGS = STREAM_FLAGS | MSG_QUIC_DATAGRAM | MSG_BATCH | MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITALL;
const NO_BYTES = new Uint8Array(0);

/**
 * Results below 0: -EINVAL (flags, ids, states), -EPIPE (closed or listening), -EMSGSIZE, -ENOSTR (a stream that is
 * over), -EAGAIN, and -ENOSPC where a message that names its stream is out of flow credit, so that the caller may take
 * another one. A message may be taken in part; FIN counts with its last byte.
 */
export function sendmsg(sock: QuicSock, message: OutMessage): number {
  const { flags, stream, handshake } = message;
  if ((flags & ~SEND_FLAGS) !== 0) return -EINVAL;
  if (sock.state === QUIC_SS_CLOSED || sock.state === QUIC_SS_LISTENING || sock.attached === null) return -EPIPE;
  if (stream !== undefined && (stream.stream_flags & ~STREAM_FLAGS) !== 0) return -EINVAL;
  if (handshake !== undefined) return sendHandshake(sock, handshake.crypto_level, message);
  if (stream === undefined && (flags & MSG_QUIC_DATAGRAM) !== 0) return sendDatagram(sock, sock.attached, message.data);
  return sendNamed(sock, sock.attached, message);
}

function sendHandshake(sock: QuicSock, level: number, { data, flags }: OutMessage): number {
  if (level >= QUIC_CRYPTO_EARLY || sock.tls === null) return -EINVAL;
  if (data.length === 0) return -EMSGSIZE;
  return sock.tls.send(level, data, (flags & MSG_MORE) !== 0) ? data.length : -EINVAL;
}

function sendDatagram(sock: QuicSock, { transport }: Attached, data: Uint8Array): number {
  const { maxBytes } = transport.datagrams;
  if (maxBytes === 0) return -EINVAL;
  if (data.length === 0 || data.length > Math.min(maxBytes, sock.sendMemoryBytes)) return -EMSGSIZE;
  return transport.datagrams.send(data.slice()) === T_CLOSED ? -EPIPE : data.length;
}

function sendNamed(sock: QuicSock, attached: Attached, { data, flags, stream }: OutMessage): number {
  const streamFlags = stream?.stream_flags ?? flags & STREAM_FLAGS;
  const fin = (streamFlags & MSG_QUIC_STREAM_FIN) !== 0;
  if (data.length === 0 && !fin) return -EMSGSIZE;
  const id = attached.ids.resolve(stream?.stream_id ?? NO_STREAM, streamFlags);
  if (id < 0) return id;
  if (sock.peeled.has(id)) return -EINVAL;
  const taken = sendStream(sock, attached, id, data, flags, fin);
  return taken === -ENOSPC && stream === undefined ? -EAGAIN : taken;
}

/** On a stream that is open; of `flags` MSG_MORE counts. Results below 0 as of `sendmsg`. */
export function sendStream(
  sock: QuicSock,
  { transport, details, ids }: Attached,
  id: number,
  data: Uint8Array,
  flags: number,
  fin: boolean,
): number {
  details.setDelay(sock.settings.config.stream_data_nodelay === 0, (flags & MSG_MORE) !== 0);
  const state = details.stream(id);
  const mayWrite = transport.write(id, NO_BYTES, 0, 0, false);
  if (mayWrite === T_CLOSED) return -EPIPE;
  if (mayWrite < 0 || state === null || state.sendState >= QUIC_STREAM_SEND_STATE_SENT) return -EINVAL;
  const roomBytes = sock.sendRoomBytes;
  if (data.length > 0 && roomBytes === 0) {
    details.wantRoom();
    return -EAGAIN;
  }
  if (data.length > 0 && state.creditBytes === 0) return -ENOSPC;
  const end = Math.min(data.length, roomBytes, state.creditBytes);
  const isLast = fin && end === data.length;
  const taken = transport.write(id, data, 0, end, isLast);
  if (roomBytes < data.length) details.wantRoom();
  if (taken < data.length) return taken > 0 ? taken : -EAGAIN;
  if (fin) ids.forget(id);
  return taken;
}
