/**
 * `npm run sim -- [--seeds N] [--seed S] [--null|--real] [--trace]
 * [--ci] [--json] [--verbose]`: a campaign of simulated runs. Without --null or --real both kinds run: N null seeds and
 * N/10 real ones. `--seed S` (or SIM_SEED=S) runs that seed alone and prints its configuration; `--trace` prints each of
 * its datagrams, too. Exit code 1 when a seed failed.
 */

import { parseArgs } from "node:util";
import { SimScratch } from "#src/sim/index.js";
import { attempt, type CampaignResult, type Failure, runCampaign } from "./campaign.js";
import { type Mode, type ModeName, nullMode, realMode } from "./modes.js";
import { drawScenario } from "./scenario.js";

const DEFAULT_SEEDS = 5000;
/** What CI runs. */
const CI_SEEDS = 20_000;
const REAL_SHARE = 10;
const MAX_SEED = Number.MAX_SAFE_INTEGER;

const OPTIONS = {
  seeds: { type: "string" },
  seed: { type: "string" },
  null: { type: "boolean", default: false },
  real: { type: "boolean", default: false },
  ci: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  verbose: { type: "boolean", default: false },
  trace: { type: "boolean", default: false },
  "max-failures": { type: "string", default: "5" },
} as const;

const values = readArguments();

function readArguments() {
  try {
    return parseArgs({ options: OPTIONS }).values;
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

function main(): number {
  const single = values.seed ?? process.env.SIM_SEED;
  const firstSeed = count("--seed", single, 1);
  const many = count("--seeds", values.seeds, single === undefined ? (values.ci ? CI_SEEDS : DEFAULT_SEEDS) : 1);
  const both = values.null === values.real;
  const plan: [ModeName, number, Mode][] = [];
  if (both || values.null) plan.push(["null", many, nullMode()]);
  if (both || values.real) plan.push(["real", both ? Math.ceil(many / REAL_SHARE) : many, realMode(process.env)]);
  if (single !== undefined && many === 1) console.log(describeScenario(firstSeed));
  if (values.trace) return traceOne(plan[0][2], firstSeed);

  const results = new Map<ModeName, CampaignResult>();
  for (const [name, seeds, mode] of plan) {
    const maxFailures = count("--max-failures", values["max-failures"], 5);
    const result = runCampaign(mode, { firstSeed, seeds, maxFailures });
    results.set(name, result);
    for (const failure of result.failed) printFailure(failure);
    const perSec = Math.round(result.seeds / result.seconds);
    const verdict = result.failed.length === 0 ? "all held" : `${result.failed.length} FAILED`;
    console.log(`sim: ${name}: ${result.seeds} seeds in ${result.seconds.toFixed(1)} s (${perSec}/s): ${verdict}`);
  }
  if (values.verbose) printMarks(results);
  if (values.json) console.log(JSON.stringify(summary(results)));
  return [...results.values()].some((result) => result.failed.length > 0) ? 1 : 0;
}

/** Runs one seed and prints what its network saw. */
function traceOne(mode: Mode, seed: number): number {
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
    failed: all.flatMap((result) => result.failed.map(({ seed, mode, replay }) => ({ seed, mode, replay }))),
    marks: Object.fromEntries(Object.entries(marks).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

process.exitCode = main();
