/** At most `slots` of the tasks given to `run` are under way; the others wait in the order they came. */

export class Semaphore {
  private free: number;
  private readonly waiting: (() => void)[] = [];
  private head = 0;

  constructor(slots: number) {
    this.free = slots;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await task();
    } finally {
      this.release();
    }
  }

  private release(): void {
    const next = this.waiting[this.head];
    if (next === undefined) {
      this.free++;
      this.waiting.length = this.head = 0;
      return;
    }
    this.head++;
    next(); // the slot passes on
  }
}
