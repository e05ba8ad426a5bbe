/** Packets that wait for their keys: RFC 9001 §5.7, T34. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LEVEL_APP, LEVEL_HANDSHAKE } from "../port/tls.js";
import { MAX_UNDECRYPTABLE_BYTES, MAX_UNDECRYPTABLE_PACKETS } from "../proto/limits.js";
import { Undecryptable } from "./undecryptable.js";

const SLAB = new Uint8Array(MAX_UNDECRYPTABLE_BYTES + 1);

describe("RFC 9001 §5.7 packets that came before their keys", () => {
  test("are kept up to MAX_UNDECRYPTABLE_PACKETS, and not one more", () => {
    const held = new Undecryptable();
    for (let i = 0; i < MAX_UNDECRYPTABLE_PACKETS; i++) assert.equal(held.hold(LEVEL_APP, SLAB, 0, 30, 0), true);
    assert.equal(held.hold(LEVEL_APP, SLAB, 0, 30, 0), false);
    assert.equal(held.take(LEVEL_APP).length, MAX_UNDECRYPTABLE_PACKETS);
    assert.equal(held.hold(LEVEL_APP, SLAB, 0, 30, 0), true, "there is room again");
  });

  test("are kept up to MAX_UNDECRYPTABLE_BYTES, and not one more", () => {
    const held = new Undecryptable();
    assert.equal(held.hold(LEVEL_APP, SLAB, 0, MAX_UNDECRYPTABLE_BYTES - 30, 0), true);
    assert.equal(held.hold(LEVEL_HANDSHAKE, SLAB, 0, 31, 0), false);
    assert.equal(held.hold(LEVEL_HANDSHAKE, SLAB, 0, 30, 0), true);
    assert.equal(held.heldBytes, MAX_UNDECRYPTABLE_BYTES);
  });

  test("come back by level in their order, as copies of what the slab held", () => {
    const held = new Undecryptable();
    const slab = Uint8Array.of(1, 2, 3, 4, 5, 6);
    held.hold(LEVEL_APP, slab, 0, 2, 1);
    held.hold(LEVEL_HANDSHAKE, slab, 2, 4, 2);
    held.hold(LEVEL_APP, slab, 4, 6, 3);
    slab.fill(0);
    assert.deepEqual(
      held.take(LEVEL_APP).map(({ bytes, ecn }) => [...bytes, ecn]),
      [
        [1, 2, 1],
        [5, 6, 3],
      ],
    );
    assert.equal(held.heldBytes, 2);
    held.clear();
    assert.deepEqual([held.heldBytes, held.take(LEVEL_HANDSHAKE)], [0, []]);
  });
});
