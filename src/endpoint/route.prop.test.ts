import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CidTable, endOfRun } from "./route.js";

const cid = fc.uint8Array({ minLength: 0, maxLength: 20 });

test("a table of ids behaves like a Map by hex, through growth and deletions", () => {
  // few distinct ids, so that adds and removes of the same id meet; one in three ids differs only in length
  const small = fc
    .tuple(fc.nat(40), fc.integer({ min: 1, max: 9 }))
    .map(([n, length]) => new Uint8Array(length).fill(n));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.oneof(small, cid), fc.nat(3)), { maxLength: 300 }), (steps) => {
      const table = new CidTable<number>(0x1234, 0x5678);
      const model = new Map<string, number>();
      for (const [add, id, owner] of steps) {
        const key = Buffer.from(id).toString("hex");
        if (add) {
          assert.equal(table.add(id, owner), !model.has(key));
          if (!model.has(key)) model.set(key, owner);
        } else {
          table.remove(id, owner);
          if (model.get(key) === owner) model.delete(key);
        }
        assert.equal(table.size, model.size);
      }
      for (const [key, owner] of model) {
        const framed = Buffer.from(`ff${key}ff`, "hex");
        assert.equal(table.find(framed, 1, key.length / 2), owner);
      }
    }),
  );
});

for (const cidBytes of [4, 5, 7, 8, 9, 12, 15, 20]) {
  test(`a run is the neighbours of one source and one id of ${cidBytes} bytes with short headers`, () => {
    const size = 32;
    const buf = new Uint8Array(8 * size);
    const id = Array.from({ length: cidBytes }, (_, i) => i + 1);
    // rows 1 to 3 go where row 0 goes
    const sources = [4, 4, 4, 4, 5, 5, 5, 5];
    const lengths = [size, cidBytes + 1, size, size, size, size, cidBytes, size];
    for (let i = 0; i < 8; i++) buf.set([0x40 | i, ...id, i], i * size);
    const rows = Int32Array.from(lengths.flatMap((length, i) => [i * size, length, sources[i] as number, 0]));
    const rx = { buf, rows, sources: new Int32Array(60), count: 8, sourceCount: 6, socket: 0 };
    const view = new DataView(buf.buffer);
    const ends = (): number[] => [0, 1, 2, 3, 4, 5, 6, 7].map((row) => endOfRun(rx, view, row, cidBytes));
    assert.deepEqual(ends(), [4, 4, 4, 4, 6, 6, 7, 8]);
    for (let i = 1; i <= cidBytes; i++) {
      buf[2 * size + i] ^= 0x80;
      assert.deepEqual(ends().slice(0, 4), [2, 2, 3, 4], `byte ${i} of the id differs`);
      buf[2 * size + i] ^= 0x80;
    }
    buf[2 * size] |= 0x80; // a long header
    assert.deepEqual(ends().slice(0, 4), [2, 2, 3, 4]);
  });
}

test("RFC 9000 §5.2 an id that nobody owns is not found", () => {
  const table = new CidTable<string>(1, 2);
  assert.equal(table.find(new Uint8Array(8), 0, 8), null);
  table.add(Uint8Array.of(1, 2, 3), "a");
  assert.equal(table.find(Uint8Array.of(1, 2, 3, 4), 0, 4), null);
  assert.equal(table.find(Uint8Array.of(1, 2), 0, 2), null);
});
