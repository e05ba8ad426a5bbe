import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FILE_ENDED, FILE_FAILED, FILE_PENDING } from "../port/file.js";
import { fileContract } from "./file.contract.js";
import { RUNGS } from "./choose.js";
import { EAGAIN } from "./file-range.js";
import { loadAddon } from "./native/addon.js";
import { type FileAddon, newNativeFiles } from "./native/file.js";

for (const { name, make } of RUNGS.files) fileContract(name, make);

/** The addon with a page cache that lacks what a dice says. */
function coldCache(): FileAddon {
  const addon = loadAddon<FileAddon>();
  let calls = 0;
  const { fileFetch, fileTake, fileDrop } = addon;
  return {
    fileFetch,
    fileTake,
    fileDrop,
    fileRead(fd, buf, start, end, position) {
      if (calls++ % 3 !== 2) return -EAGAIN;
      return addon.fileRead(fd, buf, start, Math.min(end, start + 1000), position);
    },
  };
}

fileContract("preadv2, of which the page cache has a part only", () => newNativeFiles(coldCache()));

for (const { name, make } of RUNGS.files) {
  test(`port/file: ${name}: a pipe is read as bytes come, and ends with its writer`, async () => {
    const dir = mkdtempSync(join(tmpdir(), "netquic-pipe-"));
    const path = join(dir, "pipe");
    spawnSync("mkfifo", [path]);
    const child = spawn("sh", ["-c", 'exec >"$0"; echo one; sleep 0.05; echo two; sleep 0.05; echo three', path]);
    const handle = await open(path);
    try {
      let wake = (): void => {};
      const source = make().open(handle, { offset: null, length: null }, () => wake());
      const into = new Uint8Array(100);
      let waits = 0;
      while (source.state !== FILE_ENDED) {
        assert.notEqual(source.state, FILE_FAILED, String(source.error));
        source.read(into, source.givenBytes, into.length);
        if ((source.state as number) !== FILE_PENDING) continue;
        waits++;
        await new Promise<void>((resolve) => (wake = resolve));
      }
      assert.equal(Buffer.from(into.subarray(0, source.givenBytes)).toString(), "one\ntwo\nthree\n");
      assert.ok(waits > 0);
      const error = await new Promise((resolve) => {
        const seeking = make().open(handle, { offset: 5, length: 5 }, () => resolve(seeking.error));
        seeking.read(into, 0, 5);
        if (seeking.state === FILE_FAILED) resolve(seeking.error);
      });
      assert.equal((error as { code: string }).code, "ESPIPE");
    } finally {
      child.kill();
      await handle.close();
      rmSync(dir, { recursive: true });
    }
  });
}
