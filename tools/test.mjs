/**
 * `npm test [-- NAME...]`: runs the compiled tests with the Node that runs this file. Each NAME selects the test files whose
 * path contains it; when no path contains any of them, they select tests by title. NETQUIC_TLS and NETQUIC_DATAPATH reach the tests as
 * they are. A run with a failed, skipped or missing test, or one past its time bound, ends with exit code 1.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
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
  if (names.length === 0) return { files: all, titles: [] };
  const byPath = names.filter((name) => all.some((path) => path.includes(name)));
  if (byPath.length === 0) return { files: all.filter((path) => mentions(path, names)), titles: names };
  for (const name of names.filter((other) => !byPath.includes(other)))
    console.log(`no test file has "${name}" in its path`);
  return { files: all.filter((path) => byPath.some((name) => path.includes(name))), titles: [] };
}

function mentions(path, titles) {
  const text = readFileSync(join(root, path), "utf8");
  return titles.some((title) => text.includes(title));
}

async function main() {
  const { files, titles } = selectTests(process.argv.slice(2));
  console.log(await describeRun(files));
  if (files.length === 0) {
    console.log(
      titles.length > 0
        ? `no test has ${titles.join(" or ")} in its title`
        : "no test files: run `npm run build` first",
    );
    return 1;
  }
  const { runFiles } = await import(pathToFileURL(join(root, "dist-test", "support", "run-files.js")).href);
  const { pass, fail, skipped } = await runFiles(
    files.map((path) => join(root, path)),
    {
      concurrency: CONCURRENCY,
      fileLimitMillis: FILE_LIMIT_SECONDS * 1000,
      runLimitMillis: RUN_LIMIT_SECONDS * 1000,
      titles,
    },
  );
  const refused = titles.length > 0 ? 0 : skipped; // Node 20 counts as skipped what the titles leave out
  if (refused > 0) console.log(`${refused} skipped or todo: every test runs`);
  console.log(`${pass} passed, ${fail} failed`);
  return fail + refused === 0 && pass > 0 ? 0 : 1;
}

process.exitCode = await main();
