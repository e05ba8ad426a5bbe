import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ReadSlab } from "./read-slab.js";

const KIB = 1024;

describe("ReadSlab", () => {
  test("small reads have no slab: a socket that waits holds no memory", () => {
    const slab = new ReadSlab();
    assert.equal(slab.next(), null);
    slab.onRead(100);
    assert.equal(slab.next(), null);
  });

  test("after a large read, pieces of one slab follow each other and never overlap", () => {
    const slab = new ReadSlab();
    slab.onRead(64 * KIB);
    const first = slab.next() ?? assert.fail();
    assert.equal(slab.next(), first, "the same room until something was read");
    slab.onRead(100 * KIB);
    const second = slab.next() ?? assert.fail();
    assert.equal(second.buffer, first.buffer);
    assert.equal(second.byteOffset - first.byteOffset, 100 * KIB);
  });

  test("a slab with too little room left is followed by a new one", () => {
    const slab = new ReadSlab();
    slab.onRead(64 * KIB);
    const first = slab.next() ?? assert.fail();
    slab.onRead(200 * KIB);
    const second = slab.next() ?? assert.fail();
    assert.notEqual(second.buffer, first.buffer);
    assert.equal(second.length, first.length);
  });

  test("a small read after large ones gives the slab back", () => {
    const slab = new ReadSlab();
    slab.onRead(64 * KIB);
    assert.notEqual(slab.next(), null);
    slab.onRead(100);
    assert.equal(slab.next(), null);
  });
});
