/**
 * Reassembly of one stream (RFC 9000 §2.2): a ring over the offsets [readOffset, highest), grown by what arrives and
 * given back when all of it is read. Bytes [readOffset, end) are in order; `ahead` has the ranges above a gap. Where
 * frames overlap the first copy of a byte stays, so what was shown to the application never changes.
 * A frame in order is one copy and three stores.
 */

import { RangeSet } from "../base/range-set.js";
import { type BytePieces, ByteRing } from "./ring.js";
import type { HeldBytes } from "./held.js";

export class RecvBuffer {
  /** Next offset to be read. */
  readOffset = 0;
  /** End of what is there in order. */
  end = 0;
  /** Offset after the last byte held. */
  private highest = 0;
  /** Where the ring's offsets count from: a reader that keeps up has its bytes at the start of the ring, in the cache. */
  private origin = 0;
  private readonly held: HeldBytes;
  private readonly ring = new ByteRing();
  private ahead: RangeSet | null = null;
  /** Most bytes spanned at once since the ring was taken: the size of the next one. */
  private peakBytes = 0;

  constructor(held: HeldBytes) {
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
    this.reserve(at + bytes);
    this.ring.putPieces(at - this.origin, pieces);
    this.end = at + bytes;
  }

  /** Copies up to `end - start` in-order bytes out and returns how many. */
  read(buf: Uint8Array, start: number, end: number): number {
    const length = Math.min(end - start, this.end - this.readOffset);
    if (length <= 0) return 0;
    this.ring.copyOut(this.readOffset - this.origin, length, buf, start);
    this.readOffset += length;
    if (this.readOffset === this.highest) this.release();
    return length;
  }

  /** Drops everything held. */
  discard(): void {
    this.held.recvRanges -= this.rangeCount;
    this.ahead = null;
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

  /** Makes room for bytes up to `dataEnd`. */
  private reserve(dataEnd: number): void {
    const need = dataEnd - this.readOffset;
    if (need > this.ring.capacity) {
      const capacity = this.held.recvCapacity(this.ring.capacity, need, this.peakBytes);
      this.held.recvBytes += capacity - this.ring.capacity;
      this.ring.resize(capacity, this.readOffset - this.origin, this.highest - this.origin);
      this.peakBytes = need;
    } else if (need > this.peakBytes) this.peakBytes = need;
    if (dataEnd > this.highest) this.highest = dataEnd;
  }

  private release(): void {
    this.held.recvBytes -= this.ring.capacity;
    this.ring.release();
    this.origin = this.readOffset;
  }
}
