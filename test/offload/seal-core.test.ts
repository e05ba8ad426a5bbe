/** The offload and the engine stand on one seal core: for the same key and packet number they make the same bytes. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { newBench } from "#src/api/offload/reference.contract.js";
import { KeySet } from "#src/crypto/keys.js";
import { packetKeys } from "#src/crypto/schedule.js";
import { sealBatch } from "#src/crypto/seal.js";
import { PacketBuilder } from "#src/packet/builder.js";
import { aeadKeyBytes, AEAD_AES_128_CCM, AEAD_AES_128_GCM, TAG_BYTES } from "#src/port/aead.js";
import { AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305, type AeadId } from "#src/port/aead.js";
import { LEVEL_APP } from "#src/port/tls.js";
import { TX_COLS, TX_LEN, TX_OFF } from "#src/port/udp.js";
import { VERSION_1 } from "#src/proto/version.js";
import { newTxBatch } from "#src/runtime/batch.js";
import { chooseDatapath } from "#src/runtime/choose.js";

const CID = Uint8Array.of(1, 1, 2, 3, 5, 8, 13, 21);
const PEER = { address: "192.0.2.1", port: 443 };
const FIRST_PN = 0x12_fffa;
const COUNT = 12;

/** A full batch as the engine builds and seals it, and the plaintext just before. */
function engineBatch(aeadId: AeadId, secret: Uint8Array): { plain: Uint8Array[]; wire: Uint8Array[] } {
  const { aead } = chooseDatapath();
  const keys = new KeySet(aead, true);
  keys.install(LEVEL_APP, "write", aeadId, secret, VERSION_1);
  const builder = new PacketBuilder(COUNT);
  const tx = newTxBatch();
  builder.beginBatch(tx);
  for (let i = 0; i < COUNT; i++) {
    assert.ok(builder.beginDatagram(1200));
    assert.ok(builder.openShort(CID, FIRST_PN + i, 2 + (i % 3), 0, i % 2 === 0 ? 0 : 1));
    while (builder.pos < builder.limit) builder.buf[builder.pos] = (builder.pos++ * 7 + i) & 0xff;
    builder.closePacket(keys.writeKey(LEVEL_APP), keys.writeHp(LEVEL_APP));
    assert.equal(builder.endDatagram(0, 0, 0), 1200);
  }
  const cut = (tail: number): Uint8Array[] =>
    Array.from({ length: COUNT }, (_, i) => {
      const off = tx.rows[i * TX_COLS + TX_OFF];
      return tx.buf.slice(off, off + tx.rows[i * TX_COLS + TX_LEN] - tail);
    });
  const plain = cut(TAG_BYTES);
  sealBatch(aead, builder.seal);
  keys.destroy();
  return { plain, wire: cut(0) };
}

describe("one seal core", () => {
  for (const [cipher, aeadId] of [
    ["aes-128-gcm", AEAD_AES_128_GCM],
    ["aes-256-gcm", AEAD_AES_256_GCM],
    ["aes-128-ccm", AEAD_AES_128_CCM],
    ["chacha20-poly1305", AEAD_CHACHA20_POLY1305],
  ] as const) {
    test(`${cipher}: the engine's packets and the offload's are identical, byte for byte`, async () => {
      const secret = new Uint8Array(aeadId === AEAD_AES_256_GCM ? 48 : 32).map((_, i) => i * 3);
      const { plain, wire } = engineBatch(aeadId, secret);
      const { socket, udp, core } = await newBench();
      const { key, iv, hp } = packetKeys(VERSION_1, aeadId, secret, core.aead);
      assert.equal(key.length, aeadKeyBytes(aeadId));
      socket.addTxFlow({ ...PEER, cipher, key, iv, headerKey: hp, cid: CID });
      socket.send(Buffer.concat(plain), { ...PEER, gsoSize: 1200, nextPacketNumber: FIRST_PN, cidLength: 8 });
      assert.deepEqual(
        udp.sent.map((each) => each.data),
        wire,
      );
    });
  }
});
