/** The configurations of oxlint and biome do what the house asks of them. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);
const folder = mkdtempSync(join(tmpdir(), "netquic-lint-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function tool(pkg, bin, args, input = "") {
  const manifest = require.resolve(`${pkg}/package.json`);
  const script = join(dirname(manifest), require(manifest).bin[bin]);
  return spawnSync(process.execPath, [script, ...args], { cwd: root, encoding: "utf8", input });
}

function oxlint(text) {
  const file = join(folder, "fixture.ts");
  writeFileSync(file, text);
  const done = tool("oxlint", "oxlint", ["-c", join(root, ".oxlintrc.json"), "--format=unix", file]);
  return { failed: done.status !== 0, output: done.stdout + done.stderr };
}

describe("oxlint", () => {
  const errors = [
    ["eqeqeq", "export const same = (a: number, b: number): boolean => a == b;\n"],
    ["no-explicit-any", "export const x = (a: any): void => void a;\n"],
    ["no-else-return", "export function f(a: boolean): number {\n  if (a) return 1;\n  else return 2;\n}\n"],
    ["prefer-const", "export function f(): number {\n  let a = 1;\n  return a;\n}\n"],
    ["ban-ts-comment", "// @ts-ignore\nexport const x = 1;\n"],
    ["prefer-node-protocol", 'import { join } from "path";\nexport const x = join;\n'],
    ["consistent-type-imports", 'import { Thing } from "./thing.js";\nexport type Other = Thing;\n'],
  ];
  for (const [rule, text] of errors) {
    test(`${rule} is an error`, () => {
      const { failed, output } = oxlint(text);
      assert.ok(failed && output.includes(rule), output);
    });
  }

  test("a function of more than 60 lines is a warning, not an error", () => {
    const body = Array.from({ length: 60 }, (_, i) => `  sum += ${i};`).join("\n");
    const { failed, output } = oxlint(`export function f(): number {\n  let sum = 0;\n${body}\n  return sum;\n}\n`);
    assert.ok(!failed && output.includes("max-lines-per-function"), output);
  });

  test("code in the house style passes without a word", () => {
    const { failed, output } = oxlint(
      "export const twice = (value: number | null): number => (value == null ? 0 : 2 * value);\n",
    );
    assert.ok(!failed && !output.includes("fixture.ts"), output);
  });
});

describe("biome", () => {
  test("formats with 2 spaces, double quotes, semicolons, trailing commas, 120 columns", () => {
    const long = `f(${"argument, ".repeat(13)}last)`;
    const text = `const a = 'x'\nfunction f() {\n    return 1\n}\n${long}\n`;
    const done = tool("@biomejs/biome", "biome", ["format", "--stdin-file-path=src/fixture.ts"], text);
    assert.match(
      done.stdout,
      /^const a = "x";\nfunction f\(\) \{\n {2}return 1;\n\}\nf\(\n( {2}argument,\n){13} {2}last,\n\);\n$/,
    );
  });
});
