/**
 * `npm run attacks -- [--row ID]... [--json]`: runs the tests of rows.ts and prints, row by row, how many cases of an attack and
 * of its honest twin passed. Exit code 1 when one failed, or when a row has an entry that no test answers to.
 */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { readArguments, runCommand, UsageError } from "../support/arguments.js";
import { type Entry, ROWS } from "./rows.js";

const OPTIONS = { row: { type: "string", multiple: true }, json: { type: "boolean" } } as const;
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

interface Case {
  title: string;
  passed: boolean;
}

/** The test file that runs what `path` holds: a contract is run by the test of the same name. */
function compiled(path: string): string {
  return path
    .replace(/^src\//, "dist/")
    .replace(/^test\//, "dist-test/")
    .replace(/(\.test|\.contract)\.ts$/, ".test.js");
}

async function casesOf(path: string): Promise<Case[]> {
  const child = spawn(process.execPath, ["--test-reporter=tap", compiled(path)], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "ignore"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  const lines = [...text.matchAll(/^ *(not )?ok \d+ - (.*)$/gm)];
  const cases = lines.map(([, not, title = ""]) => ({ title: title.replace(/\\#/g, "#"), passed: not === undefined }));
  if (code !== 0 && cases.every(({ passed }) => passed))
    cases.push({ title: `${path} ends with ${code}`, passed: false });
  return cases;
}

async function main(): Promise<number> {
  const values = readArguments("attacks", OPTIONS);
  const rows = ROWS.filter(({ id }) => values.row?.includes(id) ?? true);
  if (rows.length === 0) throw new UsageError("there is no such row; they are T01 to T51 and J01 to J12");
  const known = new Map<string, Case[]>();
  const paths = new Set(rows.flatMap(({ attacks, twins }) => [...attacks, ...twins].map(([path]) => path)));
  for (const path of paths) known.set(path, await casesOf(path));

  const count = (entries: readonly Entry[]): { passed: number; wrong: string[] } => {
    const wrong: string[] = [];
    let passed = 0;
    for (const [path, title] of entries) {
      const cases = (known.get(path) ?? []).filter((one) => one.title.includes(title));
      if (cases.length === 0) wrong.push(`${path}: no test is called ${JSON.stringify(title)}`);
      passed += cases.filter((one) => one.passed).length;
      for (const one of cases) if (!one.passed) wrong.push(`${path}: ${one.title}`);
    }
    return { passed, wrong };
  };
  const results = rows.map(({ id, attacks, twins }) => {
    const [hostile, honest] = [count(attacks), count(twins)];
    return { id, attacks: hostile.passed, twins: honest.passed, wrong: [...hostile.wrong, ...honest.wrong] };
  });
  for (const { id, attacks, twins, wrong } of results) {
    console.log(`${id}  ${attacks} of the attack, ${twins} of its twin passed${wrong.length === 0 ? "" : "; FAILED"}`);
    for (const line of wrong) console.log(`     ${line}`);
  }
  const failed = results.filter(({ wrong }) => wrong.length > 0).map(({ id }) => id);
  console.log(`attacks: ${results.length - failed.length} of ${results.length} rows hold, node ${process.version}`);
  if (values.json === true) console.log(JSON.stringify({ rows: results, failed }));
  return failed.length === 0 ? 0 : 1;
}

await runCommand("attacks", main);
