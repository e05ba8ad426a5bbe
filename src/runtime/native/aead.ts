/**
 * The aead port on the addon: OpenSSL's EVP inside the running Node, one call a batch (addon/aead_batch.cc). Nonce
 * safety and bounds are checked there, row by row; this wrapper only shapes arguments and errors.
 */

import {
  AEAD_AES_128_GCM,
  copyScattered,
  expandedBytes,
  HASH_SHA256,
  HASH_SHA384,
  TAG_BYTES,
} from "../../port/aead.js";
import type { AeadId, AeadPort, HashId, OpenBatch, PacketAead, ScatterBatch, SealBatch } from "../../port/aead.js";
import { checkIv, checkKey, checkPacketKey } from "../aead-arguments.js";
import { loadAddon } from "./addon.js";

/** Fewer pieces than this cost less in JavaScript: a call with its five arguments takes about as long as four copies. */
const NATIVE_SCATTER_ROWS = 4;

/** What addon/aead_batch.cc exports. */
interface AeadAddon {
  aeadSupports(aead: number): boolean;
  aeadNewKey(aead: number, key: Uint8Array, iv: Uint8Array): number;
  aeadFreeKey(slot: number): boolean;
  aeadRestKey(slot: number): boolean;
  aeadNewHeaderKey(aead: number, key: Uint8Array): number;
  aeadFreeHeaderKey(slot: number): boolean;
  aeadSeal(
    buf: Uint8Array,
    rows: Int32Array,
    count: number,
    sources?: readonly Uint8Array[],
    gather?: Int32Array,
    gatherCount?: number,
  ): number;
  aeadUnmask(buf: Uint8Array, rows: Int32Array, count: number): void;
  aeadOpen(buf: Uint8Array, rows: Int32Array, count: number): number;
  aeadScatter(buf: Uint8Array, rows: Int32Array, count: number, ring: Uint8Array, to: number): boolean;
  aeadOnce(
    sealing: boolean,
    aead: number,
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    data: Uint8Array,
  ): boolean;
  aeadExpand(sha384: boolean, key: Uint8Array, specs: Uint8Array, out: Uint8Array): boolean;
  aeadHmac(sha384: boolean, key: Uint8Array, data: Uint8Array, out: Uint8Array): boolean;
}

/** @throws ERR_NETQUIC_NO_ADDON, or an Error when this Node's OpenSSL lacks what every QUIC connection needs. */
export function newNativeAead(): AeadPort {
  const addon = loadAddon<AeadAddon>();
  if (!addon.aeadSupports(AEAD_AES_128_GCM)) throw new Error("the OpenSSL inside this Node exports no EVP AES-128-GCM");
  return new NativeAead(addon);
}

class NativeAead implements AeadPort {
  readonly name = "openssl-evp";
  private readonly addon: AeadAddon;

  constructor(addon: AeadAddon) {
    this.addon = addon;
  }

  supports(aead: AeadId): boolean {
    return this.addon.aeadSupports(aead);
  }

  hkdfExtract(hash: HashId, salt: Uint8Array, ikm: Uint8Array): Uint8Array {
    return this.hmac(hash, salt, ikm);
  }

  hkdfExpand(hash: HashId, prk: Uint8Array, info: Uint8Array, lengthBytes: number): Uint8Array {
    const hashBytes = hash === HASH_SHA256 ? 32 : 48;
    if (!(lengthBytes >= 0 && lengthBytes <= 255 * hashBytes)) throw new RangeError(`HKDF length ${lengthBytes}`);
    const out = new Uint8Array(lengthBytes);
    // Input of the next round: the block before (none at first), the info, the counter (RFC 5869 §2.3).
    const input = new Uint8Array(hashBytes + info.length + 1);
    input.set(info, hashBytes);
    for (let at = 0, counter = 1; at < lengthBytes; at += hashBytes, counter++) {
      input[input.length - 1] = counter;
      const block = this.hmac(hash, prk, counter === 1 ? input.subarray(hashBytes) : input);
      out.set(lengthBytes - at < hashBytes ? block.subarray(0, lengthBytes - at) : block, at);
      input.set(block);
    }
    return out;
  }

  hkdfExpandAll(hash: HashId, prk: Uint8Array, specs: Uint8Array): Uint8Array {
    const out = new Uint8Array(expandedBytes(specs));
    if (!this.addon.aeadExpand(hash === HASH_SHA384, prk, specs, out)) throw new Error("OpenSSL refused the expansion");
    return out;
  }

  newKey(aead: PacketAead, key: Uint8Array, iv: Uint8Array): number {
    checkPacketKey(aead, key);
    checkIv(iv);
    return installed(this.addon.aeadNewKey(aead, key, iv), aead);
  }

  freeKey(slot: number): void {
    if (!this.addon.aeadFreeKey(slot)) throw new RangeError(`key slot ${slot} is free`);
  }

  restKey(slot: number): void {
    if (!this.addon.aeadRestKey(slot)) throw new RangeError(`key slot ${slot} is free`);
  }

  newHeaderKey(aead: PacketAead, key: Uint8Array): number {
    checkPacketKey(aead, key);
    return installed(this.addon.aeadNewHeaderKey(aead, key), aead);
  }

  freeHeaderKey(slot: number): void {
    if (!this.addon.aeadFreeHeaderKey(slot)) throw new RangeError(`header key slot ${slot} is free`);
  }

  seal(batch: SealBatch): number {
    const { gather } = batch;
    if (gather === undefined || gather.count === 0) return this.addon.aeadSeal(batch.buf, batch.rows, batch.count);
    return this.addon.aeadSeal(batch.buf, batch.rows, batch.count, gather.sources, gather.rows, gather.count);
  }

  unmask(batch: OpenBatch): void {
    this.addon.aeadUnmask(batch.buf, batch.rows, batch.count);
  }

  scatter(batch: ScatterBatch): boolean {
    if (batch.count < NATIVE_SCATTER_ROWS) return copyScattered(batch);
    return this.addon.aeadScatter(batch.buf, batch.rows, batch.count, batch.ring, batch.to);
  }

  open(batch: OpenBatch): number {
    return this.addon.aeadOpen(batch.buf, batch.rows, batch.count);
  }

  sealOnce(aead: AeadId, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    checkKey(aead, key);
    checkIv(nonce);
    const out = new Uint8Array(plaintext.length + TAG_BYTES);
    out.set(plaintext);
    if (!this.addon.aeadOnce(true, aead, key, nonce, aad, out)) throw new Error(`OpenSSL refused AEAD ${aead}`);
    return out;
  }

  openOnce(aead: AeadId, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | null {
    checkKey(aead, key);
    checkIv(nonce);
    if (sealed.length < TAG_BYTES) return null;
    const out = new Uint8Array(sealed);
    if (!this.addon.aeadOnce(false, aead, key, nonce, aad, out)) return null;
    return out.subarray(0, sealed.length - TAG_BYTES);
  }

  private hmac(hash: HashId, key: Uint8Array, data: Uint8Array): Uint8Array {
    const out = new Uint8Array(hash === HASH_SHA256 ? 32 : 48);
    if (!this.addon.aeadHmac(hash === HASH_SHA384, key, data, out)) throw new Error("OpenSSL refused the HMAC");
    return out;
  }
}

function installed(slot: number, aead: PacketAead): number {
  if (slot < 0) throw new Error(`OpenSSL refused a key for AEAD ${aead}`);
  return slot;
}
