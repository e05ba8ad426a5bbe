/** AEAD_NONE of the aead port: packets in the clear behind the same slots, tables and checks, run against an implementation. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  AEAD_AES_128_GCM,
  AEAD_NONE,
  type AeadId,
  type AeadPort,
  GATHER_COLS,
  OPEN_COLS,
  OPEN_INVALID,
  OPEN_KEY,
  OPEN_OK,
  OPEN_PN_LEN,
  OPEN_PN_LO,
  OPEN_STATUS,
  SEAL_COLS,
  SEAL_END,
  SEAL_HP,
  SEAL_KEY,
  SEAL_PN_LO,
} from "../port/aead.js";

const NO_KEY = new Uint8Array(0);
const IV = new Uint8Array(12);
const PN_OFF = 9;
/** First byte of a packet with a packet number of four bytes, and of one with one. */
const FIRST = 0x43;
const SHORT_FIRST = 0x40;

interface Slots {
  port: AeadPort;
  key: number;
  hp: number;
}

function slots(port: AeadPort): Slots {
  return { port, key: port.newKey(AEAD_NONE, NO_KEY, IV), hp: port.newHeaderKey(AEAD_NONE, NO_KEY) };
}

/** `packets` of `bytes` each, back to back, the last one up to the end of the buffer; numbered from 0. */
function sealTable({ key, hp }: Slots, packets: number, bytes: number) {
  const buf = new Uint8Array(packets * bytes).map((_, i) => i * 7);
  const rows = new Int32Array(packets * SEAL_COLS);
  for (let i = 0; i < packets; i++) {
    const off = i * bytes;
    buf.set([FIRST, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, i], off);
    rows.set([off, off + PN_OFF, 4, off + bytes, key, hp, i, 0], i * SEAL_COLS);
  }
  return { buf, rows, count: packets };
}

function openTable({ key, hp }: Slots, buf: Uint8Array, bytes: number) {
  const count = buf.length / bytes;
  const rows = new Int32Array(count * OPEN_COLS);
  for (let i = 0; i < count; i++) rows.set([i * bytes, i * bytes + PN_OFF, (i + 1) * bytes, key, hp], i * OPEN_COLS);
  return { buf, rows, count };
}

export function aeadPlainContract(name: string, make: () => AeadPort): void {
  describe(`aead port, in the clear: ${name}`, () => {
    roundTripTests(make);
    refusalTests(make);
  });
}

function roundTripTests(make: () => AeadPort): void {
  test("a sealed packet is as it was, up to the last byte of the buffer, and opens", () => {
    const all = slots(make());
    const batch = sealTable(all, 130, 40); // more than one chunk of masks
    const before = batch.buf.slice();
    assert.equal(all.port.seal(batch), 130);
    assert.deepEqual(batch.buf, before);
    const arrived = openTable(all, batch.buf, 40);
    all.port.unmask(arrived);
    assert.equal(all.port.open(arrived), 130);
    assert.deepEqual(arrived.buf, before);
    for (let i = 0; i < 130; i++) {
      const row = arrived.rows.subarray(i * OPEN_COLS, (i + 1) * OPEN_COLS);
      assert.deepEqual([row[OPEN_PN_LEN], row[OPEN_PN_LO], row[OPEN_STATUS]], [4, i, OPEN_OK]);
    }
  });

  test("what lies elsewhere is brought into the packet", () => {
    const all = slots(make());
    const batch = sealTable(all, 2, 300);
    const source = new Uint8Array(600).map((_, i) => 255 - i);
    const pieces = [
      [0, 5, 200, 50],
      [0, 300, 3, 260],
      [0, 400, 287, 313],
    ];
    const gather = { rows: new Int32Array(pieces.flat()), count: 3, sources: [source] };
    assert.equal(gather.rows.length, 3 * GATHER_COLS);
    const expected = batch.buf.slice();
    expected.set(source.subarray(5, 205), 50);
    expected.set(source.subarray(300, 303), 260);
    // past the end of the source: the packet is refused
    assert.equal(all.port.seal({ ...batch, gather }), make().name === "node:crypto" ? 0 : 1);
    pieces[2] = [0, 300, 287, 313];
    gather.rows.set(pieces.flat());
    expected.set(source.subarray(300, 587), 313);
    const again = sealTable({ ...all, key: all.port.newKey(AEAD_NONE, NO_KEY, IV) }, 2, 300);
    assert.equal(all.port.seal({ ...again, gather }), 2);
    assert.deepEqual(again.buf, expected);
  });

  test("a packet of another sender may be as short as its packet number and one byte", () => {
    const all = slots(make());
    const buf = Uint8Array.of(SHORT_FIRST, 1, 2, 3, 4, 5, 6, 7, 8, 0x2a, 0x01);
    const batch = openTable(all, buf, buf.length);
    all.port.unmask(batch);
    assert.equal(all.port.open(batch), 1);
    assert.deepEqual([batch.rows[OPEN_PN_LEN], batch.rows[OPEN_PN_LO]], [1, 0x2a]);
    // the first byte asks for four bytes of packet number, and there are two
    const cut = openTable(all, Uint8Array.of(FIRST, ...buf.subarray(1)), buf.length);
    all.port.unmask(cut);
    assert.equal(cut.rows[OPEN_STATUS], OPEN_INVALID);
    assert.equal(all.port.open(cut), 0);
  });

  test("slots are freed and rest as any other", () => {
    const { port, key, hp } = slots(make());
    port.restKey(key);
    port.freeKey(key);
    port.freeHeaderKey(hp);
    assert.throws(() => port.freeKey(key), RangeError);
    assert.throws(() => port.freeHeaderKey(hp), RangeError);
  });
}

function refusalTests(make: () => AeadPort): void {
  test("packet numbers of one slot increase", () => {
    const all = slots(make());
    assert.equal(all.port.seal(sealTable(all, 3, 40)), 3);
    const again = sealTable(all, 2, 40);
    assert.equal(all.port.seal(again), 0, "0 was sealed before");
    again.rows[SEAL_PN_LO] = 3;
    again.rows[SEAL_COLS + SEAL_PN_LO] = 3;
    assert.equal(all.port.seal(again), 1);
  });

  test("no row may leave its buffer", () => {
    const all = slots(make());
    for (const [column, value] of [
      [SEAL_END, 41],
      [SEAL_END, PN_OFF + 3],
      [SEAL_KEY, -1],
      [SEAL_HP, -1],
    ] as const) {
      const batch = sealTable(all, 1, 40);
      batch.rows[column] = value;
      assert.equal(all.port.seal(batch), 0, `${column}: ${value}`);
    }
    for (const [off, pnOff, end] of [
      [0, PN_OFF, 41],
      [0, 40, 40],
      [39, 40, 40],
      [0, 41, 40],
      [-1, PN_OFF, 40],
      [2 ** 31 - 2, 2 ** 31 - 1, 40],
    ] as const) {
      const batch = openTable(all, new Uint8Array(40).fill(FIRST), 40);
      batch.rows.set([off, pnOff, end]);
      all.port.unmask(batch);
      assert.equal(batch.rows[OPEN_STATUS], OPEN_INVALID, `${off}, ${pnOff}, ${end}`);
    }
    const batch = openTable(all, new Uint8Array(40).fill(FIRST), 40);
    all.port.unmask(batch);
    batch.rows[OPEN_KEY] = -1;
    assert.equal(all.port.open(batch), 0);
    assert.equal(batch.rows[OPEN_STATUS], OPEN_INVALID);
  });

  test("RFC 9001 §5.4.2 a header mask beside a packet in the clear has its sample inside the packet", () => {
    const all = slots(make());
    const hp = all.port.newHeaderKey(AEAD_AES_128_GCM, new Uint8Array(16));
    assert.equal(all.port.seal(sealTable({ ...all, hp }, 1, PN_OFF + 4 + 15)), 0);
    assert.equal(all.port.seal(sealTable({ ...all, hp }, 1, PN_OFF + 4 + 16)), 1);
  });

  test("a key has no bytes, and nothing but packets is ever in the clear", () => {
    const port = make();
    assert.throws(() => port.newKey(AEAD_NONE, new Uint8Array(16), IV), RangeError);
    assert.throws(() => port.newKey(AEAD_NONE, NO_KEY, NO_KEY), RangeError);
    assert.throws(() => port.newHeaderKey(AEAD_NONE, new Uint8Array(16)), RangeError);
    const none = AEAD_NONE as number as AeadId;
    assert.throws(() => port.sealOnce(none, NO_KEY, IV, NO_KEY, IV), RangeError);
    assert.throws(() => port.openOnce(none, NO_KEY, IV, NO_KEY, new Uint8Array(32)), RangeError);
  });
}
