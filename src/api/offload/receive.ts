/**
 * The way of a batch in: the packets of receive flows are unmasked and opened in two calls for the whole batch; everything
 * else is handed on as it came. What does not open is handed on as it came too: it may be a stateless reset, or of a key
 * phase whose keys are not there yet (RFC 9000 §10.3, RFC 9001 §6).
 */

import {
  type AeadPort,
  OPEN_COLS,
  OPEN_END,
  OPEN_FORGED,
  OPEN_HP,
  OPEN_INVALID,
  OPEN_KEY,
  OPEN_OFF,
  OPEN_OK,
  OPEN_PN_HI,
  OPEN_PN_LEN,
  OPEN_PN_LO,
  OPEN_PN_OFF,
  OPEN_STATUS,
  TAG_BYTES,
} from "../../port/aead.js";
import {
  ADDR_COLS,
  ADDR_PORT,
  RX_COLS,
  RX_ECN,
  RX_LEN,
  RX_OFF,
  RX_SOURCE,
  type RxBatch,
  type UdpSocket,
} from "../../port/udp.js";
import { decodePn } from "../../packet/number.js";
import { RX_BATCH_DATAGRAMS } from "../../proto/limits.js";
import { wordsToAddress } from "../../runtime/address.js";
import { newRxBatch } from "../../runtime/batch.js";
import { MAX_CID_BYTES } from "./constants.js";
import type { Flow, FlowTable } from "./flow-table.js";

const WORD = 2 ** 32;
const SHORT_MASK = 0xc0;
const SHORT_BITS = 0x40;
const KEY_PHASE_BIT = 0x04;
const ANY_PEER = new Int32Array(ADDR_COLS);

/** What the offload did for a packet. */
export interface OpenedPacket {
  /** The full packet number (RFC 9000 §A.3). Duplicates are not filtered. */
  readonly packetNumber: number;
  readonly keyPhase: 0 | 1;
  /** Length of the connection id, which begins at byte 1. */
  readonly cidLength: number;
  /** First byte of the frames in `data`. */
  readonly payloadOffset: number;
}

export interface ReceivedPacket {
  /** The UDP payload, yours to keep; of an opened packet the plain header and the frames, without the tag. */
  readonly data: Uint8Array;
  readonly address: string;
  readonly port: number;
  /** ECN mark (RFC 3168 §5): 0 to 3, -1 where the socket cannot tell. */
  readonly ecn: number;
  /** null: handed on as it came. */
  readonly opened: OpenedPacket | null;
}

export class Receiver {
  private readonly aead: AeadPort;
  private readonly flows: FlowTable;
  private readonly rx: RxBatch = newRxBatch();
  private readonly rows = new Int32Array(RX_BATCH_DATAGRAMS * OPEN_COLS);
  /** Of each row to open: its flow and the index of its datagram. */
  private readonly rowFlows: Flow[] = [];
  private readonly rowIndexes = new Int32Array(RX_BATCH_DATAGRAMS);

  constructor(aead: AeadPort, flows: FlowTable) {
    this.aead = aead;
    this.flows = flows;
  }

  /** Takes one batch from the socket; empty when nothing waits. `onFailed` hears how many packets did not open. */
  receive(socket: UdpSocket, onFailed: (packets: number) => void): ReceivedPacket[] {
    const { rx } = this;
    if (socket.recv(rx) === 0) return [];
    const slab = packed(rx);
    const count = this.addRows(slab);
    const opened: (OpenedPacket | null)[] = new Array<OpenedPacket | null>(rx.count).fill(null);
    if (count > 0) {
      this.open(slab, count);
      onFailed(count - this.collect(slab, count, opened));
      this.rowFlows.length = 0;
    }
    const packets: ReceivedPacket[] = [];
    for (let i = 0, off = 0; i < rx.count; i++) {
      const length = rx.rows[i * RX_COLS + RX_LEN];
      const source = rx.rows[i * RX_COLS + RX_SOURCE] * ADDR_COLS;
      packets.push({
        data: slab.subarray(off, off + length - (opened[i] === null ? 0 : TAG_BYTES)),
        address: wordsToAddress(rx.sources, source),
        port: rx.sources[source + ADDR_PORT],
        ecn: rx.rows[i * RX_COLS + RX_ECN],
        opened: opened[i],
      });
      off += length;
    }
    return packets;
  }

  /** A row for each datagram that belongs to a flow; returns how many. */
  private addRows(slab: Uint8Array): number {
    const { rx, rows } = this;
    let count = 0;
    if (this.flows.count === 0) return 0;
    for (let i = 0, off = 0; i < rx.count; i++) {
      const end = off + rx.rows[i * RX_COLS + RX_LEN];
      const source = rx.rows[i * RX_COLS + RX_SOURCE] * ADDR_COLS;
      const flow = (slab[off] & SHORT_MASK) === SHORT_BITS ? this.flowOf(slab, off, end, source) : null;
      if (flow !== null) {
        const r = count * OPEN_COLS;
        rows[r + OPEN_OFF] = off;
        rows[r + OPEN_PN_OFF] = off + 1 + flow.cid.length;
        rows[r + OPEN_END] = end;
        rows[r + OPEN_HP] = flow.headerSlot;
        rows[r + OPEN_STATUS] = OPEN_FORGED;
        this.rowFlows[count] = flow;
        this.rowIndexes[count++] = i;
      }
      off = end;
    }
    return count;
  }

  /** Longest connection id first: a shorter one may be the beginning of it. A flow of this very peer before any peer's. */
  private flowOf(slab: Uint8Array, off: number, end: number, source: number): Flow | null {
    const { flows, rx } = this;
    for (let length = Math.min(MAX_CID_BYTES, end - off - 1); length >= 0; length--) {
      if (flows.byCidLength[length] === 0) continue;
      const flow =
        flows.find(rx.sources, source, slab, off + 1, length) ?? flows.find(ANY_PEER, 0, slab, off + 1, length);
      if (flow !== null) return flow;
    }
    return null;
  }

  private open(slab: Uint8Array, count: number): void {
    const { rows } = this;
    const batch = { buf: slab, rows, count };
    this.aead.unmask(batch);
    for (let row = 0, r = 0; row < count; row++, r += OPEN_COLS) {
      if (rows[r + OPEN_STATUS] === OPEN_INVALID) continue;
      const flow = this.rowFlows[row];
      const key = flow.keys[phaseOf(slab[rows[r + OPEN_OFF]])];
      const pn = decodePn(rows[r + OPEN_PN_LO], rows[r + OPEN_PN_LEN], flow.largestPn);
      if (key === null) {
        rows[r + OPEN_STATUS] = OPEN_INVALID;
        continue;
      }
      rows[r + OPEN_KEY] = key.slot;
      rows[r + OPEN_PN_LO] = pn | 0;
      rows[r + OPEN_PN_HI] = Math.floor(pn / WORD);
    }
    this.aead.open(batch);
  }

  /** Notes the packets that opened and restores those that did not; returns how many opened. */
  private collect(slab: Uint8Array, count: number, opened: (OpenedPacket | null)[]): number {
    const { rows, rx } = this;
    let good = 0;
    for (let row = 0, r = 0; row < count; row++, r += OPEN_COLS) {
      const index = this.rowIndexes[row];
      const off = rows[r + OPEN_OFF];
      if (rows[r + OPEN_STATUS] !== OPEN_OK) {
        const from = rx.rows[index * RX_COLS + RX_OFF];
        slab.set(rx.buf.subarray(from, from + rows[r + OPEN_END] - off), off);
        continue;
      }
      const flow = this.rowFlows[row];
      const packetNumber = rows[r + OPEN_PN_HI] * WORD + (rows[r + OPEN_PN_LO] >>> 0);
      flow.largestPn = Math.max(flow.largestPn, packetNumber);
      opened[index] = {
        packetNumber,
        keyPhase: phaseOf(slab[off]),
        cidLength: flow.cid.length,
        payloadOffset: rows[r + OPEN_PN_OFF] + rows[r + OPEN_PN_LEN] - off,
      };
      good++;
    }
    return good;
  }
}

function phaseOf(firstByte: number): 0 | 1 {
  return (firstByte & KEY_PHASE_BIT) === 0 ? 0 : 1;
}

/** The datagrams of a batch back to back in memory of their own. */
function packed(rx: RxBatch): Uint8Array {
  let bytes = 0;
  for (let i = 0; i < rx.count; i++) bytes += rx.rows[i * RX_COLS + RX_LEN];
  const slab = new Uint8Array(bytes);
  for (let i = 0, at = 0; i < rx.count; i++) {
    const off = rx.rows[i * RX_COLS + RX_OFF];
    const length = rx.rows[i * RX_COLS + RX_LEN];
    slab.set(rx.buf.subarray(off, off + length), at);
    at += length;
  }
  return slab;
}
