/**
 * The sealing pass alone, in this process: trains of packets whose data lies in a send ring, sealed with the copy joined to
 * the pass, after a copy of their own, and with the data in place already (the floor). The ring is larger than a cache, as
 * a stream's is; the three take turns, train by train.
 */

import {
  AEAD_AES_128_GCM,
  copyGathered,
  GATHER_COLS,
  SEAL_COLS,
  SEAL_PN_LO,
  TAG_BYTES,
  type SealBatch,
} from "#src/port/aead.js";
import { chooseDatapath } from "#src/runtime/choose.js";
import { ownJob, tell } from "./child.js";
import { median } from "./stats.js";

export const PASSES = ["joined", "separate", "inPlace"] as const;
/** Nanoseconds for each byte of payload: the median of the rounds, so that what else ran on the core does not count. */
export type PassFigures = Record<(typeof PASSES)[number], number>;

const HEADER_BYTES = 13;
const PN_LENGTH_BYTES = 4;
const RING_BYTES = 8 << 20;
const WARM_UP = 50;
const ROUNDS = 400;
/** Trains between two reads of the clock. */
const TRAINS = 8;

const { datagramBytes } = ownJob<{ datagramBytes: number }>();
const { aead } = chooseDatapath(process.env);
const payloadBytes = datagramBytes - HEADER_BYTES - TAG_BYTES;
const packets = Math.max(1, Math.floor(65_400 / datagramBytes));
const ring = new Uint8Array(RING_BYTES).fill(0x5a);
const gather = { rows: new Int32Array(packets * GATHER_COLS), count: 0, sources: [ring] };
const batch = {
  buf: new Uint8Array(packets * datagramBytes),
  rows: new Int32Array(packets * SEAL_COLS),
  count: packets,
  gather,
};
const key = aead.newKey(AEAD_AES_128_GCM, new Uint8Array(16).fill(1), new Uint8Array(12));
const hp = aead.newHeaderKey(AEAD_AES_128_GCM, new Uint8Array(16).fill(2));
let pn = 0;
let at = 0;

for (let i = 0; i < packets; i++) {
  const start = i * datagramBytes;
  const pnOffset = start + HEADER_BYTES - PN_LENGTH_BYTES;
  batch.rows.set([start, pnOffset, PN_LENGTH_BYTES, start + HEADER_BYTES + payloadBytes, key, hp, 0, 0], i * SEAL_COLS);
}

/** One train; its data comes from the next part of the ring. */
function train(pass: (typeof PASSES)[number]): void {
  gather.count = packets;
  for (let i = 0; i < packets; i++) {
    if (at + payloadBytes > RING_BYTES) at = 0;
    gather.rows.set([0, at, payloadBytes, i * datagramBytes + HEADER_BYTES], i * GATHER_COLS);
    at += payloadBytes;
    batch.rows[i * SEAL_COLS + SEAL_PN_LO] = pn++;
  }
  if (pass === "separate" && !copyGathered(batch)) throw new Error("a copy was refused");
  if (pass !== "joined") gather.count = 0;
  if (aead.seal(batch as SealBatch) !== packets) throw new Error("a packet was refused");
}

const nanos: Record<(typeof PASSES)[number], number[]> = { joined: [], separate: [], inPlace: [] };
for (let round = 0; round < WARM_UP + ROUNDS; round++) {
  for (const pass of PASSES) {
    const started = performance.now();
    for (let i = 0; i < TRAINS; i++) train(pass);
    const millis = performance.now() - started;
    if (round >= WARM_UP) nanos[pass].push((millis * 1e6) / (TRAINS * packets * payloadBytes));
  }
}
const { joined, separate, inPlace } = nanos;
tell({ joined: median(joined), separate: median(separate), inPlace: median(inPlace) } satisfies PassFigures);
