import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { DATAGRAM_ABANDONED, DATAGRAM_ACKNOWLEDGED, DATAGRAM_LOST, T_TOO_LARGE } from "../port/transport.js";
import { DATAGRAMS_OUT, MAX_DATAGRAM_FATES, MAX_DATAGRAM_OUT_BYTES } from "../proto/limits.js";
import { SPACE_APP } from "../proto/space.js";
import { DatagramsOut } from "./datagrams.js";
import { SentPackets } from "./sent.js";

const ROOM = 1400;
const buf = new Uint8Array(70_000);

let fates: [number, number][];
let out: DatagramsOut;
let sent: SentPackets;

beforeEach(() => {
  fates = [];
  out = new DatagramsOut({ noteDatagramFate: (id, fate) => void fates.push([id, fate]) });
  out.peerMaxBytes = 65_535;
  sent = new SentPackets(SPACE_APP);
  sent.open(0, 0);
});

function send(bytes: number): number {
  return out.send(new Uint8Array(bytes), out.maxPayload(ROOM));
}

describe("RFC 9221 §3 the size", () => {
  test("nothing can be sent to a peer that announced nothing", () => {
    out.peerMaxBytes = 0;
    assert.equal(out.maxPayload(ROOM), 0);
  });

  test("the largest payload is what both the packet and the peer take, less the frame's type", () => {
    assert.equal(out.maxPayload(ROOM), ROOM - 1);
    out.peerMaxBytes = 100;
    assert.equal(out.maxPayload(ROOM), 99);
    assert.equal(send(100), T_TOO_LARGE);
    assert.equal(send(99), 1);
  });

  test("the largest goes without a length to the end of the packet, behind PADDING where there is room", () => {
    send(ROOM - 1);
    assert.equal(out.fill(buf, 0, ROOM, sent, true), ROOM);
    assert.equal(buf[0], 0x30);
    send(ROOM - 2);
    assert.equal(out.fill(buf, 0, ROOM, sent, true), ROOM);
    assert.deepEqual([...buf.subarray(0, 2)], [0x00, 0x30]);
    send(ROOM - 3);
    assert.equal(out.fill(buf, 0, ROOM, sent, true), ROOM);
    assert.deepEqual([...buf.subarray(0, 3)], [0x31, 0x45, 0x75]);
  });

  test("the whole frame, length included, stays within the peer's limit", () => {
    out.peerMaxBytes = 70;
    send(69); // 1 + 2 + 69 would be 72
    assert.equal(out.fill(buf, 0, ROOM, sent, true), ROOM);
    assert.equal(buf[ROOM - 70], 0x30);
  });
});

describe("RFC 9221 §5 the queue", () => {
  test("many small ones share a packet, in order", () => {
    for (let id = 1; id <= 3; id++) assert.equal(send(10), id);
    assert.equal(out.fill(buf, 0, ROOM, sent, true), 3 * 12);
    assert.equal(out.hasPending, false);
    assert.equal(out.heldBytes, 0);
  });

  test("one that does not fit behind other frames waits for the next packet", () => {
    send(ROOM - 1);
    assert.equal(out.fill(buf, 5, ROOM, sent, false), 5);
    assert.equal(out.count, 1);
    assert.equal(out.fill(buf, 0, ROOM, sent, true), ROOM);
  });

  test("one that no packet of a narrower path holds is abandoned, the next one goes", () => {
    send(ROOM - 1);
    send(20);
    assert.equal(out.fill(buf, 0, 1000, sent, true), 22);
    assert.deepEqual(fates, [[1, DATAGRAM_ABANDONED]]);
  });

  test("when it is full the oldest makes room, or the new one is refused", () => {
    for (let i = 0; i <= DATAGRAMS_OUT; i++) send(1);
    assert.deepEqual(fates, [[1, DATAGRAM_ABANDONED]]);
    assert.equal(out.count, DATAGRAMS_OUT);
    out.dropsOldest = false;
    const id = send(1);
    assert.deepEqual(fates.at(-1), [id, DATAGRAM_ABANDONED]);
    assert.equal(out.count, DATAGRAMS_OUT);
  });

  test("it holds a bounded number of bytes", () => {
    out.maxWaiting = 1000;
    for (let i = 0; i < 40; i++) out.send(new Uint8Array(60_000), 60_000);
    assert.ok(out.heldBytes <= MAX_DATAGRAM_OUT_BYTES && out.heldBytes > MAX_DATAGRAM_OUT_BYTES - 60_000);
    out.abandonAll();
    assert.equal(out.heldBytes, 0);
    assert.equal(fates.length, 40);
  });
});

describe("RFC 9221 §5.2 fates", () => {
  test("each is told once: an acknowledgement after a loss is no news", () => {
    send(1);
    send(1);
    out.fill(buf, 0, ROOM, sent, true);
    out.onLost(1);
    out.onLost(1);
    out.onAcked(1);
    out.onAcked(2);
    assert.deepEqual(fates, [
      [1, DATAGRAM_LOST],
      [2, DATAGRAM_ACKNOWLEDGED],
    ]);
    assert.deepEqual([out.sent, out.lost, out.acknowledged], [2, 1, 1]);
  });

  test("what is remembered of lost ones is bounded", () => {
    for (let id = 1; id <= MAX_DATAGRAM_FATES + 1; id++) out.onLost(id);
    out.onAcked(2); // still known
    assert.equal(fates.length, MAX_DATAGRAM_FATES + 1);
    out.onAcked(1); // forgotten
    assert.equal(fates.length, MAX_DATAGRAM_FATES + 2);
  });
});
