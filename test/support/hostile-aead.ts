/**
 * A peer that lies: the null AEAD with a fault in front of `seal`. What the engine built is changed at random before it
 * is sealed, so that the other side authenticates it and has to cope with the frames themselves.
 */

import {
  SEAL_COLS,
  SEAL_END,
  SEAL_PN_LEN,
  SEAL_PN_OFF,
  type AeadId,
  type AeadPort,
  type HashId,
  type OpenBatch,
  type ScatterBatch,
  type SealBatch,
  copyGathered,
} from "#src/port/aead.js";
import type { Prng } from "#src/sim/prng.js";
import type { NullAead } from "./null-aead.js";

/** Bytes at which varints and frame types change their meaning. */
const EDGES = [0x00, 0x01, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xff];
const LAST_FRAME_TYPE = 0x1f;
const MOST_CHANGES = 4;
const KINDS = ["edge", "byte", "type", "varint", "copy", "zero", "replay"] as const;

export class HostileAead implements AeadPort {
  readonly name = "hostile";
  changed = 0;
  private saved = new Uint8Array(0);

  /** `chance`: share of the packets that are changed, 0..1. */
  constructor(
    private readonly inner: NullAead,
    private readonly prng: Prng,
    private readonly chance: number,
  ) {}

  seal(batch: SealBatch): number {
    copyGathered(batch);
    const { buf, rows, count } = batch;
    for (let r = 0; r < count * SEAL_COLS; r += SEAL_COLS) {
      const start = rows[r + SEAL_PN_OFF] + rows[r + SEAL_PN_LEN];
      const end = rows[r + SEAL_END];
      if (end <= start) continue;
      if (this.prng.chance(this.chance)) {
        this.changed++;
        for (let left = this.prng.range(1, MOST_CHANGES); left > 0; left--) this.change(buf, start, end);
      }
      if (this.prng.chance(0.1)) this.saved = buf.slice(start, end);
    }
    return this.inner.seal(batch);
  }

  private change(buf: Uint8Array, start: number, end: number): void {
    const { prng, saved } = this;
    // Frame headers stand at the start of packets more often than elsewhere.
    const at = prng.chance(0.6) ? Math.min(end - 1, start + prng.below(24)) : prng.range(start, end - 1);
    switch (prng.pick(KINDS)) {
      case "edge":
        buf[at] = prng.pick(EDGES);
        return;
      case "byte":
        buf[at] = prng.below(256);
        return;
      case "type":
        buf[prng.chance(0.5) ? start : at] = prng.range(0, LAST_FRAME_TYPE);
        return;
      case "varint":
        buf.fill(prng.pick([0xff, 0x00]), at, Math.min(end, at + 8));
        buf[at] = prng.pick([0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xff]);
        return;
      case "copy": {
        const length = Math.min(prng.range(1, 40), end - at);
        const from = prng.range(start, end - length);
        buf.copyWithin(at, from, from + length);
        return;
      }
      case "zero":
        buf.fill(0, at, end);
        return;
      case "replay":
        buf.set(saved.subarray(0, end - start), start);
    }
  }

  supports(): boolean {
    return true;
  }

  hkdfExtract(hash: HashId, salt: Uint8Array, ikm: Uint8Array): Uint8Array {
    return this.inner.hkdfExtract(hash, salt, ikm);
  }

  hkdfExpand(hash: HashId, prk: Uint8Array, info: Uint8Array, lengthBytes: number): Uint8Array {
    return this.inner.hkdfExpand(hash, prk, info, lengthBytes);
  }

  hkdfExpandAll(hash: HashId, prk: Uint8Array, specs: Uint8Array): Uint8Array {
    return this.inner.hkdfExpandAll(hash, prk, specs);
  }

  newKey(aead: AeadId, key: Uint8Array, iv: Uint8Array): number {
    return this.inner.newKey(aead, key, iv);
  }

  freeKey(slot: number): void {
    this.inner.freeKey(slot);
  }

  restKey(slot: number): void {
    this.inner.restKey(slot);
  }

  newHeaderKey(aead: AeadId, key: Uint8Array): number {
    return this.inner.newHeaderKey(aead, key);
  }

  freeHeaderKey(slot: number): void {
    this.inner.freeHeaderKey(slot);
  }

  unmask(batch: OpenBatch): void {
    this.inner.unmask(batch);
  }

  scatter(batch: ScatterBatch): boolean {
    return this.inner.scatter(batch);
  }

  open(batch: OpenBatch): number {
    return this.inner.open(batch);
  }

  sealOnce(aead: AeadId, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    return this.inner.sealOnce(aead, key, nonce, aad, plaintext);
  }

  openOnce(aead: AeadId, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | null {
    return this.inner.openOnce(aead, key, nonce, aad, sealed);
  }
}
