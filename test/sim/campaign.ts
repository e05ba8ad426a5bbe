/** Many seeds in a row: failures with their one-line replay, marks, times, and the replay of one seed in a hundred. */

import { SimScratch } from "#src/sim/index.js";
import type { Mode, ModeName } from "./modes.js";
import { type Outcome, runScenario } from "./run-seed.js";
import { DIMENSIONS, type Dimension, drawScenario, type Scenario } from "./scenario.js";

/** One seed in this many runs twice: a null run must give the same trace (E9), a real one the same verdict. */
const REPLAY_EVERY = 100;

export interface Failure {
  seed: number;
  mode: ModeName;
  message: string;
  replay: string;
  /** Dimensions without which it still fails are switched off: what is left. */
  needs: Dimension[];
}

export interface CampaignResult {
  seeds: number;
  seconds: number;
  failed: Failure[];
  /** Rare events, and in how many runs they happened. */
  marks: Map<string, number>;
  bytes: number;
  /** Of the null runs that ran twice, in the order of their seeds. */
  traces: string[];
}

export function emptyResult(): CampaignResult {
  return { seeds: 0, seconds: 0, failed: [], marks: new Map(), bytes: 0, traces: [] };
}

export interface CampaignOptions {
  firstSeed: number;
  seeds: number;
  /** Stop after this many failures; default 5. */
  maxFailures?: number;
  onProgress?: (done: number) => void;
}

export function runCampaign(mode: Mode, options: CampaignOptions): CampaignResult {
  const result = emptyResult();
  const scratch = new SimScratch();
  const start = process.hrtime.bigint();
  for (let i = 0; i < options.seeds && result.failed.length < (options.maxFailures ?? 5); i++) {
    const seed = options.firstSeed + i;
    const failure = runOne(mode, seed, seed % REPLAY_EVERY === 1, scratch, result);
    if (failure !== null) result.failed.push(failure);
    result.seeds++;
    options.onProgress?.(result.seeds);
  }
  result.seconds = Number(process.hrtime.bigint() - start) / 1e9;
  return result;
}

/** Runs one seed; null when all checks held. */
export function runOne(
  mode: Mode,
  seed: number,
  replays: boolean,
  scratch: SimScratch,
  into: CampaignResult,
): Failure | null {
  const trace = replays && mode.name === "null";
  const scenario = drawScenario(seed);
  const first = attempt(scenario, mode, scratch, trace);
  if (typeof first === "string") return describeFailure(mode, seed, first, scratch);
  for (const mark of first.marks) into.marks.set(mark, (into.marks.get(mark) ?? 0) + 1);
  into.bytes += first.bytes;
  if (!replays) return null;
  const again = attempt(drawScenario(seed), mode, scratch, trace);
  const differs =
    typeof again === "string" ? again : again.end === first.end && again.trace === first.trace ? "" : "E9";
  if (differs === "") {
    if (trace) into.traces.push(first.trace);
    return null;
  }
  return describeFailure(mode, seed, `E9: a replay of the same seed went another way (${differs})`, scratch);
}

/** The outcome, or what a check said. */
export function attempt(
  scenario: Scenario,
  mode: Mode,
  scratch: SimScratch,
  trace: boolean,
  print?: (line: string) => void,
): Outcome | string {
  try {
    return runScenario(scenario, mode, { scratch, trace, ...(print === undefined ? {} : { print }) });
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

export function replayLine(mode: ModeName, seed: number): string {
  return `SIM_SEED=${seed} npm run sim -- --seed ${seed} --${mode}`;
}

function describeFailure(mode: Mode, seed: number, message: string, scratch: SimScratch): Failure {
  return { seed, mode: mode.name, message, replay: replayLine(mode.name, seed), needs: shrink(mode, seed, scratch) };
}

/** Switches off one dimension after the other and keeps off what the failure does not need. */
function shrink(mode: Mode, seed: number, scratch: SimScratch): Dimension[] {
  const off: Dimension[] = [];
  for (const name of DIMENSIONS) {
    const scenario = drawScenario(seed, [...off, name]);
    if (typeof attempt(scenario, mode, scratch, false) === "string") off.push(name);
  }
  const { on } = drawScenario(seed, off);
  return DIMENSIONS.filter((name) => on[name]);
}
