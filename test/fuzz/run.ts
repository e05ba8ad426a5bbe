/**
 * `npm run fuzz -- [--seconds N] [--runs N] [--target NAME] [--seed N] [--save] [--json]`: every target in turn for its
 * share of the time, or for so many inputs. `--save` adds the inputs that reached something new to test/fuzz/corpus.json.
 * `--target NAME --input HEX` replays one input. Exit code 1 with a finding.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { readArguments, runCommand, UsageError } from "../support/arguments.js";
import { agentTargets } from "./agent.js";
import { connectionTarget } from "./connection.js";
import { Coverage } from "./coverage.js";
import { decoderTargets } from "./decoders.js";
import { sessionTargets } from "./sessions.js";
import { type Finding, fuzz, type Target, type TargetResult, tryInput } from "./loop.js";

const TARGETS: readonly Target[] = [...decoderTargets, ...sessionTargets, ...agentTargets, connectionTarget];
const DEFAULT_SECONDS = 60;
const MAX_SECONDS = 7 * 24 * 3600;
const MAX_COUNT = 1e12;
const OPTIONS = {
  seconds: { type: "string" },
  runs: { type: "string" },
  target: { type: "string" },
  input: { type: "string" },
  seed: { type: "string" },
  save: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

function number(name: string, text: string | undefined, most: number): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new UsageError(`--${name} is ${JSON.stringify(text)}; a whole number from 1 to ${most} is expected`);
}

function chosen(name: string | undefined): readonly Target[] {
  if (name === undefined) return TARGETS;
  const found = TARGETS.filter((target) => target.name === name);
  if (found.length > 0) return found;
  const names = TARGETS.map((target) => target.name).join(", ");
  throw new UsageError(`there is no target ${JSON.stringify(name)}; choose from: ${names}`);
}

function print(finding: Finding): void {
  console.log(`\nFOUND in ${finding.target}\n${finding.message}`);
  console.log(
    `  replay: npm run fuzz -- --target ${finding.target} --input ${Buffer.from(finding.input).toString("hex")}`,
  );
}

/** Inputs of earlier campaigns that are worth a look each time, in hexadecimal by target. */
const CORPUS = new URL("../../test/fuzz/corpus.json", import.meta.url);
const MAX_SAVED_EACH = 100;

function readCorpus(): Record<string, string[]> {
  return JSON.parse(readFileSync(CORPUS, "utf8")) as Record<string, string[]>;
}

function saveCorpus(corpus: Record<string, string[]>, results: readonly TargetResult[]): void {
  for (const { target, corpus: inputs } of results) {
    corpus[target] = inputs.slice(0, MAX_SAVED_EACH).map((input) => Buffer.from(input).toString("hex"));
  }
  writeFileSync(CORPUS, `${JSON.stringify(corpus, null, 2)}\n`);
}

function replay(target: Target, hex: string): number {
  if (!/^([0-9a-f]{2})*$/i.test(hex))
    throw new UsageError("--input is not hexadecimal: two digits a byte are expected");
  const finding = tryInput(target, Uint8Array.from(Buffer.from(hex, "hex")));
  if (finding === null) console.log(`${target.name}: nothing is wrong with this input`);
  else print(finding);
  return finding === null ? 0 : 1;
}

function main(): number {
  const values = readArguments("fuzz", OPTIONS);
  const targets = chosen(values.target);
  if (values.input !== undefined) {
    const [target] = targets;
    if (values.target === undefined || target === undefined) throw new UsageError("--input needs --target");
    return replay(target, values.input);
  }
  const runs = number("runs", values.runs, MAX_COUNT);
  const seconds = number("seconds", values.seconds, MAX_SECONDS) ?? (runs === null ? DEFAULT_SECONDS : MAX_SECONDS);
  const seed = number("seed", values.seed, Number.MAX_SAFE_INTEGER) ?? Date.now();
  const corpus = readCorpus();
  const coverage = new Coverage((url) => /\/dist\/(?!sim\/)/.test(url) && !/\.(test|contract)\.js$/.test(url));
  const results: TargetResult[] = [];
  const shares = targets.reduce((sum, { share = 1 }) => sum + share, 0);
  for (const target of targets) {
    const until = performance.now() + (seconds * 1000 * (target.share ?? 1)) / shares;
    const stop = (done: number): boolean => performance.now() >= until || done >= (runs ?? Infinity);
    const known = (corpus[target.name] ?? []).map((hex) => Uint8Array.from(Buffer.from(hex, "hex")));
    const result = fuzz(target, seed, coverage, known, stop);
    results.push(result);
    const { runs: done, corpus: inputs, blocks } = result;
    console.log(`${target.name.padEnd(20)} ${done} inputs, ${inputs.length} in the corpus, ${blocks} blocks reached`);
    if (result.finding !== null) print(result.finding);
  }
  coverage.stop();
  if (values.save) saveCorpus(corpus, results);
  const findings = results.flatMap(({ finding }) => (finding === null ? [] : [finding]));
  console.log(`fuzz: seed ${seed}, ${findings.length} found, node ${process.version}`);
  if (values.json) {
    const found = findings.map(({ target, input }) => ({ target, input: Buffer.from(input).toString("hex") }));
    const counts = results.map(({ target, runs: done, corpus: inputs, blocks }) => {
      return { target, runs: done, corpus: inputs.length, blocks };
    });
    console.log(JSON.stringify({ seed, targets: counts, failed: found }));
  }
  return findings.length === 0 ? 0 : 1;
}

await runCommand("fuzz", main);
