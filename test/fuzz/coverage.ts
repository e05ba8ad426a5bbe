/**
 * Which blocks of our compiled code ran, from V8's precise coverage, in this process. Reading it costs milliseconds, so
 * the loop reads it for many inputs at once and looks for the one that was new only when something was.
 */

import { Session } from "node:inspector";

interface Range {
  startOffset: number;
  endOffset: number;
  count: number;
}
interface ScriptCoverage {
  scriptId: string;
  url: string;
  functions: { ranges: Range[]; isBlockCoverage: boolean }[];
}

type Interval = readonly [start: number, end: number];

/** Of two sorted lists, what both have. */
function intersect(a: readonly Interval[], b: readonly Interval[]): Interval[] {
  const out: Interval[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [aStart, aEnd] = a[i] as Interval;
    const [bStart, bEnd] = b[j] as Interval;
    const start = Math.max(aStart, bStart);
    const end = Math.min(aEnd, bEnd);
    if (start < end) out.push([start, end]);
    if (aEnd < bEnd) i++;
    else j++;
  }
  return out;
}

function total(intervals: readonly Interval[]): number {
  return intervals.reduce((sum, [start, end]) => sum + end - start, 0);
}

export class Coverage {
  private readonly session = new Session();
  /**
   * Of each function that ran, what in it never did. V8 names a block only where its count differs from that around it,
   * so the dead ones are what can be told apart: one that is not named dead any more has run.
   */
  private dead = new Map<string, Interval[]>();
  /** Functions that ran, and times that a part of one ran first. */
  private reached = 0;
  private readonly isOurs: (url: string) => boolean;

  /** `isOurs`: whether a script's blocks count. */
  constructor(isOurs: (url: string) => boolean) {
    this.isOurs = isOurs;
    this.session.connect();
    this.post("Profiler.enable");
    this.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** Blocks that were seen to run, some of them several at once. */
  get blocks(): number {
    return this.reached;
  }

  /** From now on nothing was seen: another target begins. */
  forget(): void {
    this.take(false);
    this.dead = new Map();
    this.reached = 0;
  }

  /** Whether blocks ran since the last call that were not seen. They count as seen when `keep`. */
  takeNew(keep: boolean): boolean {
    return this.take(keep) > 0;
  }

  stop(): void {
    this.post("Profiler.stopPreciseCoverage");
    this.session.disconnect();
  }

  private take(keep: boolean): number {
    const { result } = this.post("Profiler.takePreciseCoverage") as { result: ScriptCoverage[] };
    let fresh = 0;
    for (const script of result) {
      if (!this.isOurs(script.url)) continue;
      for (const { ranges } of script.functions) {
        const [outer] = ranges;
        if (outer === undefined || outer.count === 0) continue;
        const key = `${script.scriptId}:${outer.startOffset}:${outer.endOffset}`;
        const deadNow = ranges
          .filter(({ count }) => count === 0)
          .map(({ startOffset, endOffset }): Interval => [startOffset, endOffset])
          .sort((a, b) => a[0] - b[0]);
        const known = this.dead.get(key);
        const left = known === undefined ? deadNow : intersect(known, deadNow);
        if (known !== undefined && total(left) === total(known)) continue;
        fresh++;
        if (keep) this.dead.set(key, left);
      }
    }
    if (keep) this.reached += fresh;
    return fresh;
  }

  /** Answers of the in-process inspector come before `post` returns. */
  private post(method: string, params: object = {}): unknown {
    let answer: unknown = null;
    let failure: Error | null = null;
    this.session.post(method, params, (error, result) => {
      failure = error;
      answer = result;
    });
    if (failure !== null) throw failure;
    return answer;
  }
}
