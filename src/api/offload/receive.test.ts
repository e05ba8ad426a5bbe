import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Bench, newBench, plainPacket, protect, secrets, type Sent } from "./reference.contract.js";
import type { ReceivedPacket } from "./receive.js";

const CID = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const PEER = { address: "192.0.2.1", port: 4433 };
const own = secrets("aes-128-gcm", "a");

async function receiver(): Promise<Bench & { got: ReceivedPacket[] }> {
  const got: ReceivedPacket[] = [];
  const bench = await newBench({ onreceive: (packets) => got.push(...packets) });
  return { ...bench, got };
}

const from = (data: Uint8Array, peer = PEER): Sent => ({ ...peer, data });

describe("receive flows", () => {
  test("a batch is opened: numbers completed, plain header, frames without the tag", async () => {
    const { socket, udp, got, core } = await receiver();
    socket.addRxFlow({ ...own, cid: CID, nextPacketNumber: 0x10_0000 });
    const plain = [0, 1, 2, 3].map((i) => plainPacket(CID, 0x10_0000 + i, 200 + i, 0, i + 1));
    udp.arrive(...plain.map((each, i) => from(protect(each, 8, 0x10_0000 + i, own))));
    assert.equal(got.length, 4);
    for (const [i, packet] of got.entries()) {
      const opened = { packetNumber: 0x10_0000 + i, keyPhase: 0, cidLength: 8, payloadOffset: 10 + i };
      assert.deepEqual(packet, { ...PEER, data: plain[i], ecn: i, opened });
    }
    assert.equal(core.stat.QuicRxSwError, 0);
  });

  for (const cipher of ["aes-128-gcm", "aes-256-gcm", "aes-128-ccm", "chacha20-poly1305"] as const) {
    test(`${cipher}: what one socket protects another one opens, in both key phases`, async () => {
      const sender = await newBench();
      const { socket, udp, got } = await receiver();
      for (const keyPhase of [0, 1] as const) {
        const keys = secrets(cipher, `phase ${keyPhase}`, "one");
        sender.socket.addTxFlow({ ...keys, ...PEER, cid: CID, keyPhase });
        socket.addRxFlow({ ...keys, cid: CID, keyPhase });
      }
      const plain = [0, 1, 2].map((pn) => plainPacket(CID, pn, 100, pn === 1 ? 1 : 0));
      const to = { ...PEER, gsoSize: 116, nextPacketNumber: 0, cidLength: 8 };
      sender.socket.send(Buffer.concat(plain), to);
      udp.arrive(...sender.udp.sent);
      assert.deepEqual(
        got.map(({ data, opened }) => [data, opened?.packetNumber, opened?.keyPhase]),
        [
          [plain[0], 0, 0],
          [plain[1], 1, 1],
          [plain[2], 2, 0],
        ],
      );
    });
  }

  test("the next number follows what was opened, never what was forged", async () => {
    const { socket, udp, got } = await receiver();
    socket.addRxFlow({ ...own, cid: CID });
    for (const pn of [0, 100, 200, 300]) udp.arrive(from(protect(plainPacket(CID, pn, 60, 0, 1), 8, pn, own)));
    const forged = protect(plainPacket(CID, 500, 60, 0, 2), 8, 500, own);
    forged[59] ^= 1;
    udp.arrive(from(forged));
    udp.arrive(from(protect(plainPacket(CID, 310, 60, 0, 1), 8, 310, own)));
    assert.deepEqual(
      got.map(({ opened }) => opened?.packetNumber),
      [0, 100, 200, 300, undefined, 310],
    );
  });

  test("what does not open is handed on as it came and counted: forged, too short, of a phase without a key", async () => {
    const { socket, udp, got, core } = await receiver();
    socket.addRxFlow({ ...own, cid: CID });
    const good = plainPacket(CID, 1, 60);
    const forged = protect(plainPacket(CID, 2, 60), 8, 2, own);
    forged[40] ^= 0x80;
    const nextPhase = protect(plainPacket(CID, 3, 60, 1), 8, 3, secrets("aes-128-gcm", "b", "a"));
    const short = Uint8Array.of(0x40, ...CID, 1, 2, 3, 4, 5);
    const wire = [forged, protect(good, 8, 1, own), short, nextPhase];
    const copies = wire.map((each) => each.slice());
    udp.arrive(...wire.map((each) => from(each)));
    assert.deepEqual(
      got.map(({ data }) => data),
      [copies[0], good, copies[2], copies[3]],
    );
    assert.deepEqual(
      got.map(({ opened }) => opened !== null),
      [false, true, false, false],
    );
    assert.equal(core.stat.QuicRxSwError, 3);
  });

  test("long headers, unknown connection ids and empty datagrams are handed on and not counted", async () => {
    const { socket, udp, got, core } = await receiver();
    const data = [
      Uint8Array.of(0xc0, ...new Uint8Array(60)),
      protect(plainPacket(CID.slice().fill(9), 1, 60), 8, 1, own),
      new Uint8Array(0),
      Uint8Array.of(0x40),
      Uint8Array.of(0x01, ...CID, ...new Uint8Array(30)),
    ];
    udp.arrive(from(data[0]));
    socket.addRxFlow({ ...own, cid: CID });
    udp.arrive(...data.slice(1).map((each) => from(each)));
    assert.deepEqual(
      got.map((packet) => [packet.data, packet.opened]),
      data.map((each) => [each, null]),
    );
    assert.equal(core.stat.QuicRxSwError, 0);
  });

  test("a flow with an address takes its peer only, one without takes all, the longest connection id first", async () => {
    const { socket, udp, got } = await receiver();
    const keys = ["any", "peer", "longer", "empty"].map((seed) => secrets("aes-128-gcm", seed));
    const longer = Uint8Array.of(...CID, 9);
    const other = { address: "2001:db8::1", port: 1 };
    socket.addRxFlow({ ...keys[0], cid: CID });
    socket.addRxFlow({ ...keys[1], cid: CID, ...PEER });
    socket.addRxFlow({ ...keys[2], cid: longer });
    socket.addRxFlow({ ...keys[3], cid: new Uint8Array(0), ...other });
    const plain = [
      plainPacket(CID, 1, 60),
      plainPacket(CID, 1, 60),
      plainPacket(longer, 1, 60),
      plainPacket(new Uint8Array(0), 1, 60),
    ];
    udp.arrive(
      from(protect(plain[0], 8, 1, keys[0]), other),
      from(protect(plain[1], 8, 1, keys[1])),
      from(protect(plain[2], 9, 1, keys[2])),
      from(protect(plain[3], 0, 1, keys[3]), other),
    );
    assert.deepEqual(
      got.map(({ data, opened }) => [data, opened?.cidLength]),
      plain.map((each, i) => [each, [8, 8, 9, 0][i]]),
    );
  });

  test("a deleted flow opens nothing more", async () => {
    const { socket, udp, got } = await receiver();
    socket.addRxFlow({ ...own, cid: CID });
    socket.deleteRxFlow({ cid: CID });
    const wire = protect(plainPacket(CID, 1, 60), 8, 1, own);
    udp.arrive(from(wire));
    assert.deepEqual(got[0], { ...PEER, data: wire, ecn: 0, opened: null });
  });

  test("without onreceive datagrams are read and dropped; closing inside it ends the turn", async () => {
    const { udp } = await newBench();
    udp.arrive(from(Uint8Array.of(1)));
    let batches = 0;
    const bench = await newBench({
      onreceive: () => {
        batches++;
        bench.socket.close();
        bench.udp.arrive(from(Uint8Array.of(2)));
      },
    });
    bench.udp.arrive(from(Uint8Array.of(1)));
    assert.equal(batches, 1);
  });
});
