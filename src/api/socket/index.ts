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
  type BindOptions,
  close,
  connect,
  type EarlyOptions,
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
  type HandshakeStep,
  QUIC_HANDSHAKE_OP_RECVMSG,
  QUIC_HANDSHAKE_OP_SENDMSG,
  QUIC_HANDSHAKE_OP_SETSOCKOPT,
} from "../../socket/handshake-steps.js";
export {
  type ClientHandshakeOptions,
  type HandshakeOptions,
  quic_client_handshake,
  quic_handshake,
  quic_server_handshake,
  type ServerHandshakeOptions,
} from "./handshake.js";
export { duplexOf, peelOff } from "./peel-off.js";
export * as promises from "./promises.js";
export {
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_RCVTIMEO,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDTIMEO,
  SO_TYPE,
  SOL_SOCKET,
} from "./socket-level.js";
export type { SocketError } from "./system-error.js";
export {
  type ClientSessionOptions,
  type HandshakePeer,
  quic_client_session,
  quic_handshake_deinit,
  quic_handshake_init,
  quic_handshake_step,
  quic_server_session,
  quic_session_get_alpn,
  quic_session_get_data,
  quic_session_get_peer,
  quic_session_set_alpn,
  quic_session_set_data,
  type QuicTlsSession,
  type ServerSessionOptions,
} from "./tls-session.js";
