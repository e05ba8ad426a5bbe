/**
 * Memory of the programs behind a host, all together: each says from time to time what its connections hold. Only those of the
 * host's own user count: a program of another one could say anything, and would have everybody refuse clients.
 */

import { type Marks, type MemoryLevel, nextLevel } from "../runtime/memory-level.js";

export class SharedMemory<P> {
  level: MemoryLevel = "ok";
  private readonly held = new Map<P, number>();
  private sumBytes = 0;

  constructor(private readonly marks: Marks) {}

  /** True when the level has changed. */
  set(program: P, heldBytes: number): boolean {
    this.sumBytes += heldBytes - (this.held.get(program) ?? 0);
    this.held.set(program, heldBytes);
    return this.settle();
  }

  /** The program is gone; true when the level has changed. */
  remove(program: P): boolean {
    this.sumBytes -= this.held.get(program) ?? 0;
    this.held.delete(program);
    return this.settle();
  }

  private settle(): boolean {
    const before = this.level;
    this.level = nextLevel(before, this.sumBytes, this.marks);
    return this.level !== before;
  }
}
