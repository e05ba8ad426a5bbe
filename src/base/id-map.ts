/**
 * A map by numbers that a peer chooses. The runtime's own hash of integers is known to everybody: ten thousand chosen keys
 * that share a bucket make each look-up a hundred times slower. A secret in the key takes the choice away.
 */

const SMALL = 2 ** 30;
const SAFE = 2 ** 53;

export class IdMap<T> {
  private readonly map = new Map<number, T>();
  private readonly secret: number;

  /** `secret`: unpredictable bits, of which the lowest 30 count. */
  constructor(secret: number) {
    this.secret = secret & (SMALL - 1);
  }

  get size(): number {
    return this.map.size;
  }

  /** `id`: 0 .. 2^53-1, here and below. */
  get(id: number): T | undefined {
    return this.map.get(this.keyOf(id));
  }

  set(id: number, value: T): void {
    this.map.set(this.keyOf(id), value);
  }

  delete(id: number): void {
    this.map.delete(this.keyOf(id));
  }

  clear(): void {
    this.map.clear();
  }

  /** In the order in which they were set. */
  values(): IterableIterator<T> {
    return this.map.values();
  }

  /** Different for different ids: small ones stay small integers, the others become negative ones, exact to the last. */
  private keyOf(id: number): number {
    return id < SMALL ? id ^ this.secret : id - SAFE - this.secret;
  }
}
