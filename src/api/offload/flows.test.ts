import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { chooseDatapath } from "../../runtime/choose.js";
import type { OffloadError } from "./error.js";
import type { TxFlow } from "./flow-info.js";
import { MemoryUdp, newBench, plainPacket, protect, secrets } from "./reference.contract.js";
import { KeyRing } from "./key-ring.js";
import { newQuicStat } from "./counters.js";
import { OffloadSocket } from "./socket.js";

const CID = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const PEER = { address: "192.0.2.1", port: 4433 };
const own = secrets("aes-128-gcm", "a");
const FLOW: TxFlow = { ...own, ...PEER, cid: CID };

async function plainSocket(): Promise<OffloadSocket> {
  const { aead } = chooseDatapath();
  const core = { udp: new MemoryUdp(), aead, keys: new KeyRing(aead), stat: newQuicStat() };
  return await OffloadSocket.open(core, {});
}

describe("attaching a ULP to a UDP socket", () => {
  test("an unknown name is ENOENT, before and after one was attached", async () => {
    const socket = await plainSocket();
    assert.throws(() => socket.attach("tls"), { code: "ENOENT", errno: -2, syscall: "setsockopt" });
    assert.throws(() => socket.attach("x".repeat(16)), { code: "ENOENT" });
    socket.attach("quic-crypto");
    assert.throws(() => socket.attach("tls"), { code: "ENOENT" });
  });

  test("a second attach is EEXIST", async () => {
    const socket = await plainSocket();
    socket.attach("quic-crypto");
    assert.throws(() => socket.attach("quic-crypto"), { code: "EEXIST" });
  });

  test("a name of more than 16 bytes is EINVAL, what is no string EFAULT", async () => {
    const socket = await plainSocket();
    assert.throws(() => socket.attach("x".repeat(17)), { code: "EINVAL" });
    assert.throws(() => socket.attach(7 as unknown as string), { code: "EFAULT" });
  });

  test("the name can be read back, and is empty when there is none", async () => {
    const socket = await plainSocket();
    assert.equal(socket.ulp, "");
    socket.attach("quic-crypto");
    assert.equal(socket.ulp, "quic-crypto");
  });

  test("flow options of a socket without the ULP are ENOPROTOOPT", async () => {
    const socket = await plainSocket();
    assert.throws(() => socket.addTxFlow(FLOW), { code: "ENOPROTOOPT" });
    assert.throws(() => socket.deleteTxFlow(FLOW), { code: "ENOPROTOOPT" });
    assert.throws(() => socket.addRxFlow(FLOW), { code: "ENOPROTOOPT" });
    assert.throws(() => socket.deleteRxFlow(FLOW), { code: "ENOPROTOOPT" });
  });
});

describe("adding and deleting flows", () => {
  const wrong: [string, Record<string, unknown>][] = [
    ["a key of 15 bytes", { key: own.key.slice(1) }],
    ["a key of another cipher's length", { cipher: "aes-256-gcm" }],
    ["an IV of 8 bytes", { iv: own.iv.slice(4) }],
    ["a header key of 32 bytes", { headerKey: new Uint8Array(32) }],
    ["a connection id of 21 bytes", { cid: new Uint8Array(21) }],
    ["an unknown cipher number", { cipher: 50 }],
    ["an unknown cipher name", { cipher: "aes-192-gcm" }],
    ["a key phase of 2", { keyPhase: 2 }],
    ["a host name", { address: "localhost" }],
    ["port 0", { port: 0 }],
    ["no port", { port: undefined }],
  ];
  for (const [what, change] of wrong) {
    test(`${what} is EINVAL, and nothing was added`, async () => {
      const { socket, core } = await newBench();
      assert.throws(() => socket.addTxFlow({ ...FLOW, ...change } as TxFlow), { code: "EINVAL" });
      assert.throws(() => socket.addRxFlow({ ...FLOW, ...change } as TxFlow), { code: "EINVAL" });
      assert.deepEqual(core.stat, newQuicStat());
    });
  }

  for (const [what, flow] of [
    ["no object", null],
    ["no key", { ...FLOW, key: undefined }],
    ["a key in hexadecimal", { ...FLOW, key: "00112233445566778899aabbccddeeff" }],
    ["no connection id", { ...FLOW, cid: undefined }],
  ] as [string, unknown][]) {
    test(`${what} is EFAULT, as a bad pointer is`, async () => {
      const { socket } = await newBench();
      assert.throws(() => socket.addTxFlow(flow as TxFlow), { code: "EFAULT", errno: -14 });
    });
  }

  test("ciphers 51 to 54 are the same as their names", async () => {
    const { socket, udp } = await newBench();
    const names = ["aes-128-gcm", "aes-256-gcm", "aes-128-ccm", "chacha20-poly1305"] as const;
    for (const [i, name] of names.entries()) {
      const keys = secrets(name, "numbers");
      const cid = Uint8Array.of(i, 9, 9, 9);
      socket.addTxFlow({ ...keys, ...PEER, cid, cipher: 51 + i });
      const plain = plainPacket(cid, 7, 40);
      socket.send(plain, { ...PEER, nextPacketNumber: 7, cidLength: 4 });
      assert.deepEqual(udp.sent[i].data, protect(plain, 4, 7, keys), name);
    }
  });

  test("a flow that is there already is EEXIST, and so is its other spelling as an IPv4-mapped address", async () => {
    const { socket } = await newBench();
    socket.addTxFlow(FLOW);
    assert.throws(() => socket.addTxFlow(FLOW), { code: "EEXIST" });
    assert.throws(() => socket.addTxFlow({ ...FLOW, address: "::ffff:192.0.2.1" }), { code: "EEXIST" });
  });

  test("address, port and connection id each make another flow", async () => {
    const { socket, core } = await newBench();
    const others: Partial<TxFlow>[] = [{}, { address: "192.0.2.2" }, { port: 4434 }, { cid: CID.slice(1) }];
    for (const change of others) socket.addTxFlow({ ...FLOW, ...change });
    assert.equal(core.stat.QuicCurrTxSw, 4);
    for (const change of others) socket.deleteTxFlow({ ...FLOW, ...change });
    assert.equal(core.stat.QuicCurrTxSw, 0);
  });

  test("deleting an unknown flow or phase is EINVAL", async () => {
    const { socket } = await newBench();
    assert.throws(() => socket.deleteTxFlow(FLOW), { code: "EINVAL" });
    socket.addTxFlow(FLOW);
    assert.throws(() => socket.deleteTxFlow({ ...FLOW, port: 1 }), { code: "EINVAL" });
    assert.throws(() => socket.deleteTxFlow({ ...FLOW, keyPhase: 1 }), { code: "EINVAL" });
    socket.deleteTxFlow(FLOW);
    assert.throws(() => socket.deleteTxFlow(FLOW), { code: "EINVAL" });
  });

  test("a second key phase joins its flow; another header key or cipher for it is EINVAL", async () => {
    const { socket, core } = await newBench();
    const next = secrets("aes-128-gcm", "b", "a");
    socket.addTxFlow({ ...FLOW, keyPhase: 0 });
    assert.throws(() => socket.addTxFlow({ ...FLOW, ...secrets("aes-128-gcm", "b"), keyPhase: 1 }), { code: "EINVAL" });
    assert.throws(() => socket.addTxFlow({ ...FLOW, ...next, cipher: "aes-128-ccm", keyPhase: 1 }), { code: "EINVAL" });
    socket.addTxFlow({ ...FLOW, ...next, keyPhase: 1 });
    assert.throws(() => socket.addTxFlow({ ...FLOW, ...next, keyPhase: 1 }), { code: "EEXIST" });
    assert.deepEqual([core.stat.QuicCurrTxSw, core.stat.QuicTxSw], [1, 1]);
    socket.deleteTxFlow({ ...FLOW, keyPhase: 0 });
    assert.equal(core.stat.QuicCurrTxSw, 1);
    socket.deleteTxFlow({ ...FLOW, keyPhase: 1 });
    assert.equal(core.stat.QuicCurrTxSw, 0);
  });

  test("a flow does not change when the caller reuses its arrays", async () => {
    const { socket, udp } = await newBench();
    const mine = { ...own, key: own.key.slice(), iv: own.iv.slice(), headerKey: own.headerKey.slice() };
    const cid = CID.slice();
    socket.addTxFlow({ ...mine, ...PEER, cid });
    for (const bytes of [mine.key, mine.iv, mine.headerKey, cid]) bytes.fill(0);
    const plain = plainPacket(CID, 1, 30);
    socket.send(plain, { ...PEER, nextPacketNumber: 1, cidLength: 8 });
    assert.deepEqual(udp.sent[0].data, protect(plain, 8, 1, own));
  });

  test("a receive flow without an address takes any peer, unless its connection id is empty", async () => {
    const { socket } = await newBench();
    socket.addRxFlow({ ...own, cid: CID });
    assert.throws(() => socket.addRxFlow({ ...own, cid: new Uint8Array(0) }), { code: "EINVAL" });
    assert.throws(() => socket.addRxFlow({ ...own, cid: CID, address: "192.0.2.1" }), { code: "EINVAL" });
    assert.throws(() => socket.addRxFlow({ ...FLOW, nextPacketNumber: -1 }), { code: "EINVAL" });
    socket.deleteRxFlow({ cid: CID });
    assert.throws(() => socket.deleteRxFlow({ cid: CID }), { code: "EINVAL" });
  });
});

describe("the counters", () => {
  test("flows now, flows ever and failed packets; all flows go when the socket closes", async () => {
    const { socket, core, udp } = await newBench();
    const { stat } = core;
    for (const port of [1, 2, 3]) socket.addTxFlow({ ...FLOW, port });
    socket.deleteTxFlow({ ...FLOW, port: 2 });
    socket.addRxFlow(FLOW);
    assert.deepEqual([stat.QuicCurrTxSw, stat.QuicTxSw, stat.QuicTxSwError], [2, 3, 0]);
    assert.deepEqual([stat.QuicCurrRxSw, stat.QuicRxSw, stat.QuicRxSwError], [1, 1, 0]);
    const two = new Uint8Array(2 * 100).fill(0x40);
    const to = { ...PEER, gsoSize: 116, nextPacketNumber: 0, cidLength: 8 };
    assert.throws(() => socket.send(two, to), { code: "EINVAL" });
    assert.equal(stat.QuicTxSwError, 2);
    socket.close();
    socket.close();
    assert.ok(udp.closed);
    assert.deepEqual([stat.QuicCurrTxSw, stat.QuicTxSw, stat.QuicTxSwError], [0, 3, 2]);
    assert.deepEqual([stat.QuicCurrRxSw, stat.QuicRxSw], [0, 1]);
  });

  test("a closed socket is EBADF for every call but close", async () => {
    const { socket } = await newBench();
    socket.close();
    const calls: (() => unknown)[] = [
      () => socket.attach("quic-crypto"),
      () => socket.addTxFlow(FLOW),
      () => socket.deleteTxFlow(FLOW),
      () => socket.addRxFlow(FLOW),
      () => socket.deleteRxFlow(FLOW),
      () => socket.send(Uint8Array.of(0), PEER),
      () => (socket.gsoSize = 1200),
      () => socket.ulp,
      () => socket.port,
      () => socket.address,
      () => socket.unref(),
    ];
    for (const call of calls) assert.throws(call, { code: "EBADF" }, String(call));
    await assert.rejects(socket.writable(), { code: "EBADF" });
  });

  test("a socket that fails is closed and says why", async () => {
    const errors: Error[] = [];
    const { socket, udp, core } = await newBench({ onerror: (error) => errors.push(error) });
    socket.addTxFlow(FLOW);
    udp.isFull = true;
    socket.send(Uint8Array.of(0), PEER);
    const waiting = assert.rejects(socket.writable(), { code: "EBADF" });
    udp.fail(new Error("gone"));
    await waiting;
    assert.deepEqual(errors, [new Error("gone")]);
    assert.equal(core.stat.QuicCurrTxSw, 0);
    const unheard = await newBench();
    assert.throws(() => unheard.udp.fail(new Error("gone")), /gone/);
  });

  test("errors say the call, the code and its number, and what was wrong", async () => {
    const { socket } = await newBench();
    assert.throws(
      () => socket.deleteTxFlow(FLOW),
      (error: OffloadError) => {
        assert.deepEqual(
          [error.name, error.code, error.errno, error.syscall],
          ["OffloadError", "EINVAL", -22, "setsockopt"],
        );
        assert.equal(error.message, "setsockopt EINVAL: no such flow");
        return true;
      },
    );
  });
});
