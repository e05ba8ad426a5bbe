import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { cutIntoRanges } from "./sender.js";
import { PartFile, partName } from "./part-file.js";
import { removeParts } from "./places.js";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "netquic-cli-test-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe("a file that is being received", () => {
  test("has no final name before commit, and only that one after it", async () => {
    const part = await PartFile.create(dir, "a", "cafe", false);
    await part.write([Buffer.from("world")], 6);
    await part.write([Buffer.from("hello"), Buffer.from(" ")], 0);
    assert.deepEqual(readdirSync(dir), ["a.part-cafe"]);
    assert.equal(await part.sha256(11), createHash("sha256").update("hello world").digest("hex"));
    await part.commit();
    assert.deepEqual(readdirSync(dir), ["a"]);
    assert.equal(readFileSync(join(dir, "a"), "utf8"), "hello world");
    await part.discard();
    assert.deepEqual(readdirSync(dir), ["a"]);
  });

  test("discard leaves nothing", async () => {
    const part = await PartFile.create(dir, "a", "cafe", false);
    await part.write([randomBytes(1000)], 0);
    await part.discard();
    await part.discard();
    assert.deepEqual(readdirSync(dir), []);
  });

  test("a dangling link under the final name counts as taken", async () => {
    symlinkSync(join(dir, "nowhere"), join(dir, "a"));
    const part = await PartFile.create(dir, "a", "cafe", false);
    await assert.rejects(part.commit(), /exists already/);
    await part.discard();
    assert.deepEqual(readdirSync(dir), ["a"]);
  });

  test("the longest names still have room for the suffix", async () => {
    const name = "ü".repeat(127);
    assert.ok(Buffer.byteLength(partName(name, "0badcafe")) <= 255);
    const part = await PartFile.create(dir, name, "0badcafe", false);
    await part.commit();
    assert.deepEqual(readdirSync(dir), [name]);
  });

  test("what a killed process left is found by the run it belongs to", async () => {
    for (const name of ["a.part-cafe", "b.part-cafe", "c.part-beef", "d"]) writeFileSync(join(dir, name), "x");
    await removeParts(dir, "cafe");
    assert.deepEqual(readdirSync(dir).sort(), ["c.part-beef", "d"]);
  });
});

describe("ranges of a file", () => {
  test("cover it once, without a gap, on at most that many streams", () => {
    for (const size of [0, 1, 65_536, (1 << 20) + 1, 10_000_000, 2 ** 40 + 7]) {
      for (const streams of [1, 3, 4, 64]) {
        const ranges = cutIntoRanges(7, size, streams);
        assert.ok(ranges.length <= streams);
        let offset = 0;
        for (const range of ranges) {
          assert.equal(range.offset, offset);
          assert.ok(range.length > 0);
          offset += range.length;
        }
        assert.equal(offset, size);
      }
    }
  });

  test("small files get one stream", () => {
    assert.equal(cutIntoRanges(0, 1000, 8).length, 1);
    assert.equal(cutIntoRanges(0, 8 << 20, 8).length, 8);
  });
});
