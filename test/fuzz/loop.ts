/**
 * A fuzzing loop with coverage as its guide: an input that reaches a block of our code which none reached before joins
 * the corpus of its target, from which the next inputs are made. What a target throws is a finding.
 */

import { Prng } from "#src/sim/prng.js";
import type { Coverage } from "./coverage.js";
import { mutate } from "./mutate.js";

export interface Target {
  readonly name: string;
  /** Bytes of an input at most. */
  readonly maxBytes: number;
  /** Of the time, 1 by default: a slow target needs more of it. */
  readonly share?: number;
  /** Inputs to begin with, valid ones for the most part. */
  seeds(): Uint8Array[];
  /** Throws when the code under test does what it never may. */
  run(input: Uint8Array): void;
}

export interface Finding {
  target: string;
  input: Uint8Array;
  message: string;
}

export interface TargetResult {
  target: string;
  runs: number;
  /** Inputs that reached something new, in the order found; those of earlier runs first. */
  corpus: Uint8Array[];
  blocks: number;
  finding: Finding | null;
}

/** Inputs between two looks at the coverage. */
const BATCH = 256;

/** Fuzzes until `stop` says so, or to the first finding. `known`: inputs that reached new blocks in earlier runs. */
export function fuzz(
  target: Target,
  seed: number,
  coverage: Coverage,
  known: readonly Uint8Array[],
  stop: (runs: number) => boolean,
): TargetResult {
  const random = new Prng(seed, target.name);
  const seeds = target.seeds();
  const corpus = [...seeds, ...known];
  const result: TargetResult = { target: target.name, runs: 0, corpus: [], blocks: 0, finding: null };
  const attempt = (input: Uint8Array): boolean => {
    result.runs++;
    result.finding = tryInput(target, input);
    return result.finding === null;
  };
  coverage.forget();
  let isClean = corpus.every(attempt);
  coverage.takeNew(true);
  while (isClean && !stop(result.runs)) {
    const batch: Uint8Array[] = [];
    for (let i = 0; i < BATCH && isClean; i++) {
      const input = mutate(random.pick(corpus), random.pick(corpus), target.maxBytes, random);
      batch.push(input);
      isClean = attempt(input);
    }
    if (isClean && coverage.takeNew(false)) corpus.push(...findNew(batch, (input) => attempt(input), coverage));
  }
  result.corpus = corpus.slice(seeds.length);
  result.blocks = coverage.blocks;
  return result;
}

/** Runs one input; null when it was fine. */
export function tryInput(target: Target, input: Uint8Array): Finding | null {
  try {
    target.run(input);
    return null;
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { target: target.name, input, message };
  }
}

/** The inputs of a batch that reach blocks which none before them reached, by halving. */
function findNew(batch: readonly Uint8Array[], run: (input: Uint8Array) => boolean, coverage: Coverage): Uint8Array[] {
  for (const input of batch) run(input);
  if (!coverage.takeNew(batch.length === 1)) return [];
  if (batch.length === 1) return [...batch];
  const half = batch.length >> 1;
  const first = findNew(batch.slice(0, half), run, coverage);
  return [...first, ...findNew(batch.slice(half), run, coverage)];
}
