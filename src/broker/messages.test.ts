import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encode, readReply, readRequest, type Reply } from "./messages.js";

const ROUTE = { route: 1, generation: 2, key: new Uint8Array(16).fill(7) };
const LIMITS = { memBytes: [1, 2, 3], rmemBytes: null, wmemBytes: [4, 4, 5] } as const;

function bytes(message: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message));
}

describe("what is said of memory", () => {
  test("a program says what it holds, as a whole number", () => {
    assert.deepEqual(readRequest(encode({ op: "held", bytes: 5 }), 0), { op: "held", bytes: 5 });
    assert.deepEqual(readRequest(encode({ op: "held", bytes: 0 }), 0), { op: "held", bytes: 0 });
    for (const wrong of [-1, 1.5, "5", null, 2 ** 53])
      assert.equal(readRequest(bytes({ op: "held", bytes: wrong }), 0), null);
    assert.equal(readRequest(encode({ op: "held", bytes: 5 }), 1), null, "no descriptor comes with it");
  });

  test("a host says which limits hold, and how short memory is", () => {
    const welcome: Reply = { op: "welcome", route: ROUTE, trusted: true, limits: LIMITS };
    assert.deepEqual(readReply(encode(welcome), 0), welcome);
    assert.deepEqual(readReply(encode({ ...welcome, limits: null }), 0), { ...welcome, limits: null });
    assert.deepEqual(readReply(encode({ op: "memory", level: "high" }), 0), { op: "memory", level: "high" });
    assert.equal(readReply(bytes({ op: "memory", level: "gone" }), 0), null);
  });

  test("limits that are none end the conversation", () => {
    const welcome = JSON.parse(
      new TextDecoder().decode(encode({ op: "welcome", route: ROUTE, trusted: true, limits: LIMITS })),
    );
    for (const limits of [
      5,
      {},
      { ...LIMITS, memBytes: null },
      { ...LIMITS, memBytes: [3, 2, 4] },
      { ...LIMITS, wmemBytes: [1, 2] },
      { ...LIMITS, rmemBytes: [0, 1, 2] },
    ]) {
      assert.equal(readReply(bytes({ ...welcome, limits }), 0), null, JSON.stringify(limits));
    }
    delete welcome.limits;
    assert.equal(readReply(bytes(welcome), 0), null);
  });
});
