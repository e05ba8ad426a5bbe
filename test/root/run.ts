/** `npm run test:root`: the tests that make network namespaces. Says what is missing and fails where it cannot. */

import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ip } from "./namespaces.js";

function missing(): string {
  if (process.getuid?.() !== 0) return "test:root wants root: run it as `sudo npm run test:root`";
  const name = `nq${process.pid}-probe`;
  try {
    ip("netns", "add", name);
    ip("netns", "del", name);
    return "";
  } catch (error) {
    return `test:root makes network namespaces with the ip command of iproute2: ${(error as Error).message.trim()}`;
  }
}

const problem = missing();
if (problem !== "") {
  console.error(problem);
  process.exit(1);
}
const folder = fileURLToPath(new URL(".", import.meta.url));
const files = readdirSync(folder).filter((name) => name.endsWith(".root.js"));
const args = ["--test", "--test-concurrency=1", "--test-reporter=spec", ...files.map((name) => folder + name)];
process.exitCode = spawnSync(process.execPath, args, { stdio: "inherit" }).status ?? 1;
