import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { fromHex, toHex } from "../base/bytes.js";
import { DROP_NONE } from "../observe/drop-reason.js";
import {
  AEAD_AES_128_GCM,
  OPEN_COLS,
  OPEN_END,
  OPEN_HP,
  OPEN_KEY,
  OPEN_OFF,
  OPEN_OK,
  OPEN_PN_HI,
  OPEN_PN_LEN,
  OPEN_PN_LO,
  OPEN_PN_OFF,
  OPEN_STATUS,
  SEAL_COLS,
  SEAL_END,
  SEAL_PN_HI,
  SEAL_PN_LO,
  TAG_BYTES,
  GATHER_MAX_SOURCES,
} from "../port/aead.js";
import {
  ADDR_COLS,
  ECN_ECT0,
  TX_COLS,
  TX_DEST,
  TX_ECN,
  TX_FLAG_PROBE,
  TX_FLAGS,
  TX_LEN,
  TX_OFF,
  type TxBatch,
} from "../port/udp.js";
import { newPortableAead } from "../runtime/portable/aead.js";
import { Gather, PacketBuilder } from "./builder.js";
import {
  PACKET_HANDSHAKE,
  PACKET_INITIAL,
  PACKET_RETRY,
  PACKET_SHORT,
  PACKET_ZERO_RTT,
  PacketHeader,
  parseHeader,
} from "./header.js";

const DCID = fromHex("8394c8f03e515708");
const SCID = fromHex("f067a550");
const NONE = new Uint8Array(0);

function newTx(bytes: number, datagrams = 8): TxBatch {
  return {
    buf: new Uint8Array(bytes).fill(0xee),
    rows: new Int32Array(datagrams * TX_COLS),
    dests: new Int32Array(ADDR_COLS),
    count: 0,
    destCount: 1,
    used: 0,
    socket: 0,
  };
}

function builderOn(tx: TxBatch, maxPackets = 16): PacketBuilder {
  const builder = new PacketBuilder(maxPackets);
  builder.beginBatch(tx);
  return builder;
}

/** Writes `count` PING frames, as many as fit. */
function writePings(builder: PacketBuilder, count: number): number {
  const fits = Math.min(count, builder.limit - builder.pos);
  builder.buf.fill(1, builder.pos, builder.pos + fits);
  builder.pos += fits;
  return fits;
}

describe("PacketBuilder", () => {
  test("RFC 9001 §A.2 the header of the sample Initial", () => {
    const tx = newTx(2000);
    const builder = builderOn(tx);
    assert.equal(builder.beginDatagram(1200), true);
    assert.equal(builder.openLong(PACKET_INITIAL, 1, DCID, NONE, null, 2, 4), true);
    assert.equal(builder.limit, 1200 - TAG_BYTES);
    writePings(builder, 245);
    assert.equal(builder.closePacket(0, 0), 22 + 245 + 16);
    assert.equal(builder.padLastPacket(1200), 1162 - 245);
    assert.equal(builder.datagramBytes, 1200);
    assert.equal(builder.endDatagram(0, 0, 0), 1200);
    assert.equal(toHex(tx.buf.subarray(0, 22)), "c300000001088394c8f03e5157080000449e00000002");
    assert.equal(toHex(tx.buf.subarray(22, 1184)), "01".repeat(245) + "00".repeat(1162 - 245));
    assert.equal(builder.seal.rows[SEAL_END], 1184);
  });

  test("RFC 9000 §17.3.1 the bits of a short header", () => {
    for (const [phase, spin, length, first] of [
      [0, 0, 2, 0x41],
      [1, 0, 3, 0x46],
      [0, 1, 1, 0x60],
      [1, 1, 4, 0x67],
    ] as const) {
      const tx = newTx(100);
      const builder = builderOn(tx);
      assert.equal(builder.beginDatagram(100), true);
      assert.equal(builder.openShort(DCID, 0x1122334455, length, phase, spin), true);
      assert.equal(tx.buf[0], first);
      assert.equal(
        toHex(tx.buf.subarray(1, builder.payloadStart)),
        `${toHex(DCID)}${"22334455".slice(8 - 2 * length)}`,
      );
    }
  });

  test("1-RTT packets in the clear have no tag, packets with a long header in the same batch do", () => {
    const tx = newTx(400);
    const builder = new PacketBuilder(16);
    builder.beginBatch(tx, undefined, 0);
    builder.beginDatagram(200);
    builder.openLong(PACKET_HANDSHAKE, 1, DCID, NONE, null, 2, 4);
    assert.equal(builder.limit, 200 - TAG_BYTES);
    writePings(builder, 20);
    const longBytes = builder.closePacket(0, 0);
    builder.openShort(DCID, 7, 2, 0, 0);
    assert.equal(builder.limit, 200);
    writePings(builder, 100);
    assert.equal(builder.closePacket(0, 0), 1 + DCID.length + 2 + 100);
    assert.equal(builder.endDatagram(0, 0, 0), longBytes + 1 + DCID.length + 2 + 100);
    assert.equal(builder.seal.rows[SEAL_END], longBytes - TAG_BYTES);
    assert.equal(builder.seal.rows[SEAL_COLS + SEAL_END], builder.pos);
    builder.beginDatagram(200);
    builder.openShort(DCID, 8, 2, 0, 0);
    writePings(builder, 1);
    assert.equal(builder.closePacket(0, 0), builder.minShortBytes, "as long as any other, so that it can be answered");
    builder.endDatagram(0, 0, 0);
    builder.beginBatch(tx);
    builder.beginDatagram(100);
    builder.openShort(DCID, 9, 2, 0, 0);
    assert.equal(builder.limit, builder.pos - 11 + 100 - TAG_BYTES, "of this batch alone");
  });

  test("the seal row has the full packet number in two words", () => {
    const tx = newTx(100);
    const builder = builderOn(tx);
    builder.beginDatagram(100);
    builder.openShort(DCID, 0x5_f122_3344, 2, 0, 0);
    writePings(builder, 20);
    builder.closePacket(3, 4);
    assert.equal(builder.seal.count, 1);
    assert.deepEqual([...builder.seal.rows.subarray(0, SEAL_COLS)], [0, 9, 2, 31, 3, 4, 0xf1223344 | 0, 5]);
    assert.equal(builder.seal.rows[SEAL_PN_LO] >>> 0, 0xf1223344);
    assert.equal(builder.seal.rows[SEAL_PN_HI], 5);
  });

  test("RFC 9001 §5.4.2 a payload too short for the sample gets PADDING", () => {
    for (const pnLengthBytes of [1, 2, 3, 4]) {
      const tx = newTx(100);
      const builder = builderOn(tx);
      builder.minShortBytes = 0;
      builder.beginDatagram(100);
      builder.openShort(NONE, 7, pnLengthBytes, 0, 0);
      writePings(builder, 1);
      const padding = Math.max(0, 3 - pnLengthBytes);
      assert.equal(builder.closePacket(0, 0), 1 + pnLengthBytes + 1 + padding + TAG_BYTES);
      assert.equal(builder.lastPaddingBytes, padding);
      assert.equal(toHex(tx.buf.subarray(1 + pnLengthBytes, 2 + pnLengthBytes + padding)), `01${"00".repeat(padding)}`);
    }
  });

  test("RFC 9000 §10.3 short header packets are as long as a stateless reset may be, long ones need not", () => {
    const tx = newTx(200);
    const builder = builderOn(tx);
    builder.beginDatagram(200);
    builder.openLong(PACKET_HANDSHAKE, 1, NONE, NONE, null, 0, 2);
    writePings(builder, 2);
    assert.equal(builder.closePacket(0, 0), 11 + 2 + TAG_BYTES);
    builder.openShort(NONE, 0, 2, 0, 0);
    writePings(builder, 2);
    assert.equal(builder.closePacket(0, 0), 30);
    assert.equal(builder.lastPaddingBytes, 30 - 3 - 2 - TAG_BYTES);
    builder.openShort(NONE, 1, 2, 0, 0);
    writePings(builder, 100);
    assert.equal(builder.closePacket(0, 0), 103 + TAG_BYTES);
    assert.equal(builder.lastPaddingBytes, 0);
  });

  test("a datagram never exceeds its size, tags included, and a packet opens only where one fits", () => {
    const smallest = 7 + 8 + 4 + 1 + 3 + 2 + 2 + 2 + TAG_BYTES;
    const token = fromHex("aabbcc");
    for (let maxBytes = smallest - 3; maxBytes < smallest + 3; maxBytes++) {
      const tx = newTx(200);
      const builder = builderOn(tx);
      builder.beginDatagram(maxBytes);
      assert.equal(builder.openLong(PACKET_INITIAL, 1, DCID, SCID, token, 0, 2), maxBytes >= smallest);
      if (maxBytes < smallest) continue;
      writePings(builder, 1000);
      builder.closePacket(0, 0);
      assert.equal(builder.openShort(DCID, 0, 2, 0, 0), false);
      assert.equal(builder.endDatagram(0, 0, 0), maxBytes);
    }
    for (let maxBytes = 27; maxBytes < 33; maxBytes++) {
      const builder = builderOn(newTx(200));
      builder.beginDatagram(maxBytes);
      assert.equal(builder.openShort(DCID, 0, 2, 0, 0), maxBytes >= 30);
    }
  });

  test("a batch without room for the bytes, the row or the seal row says so", () => {
    const bytes = builderOn(newTx(1199));
    assert.equal(bytes.beginDatagram(1200), false);
    assert.equal(bytes.beginDatagram(1199), true);

    const fill = (builder: PacketBuilder): boolean => {
      if (!builder.beginDatagram(100)) return false;
      builder.openShort(DCID, 0, 2, 0, 0);
      writePings(builder, 1);
      builder.closePacket(0, 0);
      return builder.endDatagram(0, 0, 0) > 0;
    };
    const rows = builderOn(newTx(1000, 2));
    assert.deepEqual([fill(rows), fill(rows), fill(rows)], [true, true, false]);
    const packets = builderOn(newTx(1000), 2);
    assert.deepEqual([fill(packets), fill(packets), fill(packets)], [true, true, false]);
    const tx = newTx(1000);
    packets.beginBatch(tx);
    assert.equal(packets.seal.count, 0);
    assert.equal(packets.seal.buf, tx.buf);
    assert.equal(fill(packets), true);
  });

  test("what was cancelled leaves no trace", () => {
    const tx = newTx(500);
    const builder = builderOn(tx);
    builder.beginDatagram(200);
    builder.openShort(DCID, 0, 2, 0, 0);
    assert.equal(builder.isEmpty, true);
    builder.cancelPacket();
    assert.equal(builder.datagramBytes, 0);
    assert.equal(builder.endDatagram(0, 0, 0), 0);
    assert.equal(tx.count, 0);
    assert.equal(tx.used, 0);

    builder.beginDatagram(200);
    builder.openLong(PACKET_INITIAL, 1, DCID, SCID, null, 0, 2);
    writePings(builder, 5);
    assert.equal(builder.isEmpty, false);
    const bytes = builder.closePacket(0, 0);
    builder.openShort(DCID, 0, 2, 0, 0);
    writePings(builder, 5);
    builder.cancelPacket();
    assert.equal(builder.padLastPacket(150), 150 - bytes, "the closed packet is padded, not the cancelled one");
    assert.equal(builder.endDatagram(3, ECN_ECT0, TX_FLAG_PROBE), 150);
    assert.equal(builder.seal.count, 1);
    assert.deepEqual(
      [TX_OFF, TX_LEN, TX_DEST, TX_ECN, TX_FLAGS].map((column) => tx.rows[column]),
      [0, 150, 3, ECN_ECT0, TX_FLAG_PROBE],
    );
  });

  test("a packet without frames, or calls out of order, are bugs", () => {
    const builder = builderOn(newTx(500));
    assert.throws(() => builder.openShort(DCID, 0, 2, 0, 0), /netquic bug/);
    assert.throws(() => builder.endDatagram(0, 0, 0), /netquic bug/);
    builder.beginDatagram(200);
    assert.throws(() => builder.beginDatagram(200), /netquic bug/);
    assert.throws(() => builder.padLastPacket(200), /netquic bug/);
    assert.throws(() => builder.openLong(PACKET_RETRY, 1, DCID, SCID, null, 0, 2), /netquic bug/);
    builder.openShort(DCID, 0, 2, 0, 0);
    assert.throws(() => builder.closePacket(0, 0), /netquic bug/);
    assert.throws(() => builder.openShort(DCID, 0, 2, 0, 0), /netquic bug/);
    assert.throws(() => builder.endDatagram(0, 0, 0), /netquic bug/);
    builder.pos = builder.limit + 1;
    assert.throws(() => builder.closePacket(0, 0), /netquic bug/);
  });

  test("RFC 9000 §17.2 a long packet ends where its two-byte Length does", () => {
    const tx = newTx(40_000);
    const builder = builderOn(tx);
    builder.beginDatagram(40_000);
    builder.openLong(PACKET_HANDSHAKE, 1, DCID, SCID, null, 0, 4);
    writePings(builder, 100_000);
    const bytes = builder.closePacket(0, 0);
    assert.equal(bytes, 7 + 12 + 2 + 2 ** 14 - 1);
    assert.equal(builder.padLastPacket(40_000), 0);
    const header = new PacketHeader();
    assert.equal(parseHeader(tx.buf, 0, 40_000, 8, header), DROP_NONE);
    assert.equal(header.end, bytes);
  });
});

interface PlannedPacket {
  type: number;
  token: Uint8Array;
  pn: number;
  pnLengthBytes: number;
  pings: number;
}

const plannedPacket: fc.Arbitrary<PlannedPacket> = fc.record({
  type: fc.constantFrom(PACKET_INITIAL, PACKET_ZERO_RTT, PACKET_HANDSHAKE, PACKET_SHORT),
  token: fc.uint8Array({ maxLength: 80 }),
  pn: fc.nat({ max: 2 ** 40 }),
  pnLengthBytes: fc.integer({ min: 1, max: 4 }),
  pings: fc.integer({ min: 1, max: 700 }),
});
interface PlannedDatagram {
  maxBytes: number;
  packets: PlannedPacket[];
  padTo: number | null;
}

const plannedDatagram: fc.Arbitrary<PlannedDatagram> = fc.record({
  maxBytes: fc.integer({ min: 20, max: 1500 }),
  packets: fc.array(plannedPacket, { minLength: 1, maxLength: 4 }),
  padTo: fc.option(fc.nat(1500), { nil: null }),
});

describe("what was built is read back", () => {
  const aead = newPortableAead();

  function build(builder: PacketBuilder, keys: () => [number, number], plan: PlannedDatagram): PlannedPacket[] | null {
    if (!builder.beginDatagram(plan.maxBytes)) return null;
    const built: PlannedPacket[] = [];
    for (const packet of plan.packets) {
      const { type, token, pn, pnLengthBytes } = packet;
      const opened =
        type === PACKET_SHORT
          ? builder.openShort(DCID, pn, pnLengthBytes, 1, 0)
          : builder.openLong(type, 1, DCID, SCID, token.length === 0 ? null : token, pn, pnLengthBytes);
      if (!opened) continue;
      const pings = writePings(builder, packet.pings);
      const before = builder.pos;
      const bytes = builder.closePacket(...keys());
      assert.equal(builder.pos, before + builder.lastPaddingBytes + TAG_BYTES);
      assert.ok(bytes > 0);
      built.push({ ...packet, pings });
      if (type === PACKET_SHORT) break; // runs to the end of the datagram
    }
    if (plan.padTo !== null && built.length > 0) builder.padLastPacket(plan.padTo);
    const bytes = builder.endDatagram(0, 0, 0);
    assert.ok(bytes <= plan.maxBytes);
    assert.equal(bytes > 0, built.length > 0);
    return built;
  }

  function checkDatagram(tx: TxBatch, row: number, built: PlannedPacket[], keys: Iterator<[number, number]>): void {
    const start = tx.rows[row * TX_COLS + TX_OFF];
    const end = start + tx.rows[row * TX_COLS + TX_LEN];
    const header = new PacketHeader();
    const rows = new Int32Array(OPEN_COLS);
    let at = start;
    for (const packet of built) {
      assert.equal(parseHeader(tx.buf, at, end, DCID.length, header), DROP_NONE);
      assert.equal(header.type, packet.type);
      assert.equal(toHex(tx.buf.subarray(header.dcidStart, header.dcidStart + header.dcidLength)), toHex(DCID));
      if (packet.type === PACKET_INITIAL) {
        assert.equal(toHex(tx.buf.subarray(header.tokenStart, header.tokenEnd)), toHex(packet.token));
      }
      const [key, hp] = keys.next().value;
      rows[OPEN_OFF] = at;
      rows[OPEN_PN_OFF] = header.pnOffset;
      rows[OPEN_END] = header.end;
      rows[OPEN_HP] = hp;
      rows[OPEN_KEY] = key;
      const batch = { buf: tx.buf, rows, count: 1 };
      rows[OPEN_STATUS] = 0;
      aead.unmask(batch);
      assert.equal(rows[OPEN_PN_LEN], packet.pnLengthBytes);
      assert.equal(rows[OPEN_PN_LO] >>> 0, packet.pn % 2 ** (8 * packet.pnLengthBytes));
      rows[OPEN_PN_LO] = packet.pn | 0;
      rows[OPEN_PN_HI] = Math.floor(packet.pn / 2 ** 32);
      aead.open(batch);
      assert.equal(rows[OPEN_STATUS], OPEN_OK);
      const payload = tx.buf.subarray(header.pnOffset + packet.pnLengthBytes, header.end - TAG_BYTES);
      const padding = payload.length - packet.pings;
      assert.equal(toHex(payload), "01".repeat(packet.pings) + "00".repeat(padding));
      at = header.end;
    }
    assert.equal(at, end);
  }

  test("any plan of datagrams and packets, sealed and opened", () => {
    fc.assert(
      fc.property(fc.array(plannedDatagram, { minLength: 1, maxLength: 5 }), fc.nat(30), (plans, used) => {
        const tx = newTx(4000, 4);
        tx.used = used;
        const builder = builderOn(tx, 8);
        const slots: [number, number][] = [];
        const keys = (): [number, number] => {
          const key = new Uint8Array(16).fill(slots.length + 1);
          slots.push([aead.newKey(AEAD_AES_128_GCM, key, key.slice(0, 12)), aead.newHeaderKey(AEAD_AES_128_GCM, key)]);
          return slots[slots.length - 1] as [number, number];
        };
        const datagrams: PlannedPacket[][] = [];
        for (const plan of plans) {
          const built = build(builder, keys, plan);
          if (built !== null && built.length > 0) datagrams.push(built);
        }
        assert.equal(tx.count, datagrams.length);
        assert.equal(builder.seal.count, slots.length);
        assert.ok(tx.used <= tx.buf.length);
        assert.equal(aead.seal(builder.seal), slots.length);
        assert.equal(toHex(tx.buf.subarray(0, used)), "ee".repeat(used));
        const inOrder = slots[Symbol.iterator]() as Iterator<[number, number]>;
        let offset = used;
        datagrams.forEach((built, row) => {
          assert.equal(tx.rows[row * TX_COLS + TX_OFF], offset, "datagrams are back to back");
          offset += tx.rows[row * TX_COLS + TX_LEN];
          checkDatagram(tx, row, built, inOrder);
        });
        assert.equal(tx.used, offset);
        for (const [key, hp] of slots) {
          aead.freeKey(key);
          aead.freeHeaderKey(hp);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("Gather", () => {
  test("sources that come back soon share an entry; rows and sources are bounded", () => {
    const gather = new Gather(GATHER_MAX_SOURCES + 10);
    const rings = [new Uint8Array(8), new Uint8Array(8)];
    for (let i = 0; i < 6; i++) assert.ok(gather.add(rings[i % 2] as Uint8Array, i, 1, 100 + i));
    assert.deepEqual(gather.sources, rings);
    assert.deepEqual([...gather.rows.subarray(20, 24)], [1, 5, 1, 105]);
    for (let i = gather.sources.length; i < GATHER_MAX_SOURCES; i++) assert.ok(gather.add(new Uint8Array(1), 0, 1, 0));
    assert.equal(gather.add(new Uint8Array(1), 0, 1, 0), false, "too many sources");
    gather.clear();
    for (let i = 0; i < GATHER_MAX_SOURCES + 10; i++) assert.ok(gather.add(rings[0] as Uint8Array, 0, 1, i));
    assert.equal(gather.add(rings[0] as Uint8Array, 0, 1, 0), false, "too many rows");
  });
});
