import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeFlow, flowHeadBytes, flowOf, LAST_FLOW, payloadOf, wireName } from "./protocol.js";

test("RFC 9000 §16 a datagram holds the number of its flow, then its payload", () => {
  assert.deepEqual([...encodeFlow(5, new Uint8Array([7, 8]))], [5, 7, 8]);
  assert.deepEqual([...encodeFlow(0x40, new Uint8Array([9]))], [0x40, 0x40, 9]);
  assert.equal(LAST_FLOW, 2 ** 30 - 1);
  fc.assert(
    fc.property(fc.nat(LAST_FLOW), fc.uint8Array({ maxLength: 40 }), (flow, payload) => {
      const bytes = encodeFlow(flow, payload);
      assert.equal(bytes.length, flowHeadBytes(flow) + payload.length);
      assert.equal(flowOf(bytes), flow);
      assert.deepEqual(payloadOf(bytes), payload);
    }),
  );
});

test("what is no flow of this protocol reads as -1: cut short, or a number of eight bytes", () => {
  for (const bytes of [[], [0x40], [0x80, 0, 0], [0xc0, 0, 0, 0, 0, 0, 0, 1, 2]]) {
    assert.equal(flowOf(new Uint8Array(bytes)), -1);
  }
  assert.equal(payloadOf(new Uint8Array([3])).length, 0);
});

test("a reverse service has a name of its own on the wire", () => {
  assert.deepEqual([wireName("ssh", false), wireName("ssh", true)], ["ssh", "ssh/reverse"]);
});
