/**
 * `npm run lint`: types, oxlint, format and the house rules of tools/rules.mjs, one after the other; all of them run, so that
 * one look shows everything. Exit code 1 when any of them found something. `--fast` leaves out the type check.
 */

import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { RULES } from "./rules.mjs";
import { listFiles, readText } from "./source.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);

/** Runs the program of a development dependency by the name in its `bin`. */
function runTool(pkg, bin, args) {
  const manifest = require.resolve(`${pkg}/package.json`);
  const script = join(dirname(manifest), require(manifest).bin[bin]);
  return spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: "inherit" }).status === 0;
}

function checkHouseRules() {
  let found = 0;
  for (const path of listFiles(root)) {
    const text = readText(join(root, path));
    if (text === null) continue;
    for (const rule of RULES) {
      for (const finding of rule(path, text)) {
        console.log(`${path}:${finding.line}: ${finding.rule}: ${finding.message}`);
        found++;
      }
    }
  }
  return found === 0;
}

const checks = [
  ["types (tsc -b)", () => process.argv.includes("--fast") || runTool("typescript", "tsc", ["-b"])],
  ["oxlint", () => runTool("oxlint", "oxlint", [])],
  ["format (biome)", () => runTool("@biomejs/biome", "biome", ["format", "--max-diagnostics=50", "."])],
  ["house rules", checkHouseRules],
];

let failed = 0;
for (const [name, check] of checks) {
  const passed = check();
  console.log(`lint: ${name}: ${passed ? "ok" : "FAILED"}`);
  if (!passed) failed++;
}
process.exitCode = failed === 0 ? 0 : 1;
