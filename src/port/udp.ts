/**
 * Datagrams in batches. A batch is a slab of bytes and two integer tables: a row per datagram and a row per source
 * (receive) or destination (send). An address is four 32-bit words of IPv6 in network order (IPv4 as ::ffff:a.b.c.d)
 * plus a port, so that comparing two is five integer comparisons and nothing is interned or allocated.
 */

import type { FineTimer } from "./clock.js";

/** Columns of an address inside a source or destination row. */
export const ADDR_IP0 = 0; // IPv6 words, most significant first, as int32
export const ADDR_IP1 = 1;
export const ADDR_IP2 = 2;
export const ADDR_IP3 = 3;
export const ADDR_PORT = 4; // 0..65535
/** The local address of the datagram: where it arrived, or where it shall leave from; all zero = unknown, any. */
export const ADDR_LOCAL_IP0 = 5;
export const ADDR_LOCAL_IP1 = 6;
export const ADDR_LOCAL_IP2 = 7;
export const ADDR_LOCAL_IP3 = 8;
export const ADDR_IFINDEX = 9; // interface index, 0 = unknown
export const ADDR_COLS = 10;

/** ECN code points (RFC 3168 §5). */
export const ECN_NOT_ECT = 0;
export const ECN_ECT1 = 1;
export const ECN_ECT0 = 2;
export const ECN_CE = 3;
/** The socket cannot tell (portable datapath). */
export const ECN_UNKNOWN = -1;

/** Columns of one received datagram. */
export const RX_OFF = 0; // into `buf`
export const RX_LEN = 1; // UDP payload, bytes
export const RX_SOURCE = 2; // row in `sources`
export const RX_ECN = 3; // ECN_*
export const RX_COLS = 4;

/** What is known of a client's address before its connection begins (RFC 9000 §8.1). */
export interface AddressProof {
  /** It gave back a token that it was sent there. */
  validated: boolean;
  /** After a Retry: the first destination id, and the id that the Retry gave. */
  origDcid: Uint8Array | null;
  retryScid: Uint8Array | null;
}

/** A batch that was received. Valid until the next `recv` on the same batch. */
export interface RxBatch {
  readonly buf: Uint8Array;
  readonly rows: Int32Array;
  readonly sources: Int32Array; // ADDR_COLS columns a row
  /** Datagrams in use. */
  count: number;
  /** Sources in use. */
  sourceCount: number;
  /** Which socket of its endpoint it came from, 0 = the first; set by who owns the sockets. */
  socket: number;
  /** With the datagrams of one client's attempt that another process took in (`quic host`): what it found out. */
  proof?: AddressProof | null;
}

/** UDP payload of datagrams [from, to). */
export function datagramBytes(rx: RxBatch, from: number, to: number): number {
  let bytes = 0;
  for (let at = from * RX_COLS + RX_LEN; at < to * RX_COLS; at += RX_COLS) bytes += rx.rows[at];
  return bytes;
}

/** Columns of one datagram to send. */
export const TX_OFF = 0; // into `buf`; rows stand in ascending order, back to back where they share a destination
export const TX_LEN = 1;
export const TX_DEST = 2; // row in `dests`
export const TX_ECN = 3; // ECN_NOT_ECT, ECN_ECT0 or ECN_ECT1
export const TX_FLAGS = 4; // TX_FLAG_*
export const TX_COLS = 5;

/** A path MTU probe: sent alone, and EMSGSIZE for it is reported, not an error. */
export const TX_FLAG_PROBE = 1;

/** What an ICMP message said of a datagram that was sent (`onIcmp`). */
export const ICMP_PORT_UNREACHABLE = 1; // nobody listens there
export const ICMP_UNREACHABLE = 2; // host, net, protocol or administration
export const ICMP_TOO_BIG = 3; // larger than a link on the way carries
export type IcmpKind = typeof ICMP_PORT_UNREACHABLE | typeof ICMP_UNREACHABLE | typeof ICMP_TOO_BIG;

/** Datagrams to send. The socket joins neighbours of one destination, ECN mark and length into GSO trains by itself. */
export interface TxBatch {
  readonly buf: Uint8Array;
  readonly rows: Int32Array;
  readonly dests: Int32Array; // ADDR_COLS columns a row
  count: number;
  destCount: number;
  /** Bytes of `buf` in use. */
  used: number;
  /** Which socket of its endpoint all of it leaves from; decided by the first datagram (conn/dest-row). */
  socket: number;
}

export interface UdpOptions {
  /** Literal IPv4 or IPv6 address to bind; `::` is dual-stack unless `ipv6Only`. */
  address: string;
  /** 0 = chosen by the kernel. */
  port: number;
  ipv6Only?: boolean;
  reusePort?: boolean;
  /** Socket buffers in bytes; default 4 MiB each. */
  receiveBufferBytes?: number;
  sendBufferBytes?: number;
  /** What must not be used though it is there, for tests and broken drivers; default true each. Native only. */
  offload?: UdpOffload;
}

export interface UdpOffload {
  /** Trains of datagrams in one send (UDP_SEGMENT). */
  gso?: boolean;
  /** Trains of datagrams in one read (UDP_GRO). */
  gro?: boolean;
  /** sendmmsg and recvmmsg; without them a call takes one datagram or train. */
  mmsg?: boolean;
}

/** Called by the socket on the event loop; the first two may be called spuriously. */
export interface UdpHandler {
  /** Datagrams may be waiting: call `recv` until it returns 0 or you had enough for one turn (`readable` stays armed). */
  onReadable(): void;
  /** What `send` kept is gone: it takes batches again. */
  onWritable(): void;
  /** A hard error (not EAGAIN, not an ICMP answer); the socket is closed after it. */
  onError(error: Error): void;
  /** A datagram of `bytes` to `dest` (as in `onIcmp`) was larger than the interface carries and did not leave: a probe that
   *  failed at once. Called inside `send` or before `onWritable`. The native socket reports so many of these and of
   *  `onIcmp` a second and forgets the others. */
  onTooBig?(dest: Int32Array, bytes: number): void;
  /** Someone answered a datagram to `dest` (an address row, local part unknown, valid inside the call) with an ICMP
   *  message. Anyone who guesses a port can forge it: a hint, never a fact. `mtuBytes` is the next hop's, with ICMP_TOO_BIG
   *  only, 0 = unknown; it counts the IP header. `quoted`, valid inside the call: how that datagram began, as far as the
   *  message tells and 28 bytes at most. Native only. */
  onIcmp?(dest: Int32Array, kind: IcmpKind, mtuBytes: number, quoted: Uint8Array): void;
}

export interface UdpSocket {
  readonly address: string;
  readonly port: number;
  readonly family: "IPv4" | "IPv6";
  /** The best way to send and to receive that is in use now, for people: `gso`, `sendmmsg` or `sendmsg`, and `gro`, `recvmmsg`
   *  or `recvmsg`, as `gso+gro`; `dgram`. */
  readonly rung: string;
  /** Whether ECN marks are seen and set; else RX_ECN is ECN_UNKNOWN. */
  readonly ecn: boolean;
  /** Fills `rx` from its start and returns the number of datagrams; 0 = nothing waiting. */
  recv(rx: RxBatch): number;
  /** Takes every row of `tx` (which may be reused at once). Returns true when the kernel took all of it; false when the
   *  rest was copied aside and `onWritable` will follow: do not send again before it. Per-datagram failures
   *  (EMSGSIZE, ENETUNREACH, EPERM) are counted and behave like loss. */
  send(tx: TxBatch): boolean;
  /** Counters, monotonic: datagrams and bytes both ways, sends the kernel refused, receive-queue overflows. */
  readonly stats: UdpStats;
  /** Keeps the event loop alive, or not. */
  ref(): void;
  unref(): void;
  close(): void;
}

export interface UdpStats {
  datagramsReceived: number;
  bytesReceived: number;
  datagramsSent: number;
  bytesSent: number;
  sendErrors: number;
  /** Times a send had to wait for the socket buffer. */
  sendBlocked: number;
  receiveOverflows: number;
}

export interface UdpProvider {
  readonly name: "native" | "portable";
  /** Rejects with an error whose `code` is the system's (EADDRINUSE, EACCES, EADDRNOTAVAIL, ...). */
  open(options: UdpOptions, handler: UdpHandler): Promise<UdpSocket>;
  /** A timer for pacing what the sockets send, where there is a finer one than the event loop's. It never keeps the event
   *  loop alive. Throws an error with the system's `code` when it cannot be had. */
  newTimer?(onTime: () => void): FineTimer;
}
