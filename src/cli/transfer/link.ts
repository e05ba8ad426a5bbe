/**
 * What a transfer needs of a connection, and no more: quic-link.ts gives it over a QuicSession, tests over pairs in
 * memory. Every rejection is a Failure, unless it says otherwise.
 */

import type { FileHandle } from "node:fs/promises";

/** The sending half of a stream. */
export interface ByteSink {
  /** Resolves when there is room for more. `bytes` may be used again from then on. */
  write(bytes: Uint8Array): Promise<void>;
  /** The end of the stream; what was written is on its way. */
  end(): Promise<void>;
}

/** The sending half of a stream that carries part of a file. */
export interface RangeSink extends ByteSink {
  /** As `write`, with `lengthBytes` of an open file from `offset` on. What is wrong with the file it rejects with as it is. */
  writeFile(file: FileHandle, offset: number, lengthBytes: number): Promise<void>;
}

/** The receiving half: batches in order, each good until the next is asked for. It ends with the stream, unless reset. */
export type ByteSource = AsyncIterable<Uint8Array[]>;

export interface ControlStream {
  sink: ByteSink;
  source: ByteSource;
}

/** What a connection can say about itself when asked. */
export interface LinkFacts {
  tls: string;
  cipher: string;
  datapath: string;
  minRttMicros: number;
  smoothedRttMicros: number;
  packetsSent: number;
  packetsLost: number;
}

export interface Link {
  /** The client opens the one bidirectional stream; the server waits for it. */
  control(): Promise<ControlStream>;
  /** Opens a unidirectional stream as soon as the peer allows one more. */
  openUni(): Promise<RangeSink>;
  /** Called for each unidirectional stream of the peer, from now on and for those that came before. */
  onUni(handler: (source: ByteSource) => void): void;
  facts(): LinkFacts;
  /** Gives up: the peer is told `reason`, all streams end. Idempotent. */
  abort(reason: string): void;
  /** The orderly end: resolves when the connection is closed. */
  close(): Promise<void>;
  /** Resolves when either side closed in order, rejects when the connection broke or the peer gave up. */
  readonly closed: Promise<void>;
}
