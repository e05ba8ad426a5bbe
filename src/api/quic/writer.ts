/**
 * `stream.writer`: the writer interface of `node:stream/iter` over the sending half. Where node:quic rejects a write for
 * want of room (ERR_INVALID_STATE), ours waits for it; everything else is the same.
 */

import { invalidState, invalidType, wireCode } from "../errors.js";
import { viewOf } from "../option-reader.js";
import { watchAbort } from "../deferred.js";
import type { SendHalf, WriteDone } from "../send-half.js";
import type { StreamCore } from "./stream-core.js";

export type WriterChunk = string | ArrayBuffer | SharedArrayBuffer | ArrayBufferView;

export interface WriteOptions {
  /** Ends the wait for room. A write of which a part was sent already resets the stream when it is aborted. */
  signal?: AbortSignal;
}

export const drainableProtocol = Symbol.for("Stream.drainableProtocol");

export class StreamWriter {
  readonly #core: StreamCore;
  readonly #send: SendHalf | null;

  constructor(core: StreamCore) {
    this.#core = core;
    this.#send = core.send;
  }

  /** Whether a write is taken at once; null when nothing can be written any more. */
  get canWrite(): boolean | null {
    const room = this.#send?.room ?? null;
    return room === null ? null : room > 0;
  }

  /** Bytes that are taken at once; null when nothing can be written any more. */
  get desiredSize(): number | null {
    return this.#send?.room ?? null;
  }

  /** Takes all of `chunk`, or nothing and returns false. The bytes are copied. */
  writeSync(chunk: WriterChunk): boolean {
    return this.#send?.writeNow(bytesOf(chunk)) ?? false;
  }

  /** Takes all of the chunks, or nothing and returns false. */
  writevSync(chunks: readonly WriterChunk[]): boolean {
    return this.#send?.writeNow(joined(chunks)) ?? false;
  }

  /** Resolves when all of `chunk` is in the send buffer: until then its bytes must not change. */
  write(chunk: WriterChunk, options?: WriteOptions): Promise<void> {
    return this.#write(bytesOf(chunk), false, options?.signal);
  }

  writev(chunks: readonly WriterChunk[], options?: WriteOptions): Promise<void> {
    return this.#write(joined(chunks), false, options?.signal);
  }

  /** Ends the stream when nothing waits: total bytes written; -1 when writes wait, use `end` then. */
  endSync(): number {
    const send = this.#send;
    if (send === null || send.error !== null || send.isBlocked) return -1;
    if (!send.ended) send.end(null);
    return send.bytesWritten;
  }

  /** Ends the stream after what waits; resolves to the total bytes written. */
  async end(options?: WriteOptions): Promise<number> {
    const send = this.#send;
    if (send === null) throw invalidState("the stream cannot be written");
    if (!send.ended) await this.#write(new Uint8Array(0), true, options?.signal);
    else if (send.error !== null) throw send.error;
    return send.bytesWritten;
  }

  /** RESET_STREAM with the code of `reason` (a QuicError), else INTERNAL_ERROR. */
  fail(reason?: unknown): void {
    this.#core.resetStream(wireCode(reason), reason);
  }

  /** For `ondrain` of `node:stream/iter`: null when there is nothing to wait for. */
  [drainableProtocol](): Promise<boolean> | null {
    const drained = this.#send?.whenDrained() ?? null;
    return drained === null ? null : drained.then(() => true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#send?.isOpen === true) await this.end();
  }

  #write(bytes: Uint8Array, fin: boolean, signal: AbortSignal | undefined): Promise<void> {
    const send = this.#send;
    if (send === null) return Promise.reject(invalidState("the stream cannot be written"));
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    return new Promise((resolve, reject) => {
      let unwatch = (): void => {};
      const done: WriteDone = (error) => {
        unwatch();
        if (error === null) resolve();
        else reject(error as Error);
      };
      send.write(bytes, fin, done);
      if (signal === undefined || !send.isBlocked) return;
      unwatch = watchAbort(signal, () => {
        // a hole in the middle of a stream would be silent corruption
        if (!send.cancel(done)) this.#core.resetStream(wireCode(signal.reason), signal.reason);
        reject(signal.reason as Error);
      });
    });
  }
}

/** The bytes of a chunk, strings as UTF-8. @throws `ERR_INVALID_ARG_TYPE` */
export function bytesOf(chunk: unknown): Uint8Array {
  if (typeof chunk === "string") return Buffer.from(chunk);
  const bytes = viewOf(chunk);
  if (bytes === null) throw invalidType("chunk", "a string, an ArrayBuffer or a view of one", chunk);
  return bytes;
}

function joined(chunks: readonly WriterChunk[]): Uint8Array {
  if (!Array.isArray(chunks)) throw invalidType("chunks", "an array", chunks);
  return chunks.length === 1 ? bytesOf(chunks[0]) : Buffer.concat(chunks.map(bytesOf));
}
