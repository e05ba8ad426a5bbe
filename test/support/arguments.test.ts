import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { readArguments, UsageError } from "./arguments.js";

const OPTIONS = {
  seed: { type: "string" },
  row: { type: "string", multiple: true },
  json: { type: "boolean" },
} as const;

test("an argument that does not exist is one line with those that do", () => {
  for (const bad of ["--nope", "word", "--seed"]) {
    assert.throws(
      () => readArguments("x", OPTIONS, [bad]),
      (error: Error) => error instanceof UsageError && /^[^\n]+; options here: \[--seed SEED\] /.test(error.message),
      bad,
    );
  }
  assert.deepEqual(
    { ...readArguments("x", OPTIONS, ["--row", "a", "--row", "b", "--json"]) },
    { row: ["a", "b"], json: true },
  );
});

test("every command says what there is for --help, and ends with 2 for what there is not", () => {
  for (const name of ["fuzz", "conformance", "interop", "sim"]) {
    const run = (word: string) => {
      const file = fileURLToPath(new URL(`../${name}/run.js`, import.meta.url));
      return spawnSync(process.execPath, [file, word], { encoding: "utf8" });
    };
    const [help, bad] = [run("--help"), run("--nope")];
    assert.deepEqual([help.status, help.stderr], [0, ""], name);
    assert.match(help.stdout, new RegExp(`^npm run ${name} -- \\[--`));
    assert.deepEqual([bad.status, bad.stdout], [2, ""], name);
    assert.match(bad.stderr, new RegExp(`^${name}: Unknown option '--nope'; options here: [^\\n]+\\n$`));
  }
});
