/** docs/errors.md and the sources name the same error codes. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Verification errors of Node's own TLS, which `opened` passes on by their names. */
const OF_NODE = new Set(["ERR_TLS_CERT_ALTNAME_INVALID"]);

function codesIn(text: string): string[] {
  return [...text.matchAll(/\bERR_[A-Z][A-Z0-9_]+\b/g)].map(([code]) => code).filter((code) => !OF_NODE.has(code));
}

test("every code that the package throws has a row in docs/errors.md, and no other has", () => {
  const inSources = new Set<string>();
  for (const name of readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })) {
    if (name.startsWith("cli")) continue; // the command prints a line and an exit code
    if (!name.endsWith(".ts") || /\.(test|contract)\.ts$/.test(name)) continue;
    for (const code of codesIn(readFileSync(join(root, "src", name), "utf8"))) inSources.add(code);
  }
  const documented = new Set(codesIn(readFileSync(join(root, "docs", "errors.md"), "utf8")));
  assert.deepEqual([...documented].sort(), [...inSources].sort());
});
