/**
 * `npm run sim -- [--seeds N] [--seed S] [--null|--real] [--workers W] [--trace] [--ci] [--json] [--verbose] [--goodput]
 * [--fairness]`: a campaign of simulated runs on all cores. Without --null or --real both kinds run: 100,000 null seeds and
 * 20,000 real ones, or N null seeds and N/10 real ones; --ci means N = 20,000. `--seed S` (or SIM_SEED=S) runs that seed
 * alone and prints its configuration; `--trace` prints each of its datagrams, too. Exit code 1 when a seed failed, or when
 * a campaign of at least 20,000 null seeds never saw one of the rare events of `marks.ts`. `--goodput` and `--fairness`
 * print tables of docs/simulation.md instead.
 */

import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { SimScratch } from "#src/sim/index.js";
import { readArguments } from "../support/arguments.js";
import { attempt, type CampaignResult, type Failure } from "./campaign.js";
import { runCrew } from "./crew.js";
import { fairnessTables } from "./fairness.js";
import { goodputTable } from "./goodput.js";
import { missingMarks } from "./marks.js";
import { type ModeName, nullMode, realMode } from "./modes.js";
import { drawScenario } from "./scenario.js";

/** What CI runs. */
const CI_SEEDS = 20_000;
const REAL_SHARE = 10;
/** When nothing else is asked for. */
const FULL_SEEDS: Record<ModeName, number> = { null: 100_000, real: 20_000 };
/** So many null seeds have to see every mark this often. */
const MARKED_SEEDS = CI_SEEDS;
const MARK_LEAST = 10;
const MAX_SEED = Number.MAX_SAFE_INTEGER;

const OPTIONS = {
  seeds: { type: "string" },
  seed: { type: "string" },
  null: { type: "boolean", default: false },
  real: { type: "boolean", default: false },
  workers: { type: "string" },
  ci: { type: "boolean", default: false },
  goodput: { type: "boolean", default: false },
  fairness: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  verbose: { type: "boolean", default: false },
  trace: { type: "boolean", default: false },
  "max-failures": { type: "string", default: "5" },
} as const;

const values = ownArguments();

function ownArguments() {
  try {
    return readArguments("sim", OPTIONS);
  } catch (error) {
    console.error(`sim: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(2);
  }
}

function count(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined || text === "") return fallback;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0 && value <= MAX_SEED) return value;
  console.error(`sim: ${name} is ${JSON.stringify(text)}; an integer from 0 to ${MAX_SEED} is expected`);
  process.exit(2);
}

function printFailure(failure: Failure): void {
  console.log(`\nFAILED ${failure.mode} seed ${failure.seed}, needs ${failure.needs.join(" ") || "nothing special"}`);
  console.log(failure.message);
  console.log(`  replay: ${failure.replay}`);
}

async function main(): Promise<number> {
  if (values.goodput || values.fairness) {
    if (values.goodput) for (const line of goodputTable()) console.log(line);
    if (values.fairness) for (const line of fairnessTables()) console.log(line);
    return 0;
  }
  const single = values.seed ?? process.env.SIM_SEED;
  const firstSeed = count("--seed", single, 1);
  const asked = values.seeds !== undefined || values.ci || single !== undefined;
  const many = count("--seeds", values.seeds, single === undefined ? CI_SEEDS : 1);
  const both = values.null === values.real;
  const plan: [ModeName, number][] = [];
  if (both || values.null) plan.push(["null", asked ? many : FULL_SEEDS.null]);
  if (both || values.real) {
    plan.push(["real", !asked ? FULL_SEEDS.real : both ? Math.ceil(many / REAL_SHARE) : many]);
  }
  if (single !== undefined && many === 1) console.log(describeScenario(firstSeed));
  if (values.trace) return traceOne(plan[0][0], firstSeed);

  const workers = Math.max(1, count("--workers", values.workers, availableParallelism()));
  const maxFailures = count("--max-failures", values["max-failures"], 5);
  const results = new Map<ModeName, CampaignResult>();
  for (const [mode, seeds] of plan) {
    const result = await runCrew({ mode, firstSeed, seeds, maxFailures, workers });
    results.set(mode, result);
    for (const failure of result.failed) printFailure(failure);
    const perSec = Math.round(result.seeds / result.seconds);
    const verdict = result.failed.length === 0 ? "all held" : `${result.failed.length} FAILED`;
    console.log(`sim: ${mode}: ${result.seeds} seeds in ${result.seconds.toFixed(1)} s (${perSec}/s): ${verdict}`);
  }
  if (values.verbose) printMarks(results);
  if (values.json) console.log(JSON.stringify(summary(results)));
  if ([...results.values()].some((result) => result.failed.length > 0)) return 1;
  return sawEveryMark(results) ? 0 : 1;
}

/** Of a campaign that is large enough; a smaller one says nothing about rare events. */
function sawEveryMark(results: Map<ModeName, CampaignResult>): boolean {
  if ((results.get("null")?.seeds ?? 0) < MARKED_SEEDS) return true;
  const missing = missingMarks(new Map(Object.entries(summary(results).marks)), MARK_LEAST);
  for (const mark of missing) console.log(`sim: FAILED: fewer than ${MARK_LEAST} runs saw "${mark}"`);
  return missing.length === 0;
}

/** Runs one seed and prints what its network saw. */
function traceOne(name: ModeName, seed: number): number {
  const mode = name === "null" ? nullMode() : realMode(process.env);
  const outcome = attempt(drawScenario(seed), mode, new SimScratch(), false, (line) => console.log(line));
  console.log(typeof outcome === "string" ? outcome : `sim: ${outcome.end} after ${outcome.virtualMicros} µs`);
  return typeof outcome === "string" ? 1 : 0;
}

function describeScenario(seed: number): string {
  const scenario = drawScenario(seed);
  const on = Object.entries(scenario.on).filter(([, is]) => is);
  const text = JSON.stringify({ ...scenario, on: on.map(([name]) => name) }, (_, value: unknown) =>
    typeof value === "bigint" ? `${value}n` : value === Infinity ? "Infinity" : value,
  );
  return `sim: node ${process.version}, seed ${seed}: ${text}`;
}

function printMarks(results: Map<ModeName, CampaignResult>): void {
  for (const [mark, hits] of Object.entries(summary(results).marks)) console.log(`  ${hits} ${mark}`);
}

/** The last line of `--json`. */
function summary(results: Map<ModeName, CampaignResult>) {
  const part = (name: ModeName) => ({
    seeds: results.get(name)?.seeds ?? 0,
    seconds: results.get(name)?.seconds ?? 0,
  });
  const marks: Record<string, number> = {};
  for (const result of results.values()) {
    for (const [mark, hits] of result.marks) marks[mark] = (marks[mark] ?? 0) + hits;
  }
  const all = [...results.values()];
  return {
    seeds: all.reduce((sum, result) => sum + result.seeds, 0),
    real: part("real"),
    null: part("null"),
    seconds: all.reduce((sum, result) => sum + result.seconds, 0),
    /** Over the traces of the null runs that ran twice: equal for equal seeds, in every process. */
    trace: createHash("sha256")
      .update(all.flatMap(({ traces }) => traces).join())
      .digest("hex"),
    failed: all.flatMap((result) => result.failed.map(({ seed, mode, replay }) => ({ seed, mode, replay }))),
    marks: Object.fromEntries(Object.entries(marks).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

process.exitCode = await main();
