/**
 * Builds packets straight into a send batch: several datagrams in it, several coalesced packets in each (RFC 9000
 * §12.2), with one row per packet for the later sealing in place. Nothing is allocated per packet.
 *
 *   beginBatch { beginDatagram { open* · frames are written at `pos` · closePacket | cancelPacket }* endDatagram }*
 *
 * Invariant: [payloadStart, limit) of the open packet plus its tag lies inside the datagram's `maxBytes`, and those
 * inside the batch's buffer. A frame that runs to the end of its packet ends at `limit`, so that PADDING never follows
 * it. Calls out of order are a bug of ours and throw.
 */

import { unreachable } from "../base/unreachable.js";
import { varintLength, writeVarint } from "../base/varint.js";
import {
  GATHER_COLS,
  GATHER_LEN,
  GATHER_MAX_SOURCES,
  GATHER_OFF,
  GATHER_SOURCE,
  GATHER_TO,
  type GatherTable,
  SEAL_COLS,
  SEAL_END,
  SEAL_HP,
  SEAL_KEY,
  SEAL_OFF,
  SEAL_PN_HI,
  SEAL_PN_LEN,
  SEAL_PN_LO,
  SEAL_PN_OFF,
  type SealBatch,
  TAG_BYTES,
} from "../port/aead.js";
import { LOCAL_CID_BYTES } from "../proto/limits.js";
import { TX_COLS, TX_DEST, TX_ECN, TX_FLAGS, TX_LEN, TX_OFF, type TxBatch } from "../port/udp.js";
import {
  FIXED_BIT,
  HEADER_FORM_BIT,
  longTypeBits,
  PACKET_HANDSHAKE,
  PACKET_INITIAL,
  PACKET_ZERO_RTT,
  SAMPLE_OFFSET_BYTES,
  writeLongHead,
} from "./header.js";
import { writePn } from "./number.js";
import { addRunDatagrams, addRunSeals, type StreamRun, writeRunHeads } from "./stream-run.js";

const WORD = 2 ** 32;
/** The Length field of long headers is always two bytes, so that it can be filled in at the end. */
const LENGTH_FIELD_BYTES = 2;
const MAX_LENGTH_FIELD = 2 ** 14 - 1;
/** RFC 9000 §10.3: short header packets exceed the ids that we issue by this, as a stateless reset may look. */
const SHORT_EXCESS_BYTES = 22;
const NONE = -1;
const NO_BYTES = new Uint8Array(0);
/** Room for pieces: a packet of one stream has one, at the wrap of its ring two. Packets of many take more. */
const GATHERS_PER_PACKET = 4;
const GATHER_LOOK_BACK = 8;
/** Sources that stay known from batch to batch; each may be a ring that nobody uses any more. */
const SOURCES_KEPT = 2;

class SealTable implements SealBatch {
  buf: Uint8Array = NO_BYTES;
  readonly rows: Int32Array;
  count = 0;
  readonly gather: Gather;

  constructor(maxPackets: number) {
    this.rows = new Int32Array(maxPackets * SEAL_COLS);
    this.gather = new Gather(maxPackets * GATHERS_PER_PACKET);
  }
}

/** Where the stream data of a batch lies until it is sealed. The owners keep it unchanged until then. */
export class Gather implements GatherTable {
  readonly rows: Int32Array;
  count = 0;
  readonly sources: Uint8Array[] = [];

  constructor(maxRows: number) {
    this.rows = new Int32Array(maxRows * GATHER_COLS);
  }

  /** Packets of a run, each in two pieces and from a source of its own, for which there is certainly room. */
  get roomPackets(): number {
    return Math.min((this.rows.length / GATHER_COLS - this.count) >> 1, GATHER_MAX_SOURCES - this.sources.length);
  }

  /** The number of a source, which is made when it has none and there is room; -1 when not. */
  sourceIndex(source: Uint8Array): number {
    const { sources } = this;
    const last = sources.length - 1;
    let index = last;
    // streams that take turns come back soon; a source that is not found only costs an entry more
    while (index >= 0 && index > last - GATHER_LOOK_BACK && sources[index] !== source) index--;
    if (index >= 0 && sources[index] === source) return index;
    return sources.length === GATHER_MAX_SOURCES ? -1 : sources.push(source) - 1;
  }

  /** Notes that `source[start, start + length)` goes to `to` in the batch. False = no room: copy it now. */
  add(source: Uint8Array, start: number, length: number, to: number): boolean {
    const row = this.count * GATHER_COLS;
    if (row === this.rows.length) return false;
    const index = this.sourceIndex(source);
    if (index < 0) return false;
    this.rows[row + GATHER_SOURCE] = index;
    this.rows[row + GATHER_OFF] = start;
    this.rows[row + GATHER_LEN] = length;
    this.rows[row + GATHER_TO] = to;
    this.count++;
    return true;
  }

  /** Notes the data of a run, that of the first packet for `to`; there is room for it. */
  addRun(run: StreamRun, to: number): void {
    const { rows } = this;
    const { packets, packetBytes, dataBytes } = run;
    const index = this.sourceIndex(run.source);
    const capacity = run.source.length;
    let row = this.count * GATHER_COLS;
    let from = run.sourceStart;
    let into = to;
    for (let i = 0; i < packets; i++) {
      const first = Math.min(dataBytes, capacity - from);
      rows[row + GATHER_SOURCE] = index;
      rows[row + GATHER_OFF] = from;
      rows[row + GATHER_LEN] = first;
      rows[row + GATHER_TO] = into;
      row += GATHER_COLS;
      from += dataBytes;
      if (first < dataBytes) {
        rows[row + GATHER_SOURCE] = index;
        rows[row + GATHER_OFF] = 0;
        rows[row + GATHER_LEN] = dataBytes - first;
        rows[row + GATHER_TO] = into + first;
        row += GATHER_COLS;
      }
      if (from >= capacity) from -= capacity;
      into += packetBytes;
    }
    this.count = row / GATHER_COLS;
  }

  /** Starts over. A few sources keep their numbers: the next batch has most likely the same. */
  clear(): void {
    this.count = 0;
    if (this.sources.length > SOURCES_KEPT) this.sources.length = 0;
  }
}

export class PacketBuilder {
  /** Packets closed in this batch, to be sealed before it is sent. Offsets are into the batch's buffer. */
  readonly seal: SealBatch;
  /** The batch's buffer. */
  buf: Uint8Array = NO_BYTES;
  /** Where the next frame goes, inside an open packet. */
  pos = 0;
  /** Frames must end here or before; the tag is already taken off. */
  limit = 0;
  payloadStart = 0;
  /** PADDING that closePacket added by itself, bytes; a packet with PADDING counts as in flight (RFC 9002 §2). */
  lastPaddingBytes = 0;
  /** Short header packets are padded to this size, tag included. */
  minShortBytes: number;

  /** Of the batch: frames whose payload is copied when it is sealed. */
  readonly gather: Gather;

  private readonly table: SealTable;
  /** Of `buf`. */
  private view: DataView = new DataView(NO_BYTES.buffer);
  private readonly maxPackets: number;
  /** Of the packets of this batch. */
  private fixedBit = FIXED_BIT;
  private tx: TxBatch | null = null;
  /** Of 1-RTT packets of this batch, and of the packet opened last. */
  private shortTagBytes = TAG_BYTES;
  private tagBytes = TAG_BYTES;
  private datagramStart = NONE;
  private datagramLimit = 0;
  /** NONE = no packet is open. */
  private packetStart = NONE;
  private pnOffset = 0;
  private pn = 0;
  /** Gather rows when the open packet began. */
  private gatherStart = 0;
  /** Position of the open packet's Length field, NONE in a short header. */
  private lengthField = NONE;
  /** Of the packet closed last in this datagram; NONE = there is none. */
  private lastRow = NONE;
  private lastLengthField = NONE;

  /**
   * @param maxPackets seal rows per batch; a packet more does not open
   * @param cidBytes length of the ids that we issue
   */
  constructor(maxPackets: number, cidBytes = LOCAL_CID_BYTES) {
    this.maxPackets = maxPackets;
    this.minShortBytes = cidBytes + SHORT_EXCESS_BYTES;
    this.table = new SealTable(maxPackets);
    this.seal = this.table;
    this.gather = this.table.gather;
  }

  /**
   * Binds to a batch, behind the datagrams that it already has. The seal rows start over. `fixedBit` is that of all
   * packets: 0 only for a peer that takes both (RFC 9287 §3.1). `shortTagBytes`: tag of 1-RTT packets.
   */
  beginBatch(tx: TxBatch, fixedBit = FIXED_BIT, shortTagBytes = TAG_BYTES): void {
    if (this.datagramStart !== NONE) unreachable("beginBatch inside a datagram");
    this.gather.clear();
    this.tx = tx;
    this.fixedBit = fixedBit;
    this.shortTagBytes = shortTagBytes;
    const { buf } = tx;
    if (buf !== this.buf) this.view = new DataView(buf.buffer, buf.byteOffset, buf.length);
    this.buf = buf;
    this.table.buf = tx.buf;
    this.table.count = 0;
  }

  /** Starts a datagram of at most `maxBytes`, tags included. False = the batch is full: send it first. */
  beginDatagram(maxBytes: number): boolean {
    const tx = this.tx;
    if (tx === null || this.datagramStart !== NONE) return unreachable("beginDatagram out of order");
    if ((tx.count + 1) * TX_COLS > tx.rows.length || tx.used + maxBytes > tx.buf.length) return false;
    if (this.table.count >= this.maxPackets) return false;
    this.datagramStart = tx.used;
    this.datagramLimit = tx.used + maxBytes;
    this.pos = tx.used;
    this.lastRow = NONE;
    return true;
  }

  /**
   * Opens an Initial, 0-RTT or Handshake packet. False = it does not fit with even the smallest payload.
   *
   * @param token of an Initial; null = none
   * @param pnLengthBytes from pnLength
   */
  openLong(
    type: number,
    version: number,
    dcid: Uint8Array,
    scid: Uint8Array,
    token: Uint8Array | null,
    pn: number,
    pnLengthBytes: number,
  ): boolean {
    if (type !== PACKET_INITIAL && type !== PACKET_ZERO_RTT && type !== PACKET_HANDSHAKE) unreachable(`type ${type}`);
    const tokenBytes = token === null ? 0 : token.length;
    const tokenField = type === PACKET_INITIAL ? varintLength(tokenBytes) + tokenBytes : 0;
    const headerBytes = 7 + dcid.length + scid.length + tokenField + LENGTH_FIELD_BYTES + pnLengthBytes;
    this.tagBytes = TAG_BYTES;
    if (!this.fits(headerBytes, pnLengthBytes, 0)) return false;

    const buf = this.buf;
    const firstByte = HEADER_FORM_BIT | this.fixedBit | longTypeBits(version, type) | (pnLengthBytes - 1);
    let at = writeLongHead(buf, this.pos, firstByte, version, dcid, scid);
    if (type === PACKET_INITIAL) {
      at = writeVarint(buf, at, tokenBytes);
      if (token !== null) buf.set(token, at);
      at += tokenBytes;
    }
    this.lengthField = at;
    this.openPayload(at + LENGTH_FIELD_BYTES, pn, pnLengthBytes);
    const longest = this.pnOffset + MAX_LENGTH_FIELD - TAG_BYTES;
    if (this.limit > longest) this.limit = longest;
    return true;
  }

  /** Opens a 1-RTT packet (RFC 9000 §17.3.1). False = it does not fit with even the smallest payload. */
  openShort(dcid: Uint8Array, pn: number, pnLengthBytes: number, keyPhase: 0 | 1, spin: 0 | 1): boolean {
    this.tagBytes = this.shortTagBytes;
    if (!this.fits(1 + dcid.length + pnLengthBytes, pnLengthBytes, this.minShortBytes)) return false;
    const { buf, pos } = this;
    buf[pos] = this.shortFirstByte(pnLengthBytes, keyPhase, spin);
    for (let i = 0; i < dcid.length; i++) buf[pos + 1 + i] = dcid[i];
    this.lengthField = NONE;
    this.openPayload(pos + 1 + dcid.length, pn, pnLengthBytes);
    return true;
  }

  /** First byte of a 1-RTT packet of this batch, before header protection (RFC 9000 §17.3.1). */
  shortFirstByte(pnLengthBytes: number, keyPhase: 0 | 1, spin: 0 | 1): number {
    return this.fixedBit | (spin << 5) | (keyPhase << 2) | (pnLengthBytes - 1);
  }

  /** Whether the open packet has no frames yet. */
  get isEmpty(): boolean {
    return this.pos === this.payloadStart;
  }

  /** Bytes of the datagram so far, tags included; an open packet counts up to `pos`, without its tag. */
  get datagramBytes(): number {
    return this.pos - this.datagramStart;
  }

  /**
   * Ends the open packet, which must hold a frame, and adds its seal row. A payload too short for the header protection
   * sample (RFC 9001 §5.4.2) or for `minShortBytes` gets PADDING. Returns the packet's size in bytes, tag included.
   */
  closePacket(keySlot: number, hpSlot: number): number {
    const { packetStart, pnOffset, buf } = this;
    if (packetStart === NONE || this.isEmpty || this.pos > this.limit) unreachable("closePacket of no or a bad packet");
    const shortEnd = this.lengthField === NONE ? packetStart + this.minShortBytes - this.tagBytes : 0;
    const payloadEnd = Math.max(this.pos, pnOffset + SAMPLE_OFFSET_BYTES, shortEnd);
    this.lastPaddingBytes = payloadEnd - this.pos;
    for (let at = this.pos; at < payloadEnd; at++) buf[at] = 0;
    const row = this.table.count++ * SEAL_COLS;
    const rows = this.table.rows;
    rows[row + SEAL_OFF] = packetStart;
    rows[row + SEAL_PN_OFF] = pnOffset;
    rows[row + SEAL_PN_LEN] = this.payloadStart - pnOffset;
    rows[row + SEAL_END] = payloadEnd;
    rows[row + SEAL_KEY] = keySlot;
    rows[row + SEAL_HP] = hpSlot;
    rows[row + SEAL_PN_LO] = this.pn | 0;
    rows[row + SEAL_PN_HI] = Math.floor(this.pn / WORD);
    this.pos = payloadEnd + this.tagBytes;
    this.lastRow = row;
    this.lastLengthField = this.lengthField;
    this.packetStart = NONE;
    this.patchLength(pnOffset);
    return this.pos - packetStart;
  }

  /** Takes the open packet back, header and all. */
  cancelPacket(): void {
    if (this.packetStart === NONE) unreachable("cancelPacket of no packet");
    this.pos = this.packetStart;
    this.packetStart = NONE;
    if (this.gather.count > this.gatherStart) unreachable("cancelPacket of a packet with stream data");
  }

  /**
   * Appends PADDING frames to the packet closed last, until the datagram has `datagramBytes` bytes or is full (RFC 9000
   * §14.1, §8.2.1). Returns the bytes added: they count as sent and, for that packet, as in flight.
   */
  padLastPacket(datagramBytes: number): number {
    if (this.lastRow === NONE || this.packetStart !== NONE) return unreachable("padLastPacket without a closed packet");
    const rows = this.table.rows;
    const pnOffset = rows[this.lastRow + SEAL_PN_OFF];
    let target = Math.min(this.datagramStart + datagramBytes, this.datagramLimit);
    if (this.lastLengthField !== NONE) target = Math.min(target, pnOffset + MAX_LENGTH_FIELD);
    const added = target - this.pos;
    if (added <= 0) return 0;
    const payloadEnd = rows[this.lastRow + SEAL_END];
    this.buf.fill(0, payloadEnd, payloadEnd + added);
    rows[this.lastRow + SEAL_END] = payloadEnd + added;
    this.pos = target;
    this.patchLength(pnOffset);
    return added;
  }

  /**
   * Ends the datagram and adds its row to the batch.
   *
   * @param destRow row in the batch's `dests`
   * @param ecn ECN_* to send it with
   * @param flags TX_FLAG_*
   * @returns its size in bytes; 0 = it had no packets and leaves no trace
   */
  endDatagram(destRow: number, ecn: number, flags: number): number {
    const tx = this.tx;
    const start = this.datagramStart;
    if (tx === null || start === NONE || this.packetStart !== NONE) return unreachable("endDatagram out of order");
    this.datagramStart = NONE;
    const bytes = this.pos - start;
    if (bytes === 0) return 0;
    const row = tx.count++ * TX_COLS;
    tx.rows[row + TX_OFF] = start;
    tx.rows[row + TX_LEN] = bytes;
    tx.rows[row + TX_DEST] = destRow;
    tx.rows[row + TX_ECN] = ecn;
    tx.rows[row + TX_FLAGS] = flags;
    tx.used = this.pos;
    return bytes;
  }

  /** Datagrams of `bytes` each, one packet of a run in each, that the batch still takes. */
  roomFor(bytes: number): number {
    const { tx } = this;
    if (tx === null || this.datagramStart !== NONE) return unreachable("roomFor inside a datagram");
    const room = Math.min(tx.rows.length / TX_COLS - tx.count, (tx.buf.length - tx.used) / bytes);
    return Math.floor(Math.min(room, this.maxPackets - this.table.count, this.gather.roomPackets));
  }

  /** Writes the packets of a run, each closed and in a datagram of its own; at most `roomFor`. */
  appendRun(run: StreamRun): void {
    const { tx, table } = this;
    if (tx === null) return unreachable("appendRun out of order");
    writeRunHeads(run, this.view, tx.used);
    addRunSeals(run, table.rows, table.count * SEAL_COLS, tx.used);
    this.gather.addRun(run, tx.used + run.headBytes);
    table.count += run.packets;
    addRunDatagrams(run, tx);
  }

  /** Whether a packet with this header and the smallest payload has room, and a seal row. */
  private fits(headerBytes: number, pnLengthBytes: number, minPacketBytes: number): boolean {
    if (this.datagramStart === NONE || this.packetStart !== NONE) unreachable("packet opened out of order");
    const payloadBytes = Math.max(1, SAMPLE_OFFSET_BYTES - pnLengthBytes);
    const packetBytes = Math.max(headerBytes + payloadBytes + this.tagBytes, minPacketBytes);
    if (this.pos + packetBytes > this.datagramLimit) return false;
    return this.table.count < this.maxPackets;
  }

  private openPayload(pnOffset: number, pn: number, pnLengthBytes: number): void {
    this.gatherStart = this.gather.count;
    this.packetStart = this.pos;
    this.pnOffset = pnOffset;
    this.pn = pn;
    this.payloadStart = writePn(this.buf, pnOffset, pn, pnLengthBytes);
    this.pos = this.payloadStart;
    this.limit = this.datagramLimit - this.tagBytes;
  }

  /** Length field of the packet closed last: everything from its packet number to its tag, which ends at `pos`. */
  private patchLength(pnOffset: number): void {
    if (this.lastLengthField === NONE) return;
    const length = this.pos - pnOffset;
    this.buf[this.lastLengthField] = 0x40 | (length >> 8);
    this.buf[this.lastLengthField + 1] = length;
  }
}
