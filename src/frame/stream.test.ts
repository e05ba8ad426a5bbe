import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LEVEL_APP } from "../port/tls.js";
import { FrameDecoder } from "./decode.js";
import { FrameRecorder } from "./recorder.contract.js";
import { plainStreamData, writeStreamHeader } from "./stream.js";

const ID = 4;
const EDGES = [1, 63, 64, 16_383, 16_384, 2 ** 30 - 1, 2 ** 30, 2 ** 40 + 7, 2 ** 53 - 200];

function view(buf: Uint8Array): DataView {
  return new DataView(buf.buffer);
}

/** A payload of one frame with 100 bytes of data, at 5 of its buffer. */
function payload(id: number, offset: number, hasLength: boolean, fin = false): { buf: Uint8Array; end: number } {
  const buf = new Uint8Array(200).fill(9);
  const data = writeStreamHeader(buf, 5, id, offset, hasLength ? 100 : -1, fin);
  return { buf, end: data + 100 };
}

describe("a payload that is one plain STREAM frame", () => {
  for (const hasLength of [false, true]) {
    test(`is found where decode finds it, ${hasLength ? "with" : "without"} a Length field`, () => {
      for (const id of EDGES) {
        for (const offset of EDGES) {
          const { buf, end } = payload(id, offset, hasLength);
          const data = plainStreamData(view(buf), 5, end, id, offset);
          assert.equal(data, end - 100, `stream ${id} at ${offset}`);
          const recorder = new FrameRecorder();
          assert.ok(new FrameDecoder().decode(LEVEL_APP, buf, 5, end, recorder));
          assert.deepEqual(recorder.lines, [`STREAM ${id} ${offset} ${"09".repeat(100)}`]);
        }
      }
    });
  }

  test("another stream, another offset, FIN, an offset of 0 without its field, or anything behind it is not", () => {
    const { buf, end } = payload(ID, 70, true);
    assert.equal(plainStreamData(view(buf), 5, end, ID, 70), end - 100);
    assert.equal(plainStreamData(view(buf), 5, end, ID + 4, 70), -1);
    assert.equal(plainStreamData(view(buf), 5, end, ID, 71), -1);
    assert.equal(plainStreamData(view(buf), 5, end + 1, ID, 70), -1);
    assert.equal(plainStreamData(view(buf), 5, end - 1, ID, 70), -1);
    const fin = payload(ID, 70, true, true);
    assert.equal(plainStreamData(view(fin.buf), 5, fin.end, ID, 70), -1);
    const first = payload(ID, 0, false);
    assert.equal(plainStreamData(view(first.buf), 5, first.end, ID, 0), -1);
    buf[5] = 0x1c; // a CONNECTION_CLOSE has the same low bits
    assert.equal(plainStreamData(view(buf), 5, end, ID, 70), -1);
  });

  test("an integer above 2^53-1 equals no id and no offset", () => {
    const { buf, end } = payload(2 ** 40, 2 ** 40, false);
    buf[6] |= 0x3f;
    assert.equal(plainStreamData(view(buf), 5, end, 2 ** 53 - 1, 2 ** 40), -1);
  });

  test("is too short to be looked at with 25 bytes, as long as the longest head", () => {
    const { buf } = payload(ID, 70, false);
    assert.equal(plainStreamData(view(buf), 5, 5 + 25, ID, 70), -1);
    assert.notEqual(plainStreamData(view(buf), 5, 5 + 26, ID, 70), -1);
  });
});
