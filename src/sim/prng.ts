/**
 * The randomness of a simulation: xoshiro128** (Blackman and Vigna) with named streams. Each part of a run draws from a
 * stream of its own, so that one more draw in one part does not shift the draws of all the others.
 *
 * Not for production: it is predictable on purpose.
 */

import type { Random } from "../port/random.js";

const TWO_32 = 2 ** 32;

/** A seeded generator. Equal seed and name give equal draws on every machine. */
export class Prng implements Random {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  /** `seed` is an integer in 0..2^53-1. */
  constructor(seed: number, name = "") {
    let state = hashName(name) ^ Math.imul((seed % TWO_32) | 0, 0x9e3779b1) ^ Math.floor(seed / TWO_32);
    const next = (): number => {
      // splitmix32: spreads the seed over the whole state, which must not be all zero.
      state = (state + 0x9e3779b9) | 0;
      let z = state ^ (state >>> 16);
      z = Math.imul(z, 0x21f0aaad);
      z ^= z >>> 15;
      z = Math.imul(z, 0x735a2d97);
      return z ^ (z >>> 15);
    };
    this.a = next();
    this.b = next();
    this.c = next();
    this.d = next() | 1;
  }

  /** 0..2^32-1. */
  u32(): number {
    const { b } = this;
    const x = Math.imul(b, 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9);
    const t = b << 9;
    this.c ^= this.a;
    this.d ^= b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= t;
    this.d = (this.d << 11) | (this.d >>> 21);
    return result >>> 0;
  }

  /** At least 0, below 1. */
  float(): number {
    return this.u32() / TWO_32;
  }

  /** 0..n-1, n at most 2^32. */
  below(n: number): number {
    return Math.floor(this.float() * n);
  }

  /** lo..hi, both included, integers. */
  range(lo: number, hi: number): number {
    return lo + this.below(hi - lo + 1);
  }

  /** True with this probability, 0..1. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** lo..hi, every order of magnitude equally likely; lo > 0. */
  logUniform(lo: number, hi: number): number {
    return lo * (hi / lo) ** this.float();
  }

  /** Heavy-tailed: at least `min`, half of all draws below min * 2^(1/shape), never above `max`. */
  pareto(min: number, shape: number, max: number): number {
    return Math.min(max, min / (1 - this.float()) ** (1 / shape));
  }

  fill(buf: Uint8Array, start: number, end: number): void {
    for (let i = start; i < end; ) {
      for (let word = this.u32(), left = 4; left > 0 && i < end; left--, word >>>= 8) buf[i++] = word & 0xff;
    }
  }
}

/** FNV-1a over the characters. */
function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash;
}
