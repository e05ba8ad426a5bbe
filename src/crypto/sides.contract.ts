/** For the tests of this room: two sides with 1-RTT keys that can seal and open packets, and an aead that counts. */

import assert from "node:assert/strict";
import { concatBytes } from "../base/bytes.js";
import { AEAD_AES_128_GCM, expandOneByOne, SEAL_COLS, TAG_BYTES } from "../port/aead.js";
import type { AeadId, AeadPort } from "../port/aead.js";
import { LEVEL_APP } from "../port/tls.js";
import { VERSION_1 } from "../proto/version.js";
import { newPortableAead } from "../runtime/portable/aead.js";
import { KeySet } from "./keys.js";
import type { KeyLimits } from "./keys.js";
import { Opener } from "./open.js";
import { sealBatch } from "./seal.js";

export interface CountingAead extends AeadPort {
  /** Slots in use; the port itself throws when one is freed twice. */
  packetKeys: number;
  headerKeys: number;
  /** Packets that went through `open`, and calls of the derivation function. */
  opens: number;
  expands: number;
}

export function countingAead(): CountingAead {
  const aead = newPortableAead();
  const counting: CountingAead = {
    name: "counting",
    packetKeys: 0,
    headerKeys: 0,
    opens: 0,
    expands: 0,
    supports: (id) => aead.supports(id),
    hkdfExtract: (hash, salt, ikm) => aead.hkdfExtract(hash, salt, ikm),
    hkdfExpand(hash, prk, info, length) {
      counting.expands++;
      return aead.hkdfExpand(hash, prk, info, length);
    },
    hkdfExpandAll: (hash, prk, specs) => expandOneByOne(counting, hash, prk, specs),
    newKey(id, key, iv) {
      counting.packetKeys++;
      return aead.newKey(id, key, iv);
    },
    freeKey(slot) {
      aead.freeKey(slot);
      counting.packetKeys--;
    },
    restKey: (slot) => aead.restKey(slot),
    newHeaderKey(id, key) {
      counting.headerKeys++;
      return aead.newHeaderKey(id, key);
    },
    freeHeaderKey(slot) {
      aead.freeHeaderKey(slot);
      counting.headerKeys--;
    },
    seal: (batch) => aead.seal(batch),
    unmask: (batch) => aead.unmask(batch),
    open(batch) {
      counting.opens += batch.count;
      return aead.open(batch);
    },
    scatter: (batch) => aead.scatter(batch),
    sealOnce: (id, key, nonce, aad, plain) => aead.sealOnce(id, key, nonce, aad, plain),
    openOnce: (id, key, nonce, aad, sealed) => aead.openOnce(id, key, nonce, aad, sealed),
  };
  return counting;
}

/** One end of a connection in its 1-RTT level. */
export class Side {
  readonly keys: KeySet;
  readonly aead: CountingAead;
  readonly opener: Opener;
  nextPn = 0;
  largestPn = -1;

  constructor(isServer: boolean, limits: KeyLimits = {}, aeadId: AeadId = AEAD_AES_128_GCM) {
    this.aead = countingAead();
    this.keys = new KeySet(this.aead, isServer, limits);
    this.opener = new Opener(this.aead, 16);
    const secrets = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
    this.keys.install(LEVEL_APP, "write", aeadId, secrets[isServer ? 0 : 1], VERSION_1);
    this.keys.install(LEVEL_APP, "read", aeadId, secrets[isServer ? 1 : 0], VERSION_1);
  }

  /** A packet with the present keys. */
  packet(pn = this.nextPn): Uint8Array {
    this.nextPn = Math.max(this.nextPn, pn + 1);
    const { keys } = this;
    const header = Uint8Array.of(0x41 | (keys.keyPhase << 2), (pn >> 8) & 0xff, pn & 0xff);
    const buf = concatBytes(header, Uint8Array.of(1, 0, 0, 0), new Uint8Array(TAG_BYTES));
    const rows = new Int32Array(SEAL_COLS);
    rows.set([0, 1, 2, 7, keys.writeKey(LEVEL_APP), keys.writeHp(LEVEL_APP), pn, 0]);
    sealBatch(this.aead, { buf, rows, count: 1 });
    assert.equal(keys.onSealed(LEVEL_APP, pn, 1), 0);
    return buf;
  }

  /** Opens packets as one batch; returns what `run` said. */
  open(...packets: Uint8Array[]): number {
    const buf = concatBytes(...packets);
    this.opener.begin(buf);
    let at = 0;
    for (const [index, packet] of packets.entries()) {
      assert.equal(this.opener.add(at, at + 1, at + packet.length, index), true);
      at += packet.length;
    }
    const error = this.opener.run(this.keys, LEVEL_APP, this.largestPn);
    for (let row = 0; row < packets.length; row++) {
      if (this.opener.isOpen(row)) this.largestPn = Math.max(this.largestPn, this.opener.pn(row));
    }
    return error;
  }

  /** Whether each packet of the last batch opened. */
  get opened(): boolean[] {
    return Array.from({ length: this.opener.count }, (_, row) => this.opener.isOpen(row));
  }
}
