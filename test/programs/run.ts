/**
 * `npm run test:programs [-- [--install] NAME...]`: real programs over netquic, from Debian packages and from npm. Each is started with
 * a private configuration on high ports of the loopback and ended afterwards. A program that is absent is a failure that
 * names its package; --install lets apt-get fetch it. NAMEs select files.
 */

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const FILE_LIMIT_MILLIS = 120_000;

async function runFiles(files: readonly string[], install: boolean): Promise<{ pass: number; fail: number }> {
  const limit = `--test-timeout=${FILE_LIMIT_MILLIS}`;
  const args = ["--test", "--test-concurrency=1", "--test-reporter=spec", limit, ...files];
  const env = { ...process.env, NETQUIC_INSTALL: install ? "1" : "" };
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], env });
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

async function main(): Promise<number> {
  const folder = fileURLToPath(new URL(".", import.meta.url));
  const args = process.argv.slice(2);
  const wanted = args.filter((arg) => arg !== "--install");
  const files = readdirSync(folder).filter(
    (name) => name.endsWith(".program.js") && (wanted.length === 0 || wanted.some((part) => name.includes(part))),
  );
  if (files.length === 0) {
    console.error(`test:programs has no file with one of these in its name: ${wanted.join(" ")}`);
    return 2;
  }
  const { pass, fail } = await runFiles(
    files.map((name) => folder + name),
    args.includes("--install"),
  );
  console.log(`${pass} passed, ${fail} failed`);
  return pass > 0 && fail === 0 ? 0 : 1;
}

process.exitCode = await main();
