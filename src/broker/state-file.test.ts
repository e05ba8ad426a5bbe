import assert from "node:assert/strict";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
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
      first.write(
        new Map([
          [1, 7],
          [255, 2 ** 32 - 1],
        ]),
      );
      const next = new StateFile(path);
      assert.deepEqual(next.key, first.key);
      assert.deepEqual(
        [...next.routes],
        [
          [1, 7],
          [255, 2 ** 32 - 1],
        ],
      );
      assert.equal(statSync(path).mode & 0o777, 0o600);
      assert.deepEqual(readdirSync(dir), ["state"]);
    }),
  );

  test(
    "what is none of ours is an error, and stays",
    inFolder((path) => {
      const key = "00".repeat(32);
      const wrong = [
        "",
        "{",
        "[]",
        '{"key":"00","routes":[]}',
        `{"key":"${key}","routes":[[0,1]]}`,
        `{"key":"${key}","routes":[1]}`,
        `{"key":"${key}"}`,
      ];
      for (const text of wrong) {
        writeFileSync(path, text, { mode: 0o600 });
        assert.throws(() => new StateFile(path), /is no state of quic host/);
      }
    }),
  );

  test(
    "in a folder of everybody: a file that others can write, and a link, are not believed",
    inFolder((path, dir) => {
      const { key } = new StateFile(path);
      for (const mode of [0o666, 0o640, 0o604]) {
        chmodSync(path, mode);
        assert.throws(() => new StateFile(path), /is not this user's alone/);
      }
      chmodSync(path, 0o600);
      renameSync(path, join(dir, "elsewhere"));
      symlinkSync(join(dir, "elsewhere"), path);
      assert.throws(() => new StateFile(path), { code: "ELOOP" });
      rmSync(path);
      assert.notDeepEqual(new StateFile(path).key, key);
    }),
  );

  test(
    "in a folder of everybody: the key is written to no file that was laid there before",
    inFolder((path, dir) => {
      const laid = join(dir, "laid");
      writeFileSync(laid, "", { mode: 0o666 });
      const file = new StateFile(path);
      rmSync(path);
      symlinkSync(laid, path);
      file.write(new Map([[1, 1]]));
      assert.equal(readFileSync(laid, "utf8"), "");
      assert.equal(lstatSync(path).mode & 0o777, 0o600);
    }),
  );

  test(
    "in a folder of everybody: nothing that is laid there keeps it from being written",
    inFolder((path, dir) => {
      const file = new StateFile(path);
      mkdirSync(join(dir, "state.new"));
      file.write(new Map([[1, 3]]));
      assert.deepEqual(new StateFile(path).routes, new Map([[1, 3]]));
    }),
  );

  test(
    "what cannot be written leaves nothing behind",
    inFolder((path, dir) => {
      const file = new StateFile(path);
      rmSync(path);
      mkdirSync(path);
      assert.throws(() => file.write(new Map([[1, 1]])), { code: "EISDIR" });
      assert.deepEqual(readdirSync(dir), ["state"]);
    }),
  );
});
