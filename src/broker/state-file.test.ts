import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { StateFile } from "./state-file.js";

function inFolder(body: (path: string, dir: string) => void): () => void {
  return () => {
    const dir = mkdtempSync(join(tmpdir(), "nq-"));
    try {
      body(join(dir, "state"), dir);
    } finally {
      rmSync(dir, { recursive: true });
    }
  };
}

describe("the state of a host", () => {
  test(
    "B09 the key and the routes outlive it, for its owner alone",
    inFolder((path, dir) => {
      const first = new StateFile(path);
      first.write([1, 255]);
      const next = new StateFile(path);
      assert.deepEqual(next.key, first.key);
      assert.deepEqual(next.routes, [1, 255]);
      assert.equal(statSync(path).mode & 0o777, 0o600);
      assert.deepEqual(readdirSync(dir), ["state"]);
    }),
  );

  test(
    "what is none of ours is an error, and stays",
    inFolder((path) => {
      const key = "00".repeat(32);
      const wrong = ["", "{", "[]", '{"key":"00","routes":[]}', `{"key":"${key}","routes":[0]}`, `{"key":"${key}"}`];
      for (const text of wrong) {
        writeFileSync(path, text);
        assert.throws(() => new StateFile(path), /is no state of quic host/);
      }
    }),
  );
});
