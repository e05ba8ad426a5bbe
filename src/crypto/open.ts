/**
 * The receive side of packet protection for a batch (RFC 9001 §5.5, §6.5): header masks off, packet numbers completed,
 * a key chosen by Key Phase, and everything opened in place, in one call of the aead port for the whole batch. One
 * Opener serves all connections of an endpoint: the table is reused and nothing is allocated.
 *
 *   begin(buf) · add(...) for each packet of one level · run(...) · read the rows
 *
 * Invariant: nothing about a packet is believed before its tag matched. In particular a flipped Key Phase bit changes
 * no key: the table with the present keys is opened at once only when no row asks for the next keys; otherwise its
 * rows are opened one after the other, each with the keys that the rows before it left behind.
 */

import {
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
  SAMPLE_BYTES,
  TAG_BYTES,
} from "../port/aead.js";
import type { AeadPort } from "../port/aead.js";
import { LEVEL_APP } from "../port/tls.js";
import type { Level } from "../port/tls.js";
import { RX_COLS, RX_ECN, RX_LEN, RX_OFF } from "../port/udp.js";
import type { RxBatch } from "../port/udp.js";
import { FIXED_BIT, HEADER_FORM_BIT, SAMPLE_OFFSET_BYTES } from "../packet/header.js";
import { decodePn } from "../packet/number.js";
import type { KeySet } from "./keys.js";
import { NO_SLOT } from "./key-update.js";

const WORD = 2 ** 32;
/** Key Phase bit of the first byte of a short header (RFC 9000 §17.3.1). */
const KEY_PHASE_BIT = 0x04;
/** A packet number this far ahead at most is the nearest with its last byte. */
const NEAR_PACKETS = 128;
/** Bits of a packet number in a field of so many bytes, as an int32. */
const PN_MASK = Int32Array.of(0, 0xff, 0xffff, 0xffffff, -1);
const NO_BYTES = new Uint8Array(0);

interface Table {
  buf: Uint8Array;
  readonly rows: Int32Array;
  count: number;
}

export class Opener {
  private readonly aead: AeadPort;
  private readonly table: Table;
  /** One row, for packets that must be opened in order. */
  private readonly single: Table = { buf: NO_BYTES, rows: new Int32Array(OPEN_COLS), count: 1 };
  /** By row: the full packet number, and what `add` was given. */
  readonly pns: Float64Array;
  readonly tags: Int32Array;
  private readonly maxRows: number;
  /** Of the packets of the batch that was opened last. */
  tagBytes = TAG_BYTES;
  /** A packet as it came, while a wrong key may overwrite it; grows to the largest that needed it. */
  private saved = NO_BYTES;

  /** `maxRows`: packets in one batch at most. */
  constructor(aead: AeadPort, maxRows: number) {
    this.aead = aead;
    this.maxRows = maxRows;
    this.table = { buf: NO_BYTES, rows: new Int32Array(maxRows * OPEN_COLS), count: 0 };
    this.pns = new Float64Array(maxRows);
    this.tags = new Int32Array(maxRows);
  }

  /** Starts an empty batch of packets that lie in `buf`. */
  begin(buf: Uint8Array): void {
    this.table.buf = buf;
    this.table.count = 0;
  }

  /**
   * Adds the packet [off, end) whose packet number field starts at `pnOff`; `tag` is the caller's own. All packets of
   * a batch are of one connection and level. False when the table is full: run it first.
   */
  add(off: number, pnOff: number, end: number, tag: number): boolean {
    const { table } = this;
    if (table.count === this.maxRows) return false;
    const r = table.count * OPEN_COLS;
    this.tags[table.count++] = tag;
    table.rows[r + OPEN_OFF] = off;
    table.rows[r + OPEN_PN_OFF] = pnOff;
    table.rows[r + OPEN_END] = end;
    return true;
  }

  /**
   * Adds datagrams [from, to) of `rx` that are one packet with a short header each, whose packet number field starts
   * `pnOffset` bytes in; their tag is the ECN mark. Returns the first row that was not added: one that is something
   * else or too short to be opened, or that found the table full.
   */
  addShort(rx: RxBatch, from: number, to: number, pnOffset: number, mayLackFixedBit = false): number {
    const { table, tags, maxRows } = this;
    const { rows } = table;
    const form = mayLackFixedBit ? 0 : FIXED_BIT; // of a short header
    const formBits = HEADER_FORM_BIT | form;
    const minBytes = pnOffset + SAMPLE_OFFSET_BYTES + SAMPLE_BYTES;
    let row = from;
    for (; row < to && table.count < maxRows; row++) {
      const at = row * RX_COLS;
      const off = rx.rows[at + RX_OFF];
      const lengthBytes = rx.rows[at + RX_LEN];
      if (lengthBytes < minBytes || (table.buf[off] & formBits) !== form) break;
      const r = table.count * OPEN_COLS;
      tags[table.count++] = rx.rows[at + RX_ECN];
      rows[r + OPEN_OFF] = off;
      rows[r + OPEN_PN_OFF] = off + pnOffset;
      rows[r + OPEN_END] = off + lengthBytes;
    }
    return row;
  }

  /** The table of port/aead with OPEN_COLS columns; rows [0, count) after `run`. */
  get rows(): Int32Array {
    return this.table.rows;
  }

  get isFull(): boolean {
    return this.table.count === this.maxRows;
  }

  /** Rows added since `begin`. */
  get count(): number {
    return this.table.count;
  }

  /**
   * Opens the batch. `largestPn` is the largest number received in the packet number space before it, -1 for none: the
   * sender sized its packet numbers by what we acknowledged (RFC 9000 §17.1), which is not newer.
   *
   * Returns 0, KEY_UPDATE_ERROR or AEAD_LIMIT_REACHED. The packet that broke a key update rule and those after it
   * count as forged; those before it are open.
   */
  run(keys: KeySet, level: Level, largestPn: number): number {
    const { table } = this;
    if (table.count === 0) return 0;
    this.tagBytes = level === LEVEL_APP ? keys.appTagBytes : TAG_BYTES;
    this.setHeaderKey(keys.readHp(level));
    this.aead.unmask(table);
    if (level === LEVEL_APP) return this.openApp(keys, largestPn);
    const slot = keys.readKey(level);
    for (let row = 0; row < table.count; row++) {
      this.completePn(row, largestPn);
      table.rows[row * OPEN_COLS + OPEN_KEY] = slot;
    }
    this.aead.open(table);
    return this.countFailed(keys, level);
  }

  /** OPEN_OK, OPEN_FORGED, or OPEN_INVALID for a packet too short for its header sample (RFC 9001 §5.4.2). */
  status(row: number): number {
    return this.table.rows[row * OPEN_COLS + OPEN_STATUS];
  }

  isOpen(row: number): boolean {
    return this.table.rows[row * OPEN_COLS + OPEN_STATUS] === OPEN_OK;
  }

  /** The full packet number. */
  pn(row: number): number {
    return this.pns[row];
  }

  /** First byte of the frames. */
  payloadStart(row: number): number {
    const { rows } = this.table;
    const r = row * OPEN_COLS;
    return rows[r + OPEN_PN_OFF] + rows[r + OPEN_PN_LEN];
  }

  /** One past the last byte of the frames. */
  payloadEnd(row: number): number {
    return this.table.rows[row * OPEN_COLS + OPEN_END] - this.tagBytes;
  }

  /** First byte of the packet, unmasked: reserved and spin bits. */
  firstByte(row: number): number {
    return this.table.buf[this.table.rows[row * OPEN_COLS + OPEN_OFF]];
  }

  /** Key Phase bit of a 1-RTT packet. */
  keyPhase(row: number): 0 | 1 {
    return (this.firstByte(row) & KEY_PHASE_BIT) === 0 ? 0 : 1;
  }

  /** First byte of the packet in `buf`. */
  packetStart(row: number): number {
    return this.table.rows[row * OPEN_COLS + OPEN_OFF];
  }

  /** One past the last byte of the packet, tag included. */
  packetEnd(row: number): number {
    return this.table.rows[row * OPEN_COLS + OPEN_END];
  }

  /** What `add` was given. */
  tag(row: number): number {
    return this.tags[row];
  }

  private setHeaderKey(slot: number): void {
    const { rows, count } = this.table;
    for (let r = 0, end = count * OPEN_COLS; r < end; r += OPEN_COLS) rows[r + OPEN_HP] = slot;
  }

  /** From the truncated number that `unmask` left to the full one. A row that `unmask` refused has none. */
  private completePn(row: number, largestPn: number): void {
    const { rows } = this.table;
    const r = row * OPEN_COLS;
    if (rows[r + OPEN_STATUS] === OPEN_INVALID) return;
    const truncated = rows[r + OPEN_PN_LO];
    const pnLength = rows[r + OPEN_PN_LEN];
    // Mostly it follows the row before. So near to what is expected no other number has the same low byte.
    const next = row === 0 ? largestPn + 1 : this.pns[row - 1] + 1;
    const isNext = next > largestPn && next - largestPn <= NEAR_PACKETS && truncated === (next & PN_MASK[pnLength]);
    const pn = isNext ? next : decodePn(truncated, pnLength, largestPn);
    this.pns[row] = pn;
    rows[r + OPEN_PN_LO] = pn | 0;
    rows[r + OPEN_PN_HI] = pn < WORD ? 0 : Math.floor(pn / WORD);
  }

  private openApp(keys: KeySet, largestPn: number): number {
    const { table, pns } = this;
    const { rows, count } = table;
    const { phases } = keys;
    let asksForNext = false;
    let allCurrent = true;
    let lowestPn = Infinity;
    for (let row = 0, r = 0; row < count; row++, r += OPEN_COLS) {
      this.completePn(row, largestPn);
      if (rows[r + OPEN_STATUS] === OPEN_INVALID) continue;
      const pn = pns[row];
      const slot = phases.readKeyFor(this.keyPhase(row), pn);
      rows[r + OPEN_KEY] = slot;
      if (pn < lowestPn) lowestPn = pn;
      if (slot === phases.readSlot) continue;
      allCurrent = false;
      if (phases.isNext(slot)) asksForNext = true;
    }
    if (asksForNext) return this.openInOrder(keys);
    const opened = this.aead.open(table);
    if (opened === count && allCurrent) {
      phases.onOpened(phases.readSlot, lowestPn); // as telling all of them, one by one
      return 0;
    }
    for (let row = 0; row < count; row++) {
      const r = row * OPEN_COLS;
      if (rows[r + OPEN_STATUS] === OPEN_OK) {
        const error = phases.onOpened(rows[r + OPEN_KEY], pns[row]);
        if (error !== 0) return this.refuseFrom(row, error);
      } else if (rows[r + OPEN_STATUS] === OPEN_FORGED && phases.oldSlot !== NO_SLOT) {
        this.openOne(row, phases.oldSlot); // for nothing but the time it takes, see openInOrder
      }
    }
    return this.countFailed(keys, LEVEL_APP);
  }

  /**
   * Some row may be a key update: row by row, so that each meets the keys that are right once those before it opened.
   *
   * While old keys are held, a packet that the next keys do not open is tried with them: if they fit, the peer went back
   * to old keys, which RFC 9001 §6.4 wants seen. So that the time does not tell a forger the Key Phase bit that its
   * packet came out with (RFC 9001 §9.5), every packet that fails in that period is opened twice.
   */
  private openInOrder(keys: KeySet): number {
    const { table, pns } = this;
    const { rows } = table;
    const { phases } = keys;
    for (let row = 0; row < table.count; row++) {
      const r = row * OPEN_COLS;
      if (rows[r + OPEN_STATUS] === OPEN_INVALID) continue;
      let slot = phases.readKeyFor(this.keyPhase(row), pns[row]);
      const holdsOld = phases.oldSlot !== NO_SLOT;
      if (holdsOld) this.save(row);
      if (this.openOne(row, slot) !== OPEN_OK && holdsOld) {
        this.restore(row);
        slot = phases.oldSlot;
        this.openOne(row, slot);
      }
      if (rows[r + OPEN_STATUS] !== OPEN_OK) continue;
      const error = phases.onOpened(slot, pns[row]);
      if (error !== 0) return this.refuseFrom(row, error);
    }
    return this.countFailed(keys, LEVEL_APP);
  }

  /** The packet of `row` broke a rule of key updates: it and those after it are not to be processed. */
  private refuseFrom(row: number, error: number): number {
    const { rows, count } = this.table;
    for (let r = row * OPEN_COLS, end = count * OPEN_COLS; r < end; r += OPEN_COLS) rows[r + OPEN_STATUS] = OPEN_FORGED;
    return error;
  }

  private openOne(row: number, slot: number): number {
    const { single, table } = this;
    const r = row * OPEN_COLS;
    single.buf = table.buf;
    for (let i = 0; i < OPEN_COLS; i++) single.rows[i] = table.rows[r + i];
    single.rows[OPEN_KEY] = slot;
    this.aead.open(single);
    table.rows[r + OPEN_STATUS] = single.rows[OPEN_STATUS];
    return single.rows[OPEN_STATUS];
  }

  private save(row: number): void {
    const start = this.packetStart(row);
    const end = this.packetEnd(row);
    if (this.saved.length < end - start) this.saved = new Uint8Array(end - start);
    this.saved.set(this.table.buf.subarray(start, end));
  }

  private restore(row: number): void {
    const start = this.packetStart(row);
    this.table.buf.set(this.saved.subarray(0, this.packetEnd(row) - start), start);
  }

  private countFailed(keys: KeySet, level: Level): number {
    const { rows, count } = this.table;
    for (let r = 0, end = count * OPEN_COLS; r < end; r += OPEN_COLS) {
      if (rows[r + OPEN_STATUS] !== OPEN_FORGED) continue;
      const error = keys.onOpenFailed(level);
      if (error !== 0) return error;
    }
    return 0;
  }
}
