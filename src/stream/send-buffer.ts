/**
 * Bytes of one stream from `write` until the peer has them (RFC 9000 §2.2): a ring over the offsets [base, end).
 *
 *     base        next             end
 *      |  in flight |  never sent   |
 *
 * Invariants: base <= next <= end <= base + limit; `acked` has only ranges above base, `lost` only ranges inside
 * [base, next) that are not acked. Bytes are freed in order, when base moves over them.
 */

import { DOUBLE } from "../base/double.js";
import { RangeSet } from "../base/range-set.js";
import { unreachable } from "../base/unreachable.js";
import { type ByteGather, ByteRing, powerOfTwoAtLeast } from "./ring.js";
import type { FileSource } from "../port/file.js";
import { MIN_RING_BYTES } from "../proto/limits.js";
import type { HeldBytes } from "./held.js";

export class SendBuffer {
  /** Everything below is acknowledged. */
  base = DOUBLE;
  /** First offset that was never sent; the final size once a reset is sent. */
  next = DOUBLE;
  /** Offset after the last byte written. */
  end = DOUBLE;
  private readonly limitBytes: number;
  private readonly held: HeldBytes;
  private readonly ring = new ByteRing();
  private acked: RangeSet | null = null;
  private lost: RangeSet | null = null;
  /** Most bytes held at once since the ring was taken: the size of the next one. */
  private peakBytes = 0;

  constructor(limitBytes: number, held: HeldBytes) {
    this.base = this.next = this.end = 0;
    this.limitBytes = limitBytes;
    this.held = held;
  }

  /** Bytes that `write` would take now. */
  get room(): number {
    return this.limitBytes - (this.end - this.base);
  }

  get hasLost(): boolean {
    return this.lost !== null && this.lost.count > 0;
  }

  /** First lost offset; only with `hasLost`. */
  get lostStart(): number {
    return this.lost!.start[0];
  }

  /** End of the first lost range; only with `hasLost`. */
  get lostEnd(): number {
    return this.lost!.end[0];
  }

  /** Where the bytes are: that of offset `o` at `o % memory.length`. Changes with `write` and `onAcked`. */
  get memory(): Uint8Array {
    return this.ring.memory;
  }

  /** Takes what fits of `buf[start, end)` and returns how much that was. */
  write(buf: Uint8Array, start: number, end: number): number {
    const taken = Math.min(end - start, this.room);
    if (taken === 0) return 0;
    this.reserve(taken);
    this.ring.put(this.end, buf, start, start + taken);
    this.end += taken;
    return taken;
  }

  /** As `write`, with bytes that `source` puts here; what it has may take a second call (the ring's edge). */
  fill(source: FileSource): number {
    const wanted = Math.min(source.wantedBytes, this.room);
    if (wanted === 0) return 0;
    this.reserve(wanted);
    const taken = this.ring.fill(this.end, wanted, source);
    // beyond it lie bytes of whoever had this ring before
    if (!(taken >= 0 && taken <= wanted)) unreachable(`a file gave ${taken} of ${wanted} bytes`);
    this.end += taken;
    if (this.base === this.end) this.release();
    return taken;
  }

  /** Copies `length` bytes from `offset` on, all of them still held, to `dst` at `pos`. */
  copyOut(offset: number, length: number, dst: Uint8Array, pos: number): void {
    this.ring.copyOut(offset, length, dst, pos);
  }

  /** As `copyOut`, but the copy is made when the packet is sealed; nothing may change here until then. */
  gatherOut(offset: number, length: number, gather: ByteGather, dst: Uint8Array, pos: number): void {
    this.ring.gatherOut(offset, length, gather, dst, pos);
  }

  /** Bytes from the start of the first lost range on are on their way again. */
  onResent(length: number): void {
    const lost = this.lost!;
    const start = lost.start[0];
    if (start + length === lost.end[0]) lost.removeFirst();
    else lost.start[0] = start + length;
  }

  onAcked(offset: number, length: number): void {
    const ackedEnd = offset + length;
    if (ackedEnd <= this.base) return;
    if (this.lost !== null && this.lost.count > 0) this.lost.remove(offset, ackedEnd);
    if (offset > this.base) {
      this.acked ??= new RangeSet();
      this.acked.add(offset, ackedEnd);
      return;
    }
    this.base = ackedEnd;
    const { acked } = this;
    while (acked !== null && acked.count > 0 && acked.start[0] <= this.base) {
      this.base = Math.max(this.base, acked.end[0]);
      acked.removeFirst();
    }
    if (this.base === this.end) this.release();
  }

  /** Marks what of the range is not acknowledged to be sent again. */
  onLost(offset: number, length: number): void {
    const lostEnd = offset + length;
    let at = Math.max(offset, this.base);
    if (at >= lostEnd) return;
    this.lost ??= new RangeSet();
    const { acked } = this;
    let index = acked === null ? 0 : acked.find(at);
    while (acked !== null && index < acked.count && acked.start[index] < lostEnd) {
      this.lost.add(at, acked.start[index]);
      at = acked.end[index];
      index++;
    }
    this.lost.add(at, lostEnd);
  }

  /** Forgets all bytes: nothing is sent again and nothing more is written (reset). `next` stays. */
  drop(): void {
    this.base = this.end = this.next;
    this.acked = this.lost = null;
    this.release();
  }

  /** Everything that is held counts as never sent; of a buffer that was dropped nothing was ever sent. */
  rewind(): void {
    if (this.base === this.end) this.end = this.base = 0;
    this.next = this.base;
    this.lost = null;
  }

  /** Makes place for so many bytes after `end`, within `room`. */
  private reserve(length: number): void {
    const need = this.end + length - this.base;
    if (need > this.ring.capacity) this.grow(need);
    if (need > this.peakBytes) this.peakBytes = need;
  }

  private grow(need: number): void {
    const capacity = Math.min(this.limitBytes, powerOfTwoAtLeast(Math.max(need, this.peakBytes, MIN_RING_BYTES)));
    this.held.sendBytes += capacity - this.ring.capacity;
    this.ring.resize(capacity, this.base, this.end);
    this.peakBytes = need;
  }

  private release(): void {
    this.held.sendBytes -= this.ring.capacity;
    this.ring.release();
  }
}
