/**
 * Which connection a destination connection id belongs to (RFC 9000 §5.2). Open addressing over typed arrays: a look-up
 * reads the id in the receive slab, allocates nothing and compares bytes. The hash is keyed, because a client chooses
 * the id of its first packets (hash floods: ROBUSTNESS T40).
 */

import { HEADER_FORM_BIT } from "../packet/header.js";
import { RX_COLS, RX_LEN, RX_OFF, RX_SOURCE, type RxBatch } from "../port/udp.js";
import { MAX_CID_BYTES } from "../proto/limits.js";

const EMPTY = 0;
const FIRST_SLOTS = 64;
const ID_WORD_BYTES = 4;

/**
 * One past the last datagram that goes where datagram `row` goes, without looking its id up: same source, same
 * destination id, all with short headers. The owner of the first is the owner of all of them. `bytes` is the view of
 * the batch's slab. Ids have `cidBytes`, 4 to 20: they are compared as their first and last word, which may overlap, and longer
 * ones between them.
 */
export function endOfRun(rx: RxBatch, bytes: DataView, row: number, cidBytes: number): number {
  const { rows, count } = rx;
  const first = row * RX_COLS;
  const start = rows[first + RX_OFF];
  const lastWord = 1 + cidBytes - ID_WORD_BYTES;
  const source = rows[first + RX_SOURCE];
  if (rows[first + RX_LEN] <= cidBytes || (bytes.getUint8(start) & HEADER_FORM_BIT) !== 0) return row + 1;
  const idStart = bytes.getInt32(start + 1);
  const idEnd = bytes.getInt32(start + lastWord);
  let next = row + 1;
  for (let at = first + RX_COLS; next < count; next++, at += RX_COLS) {
    const off = rows[at + RX_OFF];
    if (rows[at + RX_SOURCE] !== source || rows[at + RX_LEN] <= cidBytes) break;
    if ((bytes.getUint8(off) & HEADER_FORM_BIT) !== 0 || bytes.getInt32(off + 1) !== idStart) break;
    if (bytes.getInt32(off + lastWord) !== idEnd) break;
    if (cidBytes > 2 * ID_WORD_BYTES && !hasSameMiddle(bytes, start, off, lastWord)) break;
  }
  return next;
}

/** Whether the ids of two short headers are the same between their first word and that at `lastWord` of each. */
function hasSameMiddle(bytes: DataView, one: number, other: number, lastWord: number): boolean {
  for (let at = 1 + ID_WORD_BYTES; at < lastWord; at += ID_WORD_BYTES) {
    if (bytes.getInt32(one + at) !== bytes.getInt32(other + at)) return false;
  }
  return true;
}

export class CidTable<T> {
  private slots = FIRST_SLOTS;
  private hashes = new Int32Array(FIRST_SLOTS); // 0 = empty; a real hash of 0 is stored as 1
  private lengths = new Uint8Array(FIRST_SLOTS);
  private ids = new Uint8Array(FIRST_SLOTS * MAX_CID_BYTES);
  private owners: (T | null)[] = new Array<T | null>(FIRST_SLOTS).fill(null);
  private used = 0;

  /** `seed0`, `seed1`: secret random 32-bit words. */
  constructor(
    private readonly seed0: number,
    private readonly seed1: number,
  ) {}

  get size(): number {
    return this.used;
  }

  /** The owner of the id `buf[start, start + length)`, or null. Length <= 20. */
  find(buf: Uint8Array, start: number, length: number): T | null {
    const slot = this.slotOf(buf, start, length);
    return this.hashes[slot] === EMPTY ? null : (this.owners[slot] as T);
  }

  /** False when the id already has an owner (which stays). */
  add(cid: Uint8Array, owner: T): boolean {
    if (this.used * 2 >= this.slots) this.grow();
    const slot = this.slotOf(cid, 0, cid.length);
    if (this.hashes[slot] !== EMPTY) return false;
    this.hashes[slot] = this.hash(cid, 0, cid.length);
    this.lengths[slot] = cid.length;
    this.ids.set(cid, slot * MAX_CID_BYTES);
    this.owners[slot] = owner;
    this.used++;
    return true;
  }

  /** Removes the id if `owner` has it. */
  remove(cid: Uint8Array, owner: T): void {
    const slot = this.slotOf(cid, 0, cid.length);
    if (this.hashes[slot] === EMPTY || this.owners[slot] !== owner) return;
    this.used--;
    this.vacate(slot);
  }

  /** Backward-shift deletion: moves up what the hole would hide, so that no tombstones pile up. */
  private vacate(from: number): void {
    const mask = this.slots - 1;
    let hole = from;
    let at = from;
    for (;;) {
      at = (at + 1) & mask;
      const hash = this.hashes[at];
      if (hash === EMPTY) break;
      const home = hash & mask;
      const stays = hole <= at ? hole < home && home <= at : hole < home || home <= at;
      if (stays) continue;
      this.hashes[hole] = hash;
      this.lengths[hole] = this.lengths[at];
      this.ids.copyWithin(hole * MAX_CID_BYTES, at * MAX_CID_BYTES, (at + 1) * MAX_CID_BYTES);
      this.owners[hole] = this.owners[at] as T;
      hole = at;
    }
    this.hashes[hole] = EMPTY;
    this.owners[hole] = null;
  }

  /** The slot of this id, or the empty one where it would go. */
  private slotOf(buf: Uint8Array, start: number, length: number): number {
    const hash = this.hash(buf, start, length);
    const mask = this.slots - 1;
    let slot = hash & mask;
    for (;;) {
      const here = this.hashes[slot];
      if (here === EMPTY) return slot;
      if (here === hash && this.lengths[slot] === length && this.sameId(slot, buf, start, length)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  private sameId(slot: number, buf: Uint8Array, start: number, length: number): boolean {
    const base = slot * MAX_CID_BYTES;
    // no early exit: the table also holds stateless reset tokens (RFC 9000 §10.3.1)
    let different = 0;
    for (let i = 0; i < length; i++) different |= this.ids[base + i] ^ buf[start + i];
    return different === 0;
  }

  /** Murmur3 body over 4-byte words with two secret seeds: keyed, and fast for 8-byte ids. */
  private hash(buf: Uint8Array, start: number, length: number): number {
    let h = this.seed0;
    const end = start + length;
    let at = start;
    for (; at < end; at += 4) {
      // past the end of the id the byte is masked to 0, so that neighbours in the packet do not count
      let word = buf[at];
      if (at + 1 < end) word |= buf[at + 1] << 8;
      if (at + 2 < end) word |= buf[at + 2] << 16;
      if (at + 3 < end) word |= buf[at + 3] << 24;
      word = Math.imul(word ^ this.seed1, 0xcc9e2d51);
      word = Math.imul((word << 15) | (word >>> 17), 0x1b873593);
      h ^= word;
      h = Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64;
    }
    h ^= length;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h ^= h >>> 16;
    return h === EMPTY ? 1 : h | 0;
  }

  private grow(): void {
    const { hashes, lengths, ids, owners, slots } = this;
    this.slots = slots * 2;
    this.hashes = new Int32Array(this.slots);
    this.lengths = new Uint8Array(this.slots);
    this.ids = new Uint8Array(this.slots * MAX_CID_BYTES);
    this.owners = new Array<T | null>(this.slots).fill(null);
    this.used = 0;
    for (let slot = 0; slot < slots; slot++) {
      if (hashes[slot] === EMPTY) continue;
      const base = slot * MAX_CID_BYTES;
      this.add(ids.subarray(base, base + lengths[slot]), owners[slot] as T);
    }
  }
}
