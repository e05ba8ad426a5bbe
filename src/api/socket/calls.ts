/**
 * The socket calls of Linux QUIC. They never wait, but for those that open a UDP port (`bind`, `listen`, `connect`), which are
 * promises, and done one after the other for a socket; what would wait throws EAGAIN. `promises` has the calls that wait.
 */

import type { SocketAddress } from "node:net";
import { ADDR_COLS } from "../../port/udp.js";
import { LOCAL_CID_BYTES, MAX_CID_BYTES, MIN_LOCAL_CID_BYTES } from "../../proto/limits.js";
import { isCryptoError } from "../../proto/transport-error.js";
import { isAnyAddress, isMappedIpv4, isMulticast, setAddressRow } from "../../runtime/address.js";
import { ConnectionDetails, EarlyTickets, sealPeerToken } from "../../runtime/loop.js";
import * as errno from "../../socket/errno.js";
import type { InMessage, OutMessage } from "../../socket/message.js";
import * as n from "../../socket/numbers.js";
import { recvmsg as receive } from "../../socket/recvmsg.js";
import { sendmsg as transmit } from "../../socket/sendmsg.js";
import { getsockopt as getOption, setsockopt as setOption } from "../../socket/sockopt.js";
import { socketAddress, localOf, remoteOf } from "../address.js";
import { hostPath } from "../hosted.js";
import { tryOtherFamily } from "../other-family.js";
import { connectionConfig } from "./connection-config.js";
import { addFile, anyFileOf, fileOf, removeFile, streamOf } from "./descriptors.js";
import { opsOf } from "./socket-ops.js";
import { getSocketLevel, setSocketLevel } from "./socket-level.js";
import { takePort } from "./shared-port.js";
import { SocketFile } from "./socket-file.js";
import { checked, socketError } from "./system-error.js";

export interface Address {
  /** Literal IPv4 or IPv6 address; `0.0.0.0` and `::` are any. */
  address: string;
  /** 0 = chosen by the system. */
  port: number;
}

export interface BindOptions extends Address {
  /** The Unix socket of a quic host that owns the port, default NETQUIC_HOST, `off` for none. */
  host?: string;
  /** Length of the connection ids of the port, 4 to 20: default what it has, 8 if it is new. A host wants 8. */
  connectionIdBytes?: number;
}

export interface EarlyOptions {
  /**
   * 0-RTT (RFC 9001 §4.6), for what may be done twice only: a replay looks like the first. A client with a SESSION_TICKET and
   * one protocol offers it, a server takes it, each ticket once. Default false.
   */
  earlyData?: boolean;
}

/** QUIC error APPLICATION_ERROR (RFC 9000 §20.1): a handshake that is given up. */
const APPLICATION_ERROR = 0x0cn;
/** How long `close` lets queued data leave, and how often it looks. */
const FLUSH_STEP_MILLIS = 5;
const FLUSH_STEPS = 600;

/** A new descriptor. @throws SocketError EAFNOSUPPORT, EPROTONOSUPPORT */
export function socket(family: number, type: number, protocol: number = n.IPPROTO_QUIC): number {
  if (family !== n.AF_INET && family !== n.AF_INET6) throw socketError("socket", -errno.EAFNOSUPPORT);
  const isType = type === n.SOCK_DGRAM || type === n.SOCK_STREAM;
  if (!isType || protocol !== n.IPPROTO_QUIC) throw socketError("socket", -errno.EPROTONOSUPPORT);
  return addFile(new SocketFile(family, type));
}

/**
 * Once for a socket. Rejects with EINVAL, EADDRINUSE, EACCES, EADDRNOTAVAIL, and ENOENT or ECONNREFUSED where no host
 * answers.
 */
export async function bind(sd: number, options: BindOptions): Promise<void> {
  const file = fileOf(sd, "bind");
  await file.inTurn("bind", () => bindTo(file, options, hostPath(options.host)));
}

async function bindTo(file: SocketFile, options: BindOptions, path: string | null): Promise<void> {
  const { address, port, connectionIdBytes: cidBytes } = options;
  const row = new Int32Array(ADDR_COLS);
  const isIpv4 = !address.includes(":");
  const isWrong = !setAddressRow(row, 0, address, port) || isMulticast(row, 0) || (file.isIpv4 && !isIpv4);
  if (file.port !== null || isWrong || !isCidLength(cidBytes, path)) {
    throw socketError("bind", -errno.EINVAL);
  }
  const shared = await takePort({ address, port, ipv6Only: file.ipv6Only, hostPath: path, cidBytes });
  if (file.port !== null || file.isClosed) {
    shared.release();
    throw socketError("bind", file.isClosed ? -errno.EBADF : -errno.EINVAL);
  }
  file.port = shared;
  file.local = socketAddress(address, shared.options.port);
}

function isCidLength(bytes: number | undefined, path: string | null): boolean {
  if (bytes === undefined || bytes === LOCAL_CID_BYTES) return true;
  return path === null && Number.isInteger(bytes) && bytes >= MIN_LOCAL_CID_BYTES && bytes <= MAX_CID_BYTES;
}

/** Begins to listen, or changes the backlog; 0 ends it. Rejects with EINVAL, and EADDRINUSE for a protocol that another has. */
export async function listen(sd: number, backlog: number, options: EarlyOptions = {}): Promise<void> {
  const file = fileOf(sd, "listen");
  await file.inTurn("listen", () => listenWith(file, backlog, options));
}

async function listenWith(file: SocketFile, backlog: number, { earlyData = false }: EarlyOptions): Promise<void> {
  const { sock } = file;
  const isListening = sock.state === n.QUIC_SS_LISTENING;
  if (sock.attached !== null || (backlog === 0 && !isListening)) throw socketError("listen", -errno.EINVAL);
  if (backlog === 0) {
    endListening(file);
    return;
  }
  if (!isListening) {
    if (file.port === null) await bindTo(file, anyAddress(file), hostPath(undefined));
    file.earlyTickets = earlyData ? new EarlyTickets() : null;
    const result = file.port?.listen(file) ?? -errno.EINVAL;
    checked("listen", typeof result === "number" ? result : await result);
    if (file.isClosed) throw socketError("listen", -errno.EBADF);
    sock.state = n.QUIC_SS_LISTENING;
    sock.isServer = true;
  }
  file.backlog = backlog;
}

/** The next connection, before its handshake. @throws SocketError EINVAL, EAGAIN */
export function accept(sd: number): number {
  const file = fileOf(sd, "accept");
  if (file.sock.state !== n.QUIC_SS_LISTENING) throw socketError("accept", -errno.EINVAL);
  const child = file.pending.shift();
  if (child === undefined) throw socketError("accept", -errno.EAGAIN);
  return addFile(child);
}

/** Sends nothing: the handshake begins with the program's first TLS message. Rejects with EINVAL and as `bind`. */
export async function connect(sd: number, to: Address, options: EarlyOptions = {}): Promise<void> {
  const file = fileOf(sd, "connect");
  await file.inTurn("connect", () => connectTo(file, to, options));
}

async function connectTo(
  file: SocketFile,
  { address, port }: Address,
  { earlyData = false }: EarlyOptions,
): Promise<void> {
  const { sock } = file;
  const row = new Int32Array(ADDR_COLS);
  const isLiteral = setAddressRow(row, 0, address, port) && !isAnyAddress(row, 0) && address !== "0.0.0.0";
  const isFamily = isMappedIpv4(row, 0) ? !file.ipv6Only : !file.isIpv4;
  const isAddress = isLiteral && isFamily && port !== 0 && !isMulticast(row, 0);
  if (!isAddress || sock.state !== n.QUIC_SS_CLOSED || sock.attached !== null)
    throw socketError("connect", -errno.EINVAL);
  if (file.port === null) await bindTo(file, anyAddress(file), null);
  const host = file.port?.host ?? null;
  if (host === null || sock.attached !== null) throw socketError("connect", -errno.EINVAL);
  const config = connectionConfig(sock);
  const [alpn] = sock.alpn;
  const kept = {
    ...(sock.token.length > 0 && { token: sealPeerToken(sock.settings.config.version, sock.token) }),
    ...(sock.ticket.length > 0 && { ticket: sock.ticket }),
    ...(earlyData && alpn !== undefined && sock.alpn.length === 1 && { earlyAlpn: alpn }),
  };
  const conn = host.endpoint.connect({ tls: file.newTls(false), remote: row, config, ...kept }, host.now());
  conn.owner = file;
  file.conn = conn;
  // a socket of one family stays in it
  if (!file.isIpv4 && !file.ipv6Only) sock.onConfirmed = () => void tryOtherFamily(host, conn);
  const details = new ConnectionDetails(conn);
  details.startTls();
  sock.attach(conn, details);
}

/** How many bytes were taken. @throws SocketError, see socket/sendmsg */
export function sendmsg(sd: number, message: OutMessage): number {
  const peeled = streamOf(sd);
  if (peeled !== null) {
    const isNamed = message.stream !== undefined || message.handshake !== undefined;
    return checked("sendmsg", isNamed ? -errno.EINVAL : peeled.stream.send(message.data, message.flags));
  }
  return checked("sendmsg", transmit(fileOf(sd, "sendmsg").sock, message));
}

/** The next message, of `maxBytes` at most. @throws SocketError EAGAIN, ENOTCONN */
export function recvmsg(sd: number, maxBytes: number, flags = 0): InMessage {
  if (streamOf(sd) !== null) return { data: recv(sd, maxBytes, flags), flags: 0 };
  const message = receive(fileOf(sd, "recvmsg").sock, maxBytes, flags);
  return typeof message === "number" ? failed("recvmsg", message) : message;
}

/** As sendmsg without control messages: how many bytes were taken. @throws SocketError, see socket/sendmsg */
export function send(sd: number, data: Uint8Array, flags = 0): number {
  const peeled = streamOf(sd);
  if (peeled !== null) return checked("send", peeled.stream.send(data, flags));
  return checked("send", transmit(fileOf(sd, "send").sock, { data, flags }));
}

/** As recvmsg without control messages: handshake messages need one. @throws SocketError EINVAL for those, too */
export function recv(sd: number, maxBytes: number, flags = 0): Uint8Array {
  const peeled = streamOf(sd);
  if (peeled !== null) {
    const data = peeled.stream.recv(maxBytes, flags);
    return typeof data === "number" ? failed("recv", data) : data;
  }
  const { sock } = fileOf(sd, "recv");
  if (sock.list.handshake.length > 0) throw socketError("recv", -errno.EINVAL);
  const message = receive(sock, maxBytes, flags);
  return typeof message === "number" ? failed("recv", message) : message.data;
}

/** Bytes of a struct of `linux/quic.h`, or a number at level SOL_SOCKET. @throws SocketError ENOPROTOOPT and others */
export function setsockopt(sd: number, level: number, name: number, value: Uint8Array | string | number): void {
  if (level !== n.SOL_QUIC) {
    checked("setsockopt", setSocketLevel(anyFileOf(sd, "setsockopt"), level, name, Number(value)));
    return;
  }
  const file = fileOf(sd, "setsockopt");
  if (typeof value === "number") throw socketError("setsockopt", -errno.EFAULT);
  const bytes = typeof value === "string" ? Buffer.from(value, "latin1") : value;
  checked("setsockopt", setOption(file.sock, name, bytes, opsOf(file)));
}

/** `value` is what a struct that asks is filled with. @throws SocketError */
export function getsockopt(sd: number, level: number, name: number, value: Uint8Array = new Uint8Array(0)): Uint8Array {
  const result =
    level === n.SOL_QUIC ? getQuic(sd, name, value) : getSocketLevel(anyFileOf(sd, "getsockopt"), level, name);
  return typeof result === "number" ? failed("getsockopt", result) : result;
}

function getQuic(sd: number, name: number, value: Uint8Array): Uint8Array | number {
  const file = fileOf(sd, "getsockopt");
  return getOption(file.sock, name, value, opsOf(file));
}

/**
 * No half close, but of a stream's descriptor: SHUT_WR and SHUT_RDWR tell the peer, and may be repeated; SHUT_RD ends in
 * silence. @throws SocketError ENOTCONN, EINVAL
 */
export function shutdown(sd: number, how: number): void {
  const peeled = streamOf(sd);
  if (peeled !== null) {
    checked("shutdown", peeled.stream.shutdown(how));
    return;
  }
  const file = fileOf(sd, "shutdown");
  const { conn, sock } = file;
  if (how !== n.SHUT_RD && how !== n.SHUT_WR && how !== n.SHUT_RDWR) throw socketError("shutdown", -errno.EINVAL);
  const isSaid = conn?.closeInfo?.type === "application" && !conn.closeInfo.remote;
  if (how !== n.SHUT_RD && isSaid) return; // what was said is said again when the peer asks
  if (conn === null || sock.state === n.QUIC_SS_CLOSED) throw socketError("shutdown", -errno.ENOTCONN);
  if (how === n.SHUT_RD) conn.abandon();
  else sayClose(file);
  sock.markClosed();
}

/** Gives the descriptor back; what is queued still leaves, then the peer is told. @throws SocketError EBADF */
export function close(sd: number): void {
  const given = anyFileOf(sd, "close");
  removeFile(sd);
  const file = given instanceof SocketFile ? given : given.parent;
  if (given instanceof SocketFile) file.isClosed = true;
  else given.stream.close();
  if (file.isClosed && file.sock.peeled.size === 0) end(file);
}

function end(file: SocketFile): void {
  if (file.sock.state === n.QUIC_SS_LISTENING) endListening(file);
  else if (file.sock.attached === null) file.port?.stopListening(file); // a quic host may not have answered yet
  if (file.conn !== null && file.sock.state !== n.QUIC_SS_CLOSED) finish(file, FLUSH_STEPS);
  else file.port?.release();
}

/** POLL* bits of now. @throws SocketError EBADF */
export function poll(sd: number): number {
  const peeled = streamOf(sd);
  if (peeled !== null) return peeled.stream.poll();
  const { sock, pending } = fileOf(sd, "poll");
  return sock.poll(pending.length > 0);
}

/** Where this socket is; it changes with a migration. @throws SocketError EBADF */
export function getsockname(sd: number): SocketAddress {
  const file = streamOf(sd)?.parent ?? fileOf(sd, "getsockname");
  const { conn, local } = file;
  const bound = local ?? socketAddress(file.isIpv4 ? "0.0.0.0" : "::", 0);
  if (conn === null) return bound;
  const udp = file.port?.host?.socketOf(conn.path.socket);
  const address = bound.address === "::" && isMappedIpv4(conn.path.addr, 0) ? "0.0.0.0" : bound.address;
  return localOf(conn.path.addr, socketAddress(address, udp?.port ?? bound.port));
}

/** Where the peer is; it changes with a migration. @throws SocketError ENOTCONN */
export function getpeername(sd: number): SocketAddress {
  const { conn } = streamOf(sd)?.parent ?? fileOf(sd, "getpeername");
  if (conn === null) throw socketError("getpeername", -errno.ENOTCONN);
  return remoteOf(conn.path.addr);
}

/**
 * Payload, without what the memory for it costs. SIOCINQ: bytes to read; SIOCOUTQ: bytes written that the peer has not
 * acknowledged; SIOCOUTQNSD: of these, bytes never sent. @throws SocketError EINVAL for a listener
 */
export function ioctl(sd: number, request: number): number {
  const { sock } = fileOf(sd, "ioctl");
  const { attached, state } = sock;
  if (state === n.QUIC_SS_LISTENING) throw socketError("ioctl", -errno.EINVAL);
  if (request === n.SIOCINQ) return sock.readableBytes;
  if (request === n.SIOCOUTQ) return attached?.details.unackedBytes ?? 0;
  if (request === n.SIOCOUTQNSD) return attached?.details.unsentBytes ?? 0;
  throw socketError("ioctl", -errno.EINVAL);
}

function anyAddress(file: SocketFile): Address {
  return { address: file.isIpv4 ? "0.0.0.0" : "::", port: 0 };
}

function endListening(file: SocketFile): void {
  file.port?.stopListening(file);
  file.backlog = 0;
  for (const child of file.pending.splice(0)) finish(child, 0);
  file.sock.markClosed();
}

function sayClose({ conn, sock }: SocketFile): void {
  const { errcode, phrase } = sock.closeWith;
  const length = phrase.indexOf(0);
  const reason = String.fromCharCode(...phrase.subarray(0, length < 0 ? phrase.length : length));
  const isAlert = isCryptoError(errcode); // of a program with its own TLS
  if (sock.state !== n.QUIC_SS_ESTABLISHING) conn?.close("application", BigInt(errcode), reason);
  else conn?.close("transport", isAlert ? BigInt(errcode) : APPLICATION_ERROR, isAlert ? reason : "");
}

/** Lets queued data leave and be acknowledged, closes, and gives the port back. */
function finish(file: SocketFile, steps: number): void {
  const { sock, port } = file;
  const heldBytes = sock.attached?.details.sendHeldBytes ?? 0;
  const isOpen = sock.state === n.QUIC_SS_ESTABLISHED;
  sock.attached?.details.setDelay(false, false);
  if (isOpen && heldBytes > 0 && steps > 0) {
    setTimeout(() => finish(file, steps - 1), FLUSH_STEP_MILLIS);
    return;
  }
  if (sock.state !== n.QUIC_SS_CLOSED) sayClose(file);
  sock.markClosed();
  port?.release();
}

function failed(syscall: string, result: number): never {
  throw socketError(syscall, result);
}
