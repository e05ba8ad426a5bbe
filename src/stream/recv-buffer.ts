/**
 * Reassembly of one stream (RFC 9000 §2.2): a ring over the offsets [readOffset, highest), grown by what arrives and
 * given back when all of it is read; bulk data goes past it into the array of a reader that waits. Bytes
 * [readOffset, end) are in order; `ahead` has the ranges above a gap. Where frames overlap the first copy of a byte
 * stays, so what was shown to the application never changes.
 * A frame in order is one copy and three stores.
 */

import { DOUBLE } from "../base/double.js";
import { RangeSet } from "../base/range-set.js";
import { type BytePieces, ByteRing } from "./ring.js";
import type { HeldBytes } from "./held.js";

export class RecvBuffer {
  /** Next offset to be read. */
  readOffset = DOUBLE;
  /** End of what is there in order. */
  end = DOUBLE;
  /** Offset after the last byte held. */
  private highest = DOUBLE;
  /** Where the ring's offsets count from: a reader that keeps up has its bytes at the start of the ring, in the cache. */
  private origin = DOUBLE;
  private readonly held: HeldBytes;
  private readonly ring = new ByteRing();
  private ahead: RangeSet | null = null;
  /** Where a waiting reader wants its bytes: [targetStart, targetEnd) of its array, the first `inTarget` of them there. */
  private target: Uint8Array | null = null;
  private targetStart = 0;
  private targetEnd = 0;
  /** Bytes from `readOffset` on that lie in the target; the ring has those behind them. */
  private inTarget = 0;
  /** Most bytes spanned at once since the ring was taken: the size of the next one. */
  private peakBytes = 0;

  constructor(held: HeldBytes) {
    this.readOffset = this.end = this.highest = this.origin = 0;
    this.held = held;
  }

  /** In-order bytes waiting. */
  get readable(): number {
    return this.end - this.readOffset;
  }

  /** Ranges above the first gap: what a sender of crumbs makes us keep. The caller bounds it. */
  get rangeCount(): number {
    return this.ahead === null ? 0 : this.ahead.count;
  }

  /** Stores `buf[start, end)` at `offset`; the caller has checked flow control. */
  receive(offset: number, buf: Uint8Array, start: number, end: number): void {
    const dataEnd = offset + (end - start);
    if (dataEnd <= this.end || start === end) return;
    if (offset < this.end) {
      start += this.end - offset;
      offset = this.end;
    }
    this.reserve(dataEnd);
    if (offset > this.end || this.rangeCount > 0) {
      this.receiveAhead(offset, buf, start, dataEnd);
      return;
    }
    this.ring.put(offset - this.origin, buf, start, end);
    this.end = dataEnd;
  }

  /** Stores `bytes` bytes that follow `end`; nothing was received above it, and the caller has checked flow control. */
  append(pieces: BytePieces, bytes: number): void {
    const at = this.end;
    this.end += bytes;
    if (at === this.ringStart && this.hasTarget(bytes)) {
      pieces.copyTo(this.target!, this.targetStart + this.inTarget);
      this.inTarget += bytes;
      this.highest = this.end;
      return;
    }
    this.reserve(this.end);
    this.ring.putPieces(at - this.origin, pieces);
  }

  /** Where the bytes of the next `read` shall go, if they can; null takes back what was said. */
  expect(buf: Uint8Array | null, start: number, end: number): void {
    if (this.inTarget > 0) this.leaveTarget();
    this.target = buf;
    this.targetStart = start;
    this.targetEnd = end;
  }

  /** Copies up to `end - start` in-order bytes out and returns how many. */
  read(buf: Uint8Array, start: number, end: number): number {
    const length = Math.min(end - start, this.end - this.readOffset);
    if (length <= 0) return 0;
    let there = this.inTarget; // bytes that lie where they are wanted
    if (there > 0 && (buf !== this.target || start !== this.targetStart || length < there)) {
      this.leaveTarget();
      there = 0;
    }
    this.target = null;
    this.inTarget = 0;
    this.readOffset += there;
    if (length > there) this.ring.copyOut(this.readOffset - this.origin, length - there, buf, start + there);
    this.readOffset += length - there;
    if (this.readOffset === this.highest) this.release();
    return length;
  }

  /** Drops everything held. */
  discard(): void {
    this.held.recvRanges -= this.rangeCount;
    this.ahead = null;
    this.target = null;
    this.inTarget = 0;
    this.readOffset = this.end = this.highest;
    this.release();
  }

  private receiveAhead(offset: number, buf: Uint8Array, start: number, dataEnd: number): void {
    this.ahead ??= new RangeSet();
    const ranges = this.ahead;
    let at = offset;
    for (let index = ranges.find(offset); at < dataEnd; index++) {
      const isLast = index >= ranges.count || ranges.start[index] >= dataEnd;
      const gapEnd = isLast ? dataEnd : ranges.start[index];
      if (gapEnd > at) this.ring.put(at - this.origin, buf, start + (at - offset), start + (gapEnd - offset));
      at = isLast ? dataEnd : ranges.end[index];
    }
    const before = ranges.count;
    ranges.add(offset, dataEnd);
    if (ranges.start[0] === this.end) {
      this.end = ranges.end[0];
      ranges.removeFirst();
    }
    this.held.recvRanges += ranges.count - before;
  }

  /** The first offset whose byte lies in the ring. */
  private get ringStart(): number {
    return this.readOffset + this.inTarget;
  }

  /** Whether the target takes so many bytes more; an array that was transferred away has no length. */
  private hasTarget(bytes: number): boolean {
    const { target, targetEnd } = this;
    return target !== null && this.targetStart + this.inTarget + bytes <= targetEnd && targetEnd <= target.length;
  }

  /** Moves what lies in the target to the ring. */
  private leaveTarget(): void {
    const { target, targetStart, inTarget, readOffset } = this;
    const targetEnd = targetStart + inTarget;
    this.makeRoom(readOffset, this.highest);
    // a reader that transferred its array away has lost these bytes, and must not get others' out of the pool
    const from = target !== null && targetEnd <= target.length ? target : new Uint8Array(targetEnd);
    this.ring.put(readOffset - this.origin, from, targetStart, targetEnd);
    this.target = null;
    this.inTarget = 0;
  }

  /** Makes room for bytes up to `dataEnd`. */
  private reserve(dataEnd: number): void {
    this.makeRoom(this.ringStart, dataEnd);
    if (dataEnd > this.highest) this.highest = dataEnd;
  }

  /** Makes the ring large enough for offsets [start, end). */
  private makeRoom(start: number, end: number): void {
    const need = end - start;
    if (need > this.ring.capacity) {
      const capacity = this.held.recvCapacity(this.ring.capacity, need, this.peakBytes);
      this.held.recvBytes += capacity - this.ring.capacity;
      this.ring.resize(capacity, this.ringStart - this.origin, this.highest - this.origin);
      this.peakBytes = need;
    } else if (need > this.peakBytes) this.peakBytes = need;
  }

  private release(): void {
    this.held.recvBytes -= this.ring.capacity;
    this.ring.release();
    this.origin = this.readOffset;
  }
}
