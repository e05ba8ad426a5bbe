import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LOCAL_CID_BYTES } from "../proto/limits.js";
import { systemRandom } from "../runtime/random.js";
import { Prng } from "../sim/prng.js";
import { deriveRoute, RouteIds } from "./route-ids.js";

const HOST_KEY = new Uint8Array(32).fill(7);
const ids = (route: number, generation = 1): RouteIds => new RouteIds(deriveRoute(HOST_KEY, route, generation));

function made(by: RouteIds): Uint8Array {
  const cid = new Uint8Array(LOCAL_CID_BYTES);
  by.make(cid, systemRandom);
  return cid;
}

describe("connection ids of a shared port", () => {
  test("the first byte is the route; who has the key knows its own", () => {
    for (const route of [1, 128, 255]) {
      const cid = made(ids(route));
      assert.equal(cid[0], route);
      assert.ok(ids(route).made(cid, 0));
    }
  });

  test("24 bits of an id are random", () => {
    const mine = ids(3);
    const seen = new Set(Array.from({ length: 1000 }, () => Buffer.from(made(mine)).toString("hex")));
    assert.ok(seen.size > 997, `${seen.size} of 1000`); // 0.03 of them collide on average
  });

  test("an id of another route, generation or host is not known", () => {
    const cid = made(ids(3));
    assert.ok(!ids(4).made(cid, 0));
    assert.ok(!ids(3, 2).made(cid, 0));
    assert.ok(!ids(3, 17).made(cid, 0)); // the same four bits of the generation
    assert.ok(!new RouteIds(deriveRoute(new Uint8Array(32), 3, 1)).made(cid, 0));
  });

  test("B04 an id of one's own route says nothing of another's: none of a million forged ones is taken", () => {
    const mine = ids(3);
    const victim = ids(4);
    const cid = made(mine);
    const random = new Prng(1, "forger"); // by chance one of 268 runs would find one
    let taken = 0;
    for (let i = 0; i < 1e6; i++) {
      if (i % 2 === 0) mine.make(cid, random);
      else random.fill(cid, 0, cid.length);
      cid[0] = 4;
      if (victim.made(cid, 0)) taken++;
    }
    assert.equal(taken, 0);
  });

  test("each flipped bit of an id is seen", () => {
    const mine = ids(9);
    const cid = made(mine);
    for (let bit = 0; bit < 8 * LOCAL_CID_BYTES; bit++) {
      cid[bit >> 3] ^= 1 << (bit & 7);
      assert.ok(!mine.made(cid, 0), `bit ${bit}`);
      cid[bit >> 3] ^= 1 << (bit & 7);
    }
  });
});
