import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  ADDR_COLS,
  ADDR_PORT,
  ECN_CE,
  ECN_UNKNOWN,
  RX_COLS,
  RX_ECN,
  RX_LEN,
  RX_OFF,
  RX_SOURCE,
  type RxBatch,
} from "../port/udp.js";
import { RX_BATCH_SLOTS } from "../proto/limits.js";
import { newRxBatch } from "../runtime/batch.js";
import { bindOf, Packer, unpack } from "./datagrams.js";

function address(port: number): Int32Array {
  const addr = Int32Array.from({ length: ADDR_COLS }, (_, i) => -i);
  addr[ADDR_PORT] = port;
  return addr;
}

const datagram = (text: string, ecn = 0) => ({ bytes: Buffer.from(text), ecn, atMicros: 1e12 });

function texts(rx: RxBatch): string[] {
  return Array.from({ length: rx.count }, (_, row) => {
    const at = row * RX_COLS;
    const off = rx.rows[at + RX_OFF];
    return Buffer.from(rx.buf.subarray(off, off + rx.rows[at + RX_LEN])).toString();
  });
}

describe("datagrams in messages", () => {
  test("arrive as they came: order, peers, local addresses, ECN marks, also those that cannot be told", () => {
    const packer = new Packer();
    for (const [i, ecn] of [0, ECN_CE, ECN_UNKNOWN].entries()) packer.add(address(i % 2), datagram(`${i}`, ecn));
    const rx = newRxBatch();
    const message = packer.take(7, null);
    assert.equal(bindOf(message), 7);
    assert.deepEqual(unpack(message, rx), { bind: 7, attempt: null });
    assert.deepEqual(texts(rx), ["0", "1", "2"]);
    assert.deepEqual([rx.count, rx.sourceCount, rx.proof], [3, 2, null]);
    assert.deepEqual(
      [0, 1, 2].map((row) => [rx.rows[row * RX_COLS + RX_SOURCE], rx.rows[row * RX_COLS + RX_ECN]]),
      [
        [0, 0],
        [1, ECN_CE],
        [0, ECN_UNKNOWN],
      ],
    );
    assert.deepEqual(rx.sources.subarray(ADDR_COLS, 2 * ADDR_COLS), address(1));
  });

  test("a first flight brings what the host found out; the next batch does not", () => {
    const packer = new Packer();
    packer.add(address(1), datagram("hello"));
    const proof = { validated: true, origDcid: Uint8Array.of(1, 2), retryScid: new Uint8Array(20) };
    const facts = { version: 0x6b3343cf, proof, dcid: new Uint8Array(8).fill(9), answerId: new Uint8Array(8).fill(7) };
    const rx = newRxBatch();
    assert.deepEqual(unpack(packer.take(1, facts), rx), { bind: 1, attempt: facts });
    assert.deepEqual(rx.proof, proof);
    packer.add(address(1), datagram("later"));
    unpack(packer.take(1, null), rx);
    assert.equal(rx.proof, null);
  });

  test("a message has 64 KiB and 16 peers at most; what does not fit waits for the next, or is never taken", () => {
    const packer = new Packer();
    for (let i = 0; i < RX_BATCH_SLOTS; i++) assert.ok(packer.add(address(i), datagram("x")));
    assert.ok(!packer.add(address(RX_BATCH_SLOTS), datagram("x")));
    assert.ok(packer.add(address(0), datagram("x")));
    packer.take(1, null);
    const large = { ...datagram(""), bytes: new Uint8Array(1400) };
    let count = 0;
    while (packer.add(address(1), large)) count++;
    const message = packer.take(1, null);
    assert.ok(message.length <= 65_536 && message.length > 65_536 - 1600);
    assert.equal(unpack(message, newRxBatch())?.bind, 1);
    assert.equal(count, Math.floor((65_536 - 220) / 1412));
    assert.ok(!packer.add(address(1), { ...large, bytes: new Uint8Array(65_536) }));
    assert.ok(packer.isEmpty);
  });

  test("B06 whatever byte is changed or cut off, it is read whole or not at all, and within its bounds", () => {
    const packer = new Packer();
    packer.add(address(1), datagram("first"));
    packer.add(address(2), datagram("second"));
    const message = packer.take(3, {
      version: 1,
      dcid: new Uint8Array(8),
      answerId: new Uint8Array(8),
      proof: { validated: false, origDcid: null, retryScid: null },
    });
    const rx = newRxBatch();
    const inBounds = (): boolean => {
      let end = 0;
      for (let row = 0; row < rx.count; row++) {
        const at = row * RX_COLS;
        if (rx.rows[at + RX_OFF] !== end || rx.rows[at + RX_SOURCE] >= rx.sourceCount) return false;
        end += rx.rows[at + RX_LEN];
      }
      return end <= message.length;
    };
    for (let length = 0; length < message.length; length++) {
      assert.equal(unpack(message.subarray(0, length), rx), null, `${length} bytes`);
      assert.equal(rx.count, 0);
    }
    for (let at = 0; at < message.length; at++) {
      for (const value of [0, 1, 2, 127, 128, 255]) {
        const changed = message.slice();
        changed[at] = value;
        if (unpack(changed, rx) === null) assert.equal(rx.count, 0);
        else assert.ok(inBounds(), `byte ${at} = ${value}`);
      }
    }
  });
});
