import assert from "node:assert/strict";
import { test } from "node:test";
import { STREAM_BIDI, STREAM_UNI } from "../port/transport.js";
import { indexOf, isServerInitiated, isUni, kindOf, makeId } from "./id.js";

test("RFC 9000 §2.1 the two low bits of an id are its initiator and direction, also above 2^32", () => {
  for (const index of [0, 1, 7, 2 ** 31, 2 ** 40 + 3]) {
    for (const isServer of [false, true]) {
      for (const kind of [STREAM_BIDI, STREAM_UNI] as const) {
        const id = makeId(index, isServer, kind);
        assert.deepEqual([indexOf(id), isServerInitiated(id), kindOf(id)], [index, isServer, kind]);
        assert.equal(isUni(id), kind === STREAM_UNI);
      }
    }
  }
  assert.deepEqual([makeId(1, false, STREAM_BIDI), makeId(0, true, STREAM_UNI)], [4, 3]);
});
