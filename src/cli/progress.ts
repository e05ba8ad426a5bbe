/**
 * How far a transfer is: on a terminal one line that is rewritten in place, elsewhere a plain line every few seconds.
 * Rate and time left follow the last few seconds, not the mean since the start.
 */

import { formatByteRate, formatBytes, formatClock } from "./format.js";

/** What of a stream is used; process.stdout is one. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const TTY_INTERVAL_MILLIS = 100;
const PLAIN_INTERVAL_MILLIS = 2000;
/** Time constant of the rate's exponential mean. */
const RATE_MEMORY_MILLIS = 2000;
const BAR_CELLS = 20;
const CLEAR_TO_END = "\u001b[K";

export class Progress {
  private readonly out: Output;
  private readonly live: boolean;
  private readonly colour: boolean;
  private readonly now: () => number;
  private startedAt = -1;
  private shownAt = 0;
  private lineOpen = false;
  private sampledAt = 0;
  private sampledBytes = 0;
  private bytesPerSec = 0;

  /** `now` gives milliseconds of a monotonic clock. */
  constructor(out: Output, env: Record<string, string | undefined>, now: () => number = () => performance.now()) {
    this.out = out;
    this.live = out.isTTY === true && env["TERM"] !== "dumb";
    this.colour = this.live && (env["NO_COLOR"] ?? "") === "";
    this.now = now;
  }

  /** `label` says what goes on; shown at most ten times a second on a terminal, every two seconds elsewhere. */
  update(label: string, doneBytes: number, totalBytes: number): void {
    const nowMillis = this.now();
    if (this.startedAt < 0) this.begin(nowMillis, doneBytes);
    const interval = this.live ? TTY_INTERVAL_MILLIS : PLAIN_INTERVAL_MILLIS;
    if (nowMillis - this.shownAt < interval) return;
    this.sample(nowMillis, doneBytes);
    this.shownAt = nowMillis;
    const text = this.describe(label, doneBytes, totalBytes);
    if (!this.live) {
      this.out.write(`${text}\n`);
      return;
    }
    this.rewrite(text);
  }

  /** Shows where things are in the line that is rewritten, ten times a second at most; elsewhere nothing. */
  status(text: string): void {
    const nowMillis = this.now();
    if (!this.live || nowMillis - this.shownAt < TTY_INTERVAL_MILLIS) return;
    this.shownAt = nowMillis;
    this.rewrite(text);
  }

  /** Prints a line of its own; the rewritten line, if any, is gone before it. */
  line(text: string): void {
    this.clear();
    this.out.write(`${text}\n`);
  }

  /** Takes the rewritten line away. */
  clear(): void {
    if (!this.lineOpen) return;
    this.lineOpen = false;
    this.out.write(`\r${CLEAR_TO_END}`);
  }

  /** Emphasis for a terminal that wants colours. */
  strong(text: string): string {
    return this.colour ? `\u001b[1m${text}\u001b[22m` : text;
  }

  good(text: string): string {
    return this.colour ? `\u001b[32m${text}\u001b[39m` : text;
  }

  private rewrite(text: string): void {
    this.lineOpen = true;
    this.out.write(`\r${text.slice(0, (this.out.columns ?? 80) - 1)}${CLEAR_TO_END}`);
  }

  private begin(nowMillis: number, doneBytes: number): void {
    this.startedAt = this.shownAt = this.sampledAt = nowMillis;
    this.sampledBytes = doneBytes;
  }

  private sample(nowMillis: number, doneBytes: number): void {
    const elapsed = nowMillis - this.sampledAt;
    if (elapsed <= 0) return;
    const latest = ((doneBytes - this.sampledBytes) * 1000) / elapsed;
    // Early on the mean since the start, so that slow first moments do not linger.
    const weight = Math.max(1 - Math.exp(-elapsed / RATE_MEMORY_MILLIS), elapsed / (nowMillis - this.startedAt));
    this.bytesPerSec += (latest - this.bytesPerSec) * weight;
    this.sampledAt = nowMillis;
    this.sampledBytes = doneBytes;
  }

  private describe(label: string, doneBytes: number, totalBytes: number): string {
    const share = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
    const percent = `${Math.floor(share * 100)}%`.padStart(4);
    const eta = this.bytesPerSec < 1 ? "-:--" : formatClock((totalBytes - doneBytes) / this.bytesPerSec);
    const numbers = `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}, ${formatByteRate(this.bytesPerSec)}`;
    if (!this.live) return `${label}: ${percent.trim()}, ${numbers}, ETA ${eta}`;
    const cells = Math.round(share * BAR_CELLS);
    const bar = "=".repeat(cells).padEnd(BAR_CELLS);
    return `${label} [${bar}] ${percent}  ${numbers}  ETA ${eta}`;
  }
}
