/** Inputs from inputs: what a fuzzer does to bytes. All choices come from the generator, so that a seed repeats a run. */

import type { Prng } from "#src/sim/prng.js";

/** Bytes that lie at the borders of fields: lengths of varints, frame types, key phases. */
const EDGES = [0x00, 0x01, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xff];
/** Whole varints at borders (RFC 9000 §16). */
const VARINTS = [
  "40",
  "bfffffff",
  "80000000",
  "c000000000000000",
  "ffffffffffffffff",
  "dfffffffffffffff",
  "c020000000000000",
];
const MAX_STACKED = 5;

export function mutate(input: Uint8Array, other: Uint8Array, maxBytes: number, random: Prng): Uint8Array {
  let bytes = Array.from(input);
  for (let left = 1 + random.below(MAX_STACKED); left > 0; left--) bytes = mutateOnce(bytes, other, random);
  return Uint8Array.from(bytes.slice(0, maxBytes));
}

function mutateOnce(bytes: number[], other: Uint8Array, random: Prng): number[] {
  const at = random.below(bytes.length + 1);
  const length = 1 + random.below(Math.min(16, bytes.length + 1));
  switch (random.below(10)) {
    case 0:
      if (at < bytes.length) bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
      return bytes;
    case 1:
      if (at < bytes.length) bytes[at] = random.below(256);
      return bytes;
    case 2:
      if (at < bytes.length) bytes[at] = random.pick(EDGES);
      return bytes;
    case 3:
      return bytes.slice(0, at);
    case 4:
      return [...bytes.slice(0, at), ...bytes.slice(at + length)];
    case 5:
      return [...bytes.slice(0, at), ...Array.from({ length }, () => random.below(256)), ...bytes.slice(at)];
    case 6:
      return [...bytes.slice(0, at), ...bytes.slice(at, at + length), ...bytes.slice(at)];
    case 7:
      return [...bytes.slice(0, at), ...Buffer.from(random.pick(VARINTS), "hex"), ...bytes.slice(at)];
    case 8: {
      const from = random.below(other.length + 1);
      return [...bytes.slice(0, at), ...other.subarray(from, from + length * 4), ...bytes.slice(at)];
    }
    default: {
      const from = random.below(other.length + 1);
      return [...bytes.slice(0, at), ...other.subarray(from)];
    }
  }
}
