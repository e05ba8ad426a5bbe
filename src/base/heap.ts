/**
 * A binary min-heap of items that carry their own key and position: moving one whose key changed costs O(log n) and
 * allocates nothing. Used for the deadlines of many connections.
 */

export interface HeapItem {
  /** The key; change it only through {@link Heap.update}. */
  heapKey: number;
  /** Position in the heap, -1 when outside; owned by the heap. */
  heapIndex: number;
}

export class Heap<T extends HeapItem> {
  private readonly items: T[] = [];

  get size(): number {
    return this.items.length;
  }

  /** The item with the smallest key, or null. */
  peek(): T | null {
    return this.items[0] ?? null;
  }

  /** Inserts, moves or (key Infinity) removes `item`. */
  update(item: T, key: number): void {
    if (key === Infinity) {
      item.heapKey = key;
      this.remove(item);
      return;
    }
    if (item.heapIndex < 0) {
      item.heapKey = key;
      item.heapIndex = this.items.length;
      this.items.push(item);
      this.up(item.heapIndex);
      return;
    }
    const smaller = key < item.heapKey;
    item.heapKey = key;
    if (smaller) this.up(item.heapIndex);
    else this.down(item.heapIndex);
  }

  remove(item: T): void {
    const at = item.heapIndex;
    if (at < 0) return;
    item.heapIndex = -1;
    const last = this.items.pop() as T;
    if (last === item) return;
    this.items[at] = last;
    last.heapIndex = at;
    this.up(at);
    this.down(last.heapIndex);
  }

  private up(from: number): void {
    const { items } = this;
    const item = items[from] as T;
    let at = from;
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = items[parentAt] as T;
      if (parent.heapKey <= item.heapKey) break;
      items[at] = parent;
      parent.heapIndex = at;
      at = parentAt;
    }
    items[at] = item;
    item.heapIndex = at;
  }

  private down(from: number): void {
    const { items } = this;
    const item = items[from] as T;
    const count = items.length;
    let at = from;
    for (;;) {
      let childAt = 2 * at + 1;
      if (childAt >= count) break;
      let child = items[childAt] as T;
      const right = items[childAt + 1];
      if (right !== undefined && right.heapKey < child.heapKey) {
        child = right;
        childAt++;
      }
      if (child.heapKey >= item.heapKey) break;
      items[at] = child;
      child.heapIndex = at;
      at = childAt;
    }
    items[at] = item;
    item.heapIndex = at;
  }
}
