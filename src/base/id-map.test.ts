import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { IdMap } from "./id-map.js";

const COLLIDING = 10_000;
const SAME_BITS = 0x3fff;

/** How V8 hashes an integer in a Map: no secret is in it. */
function hash(id: number): number {
  let bits = (~id + (id << 15)) | 0;
  bits ^= bits >>> 12;
  bits = (bits + (bits << 2)) | 0;
  bits ^= bits >>> 4;
  bits = Math.imul(bits, 2057);
  return bits ^ (bits >>> 16);
}

/** CPU time of filling and reading a map, microseconds: the least of five. Only the sum of both kinds is exact everywhere. */
function cost(ids: readonly number[], secret: number): number {
  let least = Infinity;
  for (let run = 0; run < 5; run++) {
    const map = new IdMap<number>(secret);
    const before = process.cpuUsage();
    for (const id of ids) map.set(id, id);
    for (const id of ids) assert.ok(map.get(id) === id);
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, user + system);
  }
  return least;
}

describe("a map by numbers that a peer chooses", () => {
  test("keeps ids apart up to the last integer that is exact, whatever the secret", () => {
    const ids = [0, 1, 2 ** 30 - 1, 2 ** 30, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 52, 2 ** 53 - 2, 2 ** 53 - 1];
    for (const secret of [0, 1, 0x2aaaaaaa, 2 ** 30 - 1, 2 ** 32 - 1]) {
      const map = new IdMap<string>(secret);
      for (const id of ids) map.set(id, String(id));
      assert.equal(map.size, ids.length);
      assert.deepEqual([...map.values()], ids.map(String));
      for (const id of ids) assert.equal(map.get(id), String(id));
      for (const id of ids) map.delete(id);
      assert.deepEqual([map.size, map.get(1)], [0, undefined]);
      map.set(1, "again");
      map.clear();
      assert.equal(map.size, 0);
    }
  });

  test("J08 ids that collide without the secret cost no more than others with it", () => {
    const chosen: number[] = [];
    for (let id = 0; chosen.length < COLLIDING; id += 4) if ((hash(id) & SAME_BITS) === 77) chosen.push(id);
    const stride = Math.floor((chosen.at(-1) as number) / COLLIDING / 4) * 4;
    const others = Array.from({ length: COLLIDING }, (_, index) => index * stride);
    const honest = cost(others, 0x2b5a7c31);
    assert.ok(cost(chosen, 0) > 5 * honest, "they do collide");
    assert.ok(cost(chosen, 0x2b5a7c31) <= 2 * honest + 2000);
  });
});
