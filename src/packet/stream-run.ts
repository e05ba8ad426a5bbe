/**
 * A run: 1-RTT packets in a row that differ in packet number and stream offset only, each a datagram of its own and
 * filled by one STREAM frame without length (RFC 9000 §19.8). `conn/train` lays it out, the builder writes it, the sent
 * packets record it. Nothing of a run is valid before all fields are set, which NaN shows; it also makes the fields
 * that may exceed 31 bits doubles from the start, so that compiled code stays valid when they do.
 */

import { MAX_CID_BYTES } from "../proto/limits.js";

const NO_BYTES = new Uint8Array(0);
/** Longest head: header with id and packet number, STREAM frame with stream id and offset. */
const MOST_HEAD_BYTES = 1 + MAX_CID_BYTES + 4 + 1 + 8 + 8;

export class StreamRun {
  // The same for all packets of a batch.
  /** Where the packet number is, in `head` and in each packet. */
  pnAt = 0;
  pnBytes = 0;
  keySlot = 0;
  hpSlot = 0;
  /** Size of each packet and datagram, tag included. */
  packetBytes = 0;
  /** Row in the batch's `dests`, and the ECN mark. */
  dest = 0;
  ecn = 0;

  // Of this run.
  /** What each packet begins with, up to its stream data; packet number and offset, which stands last, are filled in. */
  readonly head = new Uint8Array(MOST_HEAD_BYTES);
  headBytes = 0;
  packets = 0;
  firstPn = NaN;
  streamId = NaN;
  /** Offset of the first packet's data; that of the next is `dataBytes` more. */
  offset = NaN;
  offsetBytes: 1 | 2 | 4 | 8 = 1;
  /** Stream data in each packet. */
  dataBytes = 0;
  /** A ring with the data; that of the first packet begins at `sourceStart`. */
  source: Uint8Array = NO_BYTES;
  sourceStart = 0;
}
