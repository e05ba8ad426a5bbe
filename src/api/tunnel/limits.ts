/** Bounds of a tunnel. Each side holds its own; docs/tunnel.md says what they cost. */

/** TCP connections that one QUIC connection carries at once; further ones wait to be opened. */
export const MAX_TUNNEL_STREAMS = 512;
/**
 * Bytes that wait to be acknowledged by the other end: of one TCP connection, of all of one QUIC connection, and of a tunnel.
 * With less for one connection the two ends take turns instead of working at once: 1.7 Gbit/s with 1 MiB, 2.3 with 8.
 */
export const TUNNEL_SEND_BUFFER_BYTES = 8 << 20;
export const MOST_SESSION_SEND_BYTES = 32 << 20;
export const LEAST_SESSION_SEND_BYTES = 1 << 20;
export const TUNNEL_SEND_BYTES = 512 << 20;
/** How often who waits for that looks, milliseconds. */
export const BUDGET_POLL_MILLIS = 5;
/** One read of a socket or of a stream, bytes, and how many such pieces of memory are kept for the next ones. */
export const READ_BYTES = 256 * 1024;
export const POOLED_CHUNKS = 16;
/** UDP flows of one QUIC connection, or of one listening UDP port; beyond it the one that was silent longest goes. */
export const MAX_FLOWS = 256;
/** A UDP flow without a datagram either way for so long is forgotten, milliseconds. */
export const FLOW_IDLE_MILLIS = 60_000;
/** Datagrams of a flow that are kept while its socket is made. */
export const MAX_FLOW_EARLY_DATAGRAMS = 16;
/** Datagrams that wait to leave in the QUIC connection; the oldest goes first. */
export const MAX_TUNNEL_DATAGRAMS_OUT = 512;
/** Until the target of a TCP connection has answered, milliseconds. */
export const DIAL_MILLIS = 10_000;
/** How long an accepted TCP connection waits for a tunnel that is down, and how many may, for each service. */
export const WAIT_FOR_TUNNEL_MILLIS = 10_000;
export const MAX_WAITING_CONNECTIONS = 256;
/** QUIC connections of clients that a server takes at once. */
export const MAX_TUNNEL_CLIENTS = 1024;
/** Silence that ends a QUIC connection, seconds, and when a client asks whether the server is there, milliseconds. */
export const TUNNEL_IDLE_SECONDS = 30;
export const TUNNEL_KEEP_ALIVE_MILLIS = 8000;
export const TUNNEL_HANDSHAKE_MILLIS = 8000;
/** Pauses between attempts of a client to connect, milliseconds: the first, which doubles, and the longest. */
export const BACKOFF_FIRST_MILLIS = 250;
export const BACKOFF_MOST_MILLIS = 15_000;
/** A client looks so often whether its address is still there and the server still answers, milliseconds. */
export const WATCH_MILLIS = 500;
/** Unanswered for so long, a client tries another path, and if that is not answered either, another connection, milliseconds. */
export const STALL_MILLIS = 2500;
