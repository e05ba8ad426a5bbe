/**
 * What an application writes to one stream, on its way into the transport: writes are taken in order, each in slices as
 * room appears, without copies of its own. Invariant: a write is `done` when all of its bytes are in the send buffer, or
 * with an error; nothing is called twice.
 */

import { DOUBLE } from "../base/double.js";
import { FILE_FAILED, FILE_PENDING, FILE_READY, type FileSource } from "../port/file.js";
import { T_STOPPED, type Transport } from "../port/transport.js";
import { invalidState, streamAborted, streamStopped, wireCode } from "./errors.js";

/** Null: every byte was taken. */
export type WriteDone = (error: unknown) => void;

interface PendingWrite {
  buf: Uint8Array;
  start: number;
  end: number;
  fin: boolean;
  /** Where the bytes come from, when that is not `buf`; closed together with `done`. */
  source: FileSource | null;
  /** Bytes of it were taken: it cannot be taken back. */
  begun: boolean;
  done: WriteDone | null;
}

const NO_BYTES = new Uint8Array(0);

export class SendHalf {
  /** Bytes that the transport has taken. */
  bytesWritten = DOUBLE;
  /** The end was written, or asked for: no more writes. */
  ended = false;
  /** The transport has the end. */
  finTaken = false;
  /** Everything is acknowledged. */
  acked = false;
  /** Why nothing can be written any more, null while it can. */
  error: unknown = null;
  onBlocked: (() => void) | null = null;
  private readonly queue: PendingWrite[] = [];
  private head = 0;
  private pumping = false;
  private drainWaiters: (() => void)[] = [];

  constructor(
    private readonly transport: Transport,
    private readonly id: number,
  ) {
    this.bytesWritten = 0;
  }

  get isOpen(): boolean {
    return this.error === null && !this.ended;
  }

  /** Writes wait. */
  get isBlocked(): boolean {
    return this.head < this.queue.length;
  }

  /** Bytes that a write would hand over at once; null when nothing can be written. */
  get room(): number | null {
    if (!this.isOpen) return null;
    return this.isBlocked ? 0 : this.transport.writable(this.id);
  }

  /** Takes `buf` by reference until `done`; calls it at once when there is room. `fin`: nothing follows. */
  write(buf: Uint8Array, fin: boolean, done: WriteDone | null): void {
    if (this.error !== null || this.ended) {
      done?.(this.error ?? invalidState("the stream was ended for writing"));
      return;
    }
    if (fin) this.ended = true;
    this.queue.push({ buf, start: 0, end: buf.length, fin, source: null, begun: false, done });
    this.pump();
    if (this.isBlocked) this.onBlocked?.();
  }

  /** Takes all that the source gives, as room appears. `open` makes it, with what it calls after a pending read. */
  writeFrom(open: (onReady: () => void) => FileSource, done: WriteDone): void {
    if (!this.isOpen) {
      done(this.error ?? invalidState("the stream was ended for writing"));
      return;
    }
    const source = open(() => this.pump());
    this.queue.push({ buf: NO_BYTES, start: 0, end: 0, fin: false, source, begun: false, done });
    this.pump();
    if (this.isBlocked && source.state === FILE_READY) this.onBlocked?.();
  }

  /** Takes all of it now (what does not fit is copied aside), or nothing: false when there is no room at all. */
  writeNow(buf: Uint8Array): boolean {
    if (!this.isOpen || this.isBlocked) return false;
    const taken = this.transport.write(this.id, buf, 0, buf.length, false);
    if (taken < 0) {
      this.failBy(taken);
      return false;
    }
    this.bytesWritten += taken;
    if (taken === buf.length) return true;
    if (taken === 0) return false;
    const rest = buf.slice(taken);
    this.queue.push({ buf: rest, start: 0, end: rest.length, fin: false, source: null, begun: true, done: null });
    return true;
  }

  end(done: WriteDone | null): void {
    this.write(NO_BYTES, true, done);
  }

  /** Takes a waiting write back. True when none of its bytes were taken; false: the stream has a part of it. */
  cancel(done: WriteDone): boolean {
    for (let i = this.head; i < this.queue.length; i++) {
      const pending = this.queue[i] as PendingWrite;
      if (pending.done !== done) continue;
      if (pending.begun) return false;
      if (pending.fin) this.ended = false;
      this.queue.splice(i, 1);
      if (pending.source === null) return true;
      pending.source.close();
      this.pump(); // nobody else would: what is behind it may have waited for the file only
      return true;
    }
    return true;
  }

  /** Calls back once nothing waits any more, or nothing can be written. Null when that is so now. */
  whenDrained(): Promise<void> | null {
    if (!this.isOpen) return null;
    if (!this.isBlocked) {
      if (this.transport.writable(this.id) > 0) return null;
      // with no room, a write of one byte takes nothing and asks the transport to tell when there is
      this.transport.write(this.id, ONE_BYTE, 0, 1, false);
    }
    return new Promise((resolve) => this.drainWaiters.push(resolve));
  }

  /** The transport has room again. */
  onWritable(): void {
    this.pump();
    if (!this.isBlocked) this.wakeDrained();
  }

  /** Nothing can be written from now on; what waits fails with `error`. */
  fail(error: unknown): void {
    if (this.error !== null) return;
    this.error = error;
    const waiting = this.queue.splice(0).slice(this.head);
    this.head = 0;
    for (const { source, done } of waiting) {
      source?.close();
      done?.(error);
    }
    this.wakeDrained();
  }

  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    try {
      while (this.head < this.queue.length) if (!this.push(this.queue[this.head] as PendingWrite)) break;
    } finally {
      this.pumping = false;
    }
    if (this.head < this.queue.length) return;
    this.queue.length = 0;
    this.head = 0;
  }

  /** False: it is not finished. */
  private push(pending: PendingWrite): boolean {
    const { buf, start, end, fin, source } = pending;
    if (source !== null) return this.pushFrom(pending, source);
    if (end > buf.length) return this.failWithoutBytes();
    const taken = this.transport.write(this.id, buf, start, end, fin);
    if (taken < 0) {
      this.failBy(taken);
      return false;
    }
    this.bytesWritten += taken;
    pending.start += taken;
    if (taken > 0) pending.begun = true;
    if (pending.start < end) return false;
    if (fin) this.finTaken = true;
    this.shift();
    pending.done?.(null);
    return true;
  }

  private pushFrom(pending: PendingWrite, source: FileSource): boolean {
    while (source.state === FILE_READY) {
      const taken = this.transport.writeFrom(this.id, source);
      if (taken < 0) {
        this.failBy(taken);
        return false;
      }
      if (taken === 0 && source.state === FILE_READY) return false; // no room
      this.bytesWritten += taken;
      if (taken > 0) pending.begun = true;
    }
    if (source.state === FILE_PENDING) return false;
    this.shift();
    source.close();
    pending.done?.(source.state === FILE_FAILED ? source.error : null);
    return true;
  }

  /** The first write is finished. */
  private shift(): void {
    this.head++;
    if (this.head > COMPACT_ABOVE) this.head -= this.queue.splice(0, this.head).length;
  }

  /** The array of a write was transferred away or shrunk: nothing else may go out in the place of its bytes. */
  private failWithoutBytes(): false {
    const error = invalidState("the array of a write that waits was transferred away or shrunk");
    this.transport.reset(this.id, wireCode(error));
    this.fail(error);
    return false;
  }

  private failBy(result: number): void {
    const { transport, id } = this;
    this.fail(result === T_STOPPED ? streamStopped(transport.stopCode(id)) : streamAborted("the stream is closed"));
  }

  private wakeDrained(): void {
    const waiters = this.drainWaiters;
    this.drainWaiters = [];
    for (const wake of waiters) wake();
  }
}

const ONE_BYTE = new Uint8Array(1);
/** Finished entries kept at the front of the queue at most. */
const COMPACT_ABOVE = 64;
