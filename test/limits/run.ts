/**
 * `npm run limits -- [--limit NAME]... [--markdown] [--json]`: switches off one limit after the other and runs the tests that should
 * notice. Exit code 1 when a limit is missed by all of them, or when a test is red although every limit is in place.
 */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { readArguments, runCommand, UsageError } from "../support/arguments.js";
import type { Mutation } from "./hooks.js";
import { LIMITS, type Limit } from "./table.js";

const OPTIONS = {
  limit: { type: "string", multiple: true },
  markdown: { type: "boolean" },
  json: { type: "boolean" },
} as const;
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const REGISTER = new URL("./register.js", import.meta.url).href;
/** Two cores are the reference machine. */
const WORKERS = 2;
/** A test without its limit may run for ever; to be stopped is as red as to fail. */
const LIMIT_MILLIS = 120_000;
const FAILED = /^ *not ok \d+ - (.*)\n/m;

interface Outcome {
  isGreen: boolean;
  /** The first that failed, without what it is a part of; null when it was the file itself that failed. */
  title: string | null;
}

function compiled(path: string): string {
  return path
    .replace(/^src\//, "dist/")
    .replace(/^test\//, "dist-test/")
    .replace(/\.ts$/, ".js");
}

/** Runs one test file in one process, which this function can end. */
async function runTest(path: string, without: Mutation | null): Promise<Outcome> {
  const child = spawn(process.execPath, ["--import", REGISTER, "--test-reporter=tap", compiled(path)], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, NETQUIC_WITHOUT: JSON.stringify(without) },
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    if (FAILED.test(text)) child.kill("SIGKILL"); // the first is enough, and not each file ends by itself after it
  });
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill("SIGKILL");
  }, LIMIT_MILLIS);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  clearTimeout(timer);
  const failed = FAILED.exec(text)?.[1]?.replace(/\\#/g, "#");
  const title = failed === compiled(path) ? null : (failed ?? null);
  return { isGreen: code === 0, title: isLate ? `does not end: ${title ?? ""}` : title };
}

/** `work` on each of `items`, two at a time. */
async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
}

/** The first test that is red without the limit, or null. */
async function noticed({ file, name, without, tests }: Limit): Promise<{ path: string; title: string } | null> {
  for (const path of tests) {
    const { isGreen, title } = await runTest(path, { file, name, value: without });
    if (!isGreen && title === null) throw new Error(`${path} does not load without ${name} of ${file}`);
    if (title !== null) return { path, title };
  }
  return null;
}

async function main(): Promise<number> {
  const values = readArguments("limits", OPTIONS);
  const limits = LIMITS.filter(({ name }) => values.limit?.includes(name) ?? true);
  if (limits.length === 0)
    throw new UsageError(`there is no limit ${JSON.stringify(values.limit)} in test/limits/table.ts`);
  const red: string[] = [];
  await eachOf([...new Set(limits.flatMap(({ tests }) => tests))], async (path) => {
    const { isGreen, title } = await runTest(path, null);
    if (!isGreen) red.push(`${path}: ${title ?? "does not load"}`);
  });
  for (const line of red) console.log(`RED with every limit in place: ${line}`);
  if (red.length > 0) return 1;

  const rows: { name: string; file: string; path: string; title: string }[] = [];
  const missed: string[] = [];
  await eachOf(limits, async (limit) => {
    const found = await noticed(limit);
    if (found === null) missed.push(limit.name);
    else rows.push({ name: limit.name, file: limit.file, ...found });
    if (values.markdown !== true) {
      console.log(found === null ? `MISSED ${limit.name}` : `${limit.name.padEnd(32)} ${found.path}: ${found.title}`);
    }
  });
  if (values.markdown === true) {
    rows.sort((a, b) => a.name.localeCompare(b.name));
    for (const { name, path, title } of rows) console.log(`| \`${name}\` | ${path} | ${title.replace(/\|/g, "\\|")} |`);
  }
  console.log(`limits: ${rows.length} of ${limits.length} are noticed when they are switched off`);
  if (values.json === true) console.log(JSON.stringify({ noticed: rows, missed }));
  return missed.length === 0 ? 0 : 1;
}

await runCommand("limits", main);
