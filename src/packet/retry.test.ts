import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { concatBytes, fromHex, toHex } from "../base/bytes.js";
import { DROP_NONE } from "../observe/drop-reason.js";
import { VERSION_1, VERSION_2 } from "../proto/version.js";
import { newPortableAead } from "../runtime/portable/aead.js";
import { PACKET_INITIAL, PacketHeader, parseHeader } from "./header.js";
import { verifyRetry, writeRetry } from "./retry.js";

const aead = newPortableAead();
const ORIG_DCID = fromHex("8394c8f03e515708");
const SCID = fromHex("f067a5502a4262b5");
const SAMPLE = "ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba";

function parse(bytes: Uint8Array): PacketHeader {
  const header = new PacketHeader();
  assert.equal(parseHeader(bytes, 0, bytes.length, 8, header), DROP_NONE);
  return header;
}

describe("Retry", () => {
  for (const [title, version, sample] of [
    ["RFC 9001 §A.4", VERSION_1, SAMPLE],
    ["RFC 9369 §A.4", VERSION_2, "cf6b3343cf0008f067a5502a4262b5746f6b656ec8646ce8bfe33952d955543665dcc7b6"],
  ] as const) {
    test(`${title} the sample packet`, () => {
      const buf = new Uint8Array(100);
      const token = fromHex("746f6b656e");
      const end = writeRetry(buf, 3, version, new Uint8Array(0), SCID, token, ORIG_DCID, aead, 0x0f);
      assert.equal(toHex(buf.subarray(3, end)), sample);
      const bytes = fromHex(sample);
      assert.equal(verifyRetry(bytes, parse(bytes), ORIG_DCID, aead), true);
    });
  }

  test("RFC 9000 §17.2.5.2 one flipped bit anywhere fails", () => {
    const header = parse(fromHex(SAMPLE));
    for (let i = 0; i < SAMPLE.length / 2; i++) {
      const bytes = fromHex(SAMPLE);
      bytes[i] ^= 1 << (i % 8);
      assert.equal(verifyRetry(bytes, header, ORIG_DCID, aead), false, `byte ${i}`);
    }
    const other = ORIG_DCID.slice();
    other[7] ^= 1;
    const bytes = fromHex(SAMPLE);
    assert.equal(verifyRetry(bytes, header, other, aead), false);
    assert.equal(verifyRetry(bytes, header, new Uint8Array(0), aead), false);
  });

  test("RFC 9000 §17.2.5.2 an empty token fails, even with the right tag", () => {
    const head = fromHex("ff000000010008f067a5502a4262b5");
    const key = fromHex("be0c690b9f66575a1d766b54e368c84e");
    const nonce = fromHex("461599d35d632bf2239825bb");
    const pseudo = concatBytes(Uint8Array.of(8), ORIG_DCID, head);
    const bytes = concatBytes(head, aead.sealOnce(1, key, nonce, pseudo, new Uint8Array(0)));
    assert.equal(verifyRetry(bytes, parse(bytes), ORIG_DCID, aead), false);
    assert.throws(() => writeRetry(bytes, 0, 1, head, head, new Uint8Array(0), ORIG_DCID, aead), /netquic bug/);
  });

  test("RFC 9000 §17.2.5.1 an id that repeats the client's fails, even with the right tag", () => {
    const buf = new Uint8Array(100);
    for (const [scid, valid] of [
      [ORIG_DCID, false],
      [ORIG_DCID.slice(0, 7), true],
      [concatBytes(ORIG_DCID, Uint8Array.of(1)), true],
    ] as const) {
      const end = writeRetry(buf, 0, 1, new Uint8Array(0), scid, fromHex("aa"), ORIG_DCID, aead);
      const bytes = buf.slice(0, end);
      assert.equal(verifyRetry(bytes, parse(bytes), ORIG_DCID, aead), valid);
    }
  });

  test("another packet type is no Retry", () => {
    const bytes = fromHex(SAMPLE);
    const header = parse(bytes);
    header.type = PACKET_INITIAL;
    assert.equal(verifyRetry(bytes, header, ORIG_DCID, aead), false);
  });
});
