import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sipHash, sipKey } from "./siphash.js";

describe("SipHash-2-4", () => {
  test("gives the published value for the message 00..07 under the key 00..0f", () => {
    const key = sipKey(Uint8Array.from({ length: 16 }, (_, i) => i));
    // vectors_sip64[8] = 62 24 93 9a 79 f5 f5 93
    assert.equal(sipHash(key, 0x03020100, 0x07060504), 0x9a932462);
  });

  test("each bit of the message and of the key counts", () => {
    const bytes = new Uint8Array(16);
    const plain = sipHash(sipKey(bytes), 0, 0);
    const seen = new Set([plain]);
    for (let bit = 0; bit < 32; bit++) {
      seen.add(sipHash(sipKey(bytes), 1 << bit, 0));
      seen.add(sipHash(sipKey(bytes), 0, 1 << bit));
    }
    for (let bit = 0; bit < 128; bit++) {
      const changed = new Uint8Array(16);
      changed[bit >> 3] = 1 << (bit & 7);
      seen.add(sipHash(sipKey(changed), 0, 0));
    }
    assert.equal(seen.size, 1 + 64 + 128);
  });
});
