/**
 * What every implementation of the aead port must do (RFC 9001 §5, Appendix A): the vectors byte for byte, agreement
 * with a second implementation for every AEAD and size, and refusal of every row that would break nonce safety or
 * leave its buffer. Run by the test file of each implementation.
 */

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";
import {
  expandSpec,
  AEAD_AES_128_CCM,
  AEAD_AES_128_GCM,
  AEAD_AES_256_GCM,
  AEAD_CHACHA20_POLY1305,
  HASH_SHA256,
  HASH_SHA384,
  OPEN_COLS,
  OPEN_END,
  OPEN_FORGED,
  OPEN_HP,
  OPEN_INVALID,
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
  SEAL_HP,
  SEAL_KEY,
  SEAL_OFF,
  SEAL_PN_HI,
  SEAL_PN_LEN,
  SEAL_PN_LO,
  SEAL_PN_OFF,
  TAG_BYTES,
  aeadHash,
  aeadKeyBytes,
} from "../port/aead.js";
import type { AeadId, AeadPort, HashId, OpenBatch, SealBatch } from "../port/aead.js";

const ALL: AeadId[] = [AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305, AEAD_AES_128_CCM];
/** Stands for a slot that was freed; its number is known when the test runs. */
const FREED = 0x0f12eed;
const NAMES = ["", "AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305", "AES-128-CCM"];

const CLIENT_CRYPTO_FRAME = hex(
  "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c00000" +
    "0010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e000500050100000000" +
    "003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e" +
    "0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff080110" +
    "0104800075300901100f088394c8f03e51570806048000ffff",
);
const CLIENT_INITIAL = hex(
  "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9bd8bab936b47d92ec356c0bab7df5976d27" +
    "cd449f63300099f3991c260ec4c60d17b31f8429157bb35a1282a643a8d2262cad67500cadb8e7378c8eb7539ec4d4905fed1bee1fc8aa" +
    "fba17c750e2c7ace01e6005f80fcb7df621230c83711b39343fa028cea7f7fb5ff89eac2308249a02252155e2347b63d58c5457afd84d0" +
    "5dfffdb20392844ae812154682e9cf012f9021a6f0be17ddd0c2084dce25ff9b06cde535d0f920a2db1bf362c23e596d11a4f5a6cf3948" +
    "838a3aec4e15daf8500a6ef69ec4e3feb6b1d98e610ac8b7ec3faf6ad760b7bad1db4ba3485e8a94dc250ae3fdb41ed15fb6a8e5eba0fc" +
    "3dd60bc8e30c5c4287e53805db059ae0648db2f64264ed5e39be2e20d82df566da8dd5998ccabdae053060ae6c7b4378e846d29f37ed7b" +
    "4ea9ec5d82e7961b7f25a9323851f681d582363aa5f89937f5a67258bf63ad6f1a0b1d96dbd4faddfcefc5266ba6611722395c906556be" +
    "52afe3f565636ad1b17d508b73d8743eeb524be22b3dcbc2c7468d54119c7468449a13d8e3b95811a198f3491de3e7fe942b330407abf8" +
    "2a4ed7c1b311663ac69890f4157015853d91e923037c227a33cdd5ec281ca3f79c44546b9d90ca00f064c99e3dd97911d39fe9c5d0b23a" +
    "229a234cb36186c4819e8b9c5927726632291d6a418211cc2962e20fe47feb3edf330f2c603a9d48c0fcb5699dbfe5896425c5bac4aee8" +
    "2e57a85aaf4e2513e4f05796b07ba2ee47d80506f8d2c25e50fd14de71e6c418559302f939b0e1abd576f279c4b2e0feb85c1f28ff18f5" +
    "8891ffef132eef2fa09346aee33c28eb130ff28f5b766953334113211996d20011a198e3fc433f9f2541010ae17c1bf202580f6047472f" +
    "b36857fe843b19f5984009ddc324044e847a4f4a0ab34f719595de37252d6235365e9b84392b061085349d73203a4a13e96f5432ec0fd4" +
    "a1ee65accdd5e3904df54c1da510b0ff20dcc0c77fcb2c0e0eb605cb0504db87632cf3d8b4dae6e705769d1de354270123cb11450efc60" +
    "ac47683d7b8d0f811365565fd98c4c8eb936bcab8d069fc33bd801b03adea2e1fbc5aa463d08ca19896d2bf59a071b851e6c239052172f" +
    "296bfb5e72404790a2181014f3b94a4e97d117b438130368cc39dbb2d198065ae3986547926cd2162f40a29f0c3c8745c0f50fba3852e5" +
    "66d44575c29d39a03f0cda721984b6f440591f355e12d439ff150aab7613499dbd49adabc8676eef023b15b65bfc5ca06948109f23f350" +
    "db82123535eb8a7433bdabcb909271a6ecbcb58b936a88cd4e8f2e6ff5800175f113253d8fa9ca8885c2f552e657dc603f252e1a8e308f" +
    "76f0be79e2fb8f5d5fbbe2e30ecadd220723c8c0aea8078cdfcb3868263ff8f0940054da48781893a7e49ad5aff4af300cd804a6b6279a" +
    "b3ff3afb64491c85194aab760d58a606654f9f4400e8b38591356fbf6425aca26dc85244259ff2b19c41b9f96f3ca9ec1dde434da7d2d3" +
    "92b905ddf3d1f9af93d1af5950bd493f5aa731b4056df31bd267b6b90a079831aaf579be0a39013137aac6d404f518cfd46840647e78bf" +
    "e706ca4cf5e9c5453e9f7cfd2b8b4c8d169a44e55c88d4a9a7f9474241e221af44860018ab0856972e194cd934",
);
const SERVER_PAYLOAD = hex(
  "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a045a1200130100002e0033" +
    "0024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00020304",
);
const SERVER_INITIAL = hex(
  "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb38cc5a99f5ede4c" +
    "f73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7a" +
    "af2f58891850abbdca3d20398c276456cbc42158407dd074ee",
);
const RETRY = hex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba");

/** One packet in a batch of its own: where things are, and the number it is sealed under. */
interface Packet {
  off: number;
  pnOff: number;
  pnLen: number;
  end: number; // of the plaintext
  pn: number;
}

/** `reference` is another implementation, with which `make()` must agree. */
export function aeadContract(name: string, make: () => AeadPort, reference: () => AeadPort): void {
  describe(`aead port: ${name}`, () => {
    vectorTests(make);
    hkdfTests(make);
    agreementTests(make, reference);
    forgeryTests(make);
    refusalTests(make);
    slotTests(make);
    fuzzTests(make);
  });
}

function vectorTests(make: () => AeadPort): void {
  const initialSecret = (port: AeadPort): Uint8Array =>
    port.hkdfExtract(HASH_SHA256, hex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), hex("8394c8f03e515708"));

  test("RFC 9001 §A.1 derives the Initial secrets and keys", () => {
    const port = make();
    const secret = initialSecret(port);
    assert.equal(toHex(secret), "7db5df06e7a69e432496adedb00851923595221596ae2ae9fb8115c1e9ed0a44");
    const client = expandLabel(port, HASH_SHA256, secret, "client in", 32);
    assert.equal(toHex(client), "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea");
    assert.equal(toHex(expandLabel(port, HASH_SHA256, client, "quic key", 16)), "1f369613dd76d5467730efcbe3b1a22d");
    assert.equal(toHex(expandLabel(port, HASH_SHA256, client, "quic iv", 12)), "fa044b2f42a3fd3b46fb255c");
    assert.equal(toHex(expandLabel(port, HASH_SHA256, client, "quic hp", 16)), "9f50449e04a0e810283a1e9933adedd2");
  });

  test("RFC 9001 §A.2 seals and opens the client Initial", () => {
    const port = make();
    const keys = installed(
      port,
      AEAD_AES_128_GCM,
      expandLabel(port, HASH_SHA256, initialSecret(port), "client in", 32),
    );
    const header = hex("c300000001088394c8f03e5157080000449e00000002");
    const plaintext = new Uint8Array(header.length + 1162);
    plaintext.set(header);
    plaintext.set(CLIENT_CRYPTO_FRAME, header.length);
    roundTripVector(port, keys, plaintext, 18, 4, 2, CLIENT_INITIAL);
  });

  test("RFC 9001 §A.3 seals and opens the server Initial", () => {
    const port = make();
    const keys = installed(
      port,
      AEAD_AES_128_GCM,
      expandLabel(port, HASH_SHA256, initialSecret(port), "server in", 32),
    );
    const plaintext = concat(hex("c1000000010008f067a5502a4262b50040750001"), SERVER_PAYLOAD);
    roundTripVector(port, keys, plaintext, 18, 2, 1, SERVER_INITIAL);
  });

  test("RFC 9001 §A.4 makes and checks the Retry integrity tag", () => {
    const port = make();
    const key = hex("be0c690b9f66575a1d766b54e368c84e");
    const nonce = hex("461599d35d632bf2239825bb");
    const pseudo = concat(hex("088394c8f03e515708"), RETRY.subarray(0, RETRY.length - TAG_BYTES));
    const tag = port.sealOnce(AEAD_AES_128_GCM, key, nonce, pseudo, new Uint8Array(0));
    assert.equal(toHex(tag), toHex(RETRY.subarray(RETRY.length - TAG_BYTES)));
    assert.deepEqual(port.openOnce(AEAD_AES_128_GCM, key, nonce, pseudo, tag), new Uint8Array(0));
    pseudo[3] ^= 1;
    assert.equal(port.openOnce(AEAD_AES_128_GCM, key, nonce, pseudo, tag), null);
  });

  test("RFC 9001 §A.5 seals and opens the ChaCha20 short header packet", () => {
    const port = make();
    const secret = hex("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b");
    const keys = installed(port, AEAD_CHACHA20_POLY1305, secret);
    const sealed = hex("4cfe4189655e5cd55c41f69080575d7999c25a5bfb");
    roundTripVector(port, keys, hex("4200bff401"), 1, 3, 654360564, sealed);
  });
}

function hkdfTests(make: () => AeadPort): void {
  test("RFC 5869 §A.1 extracts and expands", () => {
    const port = make();
    const prk = port.hkdfExtract(HASH_SHA256, hex("000102030405060708090a0b0c"), new Uint8Array(22).fill(0x0b));
    assert.equal(toHex(prk), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    const okm = port.hkdfExpand(HASH_SHA256, prk, hex("f0f1f2f3f4f5f6f7f8f9"), 42);
    const expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
    assert.equal(toHex(okm), expected);
  });

  test("RFC 5869 §2.3 expands at most 255 blocks, and SHA-384 has blocks of 48", () => {
    const port = make();
    const prk = new Uint8Array(48).fill(7);
    assert.equal(port.hkdfExpand(HASH_SHA384, prk, hex("01"), 255 * 48).length, 255 * 48);
    assert.equal(port.hkdfExpand(HASH_SHA256, prk, hex("01"), 0).length, 0);
    assert.throws(() => port.hkdfExpand(HASH_SHA256, prk, hex("01"), 255 * 32 + 1), RangeError);
    assert.throws(() => port.hkdfExpand(HASH_SHA256, prk, hex("01"), -1), RangeError);
    assert.equal(port.hkdfExtract(HASH_SHA384, new Uint8Array(0), new Uint8Array(0)).length, 48);
  });

  test("RFC 5869 §2.3 several outputs at once are those of one by one, and HMAC is that of node:crypto", () => {
    const port = make();
    const pattern = (bytes: number): Uint8Array => new Uint8Array(bytes).map((_, i) => i);
    for (const hash of [HASH_SHA256, HASH_SHA384] as const) {
      for (const prkBytes of [0, 32, 48, 64, 128, 129, 200]) {
        const prk = pattern(prkBytes);
        const infos = [pattern(17), new Uint8Array(0), pattern(255)];
        const sizes = [16, 12, hash === HASH_SHA256 ? 32 : 48];
        const specs = Buffer.concat(infos.map((info, i) => expandSpec(info, sizes[i] as number)));
        const each = infos.map((info, i) => port.hkdfExpand(hash, prk, info, sizes[i] as number));
        assert.deepEqual(Buffer.from(port.hkdfExpandAll(hash, prk, new Uint8Array(specs))), Buffer.concat(each));
        const theirs = createHmac(hash === HASH_SHA256 ? "sha256" : "sha384", prk)
          .update(infos[0]!)
          .update("\x01")
          .digest();
        assert.deepEqual(Buffer.from(each[0]!), theirs.subarray(0, 16));
      }
    }
    assert.equal(port.hkdfExpandAll(HASH_SHA256, pattern(32), new Uint8Array(0)).length, 0);
  });
}

function agreementTests(make: () => AeadPort, reference: () => AeadPort): void {
  for (const aead of ALL) {
    test(`RFC 9001 §5.3 batches agree with another implementation, all sizes: ${NAMES[aead]}`, () => {
      const rnd = generator(aead * 7919);
      const a = make();
      const b = reference();
      assert.ok(a.supports(aead));
      const secret = fill(rnd, new Uint8Array(aeadHash(aead) === HASH_SHA384 ? 48 : 32));
      const keysA = installed(a, aead, secret);
      const keysB = installed(b, aead, secret);
      let pn = 2 ** 32 - 300; // crosses into the high word
      for (let round = 0; round < 12; round++) {
        const packets: Packet[] = [];
        const buf = pieceOf(
          rnd,
          layOut(rnd, packets, round, () => (pn += 1 + Math.floor(rnd() * 3))),
        );
        const plaintext = buf.slice();
        const own = sealBatch(buf, packets, keysA);
        const other = sealBatch(plaintext.slice(), packets, keysB);
        assert.equal(a.seal(own), packets.length);
        assert.equal(b.seal(other), packets.length);
        assert.ok(equal(own.buf, other.buf), `round ${round}: the sealed bytes differ`);
        const opened = openBatch(buf, packets, keysA);
        a.unmask(opened);
        checkUnmasked(opened, packets);
        a.open(opened);
        for (const [i, p] of packets.entries()) {
          const r = i * OPEN_COLS;
          assert.equal(opened.rows[r + OPEN_STATUS], OPEN_OK);
          assert.ok(equal(buf.subarray(p.off, p.end), plaintext.subarray(p.off, p.end)), `packet ${i} of ${round}`);
          const tag = other.buf.subarray(p.end, p.end + TAG_BYTES);
          assert.ok(equal(buf.subarray(p.end, p.end + TAG_BYTES), tag), "the tag stays as received");
        }
      }
    });

    test(`sealOnce and openOnce agree with another implementation: ${NAMES[aead]}`, () => {
      const rnd = generator(aead);
      const a = make();
      const b = reference();
      const key = fill(rnd, new Uint8Array(aeadKeyBytes(aead)));
      const nonce = fill(rnd, new Uint8Array(12));
      for (const bytes of [0, 1, 15, 16, 17, 64, 1500]) {
        const aad = fill(rnd, new Uint8Array(bytes % 33));
        const plaintext = fill(rnd, new Uint8Array(bytes));
        const sealed = a.sealOnce(aead, key, nonce, aad, plaintext);
        assert.equal(toHex(sealed), toHex(b.sealOnce(aead, key, nonce, aad, plaintext)));
        assert.deepEqual(a.openOnce(aead, key, nonce, aad, sealed), plaintext);
        sealed[bytes] ^= 0x80;
        assert.equal(a.openOnce(aead, key, nonce, aad, sealed), null);
      }
      assert.equal(a.openOnce(aead, key, nonce, new Uint8Array(0), new Uint8Array(15)), null);
      assert.throws(() => a.sealOnce(aead, key.subarray(1), nonce, new Uint8Array(0), new Uint8Array(1)), RangeError);
      assert.throws(() => a.openOnce(aead, key, nonce.subarray(1), new Uint8Array(0), new Uint8Array(16)), RangeError);
    });
  }
}

function forgeryTests(make: () => AeadPort): void {
  for (const aead of ALL) {
    test(`RFC 9001 §5.3 a forged byte anywhere fails that packet and no other: ${NAMES[aead]}`, () => {
      const port = make();
      const rnd = generator(aead + 40);
      const keys = installed(port, aead, fill(rnd, new Uint8Array(48)));
      const packets: Packet[] = [];
      const sealed = pieceOf(
        rnd,
        layOut(rnd, packets, 3, () => packets.length + 1),
      );
      assert.equal(port.seal(sealBatch(sealed, packets, keys)), packets.length);
      for (let at = 0; at < 120; at++) {
        const victim = Math.floor(rnd() * packets.length);
        const p = packets[victim] as Packet;
        const buf = sealed.slice();
        // Not the header form bit and not the packet number length: those move the fields, and are tried by the fuzz.
        const pos = p.off + 1 + Math.floor(rnd() * (p.end + TAG_BYTES - p.off - 1));
        const batch = openBatch(buf, packets, keys);
        const tagBefore = buf.slice(p.end, p.end + TAG_BYTES);
        port.unmask(batch);
        buf[pos] ^= 1 << Math.floor(rnd() * 8);
        if (pos >= p.end) tagBefore.set(buf.subarray(p.end, p.end + TAG_BYTES));
        for (const [i, q] of packets.entries()) setPn(batch, i, q.pn);
        assert.equal(port.open(batch), packets.length - 1);
        for (let i = 0; i < packets.length; i++) {
          const expected = i === victim ? OPEN_FORGED : OPEN_OK;
          assert.equal(batch.rows[i * OPEN_COLS + OPEN_STATUS], expected, `byte ${pos} of packet ${victim}`);
        }
        assert.ok(equal(buf.subarray(p.end, p.end + TAG_BYTES), tagBefore), "the last 16 bytes stay as received");
      }
    });
  }

  test("RFC 9001 §5.3 the wrong packet number does not open", () => {
    const port = make();
    const keys = installed(port, AEAD_AES_128_GCM, new Uint8Array(32).fill(1));
    const packet = { off: 0, pnOff: 1, pnLen: 4, end: 40, pn: 5 };
    const buf = new Uint8Array(56);
    buf[0] = 0x43;
    assert.equal(port.seal(sealBatch(buf, [packet], keys)), 1);
    for (const pn of [4, 6, 5 + 2 ** 32]) {
      const batch = openBatch(buf.slice(), [packet], keys);
      port.unmask(batch);
      setPn(batch, 0, pn);
      assert.equal(port.open(batch), 0);
      assert.equal(batch.rows[OPEN_STATUS], OPEN_FORGED);
    }
  });
}

function refusalTests(make: () => AeadPort): void {
  test("packet numbers under one key slot strictly increase, also across the 32-bit border", () => {
    const port = make();
    const keys = installed(port, AEAD_AES_128_GCM, new Uint8Array(32).fill(9));
    const sealOne = (pn: number): number => {
      const buf = new Uint8Array(64);
      return port.seal(sealBatch(buf, [{ off: 0, pnOff: 9, pnLen: 2, end: 40, pn }], keys));
    };
    assert.equal(sealOne(0), 1);
    assert.equal(sealOne(0), 0);
    assert.equal(sealOne(7), 1);
    assert.equal(sealOne(6), 0);
    assert.equal(sealOne(7), 0);
    assert.equal(sealOne(2 ** 32 - 1), 1);
    assert.equal(sealOne(8), 0);
    assert.equal(sealOne(2 ** 32), 1);
    assert.equal(sealOne(2 ** 32 - 1), 0);
    assert.equal(sealOne(2 ** 53 - 1), 1);
    assert.equal(sealOne(2 ** 32 + 5), 0);
    assert.equal(sealOne(2 ** 62), 0, "RFC 9000 §12.3 numbers end at 2^62-1");
    assert.equal(sealOne(2 ** 62 - 2 ** 20), 1);
  });

  test("a refused row ends the batch: rows before it are sealed, it and the rest stay as they were", () => {
    const port = make();
    const peer = make();
    const keys = installed(port, AEAD_AES_128_GCM, new Uint8Array(32).fill(2));
    const peerKeys = installed(peer, AEAD_AES_128_GCM, new Uint8Array(32).fill(2));
    const packets = [0, 1, 2, 3].map((i) => ({
      off: i * 60,
      pnOff: i * 60 + 1,
      pnLen: 2,
      end: i * 60 + 44,
      pn: i + 1,
    }));
    const buf = new Uint8Array(240).fill(0x41);
    const batch = sealBatch(buf, packets, keys);
    batch.rows[2 * SEAL_COLS + SEAL_PN_LO] = 2;
    assert.equal(port.seal(batch), 2);
    assert.ok(buf.subarray(120).every((byte) => byte === 0x41));
    const opened = openBatch(buf, packets.slice(0, 2), peerKeys);
    peer.unmask(opened);
    setPn(opened, 0, 1);
    setPn(opened, 1, 2);
    peer.open(opened);
    assert.equal(opened.rows[OPEN_STATUS], OPEN_OK);
    assert.equal(opened.rows[OPEN_COLS + OPEN_STATUS], OPEN_OK);
    assert.equal(port.seal(sealBatch(buf, packets.slice(2), keys)), 2, "and the slot still takes the next number");
  });

  const cases: [string, number, number][] = [
    ["packet number length 0", SEAL_PN_LEN, 0],
    ["packet number length 5", SEAL_PN_LEN, 5],
    ["packet number length negative", SEAL_PN_LEN, -1],
    ["start before the buffer", SEAL_OFF, -1],
    ["start behind the packet number", SEAL_OFF, 20],
    ["packet number before the start", SEAL_PN_OFF, 0],
    ["packet number beyond the end", SEAL_PN_OFF, 0x7fffffff],
    ["plaintext ends before it starts", SEAL_END, 8],
    ["no room for the sample", SEAL_END, 11],
    ["no room for the tag", SEAL_END, 49],
    ["end far beyond the buffer", SEAL_END, 0x7fffffff],
    ["negative end", SEAL_END, -5],
    ["a free key slot", SEAL_KEY, FREED],
    ["a key slot that never was", SEAL_KEY, 4_000_000],
    ["a negative key slot", SEAL_KEY, -1],
    ["a free header key slot", SEAL_HP, FREED],
    ["a negative header key slot", SEAL_HP, -2147483648],
    ["a negative packet number", SEAL_PN_HI, -1],
  ];
  for (const [what, col, value] of cases) {
    test(`seal refuses and writes nothing: ${what}`, () => {
      const port = make();
      const keys = installed(port, AEAD_AES_128_GCM, new Uint8Array(32));
      const spare = installed(port, AEAD_AES_128_GCM, new Uint8Array(32));
      port.freeKey(spare.key);
      port.freeHeaderKey(spare.hp);
      const around = new Uint8Array(96).fill(0x55);
      const buf = around.subarray(16, 80);
      const batch = sealBatch(buf, [{ off: 0, pnOff: 8, pnLen: 2, end: 40, pn: 3 }], keys);
      const good = batch.rows[col];
      batch.rows[col] = value !== FREED ? value : col === SEAL_KEY ? spare.key : spare.hp;
      assert.equal(port.seal(batch), 0);
      assert.ok(around.every((byte) => byte === 0x55));
      batch.rows[col] = good;
      assert.equal(port.seal(batch), 1, "the same row without the fault is sealed");
    });
  }

  test("a row ending exactly at the end of its buffer is sealed", () => {
    const port = make();
    const keys = installed(port, AEAD_CHACHA20_POLY1305, new Uint8Array(32));
    const buf = new Uint8Array(64);
    assert.equal(port.seal(sealBatch(buf, [{ off: 0, pnOff: 8, pnLen: 2, end: 48, pn: 3 }], keys)), 1);
    assert.equal(port.seal(sealBatch(buf, [{ off: 43, pnOff: 44, pnLen: 4, end: 48, pn: 4 }], keys)), 1);
  });

  test("count beyond the table is cut to the table; 0 and negative do nothing", () => {
    const port = make();
    const keys = installed(port, AEAD_AES_128_GCM, new Uint8Array(32));
    const buf = new Uint8Array(64);
    const batch = sealBatch(buf, [{ off: 0, pnOff: 8, pnLen: 2, end: 40, pn: 3 }], keys);
    batch.count = 100;
    assert.equal(port.seal(batch), 1);
    batch.count = 0;
    assert.equal(port.seal(batch), 0);
    batch.count = -3;
    assert.equal(port.seal(batch), 0);
  });

  test("unmask and open mark bad rows OPEN_INVALID, whatever the row held, and leave their bytes", () => {
    const port = make();
    const keys = installed(port, AEAD_AES_128_GCM, new Uint8Array(32));
    const packet = { off: 0, pnOff: 8, pnLen: 2, end: 24, pn: 3 };
    const bad: [number, number][] = [
      [OPEN_END, 27], // RFC 9001 §5.4.2: too short for a sample
      [OPEN_END, 41],
      [OPEN_END, -1],
      [OPEN_OFF, -1],
      [OPEN_OFF, 8],
      [OPEN_PN_OFF, 0],
      [OPEN_PN_OFF, 0x7ffffff0],
      [OPEN_HP, 7_000_000],
      [OPEN_HP, -1],
    ];
    for (const [col, value] of bad) {
      const buf = new Uint8Array(40).fill(0x77);
      const batch = openBatch(buf, [packet, packet], keys);
      batch.rows[col] = value;
      batch.rows[OPEN_STATUS] = OPEN_OK;
      port.unmask(batch);
      assert.equal(batch.rows[OPEN_STATUS], OPEN_INVALID);
      assert.equal(batch.rows[OPEN_COLS + OPEN_STATUS], OPEN_FORGED, "not yet opened");
      batch.count = 1;
      const before = buf.slice();
      port.open(batch);
      assert.equal(batch.rows[OPEN_STATUS], OPEN_INVALID);
      assert.ok(equal(buf, before));
    }
    const badToOpen: [number, number][] = [
      [OPEN_KEY, -1],
      [OPEN_KEY, 9_000_000],
      [OPEN_PN_LEN, 0],
      [OPEN_PN_LEN, 5],
      [OPEN_PN_HI, -1],
      [OPEN_END, 25], // no room for a tag behind a packet number of two bytes
      [OPEN_END, 41],
    ];
    for (const [col, value] of badToOpen) {
      const buf = new Uint8Array(40).fill(0x77);
      const batch = openBatch(buf, [packet], keys);
      batch.rows[OPEN_PN_LEN] = 2;
      batch.rows[OPEN_STATUS] = OPEN_FORGED;
      batch.rows[col] = value;
      port.open(batch);
      assert.equal(batch.rows[OPEN_STATUS], OPEN_INVALID, `column ${col} = ${value}`);
      assert.ok(buf.every((byte) => byte === 0x77));
    }
  });
}

function slotTests(make: () => AeadPort): void {
  test("slots are reused after freeKey, and a reused slot starts a new sequence of numbers", () => {
    const port = make();
    const first = installed(port, AEAD_AES_128_GCM, new Uint8Array(32).fill(3));
    const buf = new Uint8Array(64);
    const packet = { off: 0, pnOff: 8, pnLen: 2, end: 40, pn: 50 };
    assert.equal(port.seal(sealBatch(buf, [packet], first)), 1);
    port.freeKey(first.key);
    port.freeHeaderKey(first.hp);
    const second = installed(port, AEAD_AES_256_GCM, new Uint8Array(48).fill(4));
    assert.deepEqual(second, first);
    assert.equal(port.seal(sealBatch(buf, [{ ...packet, pn: 0 }], second)), 1);
  });

  test("a key at rest goes on where it was: same bytes, and no packet number twice", () => {
    for (const aead of [AEAD_AES_128_GCM, AEAD_CHACHA20_POLY1305] as const) {
      const port = make();
      const keys = installed(port, aead, new Uint8Array(32).fill(5));
      const other = installed(port, aead, new Uint8Array(32).fill(5));
      const [buf, expected] = [new Uint8Array(64), new Uint8Array(64)];
      const packet = { off: 0, pnOff: 8, pnLen: 2, end: 40, pn: 50 };
      port.restKey(keys.key);
      assert.equal(port.seal(sealBatch(buf, [packet], keys)), 1);
      port.restKey(keys.key);
      buf.fill(0);
      buf[0] = expected[0] = 0x41; // packet numbers of two bytes
      assert.equal(port.seal(sealBatch(buf, [packet], keys)), 0, "the packet number was used");
      assert.equal(port.seal(sealBatch(buf, [{ ...packet, pn: 51 }], keys)), 1);
      assert.equal(port.seal(sealBatch(expected, [{ ...packet, pn: 51 }], other)), 1);
      assert.deepEqual(buf, expected);
      port.restKey(keys.key);
      const open = openBatch(buf, [{ ...packet, pn: 51 }], keys);
      port.unmask(open);
      setPn(open, 0, 51);
      port.open(open);
      assert.equal(open.rows[OPEN_STATUS], OPEN_OK);
      port.freeKey(keys.key);
      assert.throws(() => port.restKey(keys.key), RangeError);
    }
  });

  test("freeing a free slot throws, and keys of the wrong size are refused", () => {
    const port = make();
    const { key, hp } = installed(port, AEAD_AES_128_GCM, new Uint8Array(32));
    port.freeKey(key);
    port.freeHeaderKey(hp);
    assert.throws(() => port.freeKey(key), RangeError);
    assert.throws(() => port.freeHeaderKey(hp), RangeError);
    assert.throws(() => port.freeKey(-1), RangeError);
    assert.throws(() => port.freeHeaderKey(1 << 30), RangeError);
    for (const aead of ALL) {
      const bytes = aeadKeyBytes(aead);
      assert.throws(() => port.newKey(aead, new Uint8Array(bytes - 1), new Uint8Array(12)), RangeError);
      assert.throws(() => port.newKey(aead, new Uint8Array(bytes), new Uint8Array(11)), RangeError);
      assert.throws(() => port.newHeaderKey(aead, new Uint8Array(bytes + 1)), RangeError);
    }
    assert.throws(() => port.newKey(9 as AeadId, new Uint8Array(16), new Uint8Array(12)), RangeError);
  });

  test("thousands of slots live at once and each keeps its own key", () => {
    const port = make();
    const keys = Array.from({ length: 3000 }, (_, i) => {
      const secret = new Uint8Array(32);
      new DataView(secret.buffer).setUint32(0, i);
      return installed(port, AEAD_AES_128_GCM, secret);
    });
    assert.equal(new Set(keys.map((k) => k.key)).size, 3000);
    const packet = { off: 0, pnOff: 8, pnLen: 2, end: 40, pn: 1 };
    const seen = new Set<string>();
    for (const pair of keys) {
      const buf = new Uint8Array(56);
      assert.equal(port.seal(sealBatch(buf, [packet], pair)), 1);
      seen.add(toHex(buf));
    }
    assert.equal(seen.size, 3000);
    for (const pair of keys) {
      port.freeKey(pair.key);
      port.freeHeaderKey(pair.hp);
    }
  });
}

function fuzzTests(make: () => AeadPort): void {
  test("a hundred thousand random rows touch nothing outside their buffer", () => {
    const port = make();
    const rnd = generator(99);
    for (const aead of ALL) installed(port, aead, new Uint8Array(48).fill(aead));
    const around = new Uint8Array(256).fill(0xa5);
    const buf = around.subarray(64, 192);
    const seals: SealBatch = { buf, rows: new Int32Array(50 * SEAL_COLS), count: 50 };
    const opens: OpenBatch = { buf, rows: new Int32Array(50 * OPEN_COLS), count: 50 };
    let sealed = 0;
    for (let round = 0; round < 1000; round++) {
      fuzzRows(rnd, seals.rows, round);
      fuzzRows(rnd, opens.rows, round);
      sealed += port.seal(seals);
      port.unmask(opens);
      port.open(opens);
      for (let r = 0; r < opens.rows.length; r += OPEN_COLS) {
        const status = opens.rows[r + OPEN_STATUS];
        assert.ok(status === OPEN_FORGED || status === OPEN_INVALID);
      }
    }
    assert.ok(sealed > 0, "some rows are good");
    for (let i = 0; i < around.length; i++) {
      if (i < 64 || i >= 192) assert.equal(around[i], 0xa5);
    }
  });
}

/** Values that are small, at a border, or anything at all. */
function fuzzRows(rnd: () => number, rows: Int32Array, round: number): void {
  const border = [0, 1, 4, 5, 16, 20, 127, 128, 129, -1, 0x7fffffff, -0x80000000];
  for (let i = 0; i < rows.length; i++) {
    const pick = rnd();
    if (pick < 0.9) rows[i] = Math.floor(rnd() * (i % 2 === 0 ? 8 : 100));
    else if (pick < 0.99) rows[i] = border[Math.floor(rnd() * border.length)] as number;
    else rows[i] = Math.floor(rnd() * 2 ** 32);
  }
  // Plausible rows too, or nothing would get past the checks.
  for (let r = 0; r + SEAL_COLS <= rows.length && rows.length % SEAL_COLS === 0; r += SEAL_COLS * 2) {
    rows.set([3, 5, 1 + (r % 4), 30 + (round % 80), round % 4, round % 4, round * 100 + r, 0], r);
  }
}

interface Keys {
  key: number;
  hp: number;
}

function installed(port: AeadPort, aead: AeadId, secret: Uint8Array): Keys {
  const hash = aeadHash(aead);
  const key = expandLabel(port, hash, secret, "quic key", aeadKeyBytes(aead));
  const iv = expandLabel(port, hash, secret, "quic iv", 12);
  const hp = expandLabel(port, hash, secret, "quic hp", aeadKeyBytes(aead));
  return { key: port.newKey(aead, key, iv), hp: port.newHeaderKey(aead, hp) };
}

/** HKDF-Expand-Label of TLS 1.3 with an empty context (RFC 8446 §7.1). */
function expandLabel(port: AeadPort, hash: HashId, secret: Uint8Array, label: string, bytes: number): Uint8Array {
  const name = new TextEncoder().encode(`tls13 ${label}`);
  return port.hkdfExpand(hash, secret, Uint8Array.of(bytes >> 8, bytes, name.length, ...name, 0), bytes);
}

function roundTripVector(
  port: AeadPort,
  keys: Keys,
  plaintext: Uint8Array,
  pnOff: number,
  pnLen: number,
  pn: number,
  expected: Uint8Array,
): void {
  const buf = new Uint8Array(plaintext.length + TAG_BYTES);
  buf.set(plaintext);
  const packet = { off: 0, pnOff, pnLen, end: plaintext.length, pn };
  assert.equal(port.seal(sealBatch(buf, [packet], keys)), 1);
  assert.equal(toHex(buf), toHex(expected));
  const batch = openBatch(expected.slice(), [packet], keys);
  port.unmask(batch);
  assert.equal(batch.rows[OPEN_PN_LEN], pnLen);
  assert.equal(batch.rows[OPEN_PN_LO], pn % 2 ** (8 * pnLen));
  setPn(batch, 0, pn);
  assert.equal(port.open(batch), 1);
  assert.equal(batch.rows[OPEN_STATUS], OPEN_OK);
  assert.equal(toHex(batch.buf.subarray(0, plaintext.length)), toHex(plaintext));
}

function sealBatch(buf: Uint8Array, packets: Packet[], keys: Keys): SealBatch {
  const rows = new Int32Array(packets.length * SEAL_COLS);
  for (const [i, p] of packets.entries()) {
    const hi = Math.floor(p.pn / 2 ** 32);
    rows.set([p.off, p.pnOff, p.pnLen, p.end, keys.key, keys.hp, p.pn % 2 ** 32, hi], i * SEAL_COLS);
  }
  return { buf, rows, count: packets.length };
}

function openBatch(buf: Uint8Array, packets: Packet[], keys: Keys): OpenBatch {
  const rows = new Int32Array(packets.length * OPEN_COLS).fill(-9);
  for (const [i, p] of packets.entries()) {
    rows.set([p.off, p.pnOff, p.end + TAG_BYTES, keys.key, keys.hp], i * OPEN_COLS);
    rows[i * OPEN_COLS + OPEN_PN_HI] = 0;
  }
  return { buf, rows, count: packets.length };
}

function setPn(batch: OpenBatch, row: number, pn: number): void {
  batch.rows[row * OPEN_COLS + OPEN_PN_LO] = pn % 2 ** 32;
  batch.rows[row * OPEN_COLS + OPEN_PN_HI] = Math.floor(pn / 2 ** 32);
}

/** Checks what unmask found and puts the full packet numbers in. */
function checkUnmasked(batch: OpenBatch, packets: Packet[]): void {
  for (const [i, p] of packets.entries()) {
    assert.equal(batch.rows[i * OPEN_COLS + OPEN_PN_LEN], p.pnLen);
    assert.equal(batch.rows[i * OPEN_COLS + OPEN_PN_LO] >>> 0, p.pn % 2 ** (8 * p.pnLen));
    setPn(batch, i, p.pn);
  }
}

/** Packets of mixed shape behind one another: sizes around block borders, both header forms, gaps. */
function layOut(rnd: () => number, packets: Packet[], round: number, nextPn: () => number): Uint8Array {
  const count = [1, 2, 44, 65, 130][round % 5] as number;
  const buf = fill(rnd, new Uint8Array(count * 1600));
  for (let i = 0, off = 0; i < count; i++) {
    const pnLen = 1 + (i % 4);
    const pnOff = off + 1 + Math.floor(rnd() * 24);
    const payload = i % 5 === 0 ? 1400 : 4 - pnLen + Math.floor(rnd() * 80);
    const pn = nextPn();
    const end = pnOff + pnLen + payload;
    buf[off] = (i % 2 === 0 ? 0xc0 : 0x40) | (pnLen - 1);
    for (let k = 0, rest = pn; k < pnLen; k++, rest = Math.floor(rest / 256)) buf[pnOff + pnLen - 1 - k] = rest % 256;
    packets.push({ off, pnOff, pnLen, end, pn });
    off = end + TAG_BYTES + (i % 3);
  }
  return buf;
}

/** The same bytes as a view into a larger buffer, at an odd offset. */
function pieceOf(rnd: () => number, bytes: Uint8Array): Uint8Array {
  const shift = 1 + Math.floor(rnd() * 30);
  const whole = new Uint8Array(bytes.length + shift + 9);
  whole.set(bytes, shift);
  return whole.subarray(shift, shift + bytes.length);
}

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function fill(rnd: () => number, bytes: Uint8Array): Uint8Array {
  for (let i = 0; i < bytes.length; i++) bytes[i] = rnd() * 256;
  return bytes;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "hex"));
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
