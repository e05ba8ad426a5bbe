/** What `sendmsg` takes and `recvmsg` gives: bytes, MSG_* flags and the two control messages of SOL_QUIC. */

import type { handshakeInfo, Of, streamInfo } from "./structs.js";

export type StreamInfo = Of<typeof streamInfo>;
export type HandshakeInfo = Of<typeof handshakeInfo>;

export interface OutMessage {
  data: Uint8Array;
  /** MSG_* bits. */
  flags: number;
  /** QUIC_STREAM_INFO: its `stream_flags` take the place of the stream bits of `flags`. */
  stream?: StreamInfo;
  /** QUIC_HANDSHAKE_INFO; wins over `stream`. */
  handshake?: HandshakeInfo;
}

export interface InMessage {
  data: Uint8Array;
  /** MSG_EOR: a message is read to its end. MSG_QUIC_DATAGRAM, MSG_QUIC_NOTIFICATION: what it is. */
  flags: number;
  stream?: StreamInfo;
  handshake?: HandshakeInfo;
}
