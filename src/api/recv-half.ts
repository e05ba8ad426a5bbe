/**
 * What an application reads of one stream: chunks of up to 64 KiB, copied once out of the transport, which returns flow
 * control credit as they are taken. Where the transport goes away before the reader is done, or a closing session waits for
 * a stream that nobody reads, what has arrived is kept here; the reader gets that first.
 */

import { DOUBLE } from "../base/double.js";
import type { Transport } from "../port/transport.js";

/** Largest chunk that is handed out, bytes. */
export const READ_CHUNK_BYTES = 64 * 1024;
/** Kept for a stream that nobody reads while its session closes, bytes; past it the session waits for a reader. */
const KEPT_BYTES = 256 * 1024;

export class RecvHalf {
  bytesRead = DOUBLE;
  /** Why nothing more can be read, null while it can. */
  error: unknown = null;
  /** Somebody reads (iterator, read, Duplex): one reader only. */
  claimed = false;
  /** Taken from the transport and not by the reader. */
  private kept: Uint8Array[] = [];
  /** Everything up to FIN was taken from the transport. */
  private complete = false;
  /** The transport can be asked. */
  private attached = true;
  /** What follows `kept` once detached. */
  private failure: unknown = null;
  private waiter: (() => void) | null = null;

  constructor(
    private readonly transport: Transport,
    private readonly id: number,
  ) {
    this.bytesRead = 0;
  }

  /** The end was reached: everything up to FIN was read. */
  get ended(): boolean {
    return this.complete && this.kept.length === 0 && this.error === null;
  }

  /** Nothing more will come, be it the end or an error. */
  get isOver(): boolean {
    return this.error !== null || this.ended;
  }

  /** All of it has arrived, though it may not be read yet. */
  get isComplete(): boolean {
    return this.complete;
  }

  /** In-order bytes that can be taken now. */
  get readableBytes(): number {
    return this.keptBytes + (this.attached && !this.isOver ? this.transport.readable(this.id) : 0);
  }

  /** The next chunk, in `into` when that is given, or null: nothing now, the end (`ended`) or `error`. */
  take(maxBytes = READ_CHUNK_BYTES, into: Uint8Array | null = null): Uint8Array | null {
    if (this.isOver) return null;
    const most = into === null ? maxBytes : Math.min(maxBytes, into.length);
    const chunk = this.kept.length > 0 ? this.takeKept(most, into) : this.takeArrived(most, into);
    if (chunk !== null) this.bytesRead += chunk.length;
    return chunk;
  }

  /** Calls `wake` once, when there is something to take or to learn. The bytes may be put into `into` meanwhile. */
  wait(wake: () => void, maxBytes = 0, into: Uint8Array | null = null): void {
    this.waiter = wake;
    if (into !== null && this.attached) this.transport.expect(this.id, into, 0, Math.min(maxBytes, into.length));
  }

  /** Ends a wait without waking; the array of the wait is the caller's again. */
  unwait(): void {
    this.waiter = null;
    if (this.attached) this.transport.expect(this.id, null, 0, 0);
  }

  onReadable(): void {
    const wake = this.waiter;
    this.waiter = null;
    if (wake !== null) wake();
    // an end without data needs no reader to be noticed
    else if (!this.isOver && this.readableBytes === 0) this.complete = this.transport.atEnd(this.id);
  }

  /** Nothing more can be read; unread bytes are dropped. */
  fail(error: unknown): void {
    if (this.isOver) return;
    this.kept = [];
    this.attached = false;
    this.error = error;
    this.onReadable();
  }

  /** Makes the transport rid of what nobody reads, within bounds, so that it can finish the stream. */
  keepAside(): void {
    if (this.claimed || this.isOver) return;
    while (this.keptBytes < KEPT_BYTES && this.keepOne());
  }

  /** The connection is gone: what had arrived in order stays, then comes the end, or `error` where that is missing. */
  detach(error: unknown): void {
    if (this.isOver || !this.attached) return;
    while (this.keepOne());
    this.attached = false;
    this.failure = error;
    this.settle();
    const wake = this.waiter;
    this.waiter = null;
    wake?.();
  }

  private get keptBytes(): number {
    let sum = 0;
    for (const chunk of this.kept) sum += chunk.length;
    return sum;
  }

  private keepOne(): boolean {
    const chunk = this.takeArrived(READ_CHUNK_BYTES, null);
    if (chunk !== null) this.kept.push(chunk);
    return chunk !== null;
  }

  private takeArrived(maxBytes: number, into: Uint8Array | null): Uint8Array | null {
    if (!this.attached || this.complete) return null;
    const { transport, id } = this;
    const available = transport.readable(id);
    if (available === 0) {
      this.complete = transport.atEnd(id);
      return null;
    }
    const length = Math.min(available, maxBytes);
    const slab = into ?? Buffer.allocUnsafeSlow(length); // not zeroed: every byte is written
    transport.read(id, slab, 0, length);
    if (length === available) this.complete = transport.atEnd(id);
    return into === null ? new Uint8Array(slab.buffer, 0, length) : into.subarray(0, length);
  }

  private takeKept(maxBytes: number, into: Uint8Array | null): Uint8Array {
    const first = this.kept[0]!;
    const chunk = first.length > maxBytes ? first.subarray(0, maxBytes) : first;
    if (chunk.length < first.length) this.kept[0] = first.subarray(maxBytes);
    else this.kept.shift();
    this.settle();
    if (into === null) return chunk;
    into.set(chunk);
    return into.subarray(0, chunk.length);
  }

  /** Detached, and all that was kept is read: the end, or the error. */
  private settle(): void {
    if (!this.attached && !this.complete && this.kept.length === 0) this.error = this.failure;
  }
}
