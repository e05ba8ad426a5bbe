/**
 * The aead port on node:crypto: the reference that the native twin is compared with, and what runs when the datapath
 * is portable (RFC 9001 §5.3, §5.4). A cipher object per packet is unavoidable here, so it costs about 10 µs a packet.
 *
 * Invariant: a row is checked in full, the packet number against its key slot included, before a byte is written.
 */

import { createCipheriv, createDecipheriv, createHmac, getCipherInfo } from "node:crypto";
import type { Cipher, CipherCCMTypes, CipherGCMTypes } from "node:crypto";
import {
  AEAD_AES_128_CCM,
  AEAD_AES_128_GCM,
  AEAD_AES_256_GCM,
  AEAD_CHACHA20_POLY1305,
  AEAD_NONE,
  HASH_SHA256,
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
  SAMPLE_BYTES,
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
  aeadTagBytes,
  copyGathered,
  copyScattered,
  expandOneByOne,
} from "../../port/aead.js";
import type { AeadId, AeadPort, HashId, OpenBatch, PacketAead, ScatterBatch, SealBatch } from "../../port/aead.js";
import { checkIv, checkKey, checkPacketKey, IV_BYTES } from "../aead-arguments.js";

/** Rows whose masks are made by one cipher call. */
const MASK_RUN = 64;
/** High word of the first packet number that QUIC does not have, 2^62 (RFC 9000 §12.3). */
const PN_HI_END = 0x4000_0000;

/** The column of the packet number's offset is the same in both tables. */
const PN_OFF: typeof SEAL_PN_OFF & typeof OPEN_PN_OFF = SEAL_PN_OFF;

interface PacketKey {
  readonly aead: PacketAead;
  readonly tagBytes: number;
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
  /** The smallest packet number that `seal` still takes, in two unsigned words. */
  nextHi: number;
  nextLo: number;
}

interface HeaderKey {
  readonly key: Uint8Array;
  /** Of each packet; 0: no header protection. */
  readonly sampleBytes: number;
  /** AES-ECB, which keeps no state from block to block; null for ChaCha20, where the sample is the IV. */
  readonly ecb: Cipher | null;
}

export function newPortableAead(): AeadPort {
  return new PortableAead();
}

class PortableAead implements AeadPort {
  readonly name = "node:crypto";
  private readonly keys: (PacketKey | null)[] = [];
  private readonly headerKeys: (HeaderKey | null)[] = [];
  private readonly nonce = new Uint8Array(IV_BYTES);
  private readonly samples = new Uint8Array(MASK_RUN * SAMPLE_BYTES);

  supports(aead: AeadId): boolean {
    return getCipherInfo(cipherName(aead)) !== undefined;
  }

  hkdfExtract(hash: HashId, salt: Uint8Array, ikm: Uint8Array): Uint8Array {
    return plain(createHmac(hashName(hash), salt).update(ikm).digest());
  }

  hkdfExpand(hash: HashId, prk: Uint8Array, info: Uint8Array, lengthBytes: number): Uint8Array {
    const hashBytes = hash === HASH_SHA256 ? 32 : 48;
    if (!(lengthBytes >= 0 && lengthBytes <= 255 * hashBytes)) throw new RangeError(`HKDF length ${lengthBytes}`);
    const out = new Uint8Array(lengthBytes);
    let block = new Uint8Array(0);
    for (let at = 0, counter = 1; at < lengthBytes; at += hashBytes, counter++) {
      const hmac = createHmac(hashName(hash), prk).update(block).update(info).update(Uint8Array.of(counter));
      block = plain(hmac.digest());
      out.set(block.subarray(0, lengthBytes - at), at);
    }
    return out;
  }

  hkdfExpandAll(hash: HashId, prk: Uint8Array, specs: Uint8Array): Uint8Array {
    return expandOneByOne(this, hash, prk, specs);
  }

  newKey(aead: PacketAead, key: Uint8Array, iv: Uint8Array): number {
    checkPacketKey(aead, key);
    checkIv(iv);
    return put(this.keys, {
      aead,
      tagBytes: aeadTagBytes(aead),
      key: key.slice(),
      iv: iv.slice(),
      nextHi: 0,
      nextLo: 0,
    });
  }

  freeKey(slot: number): void {
    const freed = takeOut(this.keys, slot);
    freed.key.fill(0);
    freed.iv.fill(0);
  }

  restKey(slot: number): void {
    if (this.keys[slot] == null) throw new RangeError(`key slot ${slot} is free`);
  }

  newHeaderKey(aead: PacketAead, key: Uint8Array): number {
    checkPacketKey(aead, key);
    const own = key.slice();
    const sampleBytes = aead === AEAD_NONE ? 0 : SAMPLE_BYTES;
    if (aead === AEAD_NONE || aead === AEAD_CHACHA20_POLY1305) {
      return put(this.headerKeys, { key: own, sampleBytes, ecb: null });
    }
    const ecb = createCipheriv(aead === AEAD_AES_256_GCM ? "aes-256-ecb" : "aes-128-ecb", own, null);
    return put(this.headerKeys, { key: own, sampleBytes, ecb: ecb.setAutoPadding(false) });
  }

  freeHeaderKey(slot: number): void {
    takeOut(this.headerKeys, slot).key.fill(0);
  }

  seal(batch: SealBatch): number {
    if (!copyGathered(batch)) return 0;
    const { buf, rows } = batch;
    const capacity = Math.min(batch.count, Math.floor(rows.length / SEAL_COLS));
    let sealed = 0;
    while (sealed < capacity && this.sealRow(buf, rows, sealed * SEAL_COLS)) sealed++;
    for (let first = 0; first < sealed; ) {
      const hp = rows[first * SEAL_COLS + SEAL_HP];
      let end = first + 1;
      while (end < sealed && end - first < MASK_RUN && rows[end * SEAL_COLS + SEAL_HP] === hp) end++;
      const masks = this.masks(buf, rows, first, end, SEAL_COLS, hp);
      for (let row = first, at = 0; row < end; row++, at += SAMPLE_BYTES) {
        const r = row * SEAL_COLS;
        buf[rows[r + SEAL_OFF]] ^= masks[at] & firstByteMask(buf[rows[r + SEAL_OFF]]);
        applyPnMask(buf, rows[r + SEAL_PN_OFF], rows[r + SEAL_PN_LEN], masks, at);
      }
      first = end;
    }
    return sealed;
  }

  unmask(batch: OpenBatch): void {
    const { buf, rows } = batch;
    const count = Math.min(batch.count, Math.floor(rows.length / OPEN_COLS));
    for (let first = 0; first < count; ) {
      if (!this.checkUnmaskRow(buf, rows, first * OPEN_COLS)) {
        rows[first * OPEN_COLS + OPEN_STATUS] = OPEN_INVALID;
        first++;
        continue;
      }
      const hp = rows[first * OPEN_COLS + OPEN_HP];
      let end = first + 1;
      while (
        end < count &&
        end - first < MASK_RUN &&
        rows[end * OPEN_COLS + OPEN_HP] === hp &&
        this.checkUnmaskRow(buf, rows, end * OPEN_COLS)
      ) {
        end++;
      }
      const masks = this.masks(buf, rows, first, end, OPEN_COLS, hp);
      for (let row = first, at = 0; row < end; row++, at += SAMPLE_BYTES) {
        unmaskRow(buf, rows, row * OPEN_COLS, masks, at);
      }
      first = end;
    }
  }

  open(batch: OpenBatch): number {
    const { buf, rows } = batch;
    const end = Math.min(batch.count, Math.floor(rows.length / OPEN_COLS)) * OPEN_COLS;
    let opened = 0;
    for (let r = 0; r < end; r += OPEN_COLS) {
      if (rows[r + OPEN_STATUS] !== OPEN_INVALID) rows[r + OPEN_STATUS] = this.openRow(buf, rows, r);
      if (rows[r + OPEN_STATUS] === OPEN_OK) opened++;
    }
    return opened;
  }

  scatter(batch: ScatterBatch): boolean {
    return copyScattered(batch);
  }

  sealOnce(aead: AeadId, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    checkKey(aead, key);
    checkIv(nonce);
    const out = new Uint8Array(plaintext.length + TAG_BYTES);
    out.set(plaintext);
    encrypt(aead, key, nonce, aad, out);
    return out;
  }

  openOnce(aead: AeadId, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | null {
    checkKey(aead, key);
    checkIv(nonce);
    if (sealed.length < TAG_BYTES) return null;
    const out = sealed.slice();
    return decrypt(aead, key, nonce, aad, out) ? out.subarray(0, sealed.length - TAG_BYTES) : null;
  }

  private sealRow(buf: Uint8Array, rows: Int32Array, r: number): boolean {
    const off = rows[r + SEAL_OFF];
    const pnOff = rows[r + SEAL_PN_OFF];
    const pnLen = rows[r + SEAL_PN_LEN];
    const end = rows[r + SEAL_END];
    const pnHi = rows[r + SEAL_PN_HI];
    const pnLo = rows[r + SEAL_PN_LO] >>> 0;
    const key = this.keys[rows[r + SEAL_KEY]];
    const hp = this.headerKeys[rows[r + SEAL_HP]];
    if (key == null || hp == null) return false;
    if (off < 0 || pnOff <= off || pnLen < 1 || pnLen > 4) return false;
    const start = pnOff + pnLen;
    const packetEnd = end + key.tagBytes;
    // The sample starts as if the packet number had four bytes and must lie inside the packet (RFC 9001 §5.4.2).
    if (start > end || pnOff + 4 + hp.sampleBytes > packetEnd || packetEnd > buf.length) return false;
    if (pnHi < 0 || pnHi >= PN_HI_END) return false;
    if (pnHi < key.nextHi || (pnHi === key.nextHi && pnLo < key.nextLo)) return false;

    key.nextLo = (pnLo + 1) >>> 0;
    key.nextHi = key.nextLo === 0 ? pnHi + 1 : pnHi;
    if (key.aead === AEAD_NONE) return true;
    setNonce(this.nonce, key.iv, pnHi, pnLo);
    encrypt(key.aead, key.key, this.nonce, buf.subarray(off, start), buf.subarray(start, packetEnd));
    return true;
  }

  private checkUnmaskRow(buf: Uint8Array, rows: Int32Array, r: number): boolean {
    const off = rows[r + OPEN_OFF];
    const pnOff = rows[r + OPEN_PN_OFF];
    const end = rows[r + OPEN_END];
    const hp = this.headerKeys[rows[r + OPEN_HP]];
    if (hp == null || off < 0 || pnOff <= off || end > buf.length) return false;
    // without header protection the first byte says how long the packet number is
    const needed = hp.sampleBytes === 0 ? (buf[off] & 0x03) + 1 : 4 + SAMPLE_BYTES;
    return pnOff + needed <= end;
  }

  private openRow(buf: Uint8Array, rows: Int32Array, r: number): number {
    const off = rows[r + OPEN_OFF];
    const pnOff = rows[r + OPEN_PN_OFF];
    const pnLen = rows[r + OPEN_PN_LEN];
    const end = rows[r + OPEN_END];
    const pnHi = rows[r + OPEN_PN_HI];
    const key = this.keys[rows[r + OPEN_KEY]];
    if (key == null || off < 0 || pnOff <= off || pnLen < 1 || pnLen > 4) return OPEN_INVALID;
    const start = pnOff + pnLen;
    if (start + key.tagBytes > end || end > buf.length || pnHi < 0 || pnHi >= PN_HI_END) return OPEN_INVALID;
    if (key.aead === AEAD_NONE) return OPEN_OK;
    setNonce(this.nonce, key.iv, pnHi, rows[r + OPEN_PN_LO]);
    const ok = decrypt(key.aead, key.key, this.nonce, buf.subarray(off, start), buf.subarray(start, end));
    return ok ? OPEN_OK : OPEN_FORGED;
  }

  /** The header masks of rows [first, end), 16 bytes each (RFC 9001 §5.4.3, §5.4.4). */
  private masks(buf: Uint8Array, rows: Int32Array, first: number, end: number, cols: number, slot: number): Uint8Array {
    const { samples } = this;
    const { key, ecb, sampleBytes } = this.headerKeys[slot] as HeaderKey;
    if (sampleBytes === 0) return samples.fill(0);
    const used = (end - first) * SAMPLE_BYTES;
    for (let row = first, at = 0; row < end; row++, at += SAMPLE_BYTES) {
      const from = rows[row * cols + PN_OFF] + 4;
      samples.set(buf.subarray(from, from + SAMPLE_BYTES), at);
    }
    if (ecb !== null) return ecb.update(samples.subarray(0, used));
    for (let at = 0; at < used; at += SAMPLE_BYTES) {
      const block = samples.subarray(at, at + SAMPLE_BYTES);
      block.set(createCipheriv("chacha20", key, block).update(ZEROS));
    }
    return samples;
  }
}

const ZEROS = new Uint8Array(SAMPLE_BYTES);

function unmaskRow(buf: Uint8Array, rows: Int32Array, r: number, masks: Uint8Array, at: number): void {
  const off = rows[r + OPEN_OFF];
  const pnOff = rows[r + OPEN_PN_OFF];
  buf[off] ^= masks[at] & firstByteMask(buf[off]);
  const pnLen = (buf[off] & 0x03) + 1;
  applyPnMask(buf, pnOff, pnLen, masks, at);
  let pn = 0;
  for (let i = 0; i < pnLen; i++) pn = (pn << 8) | buf[pnOff + i];
  rows[r + OPEN_PN_LEN] = pnLen;
  rows[r + OPEN_PN_LO] = pn;
  // Not yet opened; also clears what an earlier use of the row left here.
  rows[r + OPEN_STATUS] = OPEN_FORGED;
}

/** Bits of the first byte that are protected; the header form bit itself never is (RFC 9001 §5.4.1). */
function firstByteMask(first: number): number {
  return (first & 0x80) !== 0 ? 0x0f : 0x1f;
}

function applyPnMask(buf: Uint8Array, pnOff: number, pnLen: number, masks: Uint8Array, at: number): void {
  for (let i = 0; i < pnLen; i++) buf[pnOff + i] ^= masks[at + 1 + i];
}

/** RFC 9001 §5.3: the packet number in network order, right-aligned, XORed with the IV. */
function setNonce(nonce: Uint8Array, iv: Uint8Array, pnHi: number, pnLo: number): void {
  nonce.set(iv);
  nonce[4] ^= pnHi >>> 24;
  nonce[5] ^= pnHi >>> 16;
  nonce[6] ^= pnHi >>> 8;
  nonce[7] ^= pnHi;
  nonce[8] ^= pnLo >>> 24;
  nonce[9] ^= pnLo >>> 16;
  nonce[10] ^= pnLo >>> 8;
  nonce[11] ^= pnLo;
}

/** Encrypts `data` but for its last 16 bytes in place and writes the tag there. */
function encrypt(aead: AeadId, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, data: Uint8Array): void {
  const bytes = data.length - TAG_BYTES;
  const options = { authTagLength: TAG_BYTES };
  // CCM wants the length in advance; the other two ignore the option. One type stands for all four.
  const cipher = createCipheriv(cipherName(aead) as CipherCCMTypes, key, nonce, options);
  cipher.setAAD(aad, { plaintextLength: bytes });
  data.set(cipher.update(data.subarray(0, bytes)));
  cipher.final();
  data.set(cipher.getAuthTag(), bytes);
}

/** Decrypts `data` but for its tag in place; false (and `data` as it was) when the tag does not match. */
function decrypt(aead: AeadId, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, data: Uint8Array): boolean {
  const bytes = data.length - TAG_BYTES;
  const options = { authTagLength: TAG_BYTES };
  const decipher = createDecipheriv(cipherName(aead) as CipherCCMTypes, key, nonce, options);
  decipher.setAuthTag(data.subarray(bytes));
  decipher.setAAD(aad, { plaintextLength: bytes });
  try {
    const plaintext = decipher.update(data.subarray(0, bytes));
    decipher.final();
    data.set(plaintext);
    return true;
  } catch {
    return false; // the only failure left at this point: authentication
  }
}

function cipherName(aead: AeadId): CipherCCMTypes | CipherGCMTypes | "chacha20-poly1305" {
  if (aead === AEAD_AES_128_GCM) return "aes-128-gcm";
  if (aead === AEAD_AES_256_GCM) return "aes-256-gcm";
  return aead === AEAD_AES_128_CCM ? "aes-128-ccm" : "chacha20-poly1305";
}

function hashName(hash: HashId): string {
  return hash === HASH_SHA256 ? "sha256" : "sha384";
}

/** A copy that is a Uint8Array and no Buffer: it does not keep a pool of other people's bytes alive. */
function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

function put<T>(table: (T | null)[], value: T): number {
  const free = table.indexOf(null);
  if (free < 0) return table.push(value) - 1;
  table[free] = value;
  return free;
}

function takeOut<T>(table: (T | null)[], slot: number): T {
  const value = table[slot];
  if (value == null) throw new RangeError(`key slot ${slot} is free`);
  table[slot] = null;
  return value;
}
