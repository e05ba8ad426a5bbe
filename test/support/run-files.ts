/**
 * Runs test files, each in a process of its own, and counts what they say: for `npm test` and the commands with tests of
 * their own. Node's own runner of files is not used: it reads results and output from one stream of its children and fails a
 * file whose tests all passed when it loses its place in there (nodejs/node#64061).
 */

import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** A run says the same of the same tree; files that are run by themselves draw new values. */
const FIXED_SEED = new URL("fixed-seed.js", import.meta.url).href;
/** Where the spec reporter begins its counts, and after them what failed. */
const COUNTS = /^ℹ tests \d+$/m;
const FAILURES = /^✖ failing tests:$/m;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** Between a signal and the end of a file that does not heed it. */
const GRACE_MILLIS = 5000;

export interface RunOptions {
  env?: Record<string, string>;
  /** Files at once. */
  concurrency?: number;
  /** Bound of one file; it is ended, and failed. */
  fileLimitMillis?: number;
  /** Bound of the run; what has not ended then is failed. */
  runLimitMillis?: number;
  /** Only tests with one of these in their titles; a file may then have none. */
  titles?: readonly string[];
  /** Takes what is shown; stdout unless told. */
  show?: (text: string) => void;
}

export interface Counts {
  pass: number;
  /** Tests that failed or were cancelled, and files that ended otherwise than their tests. */
  fail: number;
  /** Skipped or todo. */
  skipped: number;
}

/** What a file wrote: results are on stdout, where nothing of stderr tears their lines. */
interface Said {
  text: string;
  results: string;
}

interface FileResult extends Counts {
  shown: string;
  failures: string;
}

/** The files of `folder` that end in `suffix` and have one of `wanted` in their names, or all. */
export function namedFiles(folder: string, suffix: string, wanted: readonly string[]): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(suffix) && (wanted.length === 0 || wanted.some((part) => name.includes(part))))
    .map((name) => folder + name);
}

/** Shows what each file says when it has ended, and at the end again what failed. */
export async function runFiles(files: readonly string[], options: RunOptions = {}): Promise<Counts> {
  const run = new FilesRun(options);
  const waiting = [...files];
  const worker = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) await run.file(file);
  };
  await Promise.all(Array.from({ length: options.concurrency ?? 1 }, worker));
  return run.end();
}

class FilesRun {
  private readonly options: RunOptions;
  private readonly show: (text: string) => void;
  private readonly counts: Counts = { pass: 0, fail: 0, skipped: 0 };
  private readonly failures: string[] = [];
  private readonly running = new Set<ChildProcess>();
  private readonly limit: NodeJS.Timeout | undefined;
  /** Why nothing more is begun, "": it is. */
  private stopped = "";

  constructor(options: RunOptions) {
    this.options = options;
    this.show = options.show ?? ((text) => process.stdout.write(text));
    this.limit = after(options.runLimitMillis, (seconds) => {
      this.stopped = `the run's ${seconds} s were over`;
      for (const child of this.running) killGroup(child);
    });
    for (const signal of SIGNALS) process.once(signal, this.interrupt);
  }

  async file(path: string): Promise<void> {
    const { env = {}, titles = [] } = this.options;
    const name = path.replace(ROOT, "");
    if (this.stopped !== "") {
      this.counts.fail++;
      this.failures.push(`✖ ${name}: not begun, ${this.stopped}\n`);
      return;
    }
    const seed = readFileSync(path, "utf8").includes("fast-check") ? [`--import=${FIXED_SEED}`] : [];
    const flags = ["--test-reporter=spec", ...seed, ...titles.map((title) => `--test-name-pattern=${title}`)];
    const child = spawn(process.execPath, [...flags, path], {
      stdio: ["ignore", "pipe", "pipe"],
      cwd: ROOT,
      env: { ...process.env, ...env, NODE_TEST_CONTEXT: undefined }, // this process may be a test itself
      detached: true, // a group of its own, so that a bound ends what it started too
    });
    this.running.add(child);
    const said: Said = { text: "", results: "" };
    let late = "";
    child.stdout.setEncoding("utf8").on("data", (part) => {
      said.text += part;
      said.results += part;
    });
    child.stderr.setEncoding("utf8").on("data", (part) => (said.text += part));
    const limit = after(this.options.fileLimitMillis, (seconds) => {
      late = `not finished after ${seconds} s`;
      killGroup(child);
    });
    const exit = await new Promise<string>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => resolve(code === 0 ? "" : (signal ?? `exit code ${code}`)));
    });
    clearTimeout(limit);
    this.running.delete(child);
    for (const stream of ["text", "results"] as const) said[stream] = said[stream].replaceAll(ROOT, "./");
    this.take(read(name, said, late || this.stopped || exit, titles.length > 0));
  }

  end(): Counts {
    clearTimeout(this.limit);
    for (const signal of SIGNALS) process.off(signal, this.interrupt);
    if (this.failures.length > 0) this.show(`\n✖ failing tests:\n\n${this.failures.join("\n")}\n`);
    return this.counts;
  }

  private take({ shown, failures, pass, fail, skipped }: FileResult): void {
    this.show(shown);
    if (failures !== "") this.failures.push(`${failures}\n`);
    this.counts.pass += pass;
    this.counts.fail += fail;
    this.counts.skipped += skipped;
  }

  /** Files clean up when they are told to end; who does not is ended. */
  private readonly interrupt = (signal: NodeJS.Signals): void => {
    this.stopped = signal;
    for (const child of this.running) {
      child.kill(signal);
      setTimeout(killGroup, GRACE_MILLIS, child).unref();
    }
  };
}

function after(millis: number | undefined, late: (seconds: number) => void): NodeJS.Timeout | undefined {
  return millis === undefined ? undefined : setTimeout(() => late(millis / 1000), millis);
}

/** Also what outlived the file: it may hold the file's pipes. */
function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // nobody is left
  }
}

/** What a file said, and how it ended ("": well). */
function read(name: string, { text, results }: Said, exit: string, mayBeEmpty: boolean): FileResult {
  const tail = results.slice(COUNTS.exec(results)?.index ?? results.length);
  const failedAt = FAILURES.exec(tail);
  const count = (what: string): number => Number(new RegExp(`^ℹ ${what} (\\d+)$`, "m").exec(tail)?.[1] ?? 0);
  const pass = count("pass");
  const skipped = count("skipped") + count("todo");
  let fail = count("fail") + count("cancelled");
  let failures = failedAt === null ? "" : tail.slice(failedAt.index + failedAt[0].length).trim();
  let otherwise = exit;
  if (otherwise === "" && pass + fail + skipped === 0 && !mayBeEmpty) otherwise = "it has no test";
  if (otherwise !== "" && fail === 0) {
    fail = 1;
    failures = `✖ ${name}: ${otherwise}, ${pass} passed before\n${text.slice(-4000)}`;
  }
  const shown = text.slice(0, COUNTS.exec(text)?.index ?? text.length);
  return { pass, fail, skipped, shown, failures };
}
