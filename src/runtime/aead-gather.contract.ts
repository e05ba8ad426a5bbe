/** The gather table of the aead port's `seal`: copies joined to the sealing pass, run against an implementation. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  AEAD_AES_128_CCM,
  AEAD_AES_128_GCM,
  AEAD_AES_256_GCM,
  AEAD_CHACHA20_POLY1305,
  type AeadId,
  aeadKeyBytes,
  type AeadPort,
  GATHER_COLS,
  GATHER_MAX_SOURCES,
  SEAL_COLS,
  type SealBatch,
  TAG_BYTES,
} from "../port/aead.js";

const HEADER_BYTES = 13;
const PN_BYTES = 4;
const PACKETS = 70; // more than one chunk of masks
const PLAIN_BYTES = 300;
const PACKET_BYTES = HEADER_BYTES + PLAIN_BYTES + TAG_BYTES;

interface Piece {
  source: number;
  off: number;
  length: number;
  to: number;
}

function keys(port: AeadPort, aead: AeadId): { key: number; hp: number } {
  const bytes = aeadKeyBytes(aead);
  const key = port.newKey(aead, new Uint8Array(bytes).fill(1), new Uint8Array(12).fill(2));
  return { key, hp: port.newHeaderKey(aead, new Uint8Array(bytes).fill(3)) };
}

/** Packets 0 to PACKETS - 1 back to back, headers written, plaintext still zero. */
function batchOf(
  port: AeadPort,
  pieces: Piece[],
  sources: Uint8Array[],
  aead: AeadId = AEAD_AES_128_GCM,
): SealBatch & { buf: Uint8Array } {
  const { key, hp } = keys(port, aead);
  const buf = new Uint8Array(PACKETS * PACKET_BYTES);
  const rows = new Int32Array(PACKETS * SEAL_COLS);
  for (let i = 0; i < PACKETS; i++) {
    const off = i * PACKET_BYTES;
    buf.set([0x43, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, i], off);
    rows.set(
      [off, off + HEADER_BYTES - PN_BYTES, PN_BYTES, off + HEADER_BYTES + PLAIN_BYTES, key, hp, i, 0],
      i * SEAL_COLS,
    );
  }
  const gatherRows = new Int32Array(pieces.length * GATHER_COLS);
  pieces.forEach(({ source, off, length, to }, i) => gatherRows.set([source, off, length, to], i * GATHER_COLS));
  return { buf, rows, count: PACKETS, gather: { rows: gatherRows, count: pieces.length, sources } };
}

/** Plaintext of packet `i`, split over two sources: a piece from each, the second at an odd offset. */
function splitPieces(): { pieces: Piece[]; sources: Uint8Array[] } {
  const sources = [new Uint8Array(PACKETS * 100 + 7), new Uint8Array(PACKETS * 200 + 3)];
  sources.forEach((source, n) => source.forEach((_, i) => (source[i] = i * 7 + n)));
  const pieces: Piece[] = [];
  for (let i = 0; i < PACKETS; i++) {
    const to = i * PACKET_BYTES + HEADER_BYTES;
    pieces.push({ source: 0, off: 7 + i * 100, length: 100, to });
    pieces.push({ source: 1, off: 3 + i * 200, length: 200, to: to + 100 });
  }
  return { pieces, sources };
}

export function aeadGatherContract(name: string, make: () => AeadPort): void {
  describe(`aead port, gather: ${name}`, () => {
    test("gathered plaintext seals to the bytes of plaintext that was in place", () => {
      const { pieces, sources } = splitPieces();
      const port = make();
      const gathered = batchOf(port, pieces, sources);
      const plainPort = make();
      const inPlace = batchOf(plainPort, [], []);
      for (const { source, off, length, to } of pieces) {
        inPlace.buf.set((sources[source] as Uint8Array).subarray(off, off + length), to);
      }
      assert.equal(port.seal(gathered), PACKETS);
      assert.equal(plainPort.seal(inPlace), PACKETS);
      assert.deepEqual(gathered.buf, inPlace.buf);
    });

    for (const aead of [AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305, AEAD_AES_128_CCM] as const) {
      if (!make().supports(aead)) continue;
      test(`pieces of any number and length, AEAD ${aead}`, () => {
        const source = Uint8Array.from({ length: 4 * PLAIN_BYTES }, (_, i) => i * 5 + 1);
        for (const lengths of [
          [300],
          [1, 299],
          [63, 64, 65],
          [64, 0, 128],
          Array<number>(25).fill(12),
          [100, 64, 70],
        ]) {
          const pieces: Piece[] = [];
          let to = HEADER_BYTES;
          for (const [i, length] of lengths.entries()) {
            pieces.push({ source: 0, off: 7 * i, length, to });
            to += length;
            if (i % 2 === 1) to++; // a byte that is in place
            if (to > HEADER_BYTES + PLAIN_BYTES - length) break;
          }
          const port = make();
          const plainPort = make();
          const gathered = batchOf(port, pieces, [source], aead);
          const inPlace = batchOf(plainPort, [], [], aead);
          for (const { off, length, to: at } of pieces) inPlace.buf.set(source.subarray(off, off + length), at);
          assert.equal(port.seal(gathered), PACKETS);
          assert.equal(plainPort.seal(inPlace), PACKETS);
          assert.deepEqual(gathered.buf, inPlace.buf);
        }
      });
    }

    test("sources are left as they were", () => {
      const { pieces, sources } = splitPieces();
      const before = sources.map((source) => source.slice());
      const port = make();
      assert.equal(port.seal(batchOf(port, pieces, sources)), PACKETS);
      assert.deepEqual(sources, before);
    });

    const source = new Uint8Array(64);
    const bad: [string, Piece][] = [
      ["a source that is not there", { source: 1, off: 0, length: 10, to: HEADER_BYTES }],
      ["a negative source", { source: -1, off: 0, length: 10, to: HEADER_BYTES }],
      ["bytes beyond the source", { source: 0, off: 60, length: 5, to: HEADER_BYTES }],
      ["a negative offset", { source: 0, off: -1, length: 5, to: HEADER_BYTES }],
      ["a negative length", { source: 0, off: 0, length: -1, to: HEADER_BYTES }],
      ["sums beyond 31 bits", { source: 0, off: 0x7fffffff, length: 0x7fffffff, to: HEADER_BYTES }],
      ["a negative target", { source: 0, off: 0, length: 5, to: -5 }],
    ];
    for (const [what, piece] of bad) {
      test(`a row with ${what} is refused with its packet`, () => {
        const port = make();
        assert.equal(port.seal(batchOf(port, [piece], [source])), 0);
      });
    }

    test("as many sources as one batch may have", () => {
      const sources = Array.from({ length: GATHER_MAX_SOURCES }, (_, i) => new Uint8Array(1).fill(i));
      const pieces = sources.map((_, i) => ({ source: i, off: 0, length: 1, to: HEADER_BYTES + i }));
      const port = make();
      assert.equal(port.seal(batchOf(port, pieces, sources)), PACKETS);
    });
  });
}
