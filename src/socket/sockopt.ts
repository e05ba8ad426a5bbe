/**
 * Socket options 0 to 15 as bytes of their structs, at level SOL_QUIC. Results below 0 are negative errno. Structs that
 * are shorter or longer than ours are taken as by `Struct.decode`.
 */

import { latin1Bytes } from "../base/bytes.js";
import { joinAlpnList, MAX_ALPN_LIST_BYTES, parseAlpnList } from "./alpn-list.js";
import { RECV_STATE_RECEIVED } from "../port/transport.js";
import { getConnectionIds, setConnectionIds } from "./connection-ids.js";
import { EAGAIN, EINVAL, ENOPROTOOPT, EPIPE } from "./errno.js";
import {
  QUIC_CRYPTO_INITIAL,
  QUIC_CRYPTO_MAX,
  QUIC_EVENT_STREAM_UPDATE,
  QUIC_SOCKOPT_ALPN,
  QUIC_SOCKOPT_CONFIG,
  QUIC_SOCKOPT_CONNECTION_CLOSE,
  QUIC_SOCKOPT_CONNECTION_ID,
  QUIC_SOCKOPT_CONNECTION_MIGRATION,
  QUIC_SOCKOPT_CRYPTO_SECRET,
  QUIC_SOCKOPT_EVENT,
  QUIC_SOCKOPT_KEY_UPDATE,
  QUIC_SOCKOPT_SESSION_TICKET,
  QUIC_SOCKOPT_STREAM_OPEN,
  QUIC_SOCKOPT_STREAM_PEELOFF,
  QUIC_SOCKOPT_STREAM_RESET,
  QUIC_SOCKOPT_STREAM_STOP_SENDING,
  QUIC_SOCKOPT_TOKEN,
  QUIC_SOCKOPT_TRANSPORT_PARAM,
  QUIC_SOCKOPT_TRANSPORT_PARAM_EXT,
  QUIC_SS_CLOSED,
  QUIC_SS_ESTABLISHED,
  QUIC_SS_ESTABLISHING,
  QUIC_SS_LISTENING,
  QUIC_STREAM_SEND_STATE_RECVD,
} from "./numbers.js";
import { type PeeledStream, peelOff } from "./peeled.js";
import type { TransportParamValue } from "./settings.js";
import type { QuicSock } from "./sock.js";
import {
  config,
  connectionClose,
  cryptoSecret,
  errInfo,
  eventOption,
  streamInfo,
  streamPeeloff,
  transportParam,
} from "./structs.js";
import { MAX_TICKET_BYTES } from "./tls-messages.js";
import { cipherOfType } from "./tls-numbers.js";

/** What options do that a socket cannot do alone. Results are 0 or a negative errno. */
export interface SockOps {
  /** The peer's transport parameters; null before its hello. */
  peerParams(): TransportParamValue | null;
  /** Client, before its first TLS message: what it kept of the server's parameters, for 0-RTT. */
  restoreParams(value: TransportParamValue): number;
  /** Settings changed between `connect` or `accept` and the handshake; once that has begun they change nothing. */
  applySettings(): void;
  /** A descriptor for a stream. */
  open(stream: PeeledStream): number;
  /** Server: sends a NEW_TOKEN frame. */
  sendToken(): number;
  /** Server: the key for tickets of this client's address, 64 bytes, where the program set none. */
  ticketKey(): Uint8Array;
  /** Binds another local address and goes there; as a server before the handshake, announces it (preferred_address). */
  migrate(sockaddr: Uint8Array): number;
}

const MAX_OPTION_BYTES = 4096;
const MAX_TOKEN_BYTES = 120;
const MIN_TICKET_BYTES = 64;
const MAX_PARAM_EXT_BYTES = 512;

type Setter = (sock: QuicSock, value: Uint8Array, ops: SockOps) => number;
type Getter = (sock: QuicSock, value: Uint8Array, ops: SockOps) => Uint8Array | number;

const SETTERS: Readonly<Record<number, Setter>> = {
  [QUIC_SOCKOPT_EVENT]: setEvent,
  [QUIC_SOCKOPT_STREAM_RESET]: resetStream,
  [QUIC_SOCKOPT_STREAM_STOP_SENDING]: stopSending,
  [QUIC_SOCKOPT_CONNECTION_ID]: setConnectionIds,
  [QUIC_SOCKOPT_CONNECTION_CLOSE]: setClose,
  [QUIC_SOCKOPT_CONNECTION_MIGRATION]: (sock, value, ops) =>
    sock.state === QUIC_SS_CLOSED || sock.state === QUIC_SS_LISTENING ? -EPIPE : ops.migrate(value),
  [QUIC_SOCKOPT_KEY_UPDATE]: updateKey,
  [QUIC_SOCKOPT_TRANSPORT_PARAM]: setParams,
  [QUIC_SOCKOPT_CONFIG]: (sock, value, ops) =>
    applied(sock, ops, sock.state === QUIC_SS_ESTABLISHED ? -EINVAL : sock.settings.setConfig(config.decode(value))),
  [QUIC_SOCKOPT_TOKEN]: setToken,
  [QUIC_SOCKOPT_ALPN]: setAlpn,
  [QUIC_SOCKOPT_SESSION_TICKET]: setTicket,
  [QUIC_SOCKOPT_CRYPTO_SECRET]: setSecret,
  [QUIC_SOCKOPT_TRANSPORT_PARAM_EXT]: (sock, value) =>
    sock.state === QUIC_SS_ESTABLISHING && value.length <= MAX_PARAM_EXT_BYTES ? 0 : -EINVAL,
};

const GETTERS: Readonly<Record<number, Getter>> = {
  [QUIC_SOCKOPT_EVENT]: (sock, value) => {
    const { type } = eventOption.decode(value);
    const on = sock.events.get(type);
    return on < 0 ? on : eventOption.encode({ type, on });
  },
  [QUIC_SOCKOPT_STREAM_OPEN]: openStream,
  [QUIC_SOCKOPT_CONNECTION_ID]: getConnectionIds,
  [QUIC_SOCKOPT_CONNECTION_CLOSE]: (sock) =>
    connectionClose.encode(sock.state === QUIC_SS_CLOSED ? sock.peerClose : sock.closeWith),
  [QUIC_SOCKOPT_TRANSPORT_PARAM]: getParams,
  [QUIC_SOCKOPT_CONFIG]: (sock) => config.encode(sock.settings.config),
  [QUIC_SOCKOPT_TOKEN]: (sock) => (sock.isServer ? -EINVAL : sock.token),
  [QUIC_SOCKOPT_ALPN]: (sock) => latin1Bytes(joinAlpnList(sock.alpn)),
  [QUIC_SOCKOPT_SESSION_TICKET]: getTicket,
  [QUIC_SOCKOPT_STREAM_PEELOFF]: peelOffStream,
  [QUIC_SOCKOPT_TRANSPORT_PARAM_EXT]: (sock) =>
    sock.state === QUIC_SS_ESTABLISHING && sock.tls !== null ? sock.tls.transportParams : -EINVAL,
};

/** 0, or -ENOPROTOOPT for an option that is none or cannot be set, -EINVAL and others as each says. */
export function setsockopt(sock: QuicSock, name: number, value: Uint8Array, ops: SockOps): number {
  if (value.length > MAX_OPTION_BYTES) return -EINVAL;
  return SETTERS[name]?.(sock, value, ops) ?? -ENOPROTOOPT;
}

/** Bytes of the option; `value` is what the caller filled in, for options that are asked a question. */
export function getsockopt(sock: QuicSock, name: number, value: Uint8Array, ops: SockOps): Uint8Array | number {
  if (value.length > MAX_OPTION_BYTES) return -EINVAL;
  return GETTERS[name]?.(sock, value, ops) ?? -ENOPROTOOPT;
}

function setEvent(sock: QuicSock, value: Uint8Array): number {
  const { type, on } = eventOption.decode(value);
  return sock.setEvent(type, on !== 0);
}

function openStream(sock: QuicSock, value: Uint8Array): Uint8Array | number {
  if (sock.state === QUIC_SS_CLOSED || sock.state === QUIC_SS_LISTENING || sock.attached === null) return -EPIPE;
  const { stream_id, stream_flags } = streamInfo.decode(value);
  const id = sock.attached.ids.openNew(stream_id, stream_flags);
  return id < 0 ? id : streamInfo.encode({ stream_id: id, stream_flags });
}

function resetStream(sock: QuicSock, value: Uint8Array): number {
  const { stream_id, errcode } = errInfo.decode(value);
  if (sock.state !== QUIC_SS_ESTABLISHED || sock.attached === null) return -EINVAL;
  const { ids, details, transport } = sock.attached;
  const id = ids.resolveSend(stream_id);
  if (id < 0) return id;
  if ((details.stream(id)?.sendState ?? 0) >= QUIC_STREAM_SEND_STATE_RECVD) return -EINVAL;
  if (!transport.reset(id, BigInt(errcode))) return -EINVAL;
  ids.forget(id);
  if (sock.events.has(QUIC_EVENT_STREAM_UPDATE)) sock.resetCodes.set(id, errcode);
  return 0;
}

function stopSending(sock: QuicSock, value: Uint8Array): number {
  const { stream_id, errcode } = errInfo.decode(value);
  if (sock.state !== QUIC_SS_ESTABLISHED || sock.attached === null) return -EINVAL;
  const { ids, details, transport } = sock.attached;
  const id = ids.resolveRecv(stream_id);
  if (id < 0) return id;
  const stream = details.stream(id);
  if (stream === null || stream.recvState >= RECV_STATE_RECEIVED) return -EINVAL;
  if (stream.stopped) return -EAGAIN;
  sock.list.takeStream(id);
  return transport.stopSending(id, BigInt(errcode)) ? 0 : -EINVAL;
}

function peelOffStream(sock: QuicSock, value: Uint8Array, ops: SockOps): Uint8Array | number {
  const { stream_id, flags } = streamPeeloff.decode(value);
  const stream = peelOff(sock, stream_id, flags);
  return typeof stream === "number" ? stream : streamPeeloff.encode({ stream_id, flags, sd: ops.open(stream) });
}

function setClose(sock: QuicSock, value: Uint8Array): number {
  const { errcode, phrase } = connectionClose.decode(value);
  if (phrase.indexOf(0) < 0) return -EINVAL;
  Object.assign(sock.closeWith, { errcode, frame: 0, phrase });
  return 0;
}

function updateKey({ state, attached }: QuicSock): number {
  if (state !== QUIC_SS_ESTABLISHED || attached === null) return -EPIPE;
  if (attached.details.isUpdatingKeys) return -EINVAL;
  return attached.transport.updateKeys() ? 0 : -EPIPE;
}

function setParams(sock: QuicSock, value: Uint8Array, ops: SockOps): number {
  const given = transportParam.decode(value);
  if (given.remote !== 0) return sock.state === QUIC_SS_ESTABLISHING ? ops.restoreParams(given) : -EINVAL;
  return applied(sock, ops, sock.state === QUIC_SS_ESTABLISHED ? -EINVAL : sock.settings.setParams(given));
}

function applied(sock: QuicSock, ops: SockOps, result: number): number {
  if (result === 0 && sock.state === QUIC_SS_ESTABLISHING) ops.applySettings();
  return result;
}

function getParams(sock: QuicSock, value: Uint8Array, ops: SockOps): Uint8Array | number {
  if (transportParam.decode(value).remote === 0) return transportParam.encode(sock.settings.params);
  const peer = ops.peerParams() ?? transportParam.decode(new Uint8Array(0));
  return transportParam.encode({ ...peer, remote: 1 });
}

function setToken(sock: QuicSock, value: Uint8Array, ops: SockOps): number {
  if (sock.isServer) return sock.state === QUIC_SS_ESTABLISHED && value.length === 0 ? ops.sendToken() : -EINVAL;
  if (value.length === 0 || value.length > MAX_TOKEN_BYTES) return -EINVAL;
  sock.token = value.slice();
  return 0;
}

function setAlpn(sock: QuicSock, value: Uint8Array): number {
  if (sock.state === QUIC_SS_LISTENING || value.length === 0 || value.length > MAX_ALPN_LIST_BYTES) return -EINVAL;
  const names = parseAlpnList(String.fromCharCode(...value));
  if (names === null) return -EINVAL;
  sock.alpn = names;
  return 0;
}

function setTicket(sock: QuicSock, value: Uint8Array): number {
  if (value.length < MIN_TICKET_BYTES || value.length > MAX_TICKET_BYTES) return -EINVAL;
  sock.ticket = value.slice();
  return 0;
}

/** A client's: the session data that it set, then what the server gave. A server's: the key that tickets are sealed with. */
function getTicket(sock: QuicSock, value: Uint8Array, ops: SockOps): Uint8Array | number {
  const { state, attached } = sock;
  if (sock.isServer && (state === QUIC_SS_LISTENING || state === QUIC_SS_CLOSED)) return -EPIPE;
  const hasSession = !sock.isServer && attached !== null && attached.transport.handshake !== null;
  const set = sock.isServer && sock.ticket.length === 0 ? ops.ticketKey() : sock.ticket;
  const ticket = hasSession ? sock.newTicket : set;
  return value.length > 0 && value.length < ticket.length ? -EINVAL : ticket;
}

function setSecret(sock: QuicSock, value: Uint8Array): number {
  const { send, level, type, secret } = cryptoSecret.decode(value);
  const cipher = cipherOfType(type);
  const isLevel = level !== QUIC_CRYPTO_INITIAL && level < QUIC_CRYPTO_MAX;
  if (sock.state !== QUIC_SS_ESTABLISHING || sock.tls === null || cipher === undefined || !isLevel) return -EINVAL;
  const { aead, secretBytes } = cipher;
  return sock.tls.setSecret(level, send === 0 ? "read" : "write", aead, secret.subarray(0, secretBytes)) ? 0 : -EINVAL;
}
