/**
 * SipHash-2-4 of one 8-byte block, cut to 32 bits: the check of a connection id. A short keyed hash, because the host
 * checks one for each packet that it forwards. 64-bit words are pairs of 32-bit ones, `h` the high and `l` the low half.
 */

/** 16 bytes of key as four words, little-endian. */
export type SipKey = Int32Array;

const LENGTH_BLOCK_HIGH = 8 << 24; // the message's length in the top byte of its last block
/** Two of compression for each block, then four. */
const ROUNDS = 8;
const SECOND_BLOCK_AT = 2;
const FINAL_AT = 4;

/** @param key 16 bytes. */
export function sipKey(key: Uint8Array): SipKey {
  const view = new DataView(key.buffer, key.byteOffset, 16);
  return Int32Array.from([0, 4, 8, 12], (at) => view.getInt32(at, true));
}

/** The low half of the hash of the block whose little-endian words are `low` and `high`, 0 to 2^32-1. One function with local
 *  words is six times as fast as one that keeps them in an array. */
export function sipHash(key: SipKey, low: number, high: number): number {
  let v0l = key[0] ^ 0x70736575;
  let v0h = key[1] ^ 0x736f6d65;
  let v1l = key[2] ^ 0x6e646f6d;
  let v1h = key[3] ^ 0x646f7261;
  let v2l = key[0] ^ 0x6e657261;
  let v2h = key[1] ^ 0x6c796765;
  let v3l = key[2] ^ 0x79746573 ^ low;
  let v3h = key[3] ^ 0x74656462 ^ high;
  let sum = 0;
  let word = 0;
  for (let i = 0; i < ROUNDS; i++) {
    if (i === SECOND_BLOCK_AT) {
      v0l ^= low;
      v0h ^= high;
      v3h ^= LENGTH_BLOCK_HIGH;
    } else if (i === FINAL_AT) {
      v0h ^= LENGTH_BLOCK_HIGH;
      v2l ^= 0xff;
    }
    // v0 += v1, v2 += v3
    sum = (v0l >>> 0) + (v1l >>> 0);
    v0h = (v0h + v1h + (sum > 0xffffffff ? 1 : 0)) | 0;
    v0l = sum | 0;
    sum = (v2l >>> 0) + (v3l >>> 0);
    v2h = (v2h + v3h + (sum > 0xffffffff ? 1 : 0)) | 0;
    v2l = sum | 0;
    // v1 = v1 <<< 13 ^ v0, v3 = v3 <<< 16 ^ v2, v0 <<<= 32
    word = v1l;
    v1l = ((v1l << 13) | (v1h >>> 19)) ^ v0l;
    v1h = ((v1h << 13) | (word >>> 19)) ^ v0h;
    word = v3l;
    v3l = ((v3l << 16) | (v3h >>> 16)) ^ v2l;
    v3h = ((v3h << 16) | (word >>> 16)) ^ v2h;
    word = v0l;
    v0l = v0h;
    v0h = word;
    // v2 += v1, v0 += v3
    sum = (v2l >>> 0) + (v1l >>> 0);
    v2h = (v2h + v1h + (sum > 0xffffffff ? 1 : 0)) | 0;
    v2l = sum | 0;
    sum = (v0l >>> 0) + (v3l >>> 0);
    v0h = (v0h + v3h + (sum > 0xffffffff ? 1 : 0)) | 0;
    v0l = sum | 0;
    // v1 = v1 <<< 17 ^ v2, v3 = v3 <<< 21 ^ v0, v2 <<<= 32
    word = v1l;
    v1l = ((v1l << 17) | (v1h >>> 15)) ^ v2l;
    v1h = ((v1h << 17) | (word >>> 15)) ^ v2h;
    word = v3l;
    v3l = ((v3l << 21) | (v3h >>> 11)) ^ v0l;
    v3h = ((v3h << 21) | (word >>> 11)) ^ v0h;
    word = v2l;
    v2l = v2h;
    v2h = word;
  }
  return (v0l ^ v1l ^ v2l ^ v3l) >>> 0;
}
