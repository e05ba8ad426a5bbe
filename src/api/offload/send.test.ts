import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { AeadPort } from "../../port/aead.js";
import { chooseDatapath } from "../../runtime/choose.js";
import { newNativeAead } from "../../runtime/native/aead.js";
import { newPortableAead } from "../../runtime/portable/aead.js";
import type { CipherName } from "./constants.js";
import { type Bench, newBench, plainPacket, protect, secrets } from "./reference.contract.js";
import type { SendOptions } from "./send-options.js";
import { OffloadSocket } from "./socket.js";

const CID = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const PEER = { address: "192.0.2.1", port: 4433 };
const own = secrets("aes-128-gcm", "a");
const CIPHERS: CipherName[] = ["aes-128-gcm", "aes-256-gcm", "aes-128-ccm", "chacha20-poly1305"];

/** The packet of the AES-128-GCM vector, written down once: no implementation agrees with it by changing. */
const VECTOR =
  "53086bbf8882b91249edcb7a7d2b8ebf9a941ec22fae224894bae2a3ee90e1f025d7ce6b4350ddc5406d7641f5040fcaa92bc4907e";

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));
const options = (nextPacketNumber: number, more: Partial<SendOptions> = {}): SendOptions => ({
  ...PEER,
  nextPacketNumber,
  cidLength: 8,
  ...more,
});

/** Packets numbered from `pn` at `stride`, the last one of `lastBytes`. */
function batch(pn: number, count: number, stride: number, lastBytes = stride): Uint8Array {
  const packets = Array.from({ length: count }, (_, i) => {
    return plainPacket(CID, pn + i, i === count - 1 ? lastBytes : stride);
  });
  return new Uint8Array(Buffer.concat(packets));
}

async function withFlow(): Promise<Bench> {
  const bench = await newBench();
  bench.socket.addTxFlow({ ...own, ...PEER, cid: CID });
  return bench;
}

/** A refused batch sends nothing, uses no packet number and counts `packets` failures. */
async function refuses(code: string, packets: number, data: Uint8Array | Uint8Array[], to: SendOptions): Promise<void> {
  const { socket, udp, core } = await withFlow();
  assert.throws(() => socket.send(data, to), { name: "OffloadError", code, syscall: "sendmsg" });
  assert.equal(udp.sent.length, 0);
  assert.equal(core.stat.QuicTxSwError, packets);
  const plain = plainPacket(CID, 0, 60);
  assert.equal(socket.send(plain, options(0)), 60);
  assert.deepEqual(udp.sent[0].data, protect(plain, 8, 0, own));
}

for (const [name, newAead] of [
  ["openssl-evp", newNativeAead],
  ["node:crypto", newPortableAead],
] as [string, () => AeadPort][]) {
  describe(`packets protected by ${name}`, () => {
    test("the ChaCha20-Poly1305 packet of RFC 9001 §A.5: next number 0x2700bff5, 5 bytes become 21", async () => {
      const { socket, udp } = await newBench({}, newAead());
      const cid = new Uint8Array(0);
      socket.addTxFlow({
        ...PEER,
        cid,
        cipher: "chacha20-poly1305",
        key: hex("c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8"),
        iv: hex("e0459b3474bdd0e44a41c144"),
        headerKey: hex("25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4"),
      });
      assert.equal(socket.send(hex("4200bff401"), options(0x2700bff5, { cidLength: 0 })), 5);
      assert.deepEqual(udp.sent[0].data, hex("4cfe4189655e5cd55c41f69080575d7999c25a5bfb"));
    });

    test("an AES-128-GCM packet: connection id 086bbf8882b91249, next number 0x0d65c9, 37 bytes become 53", async () => {
      const { socket, udp } = await newBench({}, newAead());
      const cid = hex("086bbf8882b91249");
      const keys = {
        key: hex("000102030405060708090a0b0c0d0e0f"),
        iv: hex("101112131415161718191a1b"),
        headerKey: hex("202122232425262728292a2b2c2d2e2f"),
      };
      socket.addTxFlow({ ...PEER, ...keys, cid, cipher: "aes-128-gcm" });
      const plain = plainPacket(cid, 0x0d65c9, 37, 0, 3);
      assert.equal(socket.send(plain, options(0x0d65c9)), 37);
      const [{ data }] = udp.sent;
      assert.equal(data.length, 53);
      assert.deepEqual(data, protect(plain, 8, 0x0d65c9, { ...keys, cipher: "aes-128-gcm" }));
      assert.equal(Buffer.from(data).toString("hex"), VECTOR);
    });

    for (const cipher of CIPHERS) {
      test(`${cipher}: every packet number length and key phase is as node:crypto makes it`, async () => {
        const { socket, udp } = await newBench({}, newAead());
        const phases = [secrets(cipher, "a"), secrets(cipher, "b", "a")];
        for (const keyPhase of [0, 1] as const) socket.addTxFlow({ ...phases[keyPhase], ...PEER, cid: CID, keyPhase });
        let pn = 0x1234_5678;
        for (const keyPhase of [0, 1] as const) {
          for (const pnLength of [1, 2, 3, 4]) {
            const plain = plainPacket(CID, ++pn, 300 + pnLength, keyPhase, pnLength);
            plain[0] |= 0x20; // the spin bit is the caller's
            socket.send(plain, options(pn));
            assert.deepEqual(udp.sent.pop()?.data, protect(plain, 8, pn, phases[keyPhase]), `${keyPhase} ${pnLength}`);
          }
        }
      });
    }
  });
}

describe("slicing", () => {
  test("9,000 bytes at 1,200 leave as seven full datagrams and one of 728, from two pieces", async () => {
    const { socket, udp } = await withFlow();
    const data = batch(0, 8, 1184, 9000 - 7 * 1184);
    assert.equal(socket.send([data.subarray(0, 4000), data.subarray(4000)], options(0, { gsoSize: 1200 })), 9000);
    assert.deepEqual(
      udp.sent.map((each) => each.data.length),
      [1200, 1200, 1200, 1200, 1200, 1200, 1200, 728],
    );
    for (const [i, sent] of udp.sent.entries()) {
      const plain = data.subarray(i * 1184, Math.min((i + 1) * 1184, 9000));
      assert.deepEqual(sent, { ...PEER, data: protect(plain, 8, i, own) }, `packet ${i}`);
    }
  });

  test("pieces may end anywhere, and be empty", async () => {
    const data = batch(0, 3, 100, 41);
    for (let cut = 0; cut <= data.length; cut++) {
      const { socket, udp } = await withFlow();
      const pieces = [new Uint8Array(0), data.subarray(0, cut), data.subarray(cut), new Uint8Array(0)];
      assert.equal(socket.send(pieces, options(0, { gsoSize: 116 })), 241);
      const wire = udp.sent.map((each) => each.data);
      assert.deepEqual(
        wire,
        [0, 1, 2].map((i) => protect(data.subarray(i * 100, i * 100 + 100), 8, i, own)),
        `${cut}`,
      );
    }
  });

  test("without a segment size the whole message is one packet", async () => {
    const { socket, udp } = await withFlow();
    const plain = plainPacket(CID, 0, 60_000);
    assert.equal(socket.send(plain, options(0)), 60_000);
    assert.deepEqual(udp.sent[0].data, protect(plain, 8, 0, own));
  });

  test("the segment size of the socket holds, and that of the message overrides it", async () => {
    const { socket, udp } = await withFlow();
    socket.gsoSize = 116;
    assert.equal(socket.gsoSize, 116);
    socket.send(batch(0, 2, 100), options(0));
    socket.send(batch(2, 2, 200), options(2, { gsoSize: 216 }));
    socket.send(batch(4, 1, 400), options(4, { gsoSize: 0 }));
    assert.deepEqual(
      udp.sent.map((each) => each.data.length),
      [116, 116, 216, 216, 416],
    );
  });

  test("a segment size that leaves nothing beside the tag is EINVAL", async () => {
    await refuses("EINVAL", 1, batch(0, 1, 100), options(0, { gsoSize: 15 }));
    await refuses("EINVAL", 1, batch(0, 1, 100), options(0, { gsoSize: 16 }));
  });

  for (const gsoSize of [-1, 1.5, 65_536, Number.NaN, "1200" as unknown as number]) {
    test(`a segment size of ${String(gsoSize)} is EINVAL`, async () => {
      const { socket } = await withFlow();
      assert.throws(() => socket.send(batch(0, 1, 100), options(0, { gsoSize })), {
        code: "EINVAL",
        syscall: "sendmsg",
      });
      assert.throws(() => (socket.gsoSize = gsoSize), { code: "EINVAL", syscall: "setsockopt" });
    });
  }
});

describe("packet numbers", () => {
  test("the truncated number is completed to the one closest to the next number, below and above", async () => {
    for (const [next, pnLength, pn] of [
      [0x2700bff5, 3, 0x2700bff4],
      [0x100, 1, 0xff],
      [0x100, 1, 0x17f],
      [0x10000, 2, 0xffff],
      [0x1_0000_0000, 4, 0xffff_ffff],
      [0x1_0000_0000, 4, 0x1_0000_0001],
      [2 ** 53 - 1, 2, 2 ** 53 - 1],
    ]) {
      const { socket, udp } = await withFlow();
      const plain = plainPacket(CID, pn, 50, 0, pnLength);
      socket.send(plain, options(next));
      assert.deepEqual(udp.sent[0].data, protect(plain, 8, pn, own), `${next} ${pnLength} ${pn}`);
    }
  });

  test("a number that was used, or passed over, is EINVAL: no nonce is used twice", async () => {
    const { socket, udp, core } = await withFlow();
    socket.send(plainPacket(CID, 10, 50), options(10));
    for (const pn of [10, 9, 0])
      assert.throws(() => socket.send(plainPacket(CID, pn, 50), options(pn)), { code: "EINVAL" });
    assert.throws(() => socket.send(batch(10, 2, 100), options(10, { gsoSize: 116 })), { code: "EINVAL" });
    assert.deepEqual([udp.sent.length, core.stat.QuicTxSwError], [1, 5]);
    socket.send(plainPacket(CID, 11, 50), options(11));
    assert.equal(udp.sent.length, 2);
  });

  test("within a batch too: equal or falling numbers are EINVAL", async () => {
    const same = Buffer.concat([plainPacket(CID, 5, 100), plainPacket(CID, 5, 100)]);
    await refuses("EINVAL", 2, same, options(5, { gsoSize: 116 }));
    const falling = Buffer.concat([plainPacket(CID, 6, 100), plainPacket(CID, 5, 100)]);
    await refuses("EINVAL", 2, falling, options(5, { gsoSize: 116 }));
  });

  test("one key in two flows, as in a migration, has one count of numbers", async () => {
    const { socket, udp } = await withFlow();
    const there = { address: "192.0.2.9", port: 1234 };
    socket.addTxFlow({ ...own, ...there, cid: CID });
    socket.send(plainPacket(CID, 3, 50), options(3));
    assert.throws(() => socket.send(plainPacket(CID, 3, 50), { ...options(3), ...there }), { code: "EINVAL" });
    socket.deleteTxFlow({ ...PEER, cid: CID });
    assert.throws(() => socket.send(plainPacket(CID, 3, 50), { ...options(3), ...there }), { code: "EINVAL" });
    const plain = plainPacket(CID, 4, 50);
    socket.send(plain, { ...options(4), ...there });
    assert.deepEqual(udp.sent[1], { ...there, data: protect(plain, 8, 4, own) });
  });

  for (const next of [-1, 0.5, 2 ** 53, Number.NaN, "0" as unknown as number]) {
    test(`a next number of ${String(next)} is EINVAL`, () =>
      refuses("EINVAL", 1, plainPacket(CID, 0, 60), options(next)));
  }
});

describe("flow lookup", () => {
  const plain = plainPacket(CID, 0, 60);

  test("another address, port or connection id is EINVAL", async () => {
    await refuses("EINVAL", 1, plain, options(0, { address: "192.0.2.2" }));
    await refuses("EINVAL", 1, plain, options(0, { port: 4434 }));
    await refuses("EINVAL", 1, plainPacket(CID.slice().fill(9), 0, 60), options(0));
  });

  test("the connection id has the length that the message says", async () => {
    await refuses("EINVAL", 1, plain, options(0, { cidLength: 7 }));
    for (const cidLength of [-1, 21, 1.5]) await refuses("EINVAL", 1, plain, options(0, { cidLength }));
  });

  test("each packet of a batch has a flow, or nothing is sent", async () => {
    const data = Buffer.concat([plainPacket(CID, 0, 100), plainPacket(CID.slice().fill(9), 1, 100)]);
    await refuses("EINVAL", 2, data, options(0, { gsoSize: 116 }));
  });

  test("packets of two flows and two phases share a batch", async () => {
    const { socket, udp } = await withFlow();
    const cids = [CID, CID.slice().fill(7)];
    const keys = [own, secrets("chacha20-poly1305", "c"), secrets("aes-128-gcm", "d", "a")];
    socket.addTxFlow({ ...keys[1], ...PEER, cid: cids[1] });
    socket.addTxFlow({ ...keys[2], ...PEER, cid: CID, keyPhase: 1 });
    const packets = [
      plainPacket(cids[0], 5, 100),
      plainPacket(cids[1], 5, 100),
      plainPacket(cids[0], 6, 100, 1),
      plainPacket(cids[0], 7, 100),
      plainPacket(cids[1], 6, 100),
    ];
    socket.send(Buffer.concat(packets), options(5, { gsoSize: 116 }));
    const used = [keys[0], keys[1], keys[2], keys[0], keys[1]];
    for (const [i, pn] of [5, 5, 6, 7, 6].entries()) {
      assert.deepEqual(udp.sent[i].data, protect(packets[i], 8, pn, used[i]), `packet ${i}`);
    }
  });

  test("a key phase without a key is EINVAL until its key is added", async () => {
    const { socket, udp } = await withFlow();
    const next = secrets("aes-128-gcm", "b", "a");
    const updated = plainPacket(CID, 1, 60, 1);
    assert.throws(() => socket.send(updated, options(1)), { code: "EINVAL" });
    socket.addTxFlow({ ...next, ...PEER, cid: CID, keyPhase: 1 });
    socket.send(updated, options(1));
    assert.deepEqual(udp.sent[0].data, protect(updated, 8, 1, next));
    socket.deleteTxFlow({ ...PEER, cid: CID, keyPhase: 0 });
    assert.throws(() => socket.send(plainPacket(CID, 2, 60), options(2)), { code: "EINVAL" });
  });

  test("an IPv6 flow, and an IPv4 one written as an IPv4-mapped address", async () => {
    const { socket, udp } = await newBench({ address: "::" });
    for (const [i, address] of ["2001:db8::1", "::ffff:192.0.2.7"].entries()) {
      socket.addTxFlow({ ...secrets("aes-128-gcm", address), port: 443, address, cid: CID });
      socket.send(plain, { ...options(0), address, port: 443 });
      assert.equal(udp.sent[i].address, ["2001:db8::1", "192.0.2.7"][i]);
      assert.deepEqual(udp.sent[i].data, protect(plain, 8, 0, secrets("aes-128-gcm", address)));
    }
    socket.send(plainPacket(CID, 1, 60), { ...options(1), address: "192.0.2.7", port: 443 });
    assert.equal(udp.sent.length, 3);
  });

  test("an IPv6 peer of an IPv4 socket is EAFNOSUPPORT, a name or a bad port EINVAL", async () => {
    const { socket } = await withFlow();
    assert.throws(() => socket.send(plain, options(0, { address: "::1" })), { code: "EAFNOSUPPORT" });
    assert.throws(() => socket.send(plain, options(0, { address: "localhost" })), { code: "EINVAL" });
    assert.throws(() => socket.send(plain, options(0, { port: 0 })), { code: "EINVAL" });
  });
});

describe("what is not protected", () => {
  for (const [what, data] of [
    ["a long header", Uint8Array.of(0xc0, ...new Uint8Array(99).fill(1))],
    ["a first byte of 00", new Uint8Array(100)],
    ["a first byte of 10", Uint8Array.of(0x80, ...new Uint8Array(99).fill(1))],
    ["one byte", Uint8Array.of(0x40)],
    ["nothing", new Uint8Array(0)],
  ] as [string, Uint8Array][]) {
    test(`${what} is an ordinary UDP send`, async () => {
      const { socket, udp, core } = await withFlow();
      assert.equal(socket.send(data, PEER), data.length);
      assert.equal(socket.send([new Uint8Array(0), data], options(0)), data.length);
      assert.deepEqual(udp.sent, [
        { ...PEER, data },
        { ...PEER, data },
      ]);
      assert.equal(core.stat.QuicTxSwError, 0);
    });
  }

  test("an ordinary send is cut at the segment size itself", async () => {
    const { socket, udp } = await withFlow();
    socket.send(new Uint8Array(250), { ...PEER, gsoSize: 100 });
    assert.deepEqual(
      udp.sent.map((each) => each.data.length),
      [100, 100, 50],
    );
  });

  test("the bypass flag passes the whole batch through untouched, as an option or a flag", async () => {
    for (const bypass of [{ bypass: true }, { flags: 1 }]) {
      const { socket, udp } = await withFlow();
      const data = batch(0, 2, 100, 60);
      assert.equal(socket.send(data, { ...PEER, gsoSize: 100, ...bypass }), 160);
      assert.deepEqual(
        udp.sent.map((each) => each.data),
        [data.subarray(0, 100), data.subarray(100)],
      );
    }
  });

  test("unknown flag bits are EINVAL", async () => {
    for (const flags of [2, 3, -1, 1.5, 2 ** 32])
      await refuses("EINVAL", 1, plainPacket(CID, 0, 60), options(0, { flags }));
  });

  test("a short header packet without its ancillary data is EINVAL, never sent in the clear", async () => {
    await refuses("EINVAL", 1, plainPacket(CID, 0, 60), PEER);
    await refuses("EINVAL", 1, plainPacket(CID, 0, 60), { ...PEER, cidLength: 8 });
    await refuses("EINVAL", 1, plainPacket(CID, 0, 60), { ...PEER, nextPacketNumber: 0 });
  });

  test("a packet of a batch without a short header is EINVAL", async () => {
    const data = batch(0, 2, 100);
    data[100] = 0xc1;
    await refuses("EINVAL", 2, data, options(0, { gsoSize: 116 }));
  });

  test("a packet too short for its header sample is EINVAL", async () => {
    await refuses("EINVAL", 1, plainPacket(CID, 0, 12), options(0));
    await refuses("EINVAL", 2, batch(0, 2, 100, 12), options(0, { gsoSize: 116 }));
    await refuses("EINVAL", 1, Uint8Array.of(0x40, 0), options(0));
  });

  test("MSG_MORE, or a message that is pending, is EINVAL for a protected batch, also with bypass", async () => {
    await refuses("EINVAL", 1, plainPacket(CID, 0, 60), options(0, { more: true }));
    await refuses("EINVAL", 1, plainPacket(CID, 0, 60), options(0, { more: true, bypass: true }));
    const { socket, udp } = await withFlow();
    socket.send(Uint8Array.of(1, 2), { ...PEER, more: true });
    assert.throws(() => socket.send(plainPacket(CID, 0, 60), options(0)), { code: "EINVAL" });
    socket.send(Uint8Array.of(3), PEER);
    socket.send(plainPacket(CID, 0, 60), options(0));
    assert.deepEqual(udp.sent[0].data, Uint8Array.of(1, 2, 3));
    assert.equal(udp.sent.length, 2);
  });

  test("an ordinary message with MSG_MORE leaves with the next one, to the first one's peer", async () => {
    const { socket, udp } = await withFlow();
    const first = Uint8Array.of(1, 2);
    assert.equal(socket.send(first, { ...PEER, more: true }), 2);
    first.fill(9);
    assert.equal(socket.send(Uint8Array.of(3), { ...PEER, port: 9, more: true }), 1);
    assert.equal(socket.send(Uint8Array.of(4), { ...PEER, port: 9 }), 1);
    assert.deepEqual(udp.sent, [{ ...PEER, data: Uint8Array.of(1, 2, 3, 4) }]);
    socket.send(Uint8Array.of(5), { ...PEER, more: true });
    assert.throws(() => socket.send(new Uint8Array(65_507), { ...PEER, more: true }), { code: "EMSGSIZE" });
  });

  test("a pending message that turns out to be a short header packet is EINVAL and gone", async () => {
    const { socket, udp } = await withFlow();
    socket.send(Uint8Array.of(0x41), { ...PEER, more: true });
    assert.throws(() => socket.send(Uint8Array.of(1, 2, 3), PEER), { code: "EINVAL" });
    socket.send(Uint8Array.of(1, 2, 3), PEER);
    assert.deepEqual(udp.sent, [{ ...PEER, data: Uint8Array.of(1, 2, 3) }]);
  });
});

describe("caps and limits", () => {
  test("more than 16 packets are ENOMEM, 16 are not", async () => {
    await refuses("ENOMEM", 17, batch(0, 17, 100), options(0, { gsoSize: 116 }));
    const { socket, udp } = await withFlow();
    socket.send(batch(0, 16, 100), options(0, { gsoSize: 116 }));
    assert.equal(udp.sent.length, 16);
  });

  test("more than 8 pieces are ENOMEM, 8 are not", async () => {
    const data = plainPacket(CID, 0, 90);
    const cut = (count: number): Uint8Array[] =>
      Array.from({ length: count }, (_, i) => data.subarray(i * 10, i === count - 1 ? 90 : i * 10 + 10));
    await refuses("ENOMEM", 1, cut(9), options(0));
    const { socket, udp } = await withFlow();
    socket.send(cut(8), options(0));
    assert.deepEqual(udp.sent[0].data, protect(data, 8, 0, own));
  });

  test("more than 16 pages of plaintext, or of ciphertext, are ENOMEM", async () => {
    await refuses("ENOMEM", 1, plainPacket(CID, 0, 65_537), options(0));
    await refuses("ENOMEM", 16, batch(0, 16, 4096), options(0, { gsoSize: 4112 }));
  });

  test("more than a UDP payload is EMSGSIZE", async () => {
    await refuses("EMSGSIZE", 1, plainPacket(CID, 0, 65_507 - 15), options(0));
    const { socket, udp } = await withFlow();
    socket.send(plainPacket(CID, 0, 65_507 - 16), options(0));
    assert.equal(udp.sent[0].data.length, 65_507);
    assert.throws(() => socket.send(new Uint8Array(65_508), PEER), { code: "EMSGSIZE" });
  });

  test("an ordinary send of more than 128 segments is EINVAL", async () => {
    const { socket, udp } = await withFlow();
    assert.throws(() => socket.send(new Uint8Array(129), { ...PEER, gsoSize: 1 }), { code: "EINVAL" });
    socket.send(new Uint8Array(128), { ...PEER, gsoSize: 1 });
    assert.equal(udp.sent.length, 128);
  });

  test("data that is no bytes is EFAULT, and so are options that are no object", async () => {
    const { socket } = await withFlow();
    for (const data of ["text", null, [1, 2], [new Uint8Array(1), undefined]]) {
      assert.throws(() => socket.send(data as unknown as Uint8Array, PEER), { code: "EFAULT" });
    }
    assert.throws(() => socket.send(new Uint8Array(1), null as unknown as SendOptions), { code: "EFAULT" });
  });

  test("an unknown option is EINVAL and named", async () => {
    const { socket } = await withFlow();
    const misspelt = { ...PEER, gsosize: 1200 } as unknown as SendOptions;
    assert.throws(() => socket.send(new Uint8Array(1), misspelt), /EINVAL: unknown option gsosize/);
  });

  test("a full socket is EAGAIN, which is no failure and uses no number, until it is writable", async () => {
    const { socket, udp, core } = await withFlow();
    await socket.writable();
    udp.isFull = true;
    assert.equal(socket.send(plainPacket(CID, 0, 60), options(0)), 60);
    const plain = plainPacket(CID, 1, 60);
    assert.throws(() => socket.send(plain, options(1)), { code: "EAGAIN" });
    assert.throws(() => socket.send(new Uint8Array(1), PEER), { code: "EAGAIN" });
    const writable = socket.writable();
    udp.drain();
    await writable;
    socket.send(plain, options(1));
    assert.deepEqual(udp.sent[1].data, protect(plain, 8, 1, own));
    assert.equal(core.stat.QuicTxSwError, 0);
  });

  test("a library that fails is EIO: nothing leaves, and the numbers are used up", async () => {
    const aead = chooseDatapath().aead;
    let fails = true;
    const faulty: AeadPort = Object.create(aead, {
      seal: { value: (rows: Parameters<AeadPort["seal"]>[0]) => (fails ? 1 : aead.seal(rows)) },
    });
    const { socket, udp, core } = await newBench({}, faulty);
    socket.addTxFlow({ ...own, ...PEER, cid: CID });
    assert.throws(() => socket.send(batch(0, 2, 100), options(0, { gsoSize: 116 })), { code: "EIO" });
    fails = false;
    assert.throws(() => socket.send(plainPacket(CID, 1, 60), options(1)), { code: "EINVAL" });
    socket.send(plainPacket(CID, 2, 60), options(2));
    assert.deepEqual([udp.sent.length, core.stat.QuicTxSwError], [1, 3]);
  });

  test("before the ULP is attached everything is plain UDP, and ancillary data EINVAL", async () => {
    const { core, udp } = await newBench();
    const socket = await OffloadSocket.open(core, {});
    const plain = plainPacket(CID, 0, 60);
    socket.send(plain, PEER);
    assert.deepEqual(udp.sent[0].data, plain);
    for (const more of [{ nextPacketNumber: 0 }, { cidLength: 8 }, { bypass: true }, { flags: 1 }]) {
      assert.throws(() => socket.send(plain, { ...PEER, ...more }), { code: "EINVAL" });
    }
  });
});
