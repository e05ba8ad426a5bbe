import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fromHex, toHex } from "../base/bytes.js";
import { DROP_NONE } from "../observe/drop-reason.js";
import { PacketHeader, parseHeader } from "./header.js";
import { readVersions, writeVersionNegotiation } from "./version-negotiation.js";

function versionsOf(hex: string): number[] | null {
  const bytes = fromHex(hex);
  const header = new PacketHeader();
  assert.equal(parseHeader(bytes, 0, bytes.length, 8, header), DROP_NONE);
  return readVersions(bytes, header);
}

describe("version negotiation", () => {
  test("RFC 9000 §17.2.1 the ids come back swapped, with the fixed bit set", () => {
    const buf = new Uint8Array(600).fill(0xee);
    const dcid = fromHex("aa".repeat(255));
    const end = writeVersionNegotiation(buf, 2, dcid, fromHex("0102"), [1, 0xfaceb00c], 0xa5);
    const hex = toHex(buf.subarray(2, end));
    assert.equal(hex, `e500000000ff${"aa".repeat(255)}02010200000001faceb00c`);
    assert.deepEqual(versionsOf(hex), [1, 0xfaceb00c]);
  });

  test("RFC 9000 §17.2.1 an empty list or one not of whole versions is dropped", () => {
    assert.deepEqual(versionsOf("80 00000000 00 00 00000001"), [1]);
    assert.equal(versionsOf("80 00000000 00 00"), null);
    for (const rest of ["01", "0000", "000000", "00000001 00", "00000001 000000"]) {
      assert.equal(versionsOf(`80 00000000 00 00 ${rest}`), null);
    }
  });

  test("other packets have no versions", () => {
    assert.equal(versionsOf(`e0 00000001 00 00 14 ${"00".repeat(20)}`), null);
  });
});
