/** Runs the `quic` command as a user does: a process of its own, its output, its exit code. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { untilWithin } from "../support/wait.js";
import { fileURLToPath } from "node:url";

const QUIC = fileURLToPath(new URL("../../dist/cli/quic.js", import.meta.url));
/** Nothing here takes longer, unless it hangs. */
const LIMIT_MILLIS = 120_000;

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Running {
  child: ChildProcess;
  stdout: () => string;
  ended: Promise<Ended>;
}

export function startQuic(
  args: readonly string[],
  env: Record<string, string> = {},
  node: string = process.execPath,
): Running {
  const child = spawn(node, [QUIC, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
    timeout: LIMIT_MILLIS,
    killSignal: "SIGKILL",
  });
  const texts = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => (texts.stdout += chunk));
  child.stderr.on("data", (chunk) => (texts.stderr += chunk));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, ...texts }));
  });
  return { child, stdout: () => texts.stdout, ended };
}

export function runQuic(...args: string[]): Promise<Ended> {
  return startQuic(args).ended;
}

/** Processes that `pid` started. */
export function childrenOf(pid: number): { pid: number; command: string }[] {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(/\s+/);
  return pids.map((text) => ({ pid: Number(text), command: readFileSync(`/proc/${text}/cmdline`, "utf8") }));
}

/** Waits until `look` finds something. */
export const until = untilWithin(LIMIT_MILLIS / 2);

/** Whether a file is being received in `dir`. */
export function isReceiving(dir: string): boolean {
  try {
    return readdirSync(dir).some((name) => name.includes(".part-"));
  } catch {
    return false; // not made yet
  }
}

export function makeFolder(): { dir: string; path(name: string): string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), "netquic-cli-test-"));
  return { dir, path: (name) => join(dir, name), remove: () => rmSync(dir, { recursive: true, force: true }) };
}
