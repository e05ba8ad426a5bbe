import assert from "node:assert/strict";
import { test } from "node:test";
import { POOLED_SENT_COLUMNS } from "../proto/limits.js";
import { FirstColumns, giveFirstColumns, takeFirstColumns } from "./sent-columns.js";

test("columns that were given back are taken again, POOLED_SENT_COLUMNS of them and no more", () => {
  const given = Array.from({ length: POOLED_SENT_COLUMNS + 1 }, () => new FirstColumns());
  given.forEach(giveFirstColumns);
  const taken = new Set(given.map(() => takeFirstColumns()));
  assert.equal(taken.size, given.length, "nobody has them twice");
  assert.equal(given.filter((columns) => taken.has(columns)).length, POOLED_SENT_COLUMNS);
});
