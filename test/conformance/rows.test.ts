import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { parseCsv, readRows, rolesOf, transportRows, verdictOf } from "./rows.js";
import { runChecks } from "./runner.js";
import { scriptedIds } from "./scripts.js";

/** Of all columns but `ours`, in order. */
const SHA256 = "efd371eeb74d2f5a8270d08e50f6be0a7d3d690c05293e81b0daecb4d5f80d25";

describe("must-checks.csv", () => {
  test("no row and no word is lost", () => {
    const rows = parseCsv(readFileSync(new URL("../../test/conformance/must-checks.csv", import.meta.url), "utf8"));
    const text = rows.map((fields) => JSON.stringify(fields.slice(0, 9))).join("\n");
    assert.equal(createHash("sha256").update(text).digest("hex"), SHA256);
  });

  test("448 rows, 295 of them of the transport, which make 482 checks", () => {
    assert.equal(readRows().length, 448);
    assert.equal(new Set(readRows().map(({ id }) => id)).size, 448, "ids are unique");
    const rows = transportRows();
    assert.equal(rows.length, 295);
    assert.equal(rows.flatMap(rolesOf).length, 482);
  });

  test("every script has a row, and every scripted row asks for one thing", () => {
    const rows = new Map(transportRows().map((row) => [row.id, row]));
    for (const id of scriptedIds()) {
      const row = rows.get(id);
      assert.ok(row !== undefined, `${id} has no row`);
      verdictOf(row);
    }
  });
});

describe("conformance in memory", () => {
  test("every row that has a script holds, and no more are missing than before", async () => {
    const { failed, missing } = await runChecks({ rows: [], transports: ["memory"] });
    assert.deepEqual(failed, []);
    const file = new URL("../../test/conformance/expected-missing.json", import.meta.url);
    const allowed = JSON.parse(readFileSync(file, "utf8")) as { missing: number };
    assert.equal(missing.length, allowed.missing, "expected-missing.json says how many checks have no script");
  });
});
