/** What streams carry in simulation: every byte is a function of stream id and offset, so each reader can check it. */

const PERIOD = 65_521; // a prime, so that no window or packet size lines up with it
const TABLE_BYTES = PERIOD + 65_536;
const ID_STEP = 7919;

const TABLE = (() => {
  const table = new Uint8Array(TABLE_BYTES);
  for (let i = 0, x = 12345; i < PERIOD; i++) {
    x = (Math.imul(x, 1103515245) + 12345) | 0;
    table[i] = x >>> 23;
  }
  for (let i = PERIOD; i < TABLE_BYTES; i++) table[i] = table[i - PERIOD] as number;
  return table;
})();

/** Most bytes that `contentAt` can give from one offset. */
export const CONTENT_RUN_BYTES = 65_536;

/** The buffer that holds stream content, to be read from `contentStart(id, offset)` on. */
export const CONTENT = TABLE;

/** `reply` tells the two directions of a bidirectional stream apart. */
export function contentStart(id: number, reply: boolean, offset: number): number {
  return (offset + id * ID_STEP + (reply ? 31_337 : 0)) % PERIOD;
}

/** Offset of the first wrong byte of buf[0, length), or -1. */
export function firstWrongByte(id: number, reply: boolean, offset: number, buf: Uint8Array, length: number): number {
  for (let at = 0; at < length; ) {
    const run = Math.min(length - at, CONTENT_RUN_BYTES);
    const start = contentStart(id, reply, offset + at);
    if (Buffer.compare(buf.subarray(at, at + run), TABLE.subarray(start, start + run)) !== 0) {
      while (buf[at] === TABLE[contentStart(id, reply, offset + at)]) at++;
      return offset + at;
    }
    at += run;
  }
  return -1;
}
