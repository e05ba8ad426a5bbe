/**
 * What an application reads of one stream: chunks of up to 64 KiB, copied once out of the transport, which returns flow
 * control credit as they are taken. After the connection is gone, what had arrived can still be read.
 */

import type { Transport } from "../../port/transport.js";

/** Largest chunk that is handed out, bytes. */
export const READ_CHUNK_BYTES = 64 * 1024;

export class RecvHalf {
  bytesRead = 0;
  /** The end was reached: everything up to FIN was taken. */
  ended = false;
  /** Why nothing more can be read, null while it can. */
  error: unknown = null;
  /** Somebody reads (iterator, read, Duplex): one reader only. */
  claimed = false;
  /** What had arrived when the connection went, and how it goes on after that; null while the transport is asked. */
  private left: { chunks: Uint8Array[]; ends: boolean; error: unknown } | null = null;
  private waiter: (() => void) | null = null;

  constructor(
    private readonly transport: Transport,
    private readonly id: number,
  ) {}

  /** In-order bytes that can be taken now. */
  get readableBytes(): number {
    if (this.isOver) return 0;
    if (this.left === null) return this.transport.readable(this.id);
    return this.left.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  /** Nothing more will come, be it the end or an error. */
  get isOver(): boolean {
    return this.ended || this.error !== null;
  }

  /** The end has arrived, though it may not be read yet. */
  get hasEnd(): boolean {
    return this.ended || this.left?.ends === true;
  }

  /** The next chunk, in `into` when that is given, or null: nothing now, the end (`ended`) or `error`. */
  take(maxBytes = READ_CHUNK_BYTES, into: Uint8Array | null = null): Uint8Array | null {
    if (this.isOver) return null;
    const most = into === null ? maxBytes : Math.min(maxBytes, into.length);
    const chunk = this.left === null ? this.takeArrived(most, into) : this.takeLeft(most, into);
    if (chunk !== null) this.bytesRead += chunk.length;
    return chunk;
  }

  /** Calls `wake` once, when there is something to take or to learn. */
  wait(wake: () => void): void {
    this.waiter = wake;
  }

  /** Ends a wait without waking. */
  unwait(): void {
    this.waiter = null;
  }

  onReadable(): void {
    const wake = this.waiter;
    if (wake === null) return;
    this.waiter = null;
    wake();
  }

  /** Nothing more can be read; unread bytes are dropped. */
  fail(error: unknown): void {
    if (this.isOver) return;
    this.left = null;
    this.error = error;
    this.onReadable();
  }

  /** The connection is gone: what had arrived in order stays, then comes the end, or `error` where that is missing. */
  detach(error: unknown): void {
    if (this.isOver || this.left !== null) return;
    const chunks: Uint8Array[] = [];
    while (!this.ended) {
      const chunk = this.takeArrived(READ_CHUNK_BYTES, null);
      if (chunk === null) break;
      chunks.push(chunk);
    }
    this.left = { chunks, ends: this.ended, error };
    this.ended = false;
    this.settleLeft();
    this.onReadable();
  }

  private takeArrived(maxBytes: number, into: Uint8Array | null): Uint8Array | null {
    const { transport, id } = this;
    const available = transport.readable(id);
    if (available === 0) {
      this.ended = transport.atEnd(id);
      return null;
    }
    const length = Math.min(available, maxBytes);
    const slab = into ?? Buffer.allocUnsafeSlow(length); // not zeroed: every byte is written
    transport.read(id, slab, 0, length);
    if (length === available) this.ended = transport.atEnd(id);
    return into === null ? new Uint8Array(slab.buffer, 0, length) : into.subarray(0, length);
  }

  private takeLeft(maxBytes: number, into: Uint8Array | null): Uint8Array | null {
    const { chunks } = this.left!;
    const first = chunks[0]!;
    if (first.length > maxBytes) chunks[0] = first.subarray(maxBytes);
    else chunks.shift();
    this.settleLeft();
    const taken = first.length > maxBytes ? first.subarray(0, maxBytes) : first;
    if (into === null) return taken;
    into.set(taken);
    return into.subarray(0, taken.length);
  }

  /** Once all that was left is taken: the end, or the error. */
  private settleLeft(): void {
    const left = this.left!;
    if (left.chunks.length > 0) return;
    if (left.ends) this.ended = true;
    else this.error = left.error;
  }
}
