/**
 * Path validation (RFC 9000 §8.2): the answers we owe to PATH_CHALLENGE frames, and the challenge of our own.
 *
 * Invariants: at most MAX_PATH_RESPONSES answers wait, the oldest is dropped for a new one (a peer that wants an answer
 * challenges again); each challenge is answered once and the answer is never repeated; challenge data is never reused.
 */

import { PATH_DATA_BYTES } from "../frame/table.js";
import type { Random } from "../port/random.js";
import { MAX_PATH_CHALLENGES, MAX_PATH_RESPONSES, PATH_VALIDATION_PTOS } from "../proto/limits.js";

/** Challenges that arrived and are not answered yet, oldest first. */
export class PathResponses {
  /** Made when the first challenge comes: most connections never see one. */
  private slots: Uint8Array[] = [];
  private first = 0;
  private used = 0;

  get count(): number {
    return this.used;
  }

  /** A PATH_CHALLENGE with the 8 bytes at `start` arrived. */
  onChallenge(buf: Uint8Array, start: number): void {
    if (this.slots.length === 0) this.slots = slotsOf(MAX_PATH_RESPONSES);
    if (this.used === MAX_PATH_RESPONSES) this.pop();
    const slot = this.slots[(this.first + this.used) % MAX_PATH_RESPONSES];
    for (let i = 0; i < PATH_DATA_BYTES; i++) slot[i] = buf[start + i];
    this.used++;
  }

  /** Data of the next PATH_RESPONSE, null for none. Valid until the next call on this object; `pop` it when written. */
  peek(): Uint8Array | null {
    return this.used === 0 ? null : this.slots[this.first];
  }

  /** The answer from `peek` went into a packet (RFC 9000 §13.3: it is not sent again when that packet is lost). */
  pop(): void {
    if (this.used === 0) return;
    this.first = (this.first + 1) % MAX_PATH_RESPONSES;
    this.used--;
  }
}

export const VALIDATION_IDLE = 0;
/** Challenges are out, or one is due. */
export const VALIDATION_PENDING = 1;
export const VALIDATION_DONE = 2;
/** No answer in time: the path is not used (RFC 9000 §8.2.4). */
export const VALIDATION_FAILED = 3;
export type ValidationState =
  | typeof VALIDATION_IDLE
  | typeof VALIDATION_PENDING
  | typeof VALIDATION_DONE
  | typeof VALIDATION_FAILED;

/**
 * Our own validation of one path.
 *
 *   IDLE --start--> PENDING --PATH_RESPONSE that matches--> DONE
 *                      '------3 PTO without one----------> FAILED        `start` begins again from any state
 */
export class PathChallenge {
  state: ValidationState = VALIDATION_IDLE;
  /** When to send the next challenge, or to give up; microseconds, `Infinity` when nothing is pending. */
  deadlineMicros = Infinity;
  private readonly random: Random;
  private readonly slots = slotsOf(MAX_PATH_CHALLENGES);
  private sent = 0;
  private ptoMicros = 0;
  private giveUpMicros = Infinity;

  constructor(random: Random) {
    this.random = random;
  }

  /** `ptoMicros` is the larger of the current PTO and that of a path with the initial RTT (RFC 9000 §8.2.4). */
  start(nowMicros: number, ptoMicros: number): void {
    this.state = VALIDATION_PENDING;
    this.sent = 0;
    this.ptoMicros = ptoMicros;
    this.giveUpMicros = nowMicros + PATH_VALIDATION_PTOS * ptoMicros;
    this.deadlineMicros = nowMicros;
  }

  /** Whether a PATH_CHALLENGE shall be sent now. */
  isDue(nowMicros: number): boolean {
    return this.state === VALIDATION_PENDING && this.sent < MAX_PATH_CHALLENGES && nowMicros >= this.deadlineMicros;
  }

  /** Fresh data for the PATH_CHALLENGE that is written now, 8 unpredictable bytes (RFC 9000 §8.2.1). */
  take(nowMicros: number): Uint8Array {
    const data = this.slots[this.sent];
    this.random.fill(data, 0, PATH_DATA_BYTES);
    this.sent++;
    const again = this.sent < MAX_PATH_CHALLENGES ? nowMicros + this.ptoMicros : this.giveUpMicros;
    this.deadlineMicros = Math.min(again, this.giveUpMicros);
    return data;
  }

  /** A PATH_RESPONSE arrived, on any path (RFC 9000 §8.2.3). True when it answers a challenge of ours. */
  onResponse(buf: Uint8Array, start: number): boolean {
    if (this.state !== VALIDATION_PENDING) return false;
    for (let i = 0; i < this.sent; i++) {
      if (!matches(this.slots[i], buf, start)) continue;
      this.state = VALIDATION_DONE;
      this.deadlineMicros = Infinity;
      return true;
    }
    return false;
  }

  /** Nobody waits for an answer any more. */
  stop(): void {
    this.state = VALIDATION_IDLE;
    this.deadlineMicros = Infinity;
  }

  onTimeout(nowMicros: number): void {
    if (this.state !== VALIDATION_PENDING || nowMicros < this.giveUpMicros) return;
    this.state = VALIDATION_FAILED;
    this.deadlineMicros = Infinity;
  }
}

function slotsOf(count: number): Uint8Array[] {
  return Array.from({ length: count }, () => new Uint8Array(PATH_DATA_BYTES));
}

function matches(data: Uint8Array, buf: Uint8Array, start: number): boolean {
  for (let i = 0; i < PATH_DATA_BYTES; i++) {
    if (data[i] !== buf[start + i]) return false;
  }
  return true;
}
