/** Two links that are joined in memory, with back-pressure and with faults that tests ask for. */

import type { FileHandle } from "node:fs/promises";
import { Failure } from "../failure.js";
import type { ByteSource, ControlStream, Link, LinkFacts, RangeSink } from "./link.js";

/** Bytes that a stream holds before its writer waits. */
const WINDOW_BYTES = 64 * 1024;

export interface Faults {
  /** Sees each chunk of a range stream (header included) on its way; may change it or throw. */
  onChunk?: (chunk: Uint8Array, fromServer: boolean) => void;
}

class Pipe implements RangeSink {
  private chunks: Uint8Array[] = [];
  private queuedBytes = 0;
  private ended = false;
  private error: Error | null = null;
  private wakeReader = () => {};
  private wakeWriter = () => {};

  constructor(private readonly onChunk: (chunk: Uint8Array) => void) {}

  async write(bytes: Uint8Array): Promise<void> {
    if (this.error !== null) throw this.error;
    const chunk = Uint8Array.from(bytes);
    this.onChunk(chunk);
    this.chunks.push(chunk);
    this.queuedBytes += chunk.length;
    this.wakeReader();
    while (this.queuedBytes > WINDOW_BYTES && this.error === null) {
      await new Promise<void>((resolve) => {
        this.wakeWriter = resolve;
      });
    }
    if (this.error !== null) throw this.error;
  }

  async writeFile(file: FileHandle, offset: number, lengthBytes: number): Promise<void> {
    const chunk = new Uint8Array(WINDOW_BYTES);
    for (let left = lengthBytes; left > 0; ) {
      const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, left), offset + lengthBytes - left);
      if (bytesRead === 0) throw Object.assign(new Error("too short"), { code: "ERR_NETQUIC_FILE_TRUNCATED" });
      await this.write(chunk.subarray(0, bytesRead));
      left -= bytesRead;
    }
  }

  async end(): Promise<void> {
    this.ended = true;
    this.wakeReader();
  }

  fail(error: Error): void {
    this.error ??= error;
    this.wakeReader();
    this.wakeWriter();
  }

  async *read(): AsyncGenerator<Uint8Array[]> {
    for (;;) {
      if (this.error !== null) throw this.error;
      if (this.chunks.length > 0) {
        const batch = this.chunks;
        this.chunks = [];
        this.queuedBytes = 0;
        this.wakeWriter();
        yield batch;
      } else if (this.ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.wakeReader = resolve;
        });
      }
    }
  }
}

export class MemoryLink implements Link {
  peer: MemoryLink | null = null;
  openStreams = 0;
  maxOpenStreams = 0;
  aborted: string | null = null;
  readonly closed: Promise<void>;
  private readonly pipes: Pipe[] = [];
  private waiting: ByteSource[] = [];
  private handler: ((source: ByteSource) => void) | null = null;
  private settle: { resolve(): void; reject(error: Error): void } = { resolve() {}, reject() {} };

  constructor(
    private readonly isServer: boolean,
    private readonly controlStream: ControlStream,
    private readonly faults: Faults,
  ) {
    this.closed = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.closed.catch(() => {});
  }

  async control(): Promise<ControlStream> {
    return this.controlStream;
  }

  async openUni(): Promise<RangeSink> {
    const pipe = new Pipe((chunk) => this.faults.onChunk?.(chunk, this.isServer));
    const peer = this.peer as MemoryLink;
    this.pipes.push(pipe);
    peer.pipes.push(pipe);
    this.maxOpenStreams = Math.max(this.maxOpenStreams, ++this.openStreams);
    peer.take(pipe.read());
    return {
      write: (bytes) => pipe.write(bytes),
      writeFile: (file, offset, lengthBytes) => pipe.writeFile(file, offset, lengthBytes),
      end: () => {
        this.openStreams--;
        return pipe.end();
      },
    };
  }

  onUni(handler: (source: ByteSource) => void): void {
    this.handler = handler;
    for (const source of this.waiting.splice(0)) handler(source);
  }

  facts(): LinkFacts {
    const facts = { tls: "none", cipher: "NULL", datapath: "memory", minRttMicros: 1, smoothedRttMicros: 2 };
    return { ...facts, packetsSent: 10, packetsLost: 1 };
  }

  abort(reason: string): void {
    if (this.aborted !== null) return;
    this.aborted = reason;
    this.breakOff(new Failure(reason));
    this.peer?.breakOff(new Failure(`the peer gave up: ${reason}`, { byPeer: true }));
  }

  /** The connection is lost without a word, as when a process is killed. */
  breakOff(error: Error): void {
    for (const pipe of this.pipes) pipe.fail(error);
    this.settle.reject(error);
  }

  own(pipe: Pipe): void {
    this.pipes.push(pipe);
  }

  async close(): Promise<void> {
    this.settle.resolve();
    this.peer?.settle.resolve();
  }

  private take(source: ByteSource): void {
    if (this.handler === null) this.waiting.push(source);
    else this.handler(source);
  }
}

export function memoryLinks(faults: Faults = {}): { client: MemoryLink; server: MemoryLink } {
  const [up, down] = [new Pipe(() => {}), new Pipe(() => {})];
  const client = new MemoryLink(false, { sink: up, source: down.read() }, faults);
  const server = new MemoryLink(true, { sink: down, source: up.read() }, faults);
  for (const link of [client, server]) for (const pipe of [up, down]) link.own(pipe);
  client.peer = server;
  server.peer = client;
  return { client, server };
}
