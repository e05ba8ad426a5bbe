/**
 * A set of numbers kept as sorted, disjoint, non-touching half-open ranges `[start, end)`. Two Float64Arrays hold them
 * and grow by doubling; search is binary, insertion moves at most `count` entries, an append moves none.
 * Used for what is acknowledged, lost or received out of order: a few ranges nearly always, some thousand under attack,
 * so callers bound `count`.
 */

const FIRST_CAPACITY = 4;
/** An emptied set gives arrays longer than this back. */
const KEPT_CAPACITY = 32;
const NONE = new Float64Array(0);

export class RangeSet {
  /** Ranges in use. */
  count = 0;
  start: Float64Array = NONE;
  end: Float64Array = NONE;

  /** Adds `[start, end)` and returns how many numbers of it were new. */
  add(start: number, end: number): number {
    if (start >= end) return 0;
    const count = this.count;
    if (count === 0 || start > this.end[count - 1]) {
      this.insertAt(count, start, end);
      return end - start;
    }
    const low = this.touching(start);
    let high = low; // ranges [low, high) touch the new one and melt into it
    let covered = 0;
    while (high < count && this.start[high] <= end) {
      covered += this.end[high] - this.start[high];
      high++;
    }
    if (low === high) {
      this.insertAt(low, start, end);
      return end - start;
    }
    const from = Math.min(start, this.start[low]);
    const to = Math.max(end, this.end[high - 1]);
    this.start[low] = from;
    this.end[low] = to;
    this.removeRanges(low + 1, high);
    return to - from - covered;
  }

  /** Takes `[start, end)` out; a range that contains it splits in two. */
  remove(start: number, end: number): void {
    if (start >= end) return;
    let index = this.find(start);
    if (index === this.count || this.start[index] >= end) return;
    if (this.start[index] < start) {
      const tail = this.end[index];
      this.end[index] = start;
      index++;
      if (tail > end) {
        this.insertAt(index, end, tail);
        return;
      }
    }
    let high = index;
    while (high < this.count && this.end[high] <= end) high++;
    if (high < this.count && this.start[high] < end) this.start[high] = end;
    this.removeRanges(index, high);
  }

  /** Whether every number of `[start, end)` is in the set. */
  covers(start: number, end: number): boolean {
    if (start >= end) return true;
    const index = this.find(start);
    return index < this.count && this.start[index] <= start && this.end[index] >= end;
  }

  /** Index of the first range that ends above `value`, `count` when there is none. */
  find(value: number): number {
    const ends = this.end;
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ends[middle] > value) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Removes the range at index 0. */
  removeFirst(): void {
    this.removeRanges(0, 1);
  }

  clear(): void {
    this.removeRanges(0, this.count);
  }

  /** Index of the first range that ends at or above `value`, so that a range starting at `value` touches it. */
  private touching(value: number): number {
    const index = this.find(value);
    return index > 0 && this.end[index - 1] === value ? index - 1 : index;
  }

  private insertAt(index: number, start: number, end: number): void {
    const count = this.count;
    if (count === this.start.length) this.grow();
    if (index < count) {
      this.start.copyWithin(index + 1, index, count);
      this.end.copyWithin(index + 1, index, count);
    }
    this.start[index] = start;
    this.end[index] = end;
    this.count = count + 1;
  }

  private removeRanges(low: number, high: number): void {
    if (low === high) return;
    if (high < this.count) {
      this.start.copyWithin(low, high, this.count);
      this.end.copyWithin(low, high, this.count);
    }
    this.count -= high - low;
    if (this.count === 0 && this.start.length > KEPT_CAPACITY) this.start = this.end = NONE;
  }

  private grow(): void {
    const capacity = Math.max(FIRST_CAPACITY, this.start.length * 2);
    const start = new Float64Array(capacity);
    const end = new Float64Array(capacity);
    start.set(this.start);
    end.set(this.end);
    this.start = start;
    this.end = end;
  }
}
