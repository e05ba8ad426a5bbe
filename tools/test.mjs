/**
 * `npm test [-- NAME...]`: runs the compiled tests with the Node that runs this file. Each NAME selects the test files whose
 * path contains it; when no path contains any of them, they select tests by title. NETQUIC_TLS and NETQUIC_DATAPATH reach the tests as
 * they are. A run with a failed, skipped or missing test, or one past its time bound, ends with exit code 1.
 */

import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
/** Two cores are the reference machine; more at once only makes timing tests lie. */
const CONCURRENCY = 2;
const FILE_LIMIT_SECONDS = 180;
/** Bound of the whole run, seconds; NETQUIC_TEST_SECONDS overrides it. */
const RUN_LIMIT_SECONDS = Number(process.env.NETQUIC_TEST_SECONDS ?? 900);

function findTests() {
  const files = [];
  for (const [folder, pattern] of [
    ["dist", /\.test\.js$/],
    ["dist-test", /\.test\.js$/],
    ["tools", /\.test\.mjs$/],
  ]) {
    if (!existsSync(join(root, folder))) continue;
    for (const name of readdirSync(join(root, folder), { recursive: true })) {
      const path = join(folder, name);
      if (pattern.test(name) && existsSync(join(root, sourceOf(path)))) files.push(path);
    }
  }
  return files.sort();
}

/** A compiled test whose source is gone is left over from an earlier build. */
function sourceOf(path) {
  if (path.endsWith(".mjs")) return path;
  return path
    .replace(/^dist-test/, "test")
    .replace(/^dist/, "src")
    .replace(/\.js$/, ".ts");
}

/** One line that says what is about to be tested: which Node, which TLS library, which datapath. */
async function describeRun(files) {
  const load = (file) => import(pathToFileURL(join(root, "dist", "runtime", file)).href);
  const name = async (file, choose) => {
    try {
      return choose(await load(file)).name;
    } catch (error) {
      return `none (${error.code ?? error.message})`;
    }
  };
  const tls = await name("choose-tls.js", ({ chooseTls }) => chooseTls(process.env));
  const datapath = await name("choose.js", ({ chooseDatapath }) => chooseDatapath(process.env));
  return `node ${process.version}, TLS ${tls}, datapath ${datapath}, ${files.length} test files`;
}

function selectTests(names) {
  const all = findTests();
  const byPath = names.filter((name) => all.some((path) => path.includes(name)));
  if (byPath.length === 0) return { files: all, titles: names };
  for (const name of names.filter((other) => !byPath.includes(other)))
    console.log(`no test file has "${name}" in its path`);
  return { files: all.filter((path) => byPath.some((name) => path.includes(name))), titles: [] };
}

async function main() {
  const { files, titles } = selectTests(process.argv.slice(2));
  console.log(await describeRun(files));
  if (files.length === 0) {
    console.log("no test files: run `npm run build` first");
    return 1;
  }
  const args = ["--test", `--test-concurrency=${CONCURRENCY}`, `--test-timeout=${FILE_LIMIT_SECONDS * 1000}`];
  args.push("--test-reporter=spec", ...titles.map((title) => `--test-name-pattern=${title}`));
  const child = spawn(process.execPath, [...args, ...files.map((path) => join(root, path))], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
    detached: true, // a group of its own, so that the bound ends the test files too
  });
  let late = false;
  const bound = setTimeout(() => {
    late = true;
    console.log(`not finished after ${RUN_LIMIT_SECONDS} s: ended`);
    process.kill(-child.pid, "SIGKILL");
  }, RUN_LIMIT_SECONDS * 1000);
  const stop = () => process.kill(-child.pid, "SIGKILL");
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);

  const counts = await readCounts(child.stdout);
  const code = await new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode ?? 1);
    else child.once("close", (exitCode) => resolve(exitCode ?? 1));
  });
  clearTimeout(bound);
  const failed = counts.fail + counts.cancelled;
  const skipped = counts.skipped + counts.todo;
  if (skipped > 0) console.log(`${skipped} skipped or todo: every test runs`);
  console.log(`${counts.pass} passed, ${failed} failed`);
  return code === 0 && !late && failed === 0 && skipped === 0 && counts.pass > 0 ? 0 : 1;
}

/** Copies the reporter's output and reads the closing counts from it. */
async function readCounts(stream) {
  const counts = { pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0 };
  let rest = "";
  stream.setEncoding("utf8");
  for await (const chunk of stream) {
    process.stdout.write(chunk.replaceAll(root, `.${sep}`));
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const match = /^\W+(pass|fail|cancelled|skipped|todo) (\d+)$/.exec(line);
      if (match !== null) counts[match[1]] = Number(match[2]);
    }
  }
  return counts;
}

process.exitCode = await main();
