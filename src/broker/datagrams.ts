/**
 * Datagrams in messages between the host of a port and a program, in batches, as they came: peer, local address, ECN mark,
 * arrival time.
 *
 *   kind (1) · bind (4) · [attempt] · sources (1) · datagrams (2)
 *            · source (40 each: the ADDR_COLS words of port/udp) · row (12 each) · the datagrams' bytes
 *   row:     source (1) · ECN (1, signed) · length (2) · arrival on the clock of the machine, microseconds (8, a double)
 *   attempt: version (4) · validated (1) · original destination id, of before a Retry, of the Retry, of the answer (each
 *            length (1), 255 = none)
 *
 * Numbers are in network order. Invariant: a message that `unpack` takes fits into a receive batch of runtime/batch, and every
 * datagram of it lies inside the message.
 */

import type { Reader } from "../base/bytes.js";
import { Reader as ByteReader, Writer } from "../base/bytes.js";
import { ADDR_COLS, type AddressProof, RX_COLS, RX_ECN, RX_LEN, RX_OFF, RX_SOURCE, type RxBatch } from "../port/udp.js";
import { MAX_BROKER_MESSAGE_BYTES, MAX_CID_BYTES, RX_BATCH_SLOTS } from "../proto/limits.js";

/** First byte of a message; anything else is text (messages.ts). */
export const KIND_ATTEMPT = 1;
export const KIND_DATAGRAMS = 2;

const NO_ID = 255;
const HEAD_BYTES = 5;
const COUNTS_BYTES = 3;
const SOURCE_BYTES = 4 * ADDR_COLS;
const ROW_BYTES = 12;
/** Datagrams in one message. */
const ROWS_MAX = 512;

/** A client's first flight: what the host found out about it. */
export interface AttemptFacts {
  readonly version: number;
  readonly proof: AddressProof;
  /** Destination id of these Initials. */
  readonly dcid: Uint8Array;
  /** Source id that the program's answer shall have, of the program's route: the host knows by it who got the answer. */
  readonly answerId: Uint8Array;
}

interface Datagram {
  readonly bytes: Uint8Array;
  /** ECN_* of port/udp. */
  readonly ecn: number;
  readonly atMicros: number;
}

/** Collects datagrams for one message. */
export class Packer {
  private readonly sources = new Int32Array(RX_BATCH_SLOTS * ADDR_COLS);
  private sourceCount = 0;
  private readonly rows = new DataView(new ArrayBuffer(ROWS_MAX * ROW_BYTES));
  private count = 0;
  private readonly bytes = new Uint8Array(MAX_BROKER_MESSAGE_BYTES);
  private used = 0;

  get isEmpty(): boolean {
    return this.count === 0;
  }

  /** Adds row `row`. False when there is no room: take the message first. What fits into no message is never taken. */
  addRow({ buf, rows, sources }: RxBatch, row: number, atMicros: number): boolean {
    const at = row * RX_COLS;
    const start = rows[at + RX_OFF];
    const end = start + rows[at + RX_LEN];
    const source = rows[at + RX_SOURCE] * ADDR_COLS;
    if (!this.addFacts(sources, source, rows[at + RX_ECN], atMicros, end - start)) return false;
    this.bytes.set(buf.subarray(start, end), this.used);
    this.used += end - start;
    return true;
  }

  /** As `addRow`, of a datagram from `addr`. */
  add(addr: Int32Array, { bytes, ecn, atMicros }: Datagram): boolean {
    if (!this.addFacts(addr, 0, ecn, atMicros, bytes.length)) return false;
    this.bytes.set(bytes, this.used);
    this.used += bytes.length;
    return true;
  }

  /** The message; the packer is empty then. */
  take(bind: number, attempt: AttemptFacts | null): Uint8Array {
    const out = new Writer(HEAD_BYTES + COUNTS_BYTES + ATTEMPT_ROOM + this.sourceCount * SOURCE_BYTES + this.used);
    out.u8(attempt === null ? KIND_DATAGRAMS : KIND_ATTEMPT);
    out.u32(bind);
    if (attempt !== null) writeAttempt(out, attempt);
    out.u8(this.sourceCount);
    out.u16(this.count);
    for (let i = 0; i < this.sourceCount * ADDR_COLS; i++) out.u32(this.sources[i]);
    out.bytes(new Uint8Array(this.rows.buffer, 0, this.count * ROW_BYTES));
    out.bytes(this.bytes, 0, this.used);
    this.sourceCount = this.count = this.used = 0;
    return out.finish();
  }

  private addFacts(addr: Int32Array, addrAt: number, ecn: number, atMicros: number, length: number): boolean {
    const source = this.sourceOf(addr, addrAt);
    const rest = HEAD_BYTES + COUNTS_BYTES + (source + 1) * SOURCE_BYTES + (this.count + 1) * ROW_BYTES + ATTEMPT_ROOM;
    if (source >= RX_BATCH_SLOTS || this.count >= ROWS_MAX) return false;
    if (rest + this.used + length > MAX_BROKER_MESSAGE_BYTES) return false;
    if (source === this.sourceCount) {
      for (let i = 0; i < ADDR_COLS; i++) this.sources[source * ADDR_COLS + i] = addr[addrAt + i];
      this.sourceCount++;
    }
    const at = this.count++ * ROW_BYTES;
    this.rows.setUint8(at, source);
    this.rows.setInt8(at + 1, ecn);
    this.rows.setUint16(at + 2, length);
    this.rows.setFloat64(at + 4, atMicros);
    return true;
  }

  /** The source's number, that of the next one when it is new. */
  private sourceOf(addr: Int32Array, at: number): number {
    for (let source = this.sourceCount - 1; source >= 0; source--) {
      let same = true;
      for (let i = 0; i < ADDR_COLS && same; i++) same = this.sources[source * ADDR_COLS + i] === addr[at + i];
      if (same) return source;
    }
    return this.sourceCount;
  }
}

/** Room for what an attempt has more: version, proof, ids. */
const ATTEMPT_IDS = 4;
const ATTEMPT_ROOM = 5 + ATTEMPT_IDS * (1 + MAX_CID_BYTES);

/** What a message says beside its datagrams. */
export interface Unpacked {
  readonly bind: number;
  readonly attempt: AttemptFacts | null;
}

const reader = new ByteReader();

/** The bind that a message of datagrams is for; -1 for a message that is none. */
export function bindOf(message: Uint8Array): number {
  if (message[0] !== KIND_ATTEMPT && message[0] !== KIND_DATAGRAMS) return -1;
  reader.reset(message, 1, message.length);
  const bind = reader.u32();
  return reader.ok ? bind : -1;
}

/**
 * Puts the datagrams of a message into `rx`, whose `proof` is that of the attempt or null. Null, and an empty batch, for what
 * is no such message.
 */
export function unpack(message: Uint8Array, rx: RxBatch): Unpacked | null {
  rx.count = rx.sourceCount = 0;
  rx.proof = null;
  reader.reset(message, 0, message.length);
  const kind = reader.u8();
  const bind = reader.u32();
  if (kind !== KIND_ATTEMPT && kind !== KIND_DATAGRAMS) return null;
  const attempt = kind === KIND_ATTEMPT ? readAttempt(reader) : null;
  const sourceCount = reader.u8();
  const count = reader.u16();
  if (kind === KIND_ATTEMPT && attempt === null) return null;
  if (!reader.ok || (sourceCount + 1) * ADDR_COLS > rx.sources.length + ADDR_COLS || count * RX_COLS > rx.rows.length) {
    return null;
  }
  for (let i = 0; i < sourceCount * ADDR_COLS; i++) rx.sources[i] = reader.u32();
  const rows = new DataView(message.buffer, message.byteOffset + reader.skip(count * ROW_BYTES));
  const bytesAt = reader.pos;
  if (!reader.ok || reader.remaining > rx.buf.length) return null;
  let off = 0;
  for (let row = 0; row < count; row++) {
    const length = rows.getUint16(row * ROW_BYTES + 2);
    const source = rows.getUint8(row * ROW_BYTES);
    if (source >= sourceCount || off + length > reader.remaining) return null;
    rx.rows[row * RX_COLS + RX_OFF] = off;
    rx.rows[row * RX_COLS + RX_LEN] = length;
    rx.rows[row * RX_COLS + RX_SOURCE] = source;
    rx.rows[row * RX_COLS + RX_ECN] = rows.getInt8(row * ROW_BYTES + 1);
    off += length;
  }
  if (off !== reader.remaining) return null;
  rx.buf.set(message.subarray(bytesAt));
  rx.sourceCount = sourceCount;
  rx.count = count;
  rx.proof = attempt?.proof ?? null;
  return { bind, attempt };
}

function writeAttempt(out: Writer, { version, proof, dcid, answerId }: AttemptFacts): void {
  out.u32(version);
  out.u8(proof.validated ? 1 : 0);
  for (const id of [dcid, proof.origDcid, proof.retryScid, answerId]) {
    out.u8(id?.length ?? NO_ID);
    if (id !== null) out.bytes(id);
  }
}

function readAttempt(from: Reader): AttemptFacts | null {
  const version = from.u32();
  const validated = from.u8();
  const ids: (Uint8Array | null)[] = [];
  for (let i = 0; i < ATTEMPT_IDS; i++) {
    const length = from.u8();
    if (length !== NO_ID && length > MAX_CID_BYTES) return null;
    ids.push(length === NO_ID ? null : from.take(length));
  }
  const [dcid = null, origDcid = null, retryScid = null, answerId = null] = ids;
  if (!from.ok || dcid === null || answerId === null || validated > 1) return null;
  return { version, dcid, answerId, proof: { validated: validated === 1, origDcid, retryScid } };
}
