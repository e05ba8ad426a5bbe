/** The mixing under the null AEAD and the null TLS: fast, deterministic, and no protection against anybody. */

const C0 = 0x9e3779b1;
const C1 = 0x85ebca6b;
const C2 = 0xc2b2ae35;
const C3 = 0x27d4eb2f;
/** Below this a byte at a time is cheaper than a view of the buffer. */
const SHORT_BYTES = 64;

/** Four words of state over a run of bytes; every bit of input reaches every bit of `digest`. */
export class Mix {
  a = 0;
  b = 0;
  c = 0;
  d = 0;
  private view = new DataView(new ArrayBuffer(0));

  reset(a: number, b: number, c: number, d: number): this {
    this.a = a | 0;
    this.b = b | 0;
    this.c = c | 0;
    this.d = d | 0;
    return this;
  }

  /** Adds buf[start, end) and its length. */
  add(buf: Uint8Array, start: number, end: number): this {
    const from = end - start < SHORT_BYTES ? start : this.addWords(buf, start, end);
    let { c } = this;
    for (let at = from; at < end; at++) c = Math.imul((c << 7) | (c >>> 25), C2) ^ buf[at];
    this.c = c;
    this.d = (Math.imul(this.d ^ (end - start), C3) + 1) | 0;
    return this;
  }

  /** Adds whole pairs of words; returns where they end. */
  private addWords(buf: Uint8Array, start: number, end: number): number {
    if (this.view.buffer !== buf.buffer) this.view = new DataView(buf.buffer as ArrayBuffer);
    const { view } = this;
    let { a, b } = this;
    let at = buf.byteOffset + start;
    const stop = buf.byteOffset + end;
    // Each step is a bijection of its lane for a fixed word, and of the word for a fixed lane: one change never cancels.
    for (; at + 8 <= stop; at += 8) {
      a = Math.imul((a << 13) | (a >>> 19), C0) ^ view.getInt32(at, true);
      b = Math.imul((b << 15) | (b >>> 17), C1) ^ view.getInt32(at + 4, true);
    }
    this.a = a;
    this.b = b;
    return at - buf.byteOffset;
  }

  addWord(word: number): this {
    this.d = Math.imul((this.d << 11) | (this.d >>> 21), C3) ^ (word | 0);
    return this;
  }

  /** Stirs the four words into each other; call it before reading them as a digest. */
  stir(): this {
    let { a, b, c, d } = this;
    for (let round = 0; round < 3; round++) {
      a = Math.imul(a ^ (d >>> 15), C1) + b;
      b = Math.imul(b ^ (a >>> 13), C2) + c;
      c = Math.imul(c ^ (b >>> 16), C3) + d;
      d = Math.imul(d ^ (c >>> 14), C0) + a;
    }
    return this.reset(a, b, c, d);
  }

  /** Writes `length` bytes that depend on the whole state. */
  squeeze(out: Uint8Array, start: number, length: number): void {
    for (let at = 0; at < length; ) {
      this.stir();
      for (let word = 0; word < 4 && at < length; word++) {
        let value = word === 0 ? this.a : word === 1 ? this.b : word === 2 ? this.c : this.d;
        for (let byte = 0; byte < 4 && at < length; byte++, value >>>= 8) out[start + at++] = value & 0xff;
      }
    }
  }
}
