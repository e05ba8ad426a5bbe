import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { jsonLine, oneLine } from "./failure.js";

/** C0 and DEL, C1, line and paragraph separators, marks, embeddings, overrides and isolates of direction. */
const STEERING = ["\x00", "\x1b", "\n", "\x7f", "\x80", "\x9b", "\x9f", "\u2028", "\u2029"].concat([
  "\u061c",
  "\u200e",
  "\u200f",
  "\u202a",
  "\u202e",
  "\u2066",
  "\u2069",
]);

describe("text from elsewhere", () => {
  test("has nothing that steers a terminal once it is one line", () => {
    for (const char of STEERING) assert.equal(oneLine(`a${char}${char}b${char}`), "a b", JSON.stringify(char));
    assert.equal(oneLine("größe 中文 🎉 עברית"), "größe 中文 🎉 עברית");
  });

  test("is escaped in JSON and means the same", () => {
    for (const char of STEERING) {
      const line = jsonLine({ [char]: `a${char}b` });
      assert.equal(/^[\x20-\x7e]+$/.test(line), true, JSON.stringify(char));
      assert.deepEqual(JSON.parse(line), { [char]: `a${char}b` });
    }
    assert.equal(jsonLine("\x9b\u202e"), '"\\u009b\\u202e"');
    assert.equal(jsonLine("größe 🎉"), '"größe 🎉"');
  });
});
