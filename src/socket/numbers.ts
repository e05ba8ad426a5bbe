/**
 * Numbers of the Linux QUIC socket API, with their names there (`linux/quic.h`). Where that header has an older name for
 * the same bit, the older one is an alias. What Linux lacks and we have stands at the end of its group and says so.
 */

export const IPPROTO_QUIC = 261;
export const SOL_QUIC = 288;

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
export const SHUT_RD = 0;
export const SHUT_WR = 1;
export const SHUT_RDWR = 2;

/** Control messages, level SOL_QUIC. */
export const QUIC_STREAM_INFO = 0;
export const QUIC_HANDSHAKE_INFO = 1;

export const QUIC_STREAM_TYPE_SERVER_MASK = 0x01;
export const QUIC_STREAM_TYPE_UNI_MASK = 0x02;
export const QUIC_STREAM_TYPE_MASK = 0x03;

/** Message flags: bits that other protocols use for something else. */
export const MSG_QUIC_STREAM_FIN = 0x200;
export const MSG_QUIC_STREAM_NEW = 0x400;
export const MSG_QUIC_STREAM_UNI = 0x800;
export const MSG_QUIC_DATAGRAM = 0x1000;
export const MSG_QUIC_STREAM_SNDBLOCK = 0x2000;
export const MSG_QUIC_NOTIFICATION = 0x8000;
export const MSG_QUIC_STREAM_DONTWAIT = 0x10000;

export const MSG_STREAM_FIN = MSG_QUIC_STREAM_FIN;
export const MSG_STREAM_NEW = MSG_QUIC_STREAM_NEW;
export const MSG_STREAM_UNI = MSG_QUIC_STREAM_UNI;
export const MSG_STREAM_SNDBLOCK = MSG_QUIC_STREAM_SNDBLOCK;
export const MSG_STREAM_DONTWAIT = MSG_QUIC_STREAM_DONTWAIT;
export const MSG_DATAGRAM = MSG_QUIC_DATAGRAM;
export const MSG_NOTIFICATION = MSG_QUIC_NOTIFICATION;

export const MSG_PEEK = 0x2;
export const MSG_CTRUNC = 0x8;
export const MSG_DONTWAIT = 0x40;
export const MSG_EOR = 0x80;
export const MSG_WAITALL = 0x100;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_MORE = 0x8000;
export const MSG_BATCH = 0x40000;

/** Encryption levels of this API; those of port/tls have other numbers. */
export const QUIC_CRYPTO_APP = 0;
export const QUIC_CRYPTO_INITIAL = 1;
export const QUIC_CRYPTO_HANDSHAKE = 2;
export const QUIC_CRYPTO_EARLY = 3;
export const QUIC_CRYPTO_MAX = 4;

export const QUIC_VERSION_V1 = 0x1;
export const QUIC_VERSION_V2 = 0x6b3343cf;

export const TLS_CIPHER_AES_GCM_128 = 51;
export const TLS_CIPHER_AES_GCM_256 = 52;
export const TLS_CIPHER_AES_CCM_128 = 53;
export const TLS_CIPHER_CHACHA20_POLY1305 = 54;

export const QUIC_CONG_ALG_RENO = 0;
export const QUIC_CONG_ALG_CUBIC = 1;
/** Ours. */
export const QUIC_CONG_ALG_BBR = 2;
export const QUIC_CONG_ALG_MAX = 3;

export const QUIC_SOCKOPT_EVENT = 0;
export const QUIC_SOCKOPT_STREAM_OPEN = 1;
export const QUIC_SOCKOPT_STREAM_RESET = 2;
export const QUIC_SOCKOPT_STREAM_STOP_SENDING = 3;
export const QUIC_SOCKOPT_CONNECTION_ID = 4;
export const QUIC_SOCKOPT_CONNECTION_CLOSE = 5;
export const QUIC_SOCKOPT_CONNECTION_MIGRATION = 6;
export const QUIC_SOCKOPT_KEY_UPDATE = 7;
export const QUIC_SOCKOPT_TRANSPORT_PARAM = 8;
export const QUIC_SOCKOPT_CONFIG = 9;
export const QUIC_SOCKOPT_TOKEN = 10;
export const QUIC_SOCKOPT_ALPN = 11;
export const QUIC_SOCKOPT_SESSION_TICKET = 12;
export const QUIC_SOCKOPT_CRYPTO_SECRET = 13;
export const QUIC_SOCKOPT_TRANSPORT_PARAM_EXT = 14;
export const QUIC_SOCKOPT_STREAM_PEELOFF = 15;

export const QUIC_EVENT_NONE = 0;
export const QUIC_EVENT_STREAM_UPDATE = 1;
export const QUIC_EVENT_STREAM_MAX_DATA = 2;
export const QUIC_EVENT_STREAM_MAX_STREAM = 3;
export const QUIC_EVENT_CONNECTION_ID = 4;
export const QUIC_EVENT_CONNECTION_CLOSE = 5;
export const QUIC_EVENT_CONNECTION_MIGRATION = 6;
export const QUIC_EVENT_KEY_UPDATE = 7;
export const QUIC_EVENT_NEW_TOKEN = 8;
export const QUIC_EVENT_NEW_SESSION_TICKET = 9;
export const QUIC_EVENT_MAX = 10;

/** RFC 9000 §3.1, as STREAM_UPDATE and the errors of sending see it. */
export const QUIC_STREAM_SEND_STATE_READY = 0;
export const QUIC_STREAM_SEND_STATE_SEND = 1;
export const QUIC_STREAM_SEND_STATE_SENT = 2;
export const QUIC_STREAM_SEND_STATE_RECVD = 3;
export const QUIC_STREAM_SEND_STATE_RESET_SENT = 4;
export const QUIC_STREAM_SEND_STATE_RESET_RECVD = 5;
/** RFC 9000 §3.2. */
export const QUIC_STREAM_RECV_STATE_RECV = 6;
export const QUIC_STREAM_RECV_STATE_SIZE_KNOWN = 7;
export const QUIC_STREAM_RECV_STATE_RECVD = 8;
export const QUIC_STREAM_RECV_STATE_READ = 9;
export const QUIC_STREAM_RECV_STATE_RESET_RECVD = 10;
export const QUIC_STREAM_RECV_STATE_RESET_READ = 11;

/** States of a socket, with the numbers of TCP's. */
export const QUIC_SS_CLOSED = 7;
export const QUIC_SS_LISTENING = 10;
export const QUIC_SS_ESTABLISHING = 3;
export const QUIC_SS_ESTABLISHED = 1;

/** ioctl. */
export const SIOCINQ = 0x541b;
export const SIOCOUTQ = 0x5411;
export const SIOCOUTQNSD = 0x894b;

/** Bits of poll. */
export const POLLIN = 0x1;
export const POLLOUT = 0x4;
export const POLLERR = 0x8;
export const POLLHUP = 0x10;
export const POLLRDHUP = 0x2000;
