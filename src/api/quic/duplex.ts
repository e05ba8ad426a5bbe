/**
 * A QuicStream as a `node:stream` Duplex: pulled only while the reader wants more, so that flow control reaches the peer,
 * and a write is done when the send buffer has it. Destroying it resets what is not finished and stops the rest.
 */

import { Duplex } from "node:stream";
import { wireCode } from "../errors.js";
import type { StreamCore } from "./stream-core.js";
import { bytesOf } from "./writer.js";

export interface ToDuplexOptions {
  /** False: the writing half ends by itself when the peer has ended; default true. */
  allowHalfOpen?: boolean;
  /** Bytes buffered each way before back-pressure; default 64 KiB. */
  highWaterMark?: number;
}

const HIGH_WATER_BYTES = 64 * 1024;

type Callback = (error?: Error | null) => void;

class StreamDuplex extends Duplex {
  readonly #core: StreamCore;

  constructor(core: StreamCore, options: ToDuplexOptions) {
    const highWaterMark = options.highWaterMark ?? HIGH_WATER_BYTES;
    // `readable` and `writable` are options that the typings leave out
    const halves = { readable: core.recv !== null, writable: core.send !== null };
    const marks = { readableHighWaterMark: highWaterMark, writableHighWaterMark: highWaterMark };
    super({ allowHalfOpen: options.allowHalfOpen ?? true, ...marks, ...halves });
    this.#core = core;
  }

  override _read(): void {
    const { recv } = this.#core;
    if (recv === null) return;
    for (;;) {
      const chunk = recv.take();
      if (chunk === null) break;
      const wantsMore = this.push(chunk);
      if (!wantsMore && !recv.isOver) return;
      if (recv.isOver) break;
    }
    if (recv.ended) this.push(null);
    else if (recv.error !== null) this.destroy(recv.error as Error);
    else recv.wait(() => this._read());
  }

  override _write(chunk: unknown, encoding: BufferEncoding, callback: Callback): void {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk, encoding) : bytesOf(chunk);
    this.#core.send?.write(bytes, false, (error) => callback(error as Error | null));
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], callback: Callback): void {
    const last = chunks.length - 1;
    chunks.forEach(({ chunk, encoding }, index) => {
      const bytes = typeof chunk === "string" ? Buffer.from(chunk, encoding) : bytesOf(chunk);
      const done = index < last ? null : (error: unknown): void => callback(error as Error | null);
      this.#core.send?.write(bytes, false, done);
    });
  }

  override _final(callback: Callback): void {
    this.#core.send?.end((error) => callback(error as Error | null));
  }

  override _destroy(error: Error | null, callback: Callback): void {
    const core = this.#core;
    core.recv?.unwait();
    const code = error === null ? 0n : wireCode(error);
    if (core.send?.finTaken === false) core.resetStream(code, error ?? undefined);
    core.stopSending(code, error ?? undefined);
    callback(error);
  }
}

export function makeDuplex(core: StreamCore, options: ToDuplexOptions): Duplex {
  return new StreamDuplex(core, options);
}
