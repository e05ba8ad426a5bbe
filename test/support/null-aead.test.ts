import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  AEAD_AES_128_GCM,
  HASH_SHA256,
  HASH_SHA384,
  OPEN_COLS,
  OPEN_FORGED,
  OPEN_OK,
  OPEN_PN_LEN,
  OPEN_PN_LO,
  OPEN_STATUS,
  SEAL_COLS,
  TAG_BYTES,
} from "#src/port/aead.js";
import { Prng } from "#src/sim/prng.js";
import { NullAead } from "./null-aead.js";

const PN_OFF = 9;
const HEADER_BYTES = 11;

function install(aead: NullAead, seed: number): { key: number; hp: number } {
  const bytes = new Uint8Array(44);
  new Prng(seed).fill(bytes, 0, 44);
  const key = aead.newKey(AEAD_AES_128_GCM, bytes.subarray(0, 16), bytes.subarray(16, 28));
  return { key, hp: aead.newHeaderKey(AEAD_AES_128_GCM, bytes.subarray(28, 44)) };
}

/** A short header packet of `bytes` plaintext bytes, sealed; null when refused. */
function seal(aead: NullAead, slots: { key: number; hp: number }, pn: number, bytes: number): Uint8Array | null {
  const buf = new Uint8Array(HEADER_BYTES + bytes + TAG_BYTES);
  new Prng(pn + bytes).fill(buf, HEADER_BYTES, HEADER_BYTES + bytes);
  buf[0] = 0x41;
  buf[PN_OFF] = pn >>> 8;
  buf[PN_OFF + 1] = pn;
  const rows = new Int32Array(SEAL_COLS);
  rows.set([0, PN_OFF, 2, HEADER_BYTES + bytes, slots.key, slots.hp, pn, 0]);
  return aead.seal({ buf, rows, count: 1 }) === 1 ? buf : null;
}

function open(aead: NullAead, slots: { key: number; hp: number }, packet: Uint8Array): Int32Array {
  const rows = new Int32Array(OPEN_COLS);
  rows.set([0, PN_OFF, packet.length, slots.key, slots.hp]);
  const batch = { buf: packet, rows, count: 1 };
  aead.unmask(batch);
  aead.open(batch);
  return rows;
}

describe("null AEAD", () => {
  for (const masked of [true, false]) {
    test(`opens what it sealed, header protection ${masked ? "on" : "off"}`, () => {
      const aead = new NullAead(masked);
      const slots = install(aead, 1);
      for (let pn = 0; pn < 50; pn++) {
        const packet = seal(aead, slots, pn, 3 + 29 * pn);
        assert.ok(packet !== null);
        const rows = open(aead, slots, packet);
        assert.equal(rows[OPEN_STATUS], OPEN_OK);
        assert.equal(rows[OPEN_PN_LEN], 2);
        assert.equal(rows[OPEN_PN_LO], pn);
      }
    });
  }

  test("finds every flipped bit, a wrong key and a wrong packet number", () => {
    const aead = new NullAead(true);
    const slots = install(aead, 1);
    const packet = seal(aead, slots, 5, 40) as Uint8Array;
    for (let bit = 0; bit < packet.length * 8; bit++) {
      const damaged = packet.slice();
      damaged[bit >> 3] ^= 1 << (bit & 7);
      assert.notEqual(open(aead, slots, damaged)[OPEN_STATUS], OPEN_OK, `bit ${bit}`);
    }
    const other = install(aead, 2);
    assert.equal(open(aead, { key: other.key, hp: slots.hp }, packet.slice())[OPEN_STATUS], OPEN_FORGED);
  });

  test("refuses a packet number that does not increase", () => {
    const aead = new NullAead(false);
    const slots = install(aead, 1);
    assert.ok(seal(aead, slots, 7, 40) !== null);
    assert.equal(seal(aead, slots, 7, 40), null);
    assert.equal(seal(aead, slots, 6, 40), null);
    assert.ok(seal(aead, slots, 8, 40) !== null);
  });

  test("derives by every input byte, and counts what was not freed", () => {
    const aead = new NullAead(false);
    const one = aead.hkdfExtract(HASH_SHA256, Uint8Array.of(1), Uint8Array.of(2));
    assert.equal(one.length, 32);
    assert.notDeepEqual(aead.hkdfExtract(HASH_SHA256, Uint8Array.of(2), Uint8Array.of(1)), one);
    assert.equal(aead.hkdfExtract(HASH_SHA384, one, one).length, 48);
    assert.notDeepEqual(
      aead.hkdfExpand(HASH_SHA256, one, Uint8Array.of(1), 16),
      aead.hkdfExpand(HASH_SHA256, one, one, 16),
    );
    const slots = install(aead, 3);
    assert.equal(aead.liveKeys + aead.liveHeaderKeys, 2);
    aead.freeKey(slots.key);
    aead.freeHeaderKey(slots.hp);
    assert.equal(aead.liveKeys + aead.liveHeaderKeys, 0);
    assert.throws(() => aead.freeKey(slots.key), RangeError);
  });

  test("sealOnce and openOnce agree, and only with the same inputs", () => {
    const aead = new NullAead(false);
    const key = new Uint8Array(16).fill(3);
    const nonce = new Uint8Array(12);
    const sealed = aead.sealOnce(AEAD_AES_128_GCM, key, nonce, Uint8Array.of(1, 2), Uint8Array.of(9, 8, 7));
    const aad = Uint8Array.of(1, 2);
    assert.deepEqual(aead.openOnce(AEAD_AES_128_GCM, key, nonce, aad, sealed), Uint8Array.of(9, 8, 7));
    assert.equal(aead.openOnce(AEAD_AES_128_GCM, key, nonce, Uint8Array.of(2, 1), sealed), null);
    assert.equal(aead.openOnce(AEAD_AES_128_GCM, key, nonce, aad, sealed.subarray(1)), null);
  });
});
