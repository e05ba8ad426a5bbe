/**
 * A run: 1-RTT packets in a row that differ in packet number and stream offset only, each a datagram of its own and
 * filled by one STREAM frame without length (RFC 9000 §19.8). `conn/train` lays it out, the builder writes it, the sent
 * packets record it. Nothing of a run is valid before all fields are set.
 */

import { DOUBLE } from "../base/double.js";
import {
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
} from "../port/aead.js";
import { TX_COLS, TX_DEST, TX_ECN, TX_FLAGS, TX_LEN, TX_OFF, type TxBatch } from "../port/udp.js";
import { MAX_CID_BYTES } from "../proto/limits.js";

const WORD = 2 ** 32;
const WORD_BYTES = 4;
const NO_BYTES = new Uint8Array(0);
/** Longest head: header with id and packet number, STREAM frame with stream id and offset; in whole words. */
const MOST_HEAD_BYTES = Math.ceil((1 + MAX_CID_BYTES + 4 + 1 + 8 + 8) / WORD_BYTES) * WORD_BYTES;

export class StreamRun {
  // The same for all packets of a batch.
  /** Where the packet number is, in `head` and in each packet. */
  pnAt = 0;
  pnBytes = 0;
  keySlot = 0;
  hpSlot = 0;
  /** Size of each packet and datagram, tag included. */
  packetBytes = 0;
  tagBytes = TAG_BYTES;
  /** Row in the batch's `dests`, and the ECN mark. */
  dest = 0;
  ecn = 0;

  // Of this run.
  /** What each packet begins with, up to its stream data; packet number and offset, which stands last, are filled in. */
  readonly head = new Uint8Array(MOST_HEAD_BYTES);
  readonly headView = new DataView(this.head.buffer);
  headBytes = 0;
  packets = 0;
  firstPn = DOUBLE;
  streamId = DOUBLE;
  /** Offset of the first packet's data; that of the next is `dataBytes` more. */
  offset = DOUBLE;
  offsetBytes: 1 | 2 | 4 | 8 = 1;
  /** Stream data in each packet. */
  dataBytes = 0;
  /** A ring with the data; that of the first packet begins at `sourceStart`. */
  source: Uint8Array = NO_BYTES;
  sourceStart = 0;
}

/**
 * Writes the heads, the first at `start`. Up to three bytes behind each are overwritten, where its data comes later.
 * Words through a DataView and integers in halves: this is 25 ns for each packet, single bytes and doubles were 75.
 */
export function writeRunHeads(run: StreamRun, view: DataView, start: number): void {
  const { packets, packetBytes, headView, headBytes, pnAt, pnBytes, offsetBytes, dataBytes } = run;
  const offsetAt = headBytes - offsetBytes;
  let pn = run.firstPn | 0; // as many low bits as are ever sent
  let offsetLow = run.offset | 0;
  let offsetHigh = Math.floor(run.offset / WORD) | 0;
  let to = start;
  for (let i = 0; i < packets; i++) {
    for (let at = 0; at < headBytes; at += WORD_BYTES) view.setInt32(to + at, headView.getInt32(at, true), true);
    if (pnBytes === 2) view.setInt16(to + pnAt, pn);
    else if (pnBytes === 4) view.setInt32(to + pnAt, pn);
    else {
      view.setInt8(to + pnAt, pn >> 16);
      view.setInt16(to + pnAt + 1, pn);
    }
    // RFC 9000 §16: the top two bits are the length
    if (offsetBytes === 4) view.setInt32(to + offsetAt, offsetLow | 0x80000000);
    else if (offsetBytes === 8) {
      view.setInt32(to + offsetAt, offsetHigh | 0xc0000000);
      view.setInt32(to + offsetAt + WORD_BYTES, offsetLow);
    } else if (offsetBytes === 2) view.setInt16(to + offsetAt, offsetLow | 0x4000);
    else view.setInt8(to + offsetAt, offsetLow);
    const next = (offsetLow + dataBytes) | 0;
    if (next >>> 0 < offsetLow >>> 0) offsetHigh++;
    offsetLow = next;
    pn = (pn + 1) | 0;
    to += packetBytes;
  }
}

/** Fills the seal rows from index `row` of `rows` on. */
export function addRunSeals(run: StreamRun, rows: Int32Array, row: number, start: number): void {
  const { packets, packetBytes, tagBytes, pnAt, pnBytes, keySlot, hpSlot } = run;
  let low = run.firstPn | 0;
  let high = Math.floor(run.firstPn / WORD) | 0;
  let at = row;
  let off = start;
  for (let i = 0; i < packets; i++) {
    rows[at + SEAL_OFF] = off;
    rows[at + SEAL_PN_OFF] = off + pnAt;
    rows[at + SEAL_PN_LEN] = pnBytes;
    rows[at + SEAL_END] = off + packetBytes - tagBytes;
    rows[at + SEAL_KEY] = keySlot;
    rows[at + SEAL_HP] = hpSlot;
    rows[at + SEAL_PN_LO] = low;
    rows[at + SEAL_PN_HI] = high;
    low = (low + 1) | 0;
    if (low === 0) high++;
    at += SEAL_COLS;
    off += packetBytes;
  }
}

/** Adds the datagrams to the batch. */
export function addRunDatagrams(run: StreamRun, tx: TxBatch): void {
  const { rows } = tx;
  const { packets, packetBytes, dest, ecn } = run;
  let at = tx.count * TX_COLS;
  let off = tx.used;
  for (let i = 0; i < packets; i++) {
    rows[at + TX_OFF] = off;
    rows[at + TX_LEN] = packetBytes;
    rows[at + TX_DEST] = dest;
    rows[at + TX_ECN] = ecn;
    rows[at + TX_FLAGS] = 0;
    at += TX_COLS;
    off += packetBytes;
  }
  tx.count += packets;
  tx.used = off;
}
