/** Runs files of tests one after the other and shows what they say, for commands with tests of their own. */

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";

/** The files of `folder` that end in `suffix` and have one of `wanted` in their names, or all. */
export function namedFiles(folder: string, suffix: string, wanted: readonly string[]): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(suffix) && (wanted.length === 0 || wanted.some((part) => name.includes(part))))
    .map((name) => folder + name);
}

/** How many tests passed and failed, as the reporter says at the end. */
export async function runFiles(
  files: readonly string[],
  { env = {}, flags = [] }: { env?: Record<string, string>; flags?: readonly string[] } = {},
): Promise<{ pass: number; fail: number }> {
  const args = ["--test", "--test-concurrency=1", "--test-reporter=spec", ...flags, ...files];
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => child.kill(signal));
  let text = "";
  child.stdout.setEncoding("utf8");
  for await (const chunk of child.stdout) {
    process.stdout.write(chunk as string);
    text += chunk as string;
  }
  const count = (name: string): number => Number(new RegExp(`^\\W+${name} (\\d+)$`, "m").exec(text)?.[1] ?? NaN);
  return { pass: count("pass"), fail: count("fail") + count("cancelled") + count("skipped") + count("todo") };
}
