/**
 * The tight path of a bulk transfer: consecutive packets of one batch that continue one stream in order and hold nothing
 * else are taken together. Their bytes move into the stream with one call of the aead port, and credit, packet numbers,
 * acknowledgement and counters are settled once a run.
 *
 * Invariant: for every packet that it takes, the connection ends up as the general path (`receive`, `frame/decode`) would
 * leave it; what is not certain to be such a packet is left to that path, errors included.
 */

import { LastView } from "../base/bytes.js";
import { unreachable } from "../base/unreachable.js";
import type { Opener } from "../crypto/open.js";
import { plainStreamData } from "../frame/stream.js";
import { hasReservedBits } from "../packet/header.js";
import {
  type AeadPort,
  OPEN_COLS,
  OPEN_END,
  OPEN_OFF,
  OPEN_OK,
  OPEN_PN_LEN,
  OPEN_PN_OFF,
  OPEN_STATUS,
  SCATTER_COLS,
  SCATTER_LEN,
  SCATTER_OFF,
} from "../port/aead.js";
import { ECN_CE } from "../port/udp.js";
import { SPACE_APP } from "../proto/space.js";
import type { BytePieces } from "../stream/ring.js";
import type { Connection } from "./connection.js";

const NO_BYTES = new Uint8Array(0);

export class StreamRun implements BytePieces {
  private readonly aead: AeadPort;
  private readonly opener: Opener;
  private readonly view = new LastView();
  /** The batch of port/aead; its ring is named during `copyTo` only. */
  private readonly pieces: { buf: Uint8Array; rows: Int32Array; count: number; ring: Uint8Array; to: number };

  constructor(aead: AeadPort, opener: Opener, maxPackets: number) {
    this.aead = aead;
    this.opener = opener;
    const rows = new Int32Array(maxPackets * SCATTER_COLS);
    this.pieces = { buf: NO_BYTES, rows, count: 0, ring: NO_BYTES, to: 0 };
  }

  /** Takes the packets of the opened batch from row `first` on, as many as it may; returns how many. */
  receive(conn: Connection, first: number, nowMicros: number): number {
    const { opener, pieces } = this;
    const space = conn.space(SPACE_APP);
    const stream = space.isInOrder ? conn.streamIn.runStream() : null;
    // a CE mark wants its acknowledgement at once (RFC 9000 §13.2.1)
    const ecn = opener.tag(first);
    if (stream === null || ecn === ECN_CE) return 0;
    const { id } = stream;
    const { buffer } = stream.recv!;
    const limit = conn.streamIn.runLimit(stream.recv!);
    const { rows, pns, tags, tagBytes, count } = opener;
    const { rxBuf } = conn.host.bench;
    const bytes = this.view.of(rxBuf);
    const taken = pieces.rows;
    let pn = space.received.largest;
    let end = buffer.end;
    let row = first;
    for (let r = first * OPEN_COLS, p = 0; row < count; row++, r += OPEN_COLS, p += SCATTER_COLS) {
      if (rows[r + OPEN_STATUS] !== OPEN_OK || pns[row] !== pn + 1 || tags[row] !== ecn) break;
      if (hasReservedBits(bytes.getUint8(rows[r + OPEN_OFF]))) break;
      const payloadEnd = rows[r + OPEN_END] - tagBytes;
      const start = plainStreamData(bytes, rows[r + OPEN_PN_OFF] + rows[r + OPEN_PN_LEN], payloadEnd, id, end);
      const lengthBytes = payloadEnd - start;
      if (start < 0 || end + lengthBytes > limit) break;
      taken[p + SCATTER_OFF] = start;
      taken[p + SCATTER_LEN] = lengthBytes;
      end += lengthBytes;
      pn++;
    }
    const packets = row - first;
    if (packets === 0) return 0;
    pieces.buf = rxBuf;
    pieces.count = packets;
    conn.streamIn.onRun(stream, this, end - buffer.end);
    space.onRun(packets, ecn, nowMicros);
    conn.counters.packetsReceived += packets;
    return packets;
  }

  copyTo(ring: Uint8Array, pos: number): void {
    const { pieces } = this;
    pieces.ring = ring;
    pieces.to = pos;
    if (!this.aead.scatter(pieces)) unreachable("a run outside its buffer or its ring");
    pieces.ring = NO_BYTES;
  }
}
