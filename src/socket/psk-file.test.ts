import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MAX_PSK_FILE_KEYS } from "../proto/limits.js";
import { parsePskFile } from "./psk-file.js";

describe("files of pre-shared keys", () => {
  test("a line identity:hexkey for each; the last colon counts, and empty lines do not", () => {
    assert.deepEqual(parsePskFile("alice:00fF\r\n\nhost:port:10\n"), [
      { identity: "alice", key: Uint8Array.of(0x00, 0xff) },
      { identity: "host:port", key: Uint8Array.of(0x10) },
    ]);
  });

  test("a line that is wrong is named", () => {
    for (const [text, sentence] of [
      ["a:00\nb", /line 2 is not identity:hexkey/],
      ["a:0", /line 1 is not/],
      ["a:0g", /line 1 is not/],
      [":00", /line 1 is not/],
      ["a:", /line 1 is not/],
      ["a:00\n\na:01", /line 3 has an identity that is there/],
      ["\n", /no line/],
    ] as const) {
      assert.match(String(parsePskFile(text)), sentence);
    }
  });

  test("five keys at most", () => {
    const lines = Array.from({ length: MAX_PSK_FILE_KEYS + 1 }, (_, i) => `id${i}:0${i}`);
    assert.equal(parsePskFile(lines.slice(1).join("\n")).length, 5);
    assert.match(String(parsePskFile(lines.join("\n"))), /line 6 is one key too many, 5 are allowed/);
  });
});
