/**
 * The named deadlines of one connection: when it next has to be woken, and for what. A connection has few of them, so
 * a table that is scanned beats a heap; the heap of all connections is `endpoint`'s.
 *
 * Invariant: an entry is `Infinity` exactly when that deadline is not set. Times are microseconds.
 */

/** RFC 9002 §6.1.2, §6.2: time-threshold loss or probe timeout, whichever comes first. */
export const DEADLINE_LOSS = 0;
/** RFC 9000 §13.2.1: the latest time of the next ACK frame. */
export const DEADLINE_ACK = 1;
/** RFC 9000 §10.1. */
export const DEADLINE_IDLE = 2;
/** RFC 9002 §7.7: when the pacer lets the next burst go. */
export const DEADLINE_PACING = 3;
/** RFC 9000 §10.2: the end of the closing or draining period. */
export const DEADLINE_CLOSE = 4;
export const DEADLINE_HANDSHAKE = 5;
export const DEADLINE_KEEP_ALIVE = 6;
/** RFC 9001 §4.9.3: a server forgets its 0-RTT keys. */
export const DEADLINE_KEYS = 7;
/** RFC 9000 §8.2.4: a path challenge is repeated or given up. */
export const DEADLINE_PATH = 8;
/** Nothing moved for a while: memory that waits for traffic is given back. */
export const DEADLINE_REST = 9;
export const DEADLINES = 10;
export type DeadlineName =
  | typeof DEADLINE_LOSS
  | typeof DEADLINE_ACK
  | typeof DEADLINE_IDLE
  | typeof DEADLINE_PACING
  | typeof DEADLINE_CLOSE
  | typeof DEADLINE_HANDSHAKE
  | typeof DEADLINE_KEEP_ALIVE
  | typeof DEADLINE_KEYS
  | typeof DEADLINE_PATH
  | typeof DEADLINE_REST;

export class Deadlines {
  /** A plain array: a small typed one takes three times its memory in every connection. */
  private readonly atMicros: number[] = new Array<number>(DEADLINES).fill(Infinity);

  /** Sets or moves a deadline; `Infinity` clears it. */
  set(name: DeadlineName, atMicros: number): void {
    this.atMicros[name] = atMicros;
  }

  clear(name: DeadlineName): void {
    this.atMicros[name] = Infinity;
  }

  clearAll(): void {
    this.atMicros.fill(Infinity);
  }

  get(name: DeadlineName): number {
    return this.atMicros[name];
  }

  /** Whether the deadline is set and has come. */
  due(name: DeadlineName, nowMicros: number): boolean {
    return this.atMicros[name] <= nowMicros;
  }

  /** The earliest of all, `Infinity` when none is set. */
  next(): number {
    const { atMicros } = this;
    let earliest = atMicros[0];
    for (let name = 1; name < DEADLINES; name++) {
      if (atMicros[name] < earliest) earliest = atMicros[name];
    }
    return earliest;
  }
}
