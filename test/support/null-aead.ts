/**
 * Packet protection that protects nothing, for simulation: payloads stay readable, the tag is a keyed checksum over
 * header, payload and packet number, so that damage and wrong keys are found as an AEAD would find them.
 *
 * Invariant: as every implementation of port/aead, `seal` refuses a packet number that does not increase under its slot.
 */

import {
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
} from "#src/port/aead.js";
import type { AeadId, AeadPort, HashId, OpenBatch, PacketAead, ScatterBatch, SealBatch } from "#src/port/aead.js";
import { Mix } from "./null-mix.js";

const TWO_32 = 2 ** 32;

interface NullKey {
  /** 0 under AEAD_NONE: packets have no tag, and headers no mask. */
  readonly tagBytes: number;
  readonly words: readonly [number, number, number, number];
  /** The smallest packet number that `seal` still takes. */
  nextPn: number;
}

export class NullAead implements AeadPort {
  readonly name = "null";
  /** Keys installed and not freed: 0 when every connection cleaned up. */
  liveKeys = 0;
  liveHeaderKeys = 0;
  sealed = 0;
  opened = 0;
  forged = 0;
  /** Pieces of runs. */
  scattered = 0;
  private readonly keys: (NullKey | null)[] = [];
  private readonly headerKeys: (NullKey | null)[] = [];
  private readonly mix = new Mix();

  /** `maskHeaders`: header protection as an XOR with a mask from the sample; else headers stay readable too. */
  constructor(private readonly maskHeaders: boolean) {}

  supports(): boolean {
    return true;
  }

  hkdfExtract(hash: HashId, salt: Uint8Array, ikm: Uint8Array): Uint8Array {
    return this.derive(salt, ikm, hash === HASH_SHA256 ? 32 : 48);
  }

  hkdfExpand(_hash: HashId, prk: Uint8Array, info: Uint8Array, lengthBytes: number): Uint8Array {
    return this.derive(prk, info, lengthBytes);
  }

  hkdfExpandAll(hash: HashId, prk: Uint8Array, specs: Uint8Array): Uint8Array {
    return expandOneByOne(this, hash, prk, specs);
  }

  newKey(aead: PacketAead, key: Uint8Array, iv: Uint8Array): number {
    this.liveKeys++;
    return put(this.keys, { tagBytes: aeadTagBytes(aead), words: this.words(key, iv), nextPn: 0 });
  }

  freeKey(slot: number): void {
    takeOut(this.keys, slot);
    this.liveKeys--;
  }

  restKey(slot: number): void {
    if (this.keys[slot] == null) throw new RangeError(`key slot ${slot} is free`);
  }

  newHeaderKey(aead: PacketAead, key: Uint8Array): number {
    this.liveHeaderKeys++;
    return put(this.headerKeys, { tagBytes: aeadTagBytes(aead), words: this.words(key, key), nextPn: 0 });
  }

  freeHeaderKey(slot: number): void {
    takeOut(this.headerKeys, slot);
    this.liveHeaderKeys--;
  }

  seal(batch: SealBatch): number {
    if (!copyGathered(batch)) return 0;
    for (let row = 0; row < batch.count; row++) {
      if (!this.sealRow(batch.buf, batch.rows, row * SEAL_COLS)) return row;
    }
    return batch.count;
  }

  unmask(batch: OpenBatch): void {
    const { buf, rows } = batch;
    for (let r = 0; r < batch.count * OPEN_COLS; r += OPEN_COLS) {
      const off = rows[r + OPEN_OFF];
      const pnOff = rows[r + OPEN_PN_OFF];
      const end = rows[r + OPEN_END];
      const hp = this.headerKeys[rows[r + OPEN_HP]];
      rows[r + OPEN_STATUS] = OPEN_INVALID;
      if (hp == null || off < 0 || pnOff <= off || end > buf.length) continue;
      if (pnOff + (hp.tagBytes === 0 ? (buf[off] & 0x03) + 1 : 4 + SAMPLE_BYTES) > end) continue;
      const mask = this.headerMask(hp, buf, pnOff);
      buf[off] ^= mask & firstByteMask(buf[off]);
      const pnLen = (buf[off] & 0x03) + 1;
      applyPnMask(buf, pnOff, pnLen, mask);
      let pn = 0;
      for (let i = 0; i < pnLen; i++) pn = (pn << 8) | buf[pnOff + i];
      rows[r + OPEN_PN_LEN] = pnLen;
      rows[r + OPEN_PN_LO] = pn;
      rows[r + OPEN_STATUS] = OPEN_FORGED;
    }
  }

  open(batch: OpenBatch): number {
    const { buf, rows } = batch;
    let opened = 0;
    for (let r = 0; r < batch.count * OPEN_COLS; r += OPEN_COLS) {
      if (rows[r + OPEN_STATUS] !== OPEN_INVALID) rows[r + OPEN_STATUS] = this.openRow(buf, rows, r);
      if (rows[r + OPEN_STATUS] === OPEN_OK) opened++;
    }
    return opened;
  }

  scatter(batch: ScatterBatch): boolean {
    this.scattered += batch.count;
    return copyScattered(batch);
  }

  sealOnce(_aead: AeadId, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    const out = new Uint8Array(plaintext.length + TAG_BYTES);
    out.set(plaintext);
    this.tagOnce(key, nonce, aad, out, plaintext.length).squeeze(out, plaintext.length, TAG_BYTES);
    return out;
  }

  openOnce(_aead: AeadId, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | null {
    const end = sealed.length - TAG_BYTES;
    if (end < 0) return null;
    const tag = new Uint8Array(TAG_BYTES);
    this.tagOnce(key, nonce, aad, sealed, end).squeeze(tag, 0, TAG_BYTES);
    for (let i = 0; i < TAG_BYTES; i++) if (tag[i] !== sealed[end + i]) return null;
    return sealed.slice(0, end);
  }

  private sealRow(buf: Uint8Array, rows: Int32Array, r: number): boolean {
    const off = rows[r + SEAL_OFF];
    const pnOff = rows[r + SEAL_PN_OFF];
    const pnLen = rows[r + SEAL_PN_LEN];
    const end = rows[r + SEAL_END];
    const key = this.keys[rows[r + SEAL_KEY]];
    const hp = this.headerKeys[rows[r + SEAL_HP]];
    if (key == null || hp == null) return false;
    if (off < 0 || pnOff <= off || pnLen < 1 || pnLen > 4) return false;
    const packetEnd = end + key.tagBytes;
    if (pnOff + 4 + hp.tagBytes > packetEnd || pnOff + pnLen > end || packetEnd > buf.length) return false;
    const pn = fullPn(rows[r + SEAL_PN_HI], rows[r + SEAL_PN_LO]);
    if (pn < key.nextPn) return false;
    key.nextPn = pn + 1;
    this.sealed++;
    if (key.tagBytes > 0) this.writeTag(key, buf, rows, r);
    const mask = this.headerMask(hp, buf, pnOff);
    buf[off] ^= mask & firstByteMask(buf[off]);
    applyPnMask(buf, pnOff, pnLen, mask);
    return true;
  }

  private writeTag(key: NullKey, buf: Uint8Array, rows: Int32Array, r: number): void {
    const { mix } = this;
    const off = rows[r + SEAL_OFF];
    const end = rows[r + SEAL_END];
    this.checksum(key, buf, off, end, rows[r + SEAL_PN_HI], rows[r + SEAL_PN_LO]);
    for (let i = 0; i < 4; i++) {
      buf[end + i] = mix.a >>> (8 * i);
      buf[end + 4 + i] = mix.b >>> (8 * i);
      buf[end + 8 + i] = mix.c >>> (8 * i);
      buf[end + 12 + i] = mix.d >>> (8 * i);
    }
  }

  private openRow(buf: Uint8Array, rows: Int32Array, r: number): number {
    const off = rows[r + OPEN_OFF];
    const pnOff = rows[r + OPEN_PN_OFF];
    const pnLen = rows[r + OPEN_PN_LEN];
    const key = this.keys[rows[r + OPEN_KEY]];
    if (key == null || off < 0 || pnOff <= off || pnLen < 1 || pnLen > 4) return OPEN_INVALID;
    const end = rows[r + OPEN_END] - key.tagBytes;
    if (pnOff + pnLen > end || rows[r + OPEN_END] > buf.length) return OPEN_INVALID;
    this.opened++;
    if (key.tagBytes === 0) return OPEN_OK;
    const { mix } = this;
    this.checksum(key, buf, off, end, rows[r + OPEN_PN_HI], rows[r + OPEN_PN_LO]);
    const ok =
      readWord(buf, end) === mix.a &&
      readWord(buf, end + 4) === mix.b &&
      readWord(buf, end + 8) === mix.c &&
      readWord(buf, end + 12) === mix.d;
    if (!ok) this.forged++;
    return ok ? OPEN_OK : OPEN_FORGED;
  }

  private checksum(key: NullKey, buf: Uint8Array, off: number, end: number, pnHi: number, pnLo: number): void {
    const [a, b, c, d] = key.words;
    this.mix.reset(a, b, c, d).add(buf, off, end).addWord(pnHi).addWord(pnLo).stir();
  }

  /** Five mask bytes: the first in the low byte of the first word, then four for the packet number. */
  private headerMask(hp: NullKey, buf: Uint8Array, pnOff: number): number {
    if (!this.maskHeaders || hp.tagBytes === 0) return 0;
    const at = pnOff + 4;
    return Math.imul(hp.words[0] ^ readWord(buf, at) ^ Math.imul(readWord(buf, at + 8), 0x9e3779b1), 0x85ebca6b) | 0;
  }

  private tagOnce(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, text: Uint8Array, end: number): Mix {
    const mix = this.mix.reset(1, 2, 3, 4).add(key, 0, key.length).add(nonce, 0, nonce.length).stir();
    return mix.add(aad, 0, aad.length).stir().add(text, 0, end).stir();
  }

  private derive(secret: Uint8Array, info: Uint8Array, length: number): Uint8Array {
    const out = new Uint8Array(length);
    this.mix.reset(5, 6, 7, 8).add(secret, 0, secret.length).stir().add(info, 0, info.length).squeeze(out, 0, length);
    return out;
  }

  private words(key: Uint8Array, iv: Uint8Array): [number, number, number, number] {
    const mix = this.mix.reset(9, 10, 11, 12).add(key, 0, key.length).stir().add(iv, 0, iv.length).stir();
    return [mix.a, mix.b, mix.c, mix.d];
  }
}

/** Bits of the first byte that are protected (RFC 9001 §5.4.1). */
function firstByteMask(first: number): number {
  return (first & 0x80) !== 0 ? 0x0f : 0x1f;
}

function applyPnMask(buf: Uint8Array, pnOff: number, pnLen: number, mask: number): void {
  for (let i = 0; i < pnLen; i++) buf[pnOff + i] ^= (mask >>> (8 * i + 3)) & 0xff;
}

function readWord(buf: Uint8Array, at: number): number {
  return buf[at] | (buf[at + 1] << 8) | (buf[at + 2] << 16) | (buf[at + 3] << 24);
}

function fullPn(hi: number, lo: number): number {
  return hi * TWO_32 + (lo >>> 0);
}

function put<T>(table: (T | null)[], value: T): number {
  const free = table.indexOf(null);
  if (free < 0) return table.push(value) - 1;
  table[free] = value;
  return free;
}

function takeOut<T>(table: (T | null)[], slot: number): void {
  if (table[slot] == null) throw new RangeError(`key slot ${slot} is free`);
  table[slot] = null;
}
