/**
 * The one seam above the engine: a QUIC connection as its users see it. node:quic names, Linux sockets, HTTP/3 and
 * TCP-like streams are siblings on it. Stream ids are numbers; error codes of applications are bigint (62 bits).
 * Nothing here calls back: what happened is recorded, coalesced per stream, and handed out by `drain`.
 */

import type { FileSource } from "./file.js";
import type { TlsInfo } from "./tls.js";

/** Results of `open`, `write` and `read` that are not a count. All are negative. */
export const T_BLOCKED = -1; // open: the peer's stream limit is reached; `onStreamsAvailable` follows
export const T_CLOSED = -2; // the connection is closing or closed
export const T_STATE = -3; // the stream is unknown, finished, reset, or has no such half
export const T_STOPPED = -4; // write: the peer sent STOP_SENDING; `stopCode(id)` has its code
export const T_RESET = -5; // read: the peer reset the stream; `resetCode(id)` has its code
export const T_TOO_LARGE = -6; // datagrams.send: more than `maxBytes`

/** What became of a datagram (RFC 9221 §5.2). */
export const DATAGRAM_ACKNOWLEDGED = 0;
export const DATAGRAM_LOST = 1;
/** It never left: no room in the queue, too large for the path by then, or the connection ended. */
export const DATAGRAM_ABANDONED = 2;
export type DatagramFate = typeof DATAGRAM_ACKNOWLEDGED | typeof DATAGRAM_LOST | typeof DATAGRAM_ABANDONED;

export const STREAM_BIDI = 0;
export const STREAM_UNI = 1;
export type StreamKind = typeof STREAM_BIDI | typeof STREAM_UNI;

/** Whose error codes a CONNECTION_CLOSE has: the application's (type 0x1d), or those of RFC 9000 §20.1 (0x1c). */
export type CloseType = "application" | "transport";

/** Why a connection ended. */
export interface CloseInfo {
  /** A CONNECTION_CLOSE, TLS alerts as `transport` 0x100 + alert; or what else ended it. */
  type: CloseType | "idle-timeout" | "handshake-timeout" | "stateless-reset" | "version-negotiation";
  /** True when the peer (or the network) ended it, false when this side did. */
  remote: boolean;
  code: bigint;
  /** Frame type that triggered a transport error, 0 when unknown. */
  frameType: number;
  reason: string;
}

/** What became of a validation (RFC 9000 §8.2): `aborted` when the peer was found elsewhere, or went there, before its end. */
export type PathValidationResult = "success" | "failure" | "aborted";

export interface PathValidation {
  result: PathValidationResult;
  /** Addresses of the path in question, ADDR_COLS words of port/udp, its socket, and those of the path before. */
  path: Int32Array;
  socket: number;
  oldPath: Int32Array;
  oldSocket: number;
  /** It is the server's preferred address (RFC 9000 §9.6). */
  preferred: boolean;
}

/** Where a client wants to be. */
export interface MoveTarget {
  /** Of its endpoint; 0 = the first. */
  socket: number;
  /** ADDR_COLS words (port/udp), of which the local address counts; zero: the kernel chooses. */
  local: Int32Array;
  /** The family of the socket. For another one than now the server has to have given a preferred address of it. */
  isIpv4: boolean;
  /** The old address is gone: data takes the new one at once, before it has answered. */
  force: boolean;
}

/** Why a client does not move: RFC 9000 §9, §18.2 (`disabled`: the server forbids it), §9.5. */
export type MoveRefusal = "closed" | "server" | "not-confirmed" | "disabled" | "no-connection-id" | "no-address";

/** What is known once the handshake is complete: what TLS says, and the QUIC version. */
export interface HandshakeInfo extends TlsInfo {
  version: number;
  /** The client offered 0-RTT; what it sent so was not processed unless `earlyDataAccepted`. */
  earlyDataAttempted: boolean;
}

/** Counters of one connection. Times in microseconds, monotonic clock. */
export interface TransportStats {
  createdAtMicros: number;
  handshakeCompletedAtMicros: number; // 0 = not yet
  handshakeConfirmedAtMicros: number;
  closedAtMicros: number;
  bytesReceived: number; // UDP payload
  bytesSent: number;
  packetsReceived: number;
  packetsSent: number;
  packetsLost: number;
  bytesLost: number;
  packetsDropped: number;
  spuriousLosses: number;
  bytesInFlight: number;
  maxBytesInFlight: number;
  cwndBytes: number;
  ssthreshBytes: number; // Infinity before the first loss
  /** Times the congestion window was reduced, by losses or CE marks; and because nothing arrived for long. */
  congestionEvents: number;
  persistentCongestions: number;
  /** Marks on packets that arrived (RFC 9000 §13.4.1); CE marks that the peer reported of ours; whether we set marks. */
  ect0Received: number;
  ect1Received: number;
  ceReceived: number;
  ceReported: number;
  ecn: "testing" | "unknown" | "capable" | "failed";
  /** Largest UDP payload sent now, and how it was found (RFC 9000 §14.3). */
  maxDatagramBytes: number;
  mtuProbesSent: number;
  mtuProbesLost: number;
  mtuBlackHoles: number;
  latestRttMicros: number;
  minRttMicros: number;
  smoothedRttMicros: number;
  rttVarMicros: number;
  ptoCount: number; // probe timeouts ever
  /** ACK frames; ACK_FREQUENCY frames (draft-ietf-quic-ack-frequency §4). */
  acksReceived: number;
  acksSent: number;
  ackFrequencyReceived: number;
  ackFrequencySent: number;
  bidiIn: number;
  bidiOut: number;
  uniIn: number;
  uniOut: number;
  /** Of the packets above, those in 0-RTT. */
  earlyPacketsReceived: number;
  earlyPacketsSent: number;
  streamBytesReceived: number;
  streamBytesSent: number;
  /** Times sending stopped for want of: congestion window; connection flow credit. */
  cwndBlocked: number;
  flowBlocked: number;
  /** Changes of the 1-RTT keys, whoever began them (RFC 9001 §6). */
  keyUpdates: number;
  /** 1-RTT packets are in the clear, neither encrypted nor authenticated: both sides asked for that. */
  plaintext: boolean;
  /** Paths that were validated and that did not answer (RFC 9000 §8.2). */
  pathsValidated: number;
  pathsFailed: number;
  /** Times that the connection took another path (RFC 9000 §9), and that the way led back to the one before. */
  pathMoves: number;
  pathReturns: number;
  datagramsReceived: number;
  /** Of the peer, dropped for want of room before the application took them. */
  datagramsDropped: number;
  datagramsSent: number;
  datagramsAcknowledged: number;
  datagramsLost: number;
}

/** What only façades with the states of RFC 9000 §3 want to know: bits of `DetailTransport.watch`, see `onDetail`. */
export const DETAIL_STREAM_CREDIT = 1; // MAX_STREAM_DATA raised a limit: stream id, limit in bytes
export const DETAIL_STREAM_LIMIT = 2; // MAX_STREAMS raised a limit: stream kind, number of streams
export const DETAIL_SIZE_KNOWN = 4; // the end of a stream came ahead of its data: stream id, final size
export const DETAIL_RESET_ACKED = 8; // our RESET_STREAM arrived: stream id, final size
export const DETAIL_LOCAL_IDS = 16; // the peer retired connection ids of ours: 0, lowest sequence number that is left
export const DETAIL_PEER_IDS = 32; // we retired connection ids of the peer's: 0, lowest sequence number that is left
export const DETAIL_KEY_PHASE = 64; // the peer began with new 1-RTT keys: 0, phase

/** Told by `drain`, in this order: establishment, streams in order of first event, datagrams, tickets, paths, details,
 *  close. */
export interface TransportHandler {
  onHandshake(info: HandshakeInfo): void;
  /** RFC 9001 §4.1.2. */
  onHandshakeConfirmed(): void;
  /** The peer opened this stream; events of it follow. */
  onStream(id: number): void;
  /** Bytes, the end of the stream, or a reset can be read. Level-triggered once per drain: read until 0 or leave it. */
  onReadable(id: number): void;
  /** A `write` that took less than it was given can go on. */
  onWritable(id: number): void;
  /** RESET_STREAM arrived (RFC 9000 §19.4); unread data is gone. */
  onReset(id: number, code: bigint): void;
  /** STOP_SENDING arrived; the engine has answered with RESET_STREAM of the same code (RFC 9000 §3.5). */
  onStopSending(id: number, code: bigint): void;
  /** All that was written is acknowledged, FIN included. */
  onSendDone(id: number): void;
  /** Both halves are finished and the id is forgotten; nothing follows for it. */
  onStreamClosed(id: number): void;
  /** After `open` returned T_BLOCKED: the peer allows more of this kind. */
  onStreamsAvailable(kind: StreamKind): void;
  onTicket(bytes: Uint8Array): void;
  /** NEW_TOKEN (RFC 9000 §8.1.3): the token after TOKEN_HEADER_BYTES bytes of ours. */
  onNewToken(bytes: Uint8Array): void;
  /** A datagram of the peer; `bytes` is the handler's. `early`: it came in 0-RTT, so that it may be a replay. */
  onDatagram(bytes: Uint8Array, early: boolean): void;
  /** Once for each datagram, unless the connection ends while it is in flight. */
  onDatagramFate(id: number, fate: DatagramFate): void;
  /** Each that ended while the handler looked away, the last MAX_HELD_PATH_RESULTS. */
  onPathValidation(validation: PathValidation): void;
  onKeylog(line: string): void;
  /** One of DETAIL_*, for what was watched; of several for one `id` since the last drain, the latest. */
  onDetail?(detail: number, id: number, value: number): void;
  /** The last call. What was received before may still be read. */
  onClosed(info: CloseInfo): void;
}

/** Of a connection whose end nobody waits for: it failed before the application saw it. */
export const NOBODY: Readonly<TransportHandler> = {
  onHandshake() {},
  onHandshakeConfirmed() {},
  onStream() {},
  onReadable() {},
  onWritable() {},
  onReset() {},
  onStopSending() {},
  onSendDone() {},
  onStreamClosed() {},
  onStreamsAvailable() {},
  onTicket() {},
  onNewToken() {},
  onDatagram() {},
  onDatagramFate() {},
  onPathValidation() {},
  onKeylog() {},
  onClosed() {},
};

/** Before a token that the transport hands out: it is for one version only (RFC 9369 §5). */
export const TOKEN_HEADER_BYTES = 5;

/** `recvState` of a stream of which everything was received, and nothing is lost; higher ones were read, or reset. */
export const RECV_STATE_RECEIVED = 2;

/** One stream as RFC 9000 §3 sees it. */
export interface StreamDetails {
  /** In the order of RFC 9000 §3.1: ready, send, sent, received, reset sent, reset received, from 0; -1 = no such half. */
  sendState: number;
  /** In the order of RFC 9000 §3.2: receive, size known, received, read, reset received, reset read, from 0; -1. */
  recvState: number;
  /** Bytes; -1 = not known yet. */
  recvFinalSize: number;
  /** STOP_SENDING was asked for. */
  stopped: boolean;
  /** Bytes written so far, and of these, bytes sent at least once. */
  writtenBytes: number;
  sentBytes: number;
  /** What the peer's limits, of the stream and of the connection, allow to write now, bytes. */
  creditBytes: number;
}

/** Connection ids that one side gave the other, by sequence number (RFC 9000 §5.1.1): those that may be used. */
export interface ConnectionIdRange {
  lowest: number;
  highest: number;
  /** That of our packets now; of our own ids the lowest. */
  active: number;
}

/** For façades that have states where others have promises. */
export interface DetailTransport {
  /** DETAIL_* bits that `onDetail` is called for from now on. */
  watch(details: number): void;
  /**
   * Makes the peer see a bidirectional stream that was opened here before anything is written to it: it is told again what it
   * may send there (RFC 9000 §3.2: MAX_STREAM_DATA opens a stream, too). False when there is no such stream.
   */
  announce(id: number): boolean;
  /** Null for a stream that is finished and forgotten, or was never there. */
  stream(id: number): StreamDetails | null;
  /** How many more streams of this kind the peer lets us open now. */
  openable(kind: StreamKind): number;
  /** How many of this kind each side has opened so far. */
  opened(kind: StreamKind, byPeer: boolean): number;
  /** Memory of send buffers and of receive buffers over all streams, bytes. */
  readonly sendHeldBytes: number;
  readonly recvHeldBytes: number;
  /** Stream bytes written and not sent for the first time yet. */
  readonly unsentBytes: number;
  /** Stream bytes written that the peer does not have yet, as far as is known. */
  readonly unackedBytes: number;
  /** What the peer's limit of the connection allows to write now, on all streams together, bytes. */
  readonly creditBytes: number;
  readonly cwndBytes: number;
  /** For who has a limit of his own on `sendHeldBytes`: `onWritable` follows when something of it is acknowledged. */
  wantRoom(): void;
  /**
   * Nagle's rule for new stream data that fills no packet: with `delays` it waits while anything is in flight, with `corked`
   * for more of it in any case. Neither at first. What leaves anyway takes it along.
   */
  setDelay(delays: boolean, corked: boolean): void;
  /** New 1-RTT keys were asked for and are not settled on both sides yet (RFC 9001 §6.1). */
  readonly isUpdatingKeys: boolean;
  /** Another path is asked, or was just taken and is not proven yet (RFC 9000 §8.2). */
  readonly isMoving: boolean;
  /** While held, the peer gets no more streams than it was allowed before: those that end are not replaced. */
  holdStreams(isHeld: boolean): void;
  connectionIds(ofPeer: boolean): ConnectionIdRange;
  /** Our packets carry this id of the peer's from now on; false when it is not there, or not newer than the one now. */
  useConnectionId(seq: number): boolean;
  /**
   * Ids below `priorTo`, which is above the lowest and not above the highest, are not used any more: ours are demanded back,
   * those of the peer given back (RFC 9000 §5.1.2). False while the peer owes too many.
   */
  retireConnectionIds(ofPeer: boolean, priorTo: number): boolean;
}

/** Datagrams of the application (RFC 9221). */
export interface DatagramTransport {
  /** Payload of the largest that can be sent now, bytes; 0 = the peer takes none (RFC 9221 §3). It follows the path. */
  readonly maxBytes: number;
  /** Queues one and takes `bytes` over: its id, 1 or more, whose fate follows; T_CLOSED or T_TOO_LARGE. */
  send(bytes: Uint8Array): number;
  /** How many may wait to be sent, and whether the oldest of them makes room for a new one. */
  setQueue(maxWaiting: number, dropsOldest: boolean): void;
}

export interface Transport {
  readonly isServer: boolean;
  /** Null until the handshake is complete. */
  readonly handshake: HandshakeInfo | null;
  /** Null while open. Set as soon as this side closes or learns that the peer did. */
  readonly closeInfo: CloseInfo | null;

  /** Opens the next stream of that kind: its id, T_BLOCKED or T_CLOSED (RFC 9000 §2.1, §4.6). */
  open(kind: StreamKind): number;
  /** Copies up to `end - start` bytes into the send buffer; `fin` counts only when all of them were taken. Returns the
   *  number taken (0 = full, `onWritable` follows) or T_CLOSED, T_STATE, T_STOPPED. Data is owned by the stream after. */
  write(id: number, buf: Uint8Array, start: number, end: number, fin: boolean): number;
  /** As `write`, with bytes that `source` puts into the send buffer itself: how many came now. 0: `source.state` says why;
   *  while that is still ready, the buffer is full and `onWritable` follows. Call it again until then. */
  writeFrom(id: number, source: FileSource): number;
  /** Room in the send buffer, bytes. */
  writable(id: number): number;
  /** Copies up to `end - start` bytes out and returns the flow credit they held. 0 = nothing now, or the end: see
   *  `atEnd`. T_RESET after a reset, T_STATE for an unknown stream. */
  read(id: number, buf: Uint8Array, start: number, end: number): number;
  /**
   * Names where a reader that waits wants its bytes: bulk data then goes straight there, and a `read` into the same place
   * copies nothing. Until that `read`, `buf[start, end)` is the transport's and holds nothing; null takes it back, and
   * what came meanwhile is kept for the next `read`.
   */
  expect(id: number, buf: Uint8Array | null, start: number, end: number): void;
  /** In-order bytes waiting. */
  readable(id: number): number;
  /** Every byte up to FIN was read. */
  atEnd(id: number): boolean;
  /** Some of it came in 0-RTT, so that it may be a replay (RFC 9001 §9.2). False for an unknown stream. */
  isEarly(id: number): boolean;
  /** RESET_STREAM; what was not sent is dropped. False when there is nothing to reset. */
  reset(id: number, code: bigint): boolean;
  /** STOP_SENDING; what arrives later is dropped. False when the receiving half is finished. */
  stopSending(id: number, code: bigint): boolean;
  /** Code of the peer's RESET_STREAM / STOP_SENDING, 0n before. */
  resetCode(id: number): bigint;
  stopCode(id: number): bigint;
  /** Lower `urgency` (0..7, default 3) is sent first; among equals, `incremental` streams share. */
  setPriority(id: number, urgency: number, incremental: boolean): void;

  readonly datagrams: DatagramTransport;

  /**
   * Asks for new 1-RTT keys (RFC 9001 §6). They come at once or as soon as the RFC allows: after the handshake is
   * confirmed and the last update was acknowledged for a while. Until then further calls ask for the same. False once closed.
   */
  updateKeys(): boolean;

  /**
   * Moves a client to another local address (RFC 9000 §9): asks the path there, and takes it when it answers. Null when
   * that has begun, what came of it is told by `onPathValidation`; else why it cannot be. A move that was under way ends; a
   * null target does nothing but that.
   */
  migrate(target: MoveTarget | null, nowMicros: number): MoveRefusal | null;

  /** RFC 9000 §10.2: CONNECTION_CLOSE with a `code` of that namespace. Idempotent. */
  close(type: CloseType, code: bigint, reason: string): void;
  /** Forgets the connection at once, sending nothing. */
  abandon(): void;

  /** Hands out what happened since the last drain. */
  drain(handler: TransportHandler): void;
  stats(): TransportStats;
}
