import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { StreamCounts } from "./limits.js";

describe("StreamCounts", () => {
  test("RFC 9000 §3.2 opening a stream opens all lower ones, which stay untouched until they are used", () => {
    const counts = new StreamCounts(100);
    assert.equal(counts.touch(10), true);
    assert.equal(counts.peerOpened, 11);
    assert.deepEqual([counts.isUntouched(0), counts.isUntouched(9), counts.isUntouched(10)], [true, true, false]);
    assert.equal(counts.touch(4), true);
    assert.equal(counts.touch(4), false, "was there before");
    assert.equal(counts.touch(10), false);
  });

  test("RFC 9000 §4.6 credit for streams comes back in shares, and in time when few are left", () => {
    const counts = new StreamCounts(100);
    counts.touch(49);
    for (let closed = 0; closed < 12; closed++) counts.onPeerStreamForgotten();
    assert.equal(counts.isUpdateDue(), false);
    counts.onPeerStreamForgotten();
    assert.equal(counts.isUpdateDue(), true);
    assert.equal(counts.update(), 113);
    counts.touch(100); // 12 left of 113
    assert.equal(counts.isUpdateDue(), false, "nothing to give");
    counts.onPeerStreamForgotten();
    assert.equal(counts.isUpdateDue(), true);
  });

  test("RFC 9000 §4.6 a limit of one stream is renewed each time", () => {
    const counts = new StreamCounts(1);
    for (let index = 0; index < 5; index++) {
      assert.equal(counts.touch(index), true);
      assert.equal(counts.isUpdateDue(), false);
      counts.onPeerStreamForgotten();
      assert.equal(counts.isUpdateDue(), true);
      assert.equal(counts.update(), index + 2);
    }
  });

  test("while they are held, streams that end are not replaced; afterwards all at once", () => {
    const counts = new StreamCounts(4);
    counts.isHeld = true;
    for (let i = 0; i < 3; i++) counts.onPeerStreamForgotten();
    assert.deepEqual([counts.isUpdateDue(), counts.canRaise()], [false, false]);
    counts.isHeld = false;
    assert.deepEqual([counts.isUpdateDue(), counts.canRaise(), counts.update()], [true, true, 7]);
  });

  test("another initial limit is the one that comes back", () => {
    const counts = new StreamCounts(4);
    counts.begin(2);
    assert.equal(counts.advertised, 2);
    counts.onPeerStreamForgotten();
    assert.equal(counts.update(), 3);
  });
});
