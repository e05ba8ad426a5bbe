/**
 * `npm run test:sanitize [-- NAME...]`: builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer into a folder of
 * its own and runs the tests that reach it, in this Node with the sanitizers loaded first. A failed test, a report of a
 * sanitizer, or memory that the addon allocated and nobody freed ends with exit code 1. Each NAME selects test files.
 */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, "build-sanitize");
const COMPILE =
  "-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all -fno-omit-frame-pointer -g -O1";
/** Exit code of a process with a report, so that its test fails. */
const REPORTED = 99;
/** Bound of one test file; all is slower here. */
const FILE_LIMIT_MILLIS = 300_000;
/** Lines of a report that are shown. */
const SHOWN_LINES = 30;
/** Of compiled tests: those whose code is mostly the addon's. */
const TESTS = [
  "dist-test/addon",
  "dist-test/offload",
  "dist/runtime",
  "dist/runtime/native",
  "dist-test/api/files.test.js",
  "dist-test/tls/process.test.js",
];
/** Tests of folders above that never call the addon, or that measure time, which is another here. */
const LEFT_OUT = ["clock", "timer", "loop", "loop-live", "address"];

function build() {
  mkdirSync(folder, { recursive: true });
  for (const name of ["addon", "binding.gyp", "package.json"]) {
    rmSync(join(folder, name), { force: true });
    symlinkSync(join("..", name), join(folder, name));
  }
  const env = { ...process.env, CXXFLAGS: COMPILE, LDFLAGS: "-fsanitize=address,undefined" };
  const done = spawnSync("node-gyp", ["--silent", "-C", folder, "configure", "build"], { env, encoding: "utf8" });
  if (done.error !== undefined)
    throw new Error(`node-gyp is started by npm only: npm run test:sanitize (${done.error.message})`);
  if (done.status !== 0) throw new Error(`the addon did not compile:\n${done.stdout}${done.stderr}`);
}

/** The compiler's own libraries: they must come before everything else in the process. */
function preload() {
  return ["libasan.so", "libubsan.so"].map((name) => {
    const { stdout } = spawnSync("g++", [`-print-file-name=${name}`], { encoding: "utf8" });
    const path = stdout?.trim() ?? "";
    if (!path.includes("/")) throw new Error(`g++ has no ${name}: apt-get install g++`);
    return realpathSync(path);
  });
}

function findTests(names) {
  const files = TESTS.flatMap((path) => {
    if (path.endsWith(".js")) return [path];
    return readdirSync(join(root, path))
      .filter((name) => name.endsWith(".test.js") && !LEFT_OUT.includes(basename(name, ".test.js")))
      .map((name) => join(path, name));
  });
  return files.filter((file) => names.length === 0 || names.some((name) => file.includes(name))).sort();
}

/** The reports that are the addon's: every error, and leaks of what it allocated. What Node leaves at its exit is its own. */
function reportsIn(text) {
  return text
    .split(/\n{2,}/)
    .filter((block) => (/^(Direct|Indirect) leak of /.test(block) ? isOurs(block) : isError(block)))
    .map((block) => block.split("\n").slice(0, SHOWN_LINES).join("\n"));
}

/** The allocator was called by the addon, or by a library that the addon called, but not by Node in between. */
function isOurs(leak) {
  const frames = leak.split("\n").slice(1);
  const ours = frames.findIndex((frame) => /netquic\.node|\/addon\/\w+\.(cc|h)/.test(frame));
  return ours >= 0 && !frames.slice(0, ours).some((frame) => frame.includes("/node+0x"));
}

/** The search for leaks looks at all threads at the end of a process, and fails itself when one of them is just ending. */
function isLostSearch(text) {
  return text.includes("Tracer caught signal") && text.includes("LeakSanitizer has encountered a fatal error");
}

function isError(block) {
  if (isLostSearch(block)) return false;
  return /ERROR: AddressSanitizer|runtime error:|AddressSanitizer: CHECK failed|LeakSanitizer has encountered/.test(
    block,
  );
}

async function main() {
  const started = Date.now();
  const names = process.argv.slice(2);
  const files = findTests(names);
  if (files.length === 0) throw new Error(`no test file has one of these in its path: ${names.join(" ")}`);
  build();
  console.log(`built with ${COMPILE.split(" ", 1)[0]} in ${Math.round((Date.now() - started) / 1000)} s`);
  const logs = mkdtempSync(join(tmpdir(), "netquic-sanitize-"));
  const log = `log_path=${join(logs, "report")}`;
  // The tests of growth look at resident memory, of which a large quarantine would take its share. Secrets and packets lie in
  // memory of JavaScript, so what matters is the addon's own; exits in the midst of a callback leave Node's objects behind.
  const options = `${log}:exitcode=${REPORTED}:detect_leaks=1:quarantine_size_mb=4:thread_local_quarantine_size_kb=64`;
  const env = {
    ...process.env,
    NETQUIC_PREBUILD: folder,
    LD_PRELOAD: preload().join(":"),
    ASAN_OPTIONS: options,
    LSAN_OPTIONS: "exitcode=0",
    UBSAN_OPTIONS: `${log}:print_stacktrace=1:halt_on_error=1`,
  };
  const { runFiles } = await import(pathToFileURL(join(root, "dist-test", "support", "run-files.js")).href);
  const paths = files.map((path) => join(root, path));
  const { pass, fail, skipped } = await runFiles(paths, { env, concurrency: 2, fileLimitMillis: FILE_LIMIT_MILLIS });
  const texts = readdirSync(logs).map((name) => readFileSync(join(logs, name), "utf8"));
  const reports = texts.flatMap(reportsIn);
  const lost = texts.filter(isLostSearch).length;
  if (lost > 0) console.log(`\nthe search for leaks failed in ${lost} processes, whose threads were ending`);
  for (const report of reports.slice(0, 5)) console.log(`\n${report}`);
  rmSync(logs, { recursive: true });
  const seconds = Math.round((Date.now() - started) / 1000);
  console.log(
    `\nsanitizers: ${reports.length} reports, ${files.length} test files, ${seconds} s, node ${process.version}`,
  );
  return pass > 0 && fail + skipped + reports.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`test:sanitize: ${error.message}`);
  process.exitCode = 1;
}
