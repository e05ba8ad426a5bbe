/** The public entry point `netquic/socket`: the socket calls, names and numbers of Linux QUIC. */

export * from "../../socket/errno.js";
export type { InMessage, OutMessage } from "../../socket/message.js";
export * from "../../socket/numbers.js";
export { rowOfSockaddr, sockaddrOfRow } from "../../socket/sockaddr.js";
export * as structs from "../../socket/structs.js";
export {
  accept,
  type Address,
  bind,
  close,
  connect,
  getpeername,
  getsockname,
  getsockopt,
  ioctl,
  listen,
  poll,
  recv,
  recvmsg,
  send,
  sendmsg,
  setsockopt,
  shutdown,
  socket,
} from "./calls.js";
export {
  type ClientHandshakeOptions,
  quic_client_handshake,
  quic_server_handshake,
  type ServerHandshakeOptions,
} from "./handshake.js";
export * as promises from "./promises.js";
export {
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_RCVBUF,
  SO_RCVTIMEO,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDTIMEO,
  SOL_SOCKET,
} from "./socket-level.js";
export type { SocketError } from "./system-error.js";
