import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SEAL_COLS, TAG_BYTES } from "../port/aead.js";
import { TX_COLS } from "../port/udp.js";
import { writeVarintSized } from "../base/varint.js";
import { PacketBuilder } from "./builder.js";
import { StreamRun } from "./stream-run.js";

const BYTES = 1200;
const PACKETS = 5;
const CID = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const STREAM = 8; // type of a STREAM frame without fin and length, here with an offset field
const OFFSET_BIT = 4;

function newTx() {
  const buf = new Uint8Array(PACKETS * BYTES).fill(0xee);
  const rows = new Int32Array(PACKETS * TX_COLS);
  return { buf, rows, dests: new Int32Array(10), count: 0, destCount: 1, used: 0, socket: 0 };
}

/** A run, and the same packets one by one. */
function both(firstPn: number, pnBytes: 2 | 3 | 4, offset: number, offsetBytes: 2 | 4 | 8) {
  const ring = new Uint8Array(4096).map((_, i) => i * 3);
  const headBytes = 1 + CID.length + pnBytes + 2 + offsetBytes;
  const dataBytes = BYTES - headBytes - TAG_BYTES;

  const tx = newTx();
  const builder = new PacketBuilder(PACKETS);
  builder.beginBatch(tx);
  assert.equal(builder.roomFor(BYTES), PACKETS);
  const run = new StreamRun();
  run.head.set([builder.shortFirstByte(pnBytes, 1, 0), ...CID]);
  run.head[1 + CID.length + pnBytes] = STREAM | OFFSET_BIT;
  run.head[1 + CID.length + pnBytes + 1] = 5;
  const same = { pnAt: 1 + CID.length, pnBytes, keySlot: 3, hpSlot: 4, packetBytes: BYTES, dest: 0, ecn: 2 };
  const own = { packets: PACKETS, firstPn, streamId: 5, offset, offsetBytes, headBytes, dataBytes };
  Object.assign(run, same, own, { source: ring, sourceStart: 100 });
  builder.appendRun(run);

  const plainTx = newTx();
  const plain = new PacketBuilder(PACKETS);
  plain.beginBatch(plainTx);
  for (let i = 0; i < PACKETS; i++) {
    assert.ok(plain.beginDatagram(BYTES));
    assert.ok(plain.openShort(CID, firstPn + i, pnBytes, 1, 0));
    plain.buf[plain.pos] = STREAM | OFFSET_BIT;
    plain.buf[plain.pos + 1] = 5;
    const data = writeVarintSized(plain.buf, plain.pos + 2, offset + i * dataBytes, offsetBytes);
    const from = (100 + i * dataBytes) % ring.length;
    const first = Math.min(dataBytes, ring.length - from);
    plain.gather.add(ring, from, first, data);
    if (first < dataBytes) plain.gather.add(ring, 0, dataBytes - first, data + first);
    plain.pos = plain.limit;
    plain.closePacket(3, 4);
    plain.endDatagram(0, 2, 0);
  }
  return { tx, builder, plainTx, plain, headBytes };
}

describe("a run of packets", () => {
  for (const [pn, pnBytes, offset, offsetBytes] of [
    [0, 2, 64, 2],
    [0xfffe, 3, 2 ** 14, 4],
    [2 ** 24 - 2, 4, 2 ** 30 - 10_000, 4],
    [2 ** 31 - 2, 4, 2 ** 31 - 2000, 8],
    [2 ** 32 - 2, 3, 2 ** 32 - 2000, 8],
    [2 ** 40 + 5, 2, 2 ** 45 + 1, 8],
  ] as const) {
    test(`is what its packets are one by one: from packet ${pn} and offset ${offset}`, () => {
      const { tx, builder, plainTx, plain, headBytes } = both(pn, pnBytes, offset, offsetBytes);
      for (let i = 0; i < PACKETS; i++) {
        const [head, plainHead] = [tx, plainTx].map(({ buf }) => buf.slice(i * BYTES, i * BYTES + headBytes));
        assert.deepEqual(head, plainHead);
      }
      assert.deepEqual(tx.rows, plainTx.rows);
      assert.deepEqual([tx.count, tx.used], [plainTx.count, plainTx.used]);
      assert.equal(builder.seal.count, plain.seal.count);
      const rows = PACKETS * SEAL_COLS;
      assert.deepEqual(builder.seal.rows.slice(0, rows), plain.seal.rows.slice(0, rows));
      assert.equal(builder.gather.count, plain.gather.count);
      assert.deepEqual(builder.gather.rows, plain.gather.rows);
    });
  }

  test("needs room for each of its packets in every table", () => {
    const builder = new PacketBuilder(3);
    builder.beginBatch(newTx());
    assert.equal(builder.roomFor(BYTES), 3, "seal rows");
    const tx = newTx();
    new PacketBuilder(9).beginBatch(tx);
    const wide = new PacketBuilder(9);
    wide.beginBatch(tx);
    assert.equal(wide.roomFor(BYTES / 4), PACKETS, "rows of the batch");
    assert.equal(wide.roomFor(BYTES * 2), 2, "bytes of the batch");
  });
});
