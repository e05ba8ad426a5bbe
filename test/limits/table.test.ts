import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as limits from "#src/proto/limits.js";
import { LIMITS_FILE } from "./hooks.js";
import { LIMITS, TUNING } from "./table.js";

test("every number of proto/limits is a limit that tests notice, or tuning, and not both", () => {
  const names = [...LIMITS.filter(({ file }) => file === LIMITS_FILE).map(({ name }) => name), ...TUNING];
  assert.equal(new Set(names).size, names.length, "a name stands here twice");
  assert.deepEqual(
    Object.keys(limits).filter((name) => !names.includes(name)),
    [],
    "add it to LIMITS in test/limits/table.ts, with the test that notices, or to TUNING",
  );
  assert.deepEqual(
    names.filter((name) => !Object.hasOwn(limits, name)),
    [],
  );
});

test("every test that is named exists", () => {
  for (const { name, tests } of LIMITS) {
    for (const path of tests) {
      assert.ok(existsSync(fileURLToPath(new URL(`../../${path}`, import.meta.url))), `${name}: ${path}`);
    }
  }
});
