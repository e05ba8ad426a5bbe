/** First in, first out, in a ring that grows by doubling: nothing is allocated or moved once it is as large as the queue. */

const FIRST_CAPACITY = 4;
/** An emptied queue gives a longer ring back. */
const KEPT_CAPACITY = 256;

export class Fifo<T> {
  /** Items that wait. */
  count = 0;
  private head = 0;
  /** A power of two long; free places hold null, so that the queue keeps nothing alive. */
  private items: (T | null)[] = new Array<T | null>(FIRST_CAPACITY).fill(null);

  push(item: T): void {
    if (this.count === this.items.length) this.grow();
    this.items[(this.head + this.count) & (this.items.length - 1)] = item;
    this.count++;
  }

  /** The item that has waited longest; null: there is none. */
  take(): T | null {
    const { items, head } = this;
    const item = items[head] as T | null;
    if (this.count === 0) return null;
    items[head] = null;
    this.head = (head + 1) & (items.length - 1);
    this.count--;
    if (this.count === 0 && items.length > KEPT_CAPACITY) this.clear();
    return item;
  }

  /** Forgets all items, and the memory that they took. */
  clear(): void {
    this.items = new Array<T | null>(FIRST_CAPACITY).fill(null);
    this.head = this.count = 0;
  }

  private grow(): void {
    const { items, head } = this;
    const wider = new Array<T | null>(2 * items.length).fill(null);
    for (let i = 0; i < items.length; i++) wider[i] = items[(head + i) & (items.length - 1)] as T | null;
    this.items = wider;
    this.head = 0;
  }
}
