/** The offload on the loopback: real sockets, and node:crypto as the judge of every packet. */

import assert from "node:assert/strict";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { describe, test } from "node:test";
import { type OffloadSocket, openSocket, type OpenOptions, quicStat } from "#src/api/offload/index.js";
import type { ReceivedPacket } from "#src/api/offload/index.js";
import { plainPacket, protect, secrets } from "#src/api/offload/reference.contract.js";

const CID = Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1);
const own = secrets("aes-128-gcm", "loopback");
const WIRE_SIZES = [1200, 1200, 1200, 1200, 1200, 1200, 1200, 728];

/** 9,000 bytes of plaintext packets at a stride of 1,200 - 16, numbered from `pn`. */
function packets(pn: number): Uint8Array[] {
  return WIRE_SIZES.map((bytes, i) => plainPacket(CID, pn + i, bytes - 16));
}

interface Datagram {
  data: Uint8Array;
  from: RemoteInfo;
}

/** A plain UDP socket and what arrived at it. */
class PlainPeer {
  readonly got: Datagram[] = [];
  private readonly socket: Socket;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("message", (data, from) => this.got.push({ data: new Uint8Array(data), from }));
  }

  static async open(type: "udp4" | "udp6", address: string): Promise<PlainPeer> {
    const socket = createSocket({ type, recvBufferSize: 1 << 20 });
    const peer = new PlainPeer(socket);
    socket.bind(0, address);
    await once(socket, "listening");
    return peer;
  }

  get port(): number {
    return this.socket.address().port;
  }

  async wait(count: number): Promise<Datagram[]> {
    while (this.got.length < count) await once(this.socket, "message");
    return this.got;
  }

  close(): void {
    this.socket.close();
  }
}

async function attached(options: OpenOptions): Promise<OffloadSocket> {
  const socket = await openSocket(options);
  socket.attach("quic-crypto");
  return socket;
}

describe("the offload on the loopback", { timeout: 120_000 }, () => {
  for (const [what, type, peerAddress, ownAddress, to] of [
    ["IPv4", "udp4", "127.0.0.1", "127.0.0.1", "127.0.0.1"],
    ["IPv6", "udp6", "::1", "::1", "::1"],
    ["an IPv4-mapped address", "udp4", "127.0.0.1", "::", "::ffff:127.0.0.1"],
  ] as const) {
    test(`${what}: 9,000 bytes at 1,200 are seven full datagrams and one of 728, each as node:crypto makes it`, async () => {
      const peer = await PlainPeer.open(type, peerAddress);
      const socket = await attached({ address: ownAddress });
      try {
        socket.addTxFlow({ ...own, cid: CID, address: to, port: peer.port });
        const plain = packets(0);
        const whole = Buffer.concat(plain);
        const options = { address: to, port: peer.port, gsoSize: 1200, nextPacketNumber: 0, cidLength: 8 };
        assert.equal(socket.send([whole.subarray(0, 4444), whole.subarray(4444)], options), 9000);
        const got = await peer.wait(8);
        assert.deepEqual(
          got.map(({ data }) => data.length),
          WIRE_SIZES,
        );
        for (const [pn, { data, from }] of got.entries()) {
          assert.deepEqual(data, protect(plain[pn], 8, pn, own), `packet ${pn}`);
          assert.equal(from.port, socket.port);
        }
      } finally {
        socket.close();
        peer.close();
      }
    });
  }

  test("two flows of one socket, plain and bypassed messages between them", async () => {
    const peers = [await PlainPeer.open("udp4", "127.0.0.1"), await PlainPeer.open("udp4", "127.0.0.1")];
    const before = quicStat();
    const socket = await attached({ address: "127.0.0.1" });
    try {
      const keys = peers.map((_, i) => secrets(i === 0 ? "aes-256-gcm" : "chacha20-poly1305", "two"));
      for (const [i, { port }] of peers.entries()) {
        const to = { address: "127.0.0.1", port };
        assert.throws(() => socket.send(packets(0)[0], { ...to, nextPacketNumber: 0, cidLength: 8 }), {
          code: "EINVAL",
        });
        socket.addTxFlow({ ...keys[i], cid: CID, ...to });
      }
      const handshake = Uint8Array.of(0xe0, ...new Uint8Array(50).fill(7));
      for (const [i, { port }] of peers.entries()) {
        const to = { address: "127.0.0.1", port };
        for (const send of [
          () => socket.send(handshake, to),
          () => socket.send(packets(5)[0], { ...to, nextPacketNumber: 5, cidLength: 8 }),
          () => socket.send(packets(6)[0], { ...to, bypass: true }),
        ]) {
          send();
          await socket.writable();
        }
        const got = await peers[i].wait(3);
        assert.deepEqual(
          got.map(({ data }) => data),
          [handshake, protect(packets(5)[0], 8, 5, keys[i]), packets(6)[0]],
        );
      }
      const { QuicCurrTxSw, QuicTxSw, QuicTxSwError } = quicStat();
      assert.deepEqual(
        [QuicCurrTxSw - before.QuicCurrTxSw, QuicTxSw - before.QuicTxSw, QuicTxSwError - before.QuicTxSwError],
        [2, 2, 2],
      );
    } finally {
      socket.close();
      for (const peer of peers) peer.close();
    }
    assert.equal(quicStat().QuicCurrTxSw, before.QuicCurrTxSw);
  });

  test("1,600 packets in batches of 16 from one offload socket are opened by another", async () => {
    const got: ReceivedPacket[] = [];
    const { promise, resolve } = withResolvers();
    const receiver = await attached({
      address: "127.0.0.1",
      onreceive: (batch) => {
        got.push(...batch);
        if (got.length >= 1600) resolve();
      },
    });
    const sender = await attached({ address: "127.0.0.1" });
    try {
      const to = { address: "127.0.0.1", port: receiver.port };
      sender.addTxFlow({ ...own, cid: CID, ...to });
      receiver.addRxFlow({ ...own, cid: CID });
      for (let pn = 0; pn < 1600; pn += 16) {
        const batch = Buffer.concat(Array.from({ length: 16 }, (_, i) => plainPacket(CID, pn + i, 1000)));
        sender.send(batch, { ...to, gsoSize: 1016, nextPacketNumber: pn, cidLength: 8 });
        await sender.writable();
        // the receiver's socket buffer holds what a few batches bring, not what a machine can send
        while (pn + 16 - got.length >= 160) await new Promise((next) => setTimeout(next, 1));
      }
      await promise;
      for (const [pn, { data, opened, port }] of got.entries()) {
        assert.equal(opened?.packetNumber, pn);
        assert.equal(port, sender.port);
        assert.deepEqual(data, plainPacket(CID, pn, 1000));
      }
      assert.equal(got.length, 1600);
    } finally {
      sender.close();
      receiver.close();
    }
  });

  test("a bind that fails rejects with the system's code", async () => {
    const first = await openSocket({ address: "127.0.0.1" });
    await assert.rejects(openSocket({ address: "127.0.0.1", port: first.port }), { code: "EADDRINUSE" });
    first.close();
  });
});

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
