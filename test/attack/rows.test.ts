import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ROWS } from "./rows.js";

const TRANSPORT_ROWS = 51;
const SCRIPT_ROWS = 12;

/** Strings of a file that are not in comments: the titles of its tests are among them. */
function textOf(path: string): string {
  const file = fileURLToPath(new URL(`../../${path}`, import.meta.url));
  assert.ok(existsSync(file), `${path} does not exist`);
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.filter((line) => !/^\s*(\/\/|\/?\*)/.test(line) && /["'`]/.test(line)).join("\n");
}

describe("attacks by their ids", () => {
  test("T01 to T51 and J01 to J12 stand here once each", () => {
    const ids = (letter: string, count: number) =>
      Array.from({ length: count }, (_, index) => `${letter}${String(index + 1).padStart(2, "0")}`);
    assert.deepEqual(
      ROWS.map(({ id }) => id),
      [...ids("T", TRANSPORT_ROWS), ...ids("J", SCRIPT_ROWS)],
    );
  });

  for (const { id, attacks, twins } of ROWS) {
    test(`${id} has an attack and an honest twin, and each is a title of a test`, () => {
      assert.ok(attacks.length > 0 && twins.length > 0);
      for (const [path, title] of [...attacks, ...twins]) {
        assert.ok(title.length >= 10, `${title} says too little`);
        assert.ok(textOf(path).includes(title), `${path} has no test ${JSON.stringify(title)}`);
      }
    });
  }
});
