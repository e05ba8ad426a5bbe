/** Options of level SOL_SOCKET and IPPROTO_IPV6 that mean something here; values are numbers, times milliseconds. */

import { EINVAL, ENOPROTOOPT } from "../../socket/errno.js";
import { IPPROTO_QUIC, QUIC_SS_LISTENING } from "../../socket/numbers.js";
import type { SocketFile } from "./socket-file.js";
import { opsOf } from "./socket-ops.js";
import { StreamFile } from "./stream-file.js";

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_TYPE = 3;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_REUSEPORT = 15;
export const SO_RCVTIMEO = 20;
export const SO_SNDTIMEO = 21;
export const SO_ACCEPTCONN = 30;
export const SO_PROTOCOL = 38;
export const SO_DOMAIN = 39;
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;

/** Linux's int; also the longest time of a timer of Node, milliseconds. */
const MAX_VALUE = 2 ** 31 - 1;

/** 0, -EINVAL or -ENOPROTOOPT. */
export function setSocketLevel(file: SocketFile | StreamFile, level: number, name: number, value: number): number {
  if (valueOf(file, level, name) === -ENOPROTOOPT) return -ENOPROTOOPT;
  if (!Number.isSafeInteger(value) || value < 0 || value > MAX_VALUE) return -EINVAL;
  if (level === SOL_SOCKET && name === SO_RCVTIMEO) file.receiveTimeoutMillis = value;
  else if (level === SOL_SOCKET && name === SO_SNDTIMEO) file.sendTimeoutMillis = value;
  else return file instanceof StreamFile ? -ENOPROTOOPT : setOfSocket(file, level, name, value);
  return 0;
}

function setOfSocket(file: SocketFile, level: number, name: number, value: number): number {
  if (level === IPPROTO_IPV6 && name === IPV6_V6ONLY) {
    if (file.port !== null) return -EINVAL;
    file.ipv6Only = value !== 0;
    return 0;
  }
  if (level !== SOL_SOCKET) return -ENOPROTOOPT;
  if (name === SO_REUSEPORT) file.reusePort = value !== 0;
  else if (name === SO_REUSEADDR) file.reuseAddress = value !== 0;
  else if (name === SO_SNDBUF) file.sock.sendBufferBytes = value;
  else if (name === SO_RCVBUF) setReceiveBuffer(file, value);
  else return -ENOPROTOOPT;
  return 0;
}

/** Windows that the peer was told go on as they are. */
function setReceiveBuffer(file: SocketFile, bytes: number): void {
  file.sock.receiveBufferBytes = bytes;
  opsOf(file).applySettings();
}

/** Four bytes as Linux's int, in the byte order of the host, here little-endian; or -ENOPROTOOPT. */
export function getSocketLevel(file: SocketFile | StreamFile, level: number, name: number): Uint8Array | number {
  const value = valueOf(file, level, name);
  if (value < 0) return value;
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}

function valueOf(file: SocketFile | StreamFile, level: number, name: number): number {
  if (level === SOL_SOCKET && name === SO_RCVTIMEO) return file.receiveTimeoutMillis;
  if (level === SOL_SOCKET && name === SO_SNDTIMEO) return file.sendTimeoutMillis;
  if (file instanceof StreamFile) return -ENOPROTOOPT;
  if (level === IPPROTO_IPV6 && name === IPV6_V6ONLY) return Number(file.ipv6Only);
  if (level !== SOL_SOCKET) return -ENOPROTOOPT;
  switch (name) {
    case SO_REUSEADDR:
      return Number(file.reuseAddress);
    case SO_TYPE:
      return file.type;
    case SO_ACCEPTCONN:
      return Number(file.sock.state === QUIC_SS_LISTENING);
    case SO_PROTOCOL:
      return IPPROTO_QUIC;
    case SO_DOMAIN:
      return file.family;
    case SO_REUSEPORT:
      return Number(file.reusePort);
    case SO_SNDBUF:
      return file.sock.sendMemoryBytes;
    case SO_RCVBUF:
      return file.sock.receiveMemoryBytes;
    default:
      return -ENOPROTOOPT;
  }
}
