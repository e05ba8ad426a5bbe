/** Transport parameters: ids, defaults and the valid value (RFC 9000 §18.2). The wire form is `frame/params`. */

export const PARAM_ORIGINAL_DCID = 0x00;
export const PARAM_MAX_IDLE_TIMEOUT = 0x01;
export const PARAM_STATELESS_RESET_TOKEN = 0x02;
export const PARAM_MAX_UDP_PAYLOAD_SIZE = 0x03;
export const PARAM_INITIAL_MAX_DATA = 0x04;
export const PARAM_INITIAL_MAX_STREAM_DATA_BIDI_LOCAL = 0x05;
export const PARAM_INITIAL_MAX_STREAM_DATA_BIDI_REMOTE = 0x06;
export const PARAM_INITIAL_MAX_STREAM_DATA_UNI = 0x07;
export const PARAM_INITIAL_MAX_STREAMS_BIDI = 0x08;
export const PARAM_INITIAL_MAX_STREAMS_UNI = 0x09;
export const PARAM_ACK_DELAY_EXPONENT = 0x0a;
export const PARAM_MAX_ACK_DELAY = 0x0b;
export const PARAM_DISABLE_ACTIVE_MIGRATION = 0x0c;
export const PARAM_PREFERRED_ADDRESS = 0x0d;
export const PARAM_ACTIVE_CONNECTION_ID_LIMIT = 0x0e;
export const PARAM_INITIAL_SCID = 0x0f;
export const PARAM_RETRY_SCID = 0x10;
/** RFC 9368 §3. */
export const PARAM_VERSION_INFORMATION = 0x11;
/** RFC 9287 §3. */
export const PARAM_GREASE_QUIC_BIT = 0x2ab2;
/** Private, as in Linux and others: 1-RTT packets in the clear when both sides send it. No value. */
export const PARAM_DISABLE_1RTT_ENCRYPTION = 0xbaad;
/** RFC 9221 §3. */
export const PARAM_MAX_DATAGRAM_FRAME_SIZE = 0x20;
/** draft-ietf-quic-ack-frequency §3. */
export const PARAM_MIN_ACK_DELAY = 0xff04de1b;

/** Length of a stateless reset token (RFC 9000 §10.3). */
export const RESET_TOKEN_BYTES = 16;

/** A parsed, valid set. Null = absent. Limits above 2^53-1 saturate. */
export interface TransportParams {
  originalDcid: Uint8Array | null;
  maxIdleTimeoutMillis: number; // 0 = none
  statelessResetToken: Uint8Array | null;
  maxUdpPayloadBytes: number; // >= 1200; default 65527
  initialMaxData: number;
  initialMaxStreamDataBidiLocal: number;
  initialMaxStreamDataBidiRemote: number;
  initialMaxStreamDataUni: number;
  initialMaxStreamsBidi: number; // <= 2^60
  initialMaxStreamsUni: number;
  ackDelayExponent: number; // 0..20, default 3
  maxAckDelayMillis: number; // < 2^14, default 25
  /** The sender takes ACK_FREQUENCY frames that ask for this delay at least, microseconds, at most maxAckDelayMillis. */
  minAckDelayMicros: number | null;
  disableActiveMigration: boolean;
  preferredAddress: PreferredAddress | null;
  activeConnectionIdLimit: number; // >= 2
  initialScid: Uint8Array | null;
  retryScid: Uint8Array | null;
  /** Largest DATAGRAM frame that the sender takes, type and length included; 0 = none (RFC 9221 §3). */
  maxDatagramFrameBytes: number;
  versionInformation: VersionInformation | null;
  /** The sender takes packets whatever their QUIC bit is. */
  greaseQuicBit: boolean;
  /** The sender is ready for 1-RTT packets without encryption and authentication. */
  disable1RttEncryption: boolean;
}

/** RFC 9368 §3: what the sender chose for this connection, and what it can do. No version is 0. */
export interface VersionInformation {
  chosen: number;
  available: number[];
}

export interface PreferredAddress {
  ipv4: Uint8Array; // 4 bytes, all zero = none
  ipv4Port: number;
  ipv6: Uint8Array; // 16 bytes
  ipv6Port: number;
  connectionId: Uint8Array;
  statelessResetToken: Uint8Array;
}

/** What a peer means that sends nothing (RFC 9000 §18.2). */
export function defaultParams(): TransportParams {
  return {
    originalDcid: null,
    maxIdleTimeoutMillis: 0,
    statelessResetToken: null,
    maxUdpPayloadBytes: 65527,
    initialMaxData: 0,
    initialMaxStreamDataBidiLocal: 0,
    initialMaxStreamDataBidiRemote: 0,
    initialMaxStreamDataUni: 0,
    initialMaxStreamsBidi: 0,
    initialMaxStreamsUni: 0,
    ackDelayExponent: 3,
    maxAckDelayMillis: 25,
    minAckDelayMicros: null,
    disableActiveMigration: false,
    preferredAddress: null,
    activeConnectionIdLimit: 2,
    initialScid: null,
    retryScid: null,
    maxDatagramFrameBytes: 0,
    versionInformation: null,
    greaseQuicBit: false,
    disable1RttEncryption: false,
  };
}
