/**
 * Which stream sends next. Lower urgency first (RFC 9218 §4.1); within one urgency, streams that asked for turns
 * (incremental) rotate turn by turn, the others go one after the other in order of their ids (§10), and the two groups
 * alternate, so that neither starves. A turn is one frame, or `turnLimit` where so many are a small part of a flight.
 * Streams that wait only for the connection's credit are parked aside.
 *
 * Links live on the stream: every operation is O(1), except that a stream without turns is inserted by id.
 */

import { URGENCIES } from "../proto/limits.js";
import type { Stream } from "../stream/stream.js";

/** Values of `Stream.place`. */
export const PLACE_NONE = 0;
export const PLACE_TURNS = 1;
export const PLACE_ORDERED = 2;
export const PLACE_PARKED = 3;

class StreamList {
  head: Stream | null = null;
  tail: Stream | null = null;

  /** Inserts behind `before`; null = at the head. */
  insert(stream: Stream, before: Stream | null): void {
    const after = before === null ? this.head : before.next;
    stream.prev = before;
    stream.next = after;
    if (before === null) this.head = stream;
    else before.next = stream;
    if (after === null) this.tail = stream;
    else after.prev = stream;
  }

  remove(stream: Stream): void {
    const { prev, next } = stream;
    if (prev === null) this.head = next;
    else prev.next = next;
    if (next === null) this.tail = prev;
    else next.prev = prev;
    stream.prev = stream.next = null;
  }
}

/** The sendable streams of one urgency. */
class Bucket {
  readonly turns = new StreamList();
  readonly ordered = new StreamList();
  /** Whose turn it is when both groups have streams. */
  orderedIsNext = false;
}

export class Schedule {
  private readonly buckets: (Bucket | null)[] = new Array<Bucket | null>(URGENCIES).fill(null);
  /** Frames of a turn, 1 or more. */
  turnLimit = 1;
  /** Whose turn it is, and the frames of it that it has had. */
  private turnOf: Stream | null = null;
  private turnUsed = 0;
  /** Bit u set: bucket u has streams. */
  private used = 0;
  private readonly parked = new StreamList();

  /** The stream whose turn it is, null for none. */
  peek(): Stream | null {
    if (this.used === 0) return null;
    const bucket = this.buckets[31 - Math.clz32(this.used & -this.used)]!;
    const { turns, ordered } = bucket;
    if (ordered.head === null || (turns.head !== null && !bucket.orderedIsNext)) return turns.head;
    return ordered.head;
  }

  /** `stream`, which `peek` gave, has sent `frames`, at most `turnFrames`: the next one has its turn when this one is over. */
  rotate(stream: Stream, frames = 1): void {
    const used = this.usedBy(stream) + frames;
    this.turnOf = stream;
    this.turnUsed = used < this.turnLimit ? used : used % this.turnLimit;
    if (used < this.turnLimit) return;
    const bucket = this.buckets[stream.urgency]!;
    bucket.orderedIsNext = stream.place === PLACE_TURNS;
    if (stream.place !== PLACE_TURNS || stream.next === null) return;
    bucket.turns.remove(stream);
    bucket.turns.insert(stream, bucket.turns.tail);
  }

  /** Frames that `stream`, which `peek` gave, sends before another stream has its turn, as long as it has data. */
  turnFrames(stream: Stream): number {
    const { turns, ordered } = this.buckets[stream.urgency]!;
    const isAlone = stream.place === PLACE_TURNS ? ordered.head === null && stream.next === null : turns.head === null;
    return isAlone && stream.prev === null ? Infinity : Math.max(1, this.turnLimit - this.usedBy(stream));
  }

  private usedBy(stream: Stream): number {
    return this.turnOf === stream ? this.turnUsed : 0;
  }

  insert(stream: Stream): void {
    const { urgency } = stream;
    this.buckets[urgency] ??= new Bucket();
    const bucket = this.buckets[urgency];
    this.used |= 1 << urgency;
    if (stream.incremental) {
      stream.place = PLACE_TURNS;
      bucket.turns.insert(stream, bucket.turns.tail);
      return;
    }
    stream.place = PLACE_ORDERED;
    let before = bucket.ordered.tail;
    while (before !== null && before.id > stream.id) before = before.prev;
    bucket.ordered.insert(stream, before);
  }

  remove(stream: Stream): void {
    const { place, urgency } = stream;
    if (place === PLACE_NONE) return;
    stream.place = PLACE_NONE;
    if (this.turnOf === stream) this.turnOf = null;
    if (place === PLACE_PARKED) {
      this.parked.remove(stream);
      return;
    }
    const bucket = this.buckets[urgency]!;
    if (place === PLACE_TURNS) bucket.turns.remove(stream);
    else bucket.ordered.remove(stream);
    if (bucket.turns.head === null && bucket.ordered.head === null) this.used &= ~(1 << urgency);
  }

  get hasParked(): boolean {
    return this.parked.head !== null;
  }

  /** Sets a stream aside until the connection has credit. */
  park(stream: Stream): void {
    this.remove(stream);
    stream.place = PLACE_PARKED;
    this.parked.insert(stream, this.parked.tail);
  }

  unparkAll(): void {
    while (this.parked.head !== null) {
      const stream = this.parked.head;
      this.parked.remove(stream);
      this.insert(stream);
    }
  }
}
