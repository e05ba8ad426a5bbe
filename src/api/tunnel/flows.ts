/**
 * The UDP flows of one end of a tunnel, by number: bounded, and forgotten when they were silent for long. At the bound the
 * one that was silent longest makes room. Time is an argument, milliseconds of a monotonic clock.
 */

interface Entry<T> {
  readonly value: T;
  usedAtMillis: number;
}

export class FlowTable<T> {
  private readonly entries = new Map<number, Entry<T>>();

  /** `onGone` is called once for each flow that goes, however it goes. */
  constructor(
    private readonly most: number,
    private readonly idleMillis: number,
    private readonly onGone: (flow: number, value: T) => void,
  ) {}

  get size(): number {
    return this.entries.size;
  }

  /** Its flow is in use. */
  use(flow: number, nowMillis: number): T | null {
    const entry = this.entries.get(flow);
    if (entry === undefined) return null;
    entry.usedAtMillis = nowMillis;
    return entry.value;
  }

  /** Adds a flow that is not there. */
  add(flow: number, value: T, nowMillis: number): void {
    if (this.entries.size >= this.most) this.dropOldest();
    this.entries.set(flow, { value, usedAtMillis: nowMillis });
  }

  drop(flow: number): void {
    const entry = this.entries.get(flow);
    if (entry === undefined) return;
    this.entries.delete(flow);
    this.onGone(flow, entry.value);
  }

  /** Drops what was silent for too long. */
  expire(nowMillis: number): void {
    for (const [flow, { usedAtMillis }] of this.entries) {
      if (nowMillis - usedAtMillis >= this.idleMillis) this.drop(flow);
    }
  }

  clear(): void {
    for (const flow of this.entries.keys()) this.drop(flow);
  }

  private dropOldest(): void {
    let oldest = -1;
    let usedAt = Infinity;
    for (const [flow, { usedAtMillis }] of this.entries) {
      if (usedAtMillis >= usedAt) continue;
      oldest = flow;
      usedAt = usedAtMillis;
    }
    this.drop(oldest);
  }
}
