/**
 * The packets of one space that were sent and are not yet settled, and which frames each carried (RFC 9002 §2, A.1).
 * Struct of arrays, rings by packet number and by frame record: nothing is allocated per packet once the rings are as
 * large as the flight. Invariants: every number in [base, next) has a slot; every number below `firstOutstanding` is
 * settled; the records of a packet are consecutive, in packet order, and are freed when the packets before are.
 */

import { DOUBLE } from "../base/double.js";
import { unreachable } from "../base/unreachable.js";
import type { DeliveryRate } from "../cong/delivery-rate.js";
import type { StreamRun } from "../packet/stream-run.js";
import { ECN_ECT0 } from "../port/udp.js";
import { MAX_SENT_PACKETS, MAX_SENT_RECORDS } from "../proto/limits.js";
import { FIRST_PACKETS, FIRST_RECORDS, type FirstColumns, giveFirstColumns, takeFirstColumns } from "./sent-columns.js";
import { SPACE_INITIAL, type SpaceId } from "../proto/space.js";

/** Kinds of frame records. What `id`, `offset` and `length` mean stands beside each; unused ones are 0. */
export const REC_ACK = 1; // id: the largest packet number that the ACK frame acknowledged
export const REC_CRYPTO = 2; // offset, length
export const REC_STREAM = 3; // id, offset, length
export const REC_STREAM_FIN = 4; // id, offset, length: the frame had the FIN bit
export const REC_RESET_STREAM = 5; // id
export const REC_STOP_SENDING = 6; // id
export const REC_MAX_DATA = 7; // offset: the value
export const REC_MAX_STREAM_DATA = 8; // id, offset: the value
export const REC_MAX_STREAMS = 9; // id: the stream kind, offset: the value
export const REC_NEW_CONNECTION_ID = 10; // id: sequence number
export const REC_RETIRE_CONNECTION_ID = 11; // id: sequence number
export const REC_HANDSHAKE_DONE = 12;
export const REC_NEW_TOKEN = 13;
export const REC_DATA_BLOCKED = 14; // offset: the limit
export const REC_STREAM_DATA_BLOCKED = 15; // id, offset: the limit
export const REC_STREAMS_BLOCKED = 16; // id: the stream kind, offset: the limit
export const REC_PATH_CHALLENGE = 17;
export const REC_PING = 18;
export const REC_MTU_PROBE = 19; // id: size of the datagram, bytes; offset: number of its path
export const REC_DATAGRAM = 20; // id: its number
export const REC_ACK_FREQUENCY = 21; // id: sequence number

/**
 * Learns what became of each frame. A frame may be lost more than once (a probe repeats it) and acknowledged after it
 * was lost, so both must be idempotent. They must not send: they only note what to send again. Of the frames that one
 * ACK acknowledges, those of REC_STREAM that adjoin come as one range.
 */
export interface FrameFates {
  onFrameAcked(space: SpaceId, kind: number, id: number, offset: number, length: number): void;
  onFrameLost(space: SpaceId, kind: number, id: number, offset: number, length: number): void;
}

/** States of a number, the low bits of `flags`. */
export const SENT_SKIPPED = 1; // never sent: an acknowledgement of it is a lie (RFC 9000 §21.4)
export const SENT_OUTSTANDING = 2;
export const SENT_ACKED = 3;
/** Declared lost; kept for a while to notice that it was not (RFC 9002 §6.1). */
export const SENT_LOST = 4;
export const SENT_STATE_MASK = 7;
/** Properties of a packet, the high bits of `flags`. */
export const SENT_ELICITING = 8;
export const SENT_IN_FLIGHT = 16;
/** A PTO handed its frames back to be sent again: a later loss does not hand them back twice. */
export const SENT_HANDED_BACK = 32;
/** Sent in a datagram marked ECT(0). */
export const SENT_ECT = 64;
/** Probes the path MTU: its loss says nothing about congestion (RFC 9000 §14.4), and a PTO does not repeat it. */
export const SENT_MTU_PROBE = 128;

// Shared by all rings that hold nothing: an empty typed array takes 184 bytes, and a connection would have 27 of them.
const NO_BYTES = new Uint8Array(0);
const NO_SIZES = new Uint16Array(0);
const NO_NUMBERS = new Float64Array(0);

/** From this size on the ring looks for packets to forget before it grows. */
const ROOMY_PACKETS = 256;
/** Room kept in full rings, for the packet being opened: skipped numbers before it, and its frames. */
const SPARE_PACKETS = 16;
const SPARE_RECORDS = 4096;
/** Packets that may follow when there is no room for data, acknowledgements and probes; then only probes. */
const RESERVE_PACKETS = 1024;
const PROBE_PACKETS = 256;
const RESERVE_RECORDS_EACH = 4;

/** Streams whose acknowledged ranges are joined at a time: those that take turns. */
const RUNS = 8;

/** Acknowledged ranges of streams that wait to be told, one for a stream; packets come from the newest to the oldest. */
export class AckedRuns {
  private readonly ids = new Float64Array(RUNS).fill(-1);
  private readonly start = new Float64Array(RUNS);
  private readonly end = new Float64Array(RUNS);

  /** Joins `[offset, offset + length)` to the range of its stream when it ends there; else tells that and starts over. */
  add(id: number, offset: number, length: number, space: SpaceId, fates: FrameFates): void {
    const { ids, start, end } = this;
    const at = (id >>> 2) & (RUNS - 1); // the low bits are the stream's kind
    if (ids[at] === id && start[at] === offset + length) {
      start[at] = offset;
      return;
    }
    if (ids[at] >= 0) fates.onFrameAcked(space, REC_STREAM, ids[at], start[at], end[at] - start[at]);
    ids[at] = id;
    start[at] = offset;
    end[at] = offset + length;
  }

  /** Tells all that waits. */
  flush(space: SpaceId, fates: FrameFates): void {
    const { ids, start, end } = this;
    for (let at = 0; at < RUNS; at++) {
      if (ids[at] < 0) continue;
      fates.onFrameAcked(space, REC_STREAM, ids[at], start[at], end[at] - start[at]);
      ids[at] = -1;
    }
  }
}

export class SentPackets {
  readonly space: SpaceId;
  /** The lowest number not yet committed; `next - 1` is the largest sent. */
  next = 0;
  /** The lowest number that still has a slot. */
  base = 0;
  /** No number below it is outstanding. */
  firstOutstanding = 0;
  /** -1: none yet. */
  largestAcked = -1;
  bytesInFlight = 0;
  /** Outstanding packets that are ack-eliciting. */
  elicitingCount = 0;
  /** When the latest ack-eliciting packet was sent; -1: none yet. */
  lastElicitingMicros = DOUBLE;

  // Columns by `pn & mask`. `link` is the first frame record of a packet, and for an acknowledged packet a number at
  // or above base from which on every packet up to this one is acknowledged.
  mask = -1;
  flags = NO_BYTES;
  sizeBytes = NO_SIZES;
  sentMicros = NO_NUMBERS;
  link = NO_NUMBERS;
  private recordCount = NO_SIZES;

  private recordMask = -1;
  private recordTail = 0;
  private recordHead = 0;
  private kind = NO_BYTES;
  private id = NO_NUMBERS;
  private offset = NO_NUMBERS;
  private length = NO_NUMBERS;

  /** Of the path, for a controller that asks; its columns lie beside these. */
  delivery: DeliveryRate | null = null;

  /** The columns while they are the first ones, to be given back. */
  private first: FirstColumns | null = null;
  private openPn = 0;
  private openMicros = DOUBLE;
  private openRecord = 0;

  constructor(space: SpaceId) {
    this.space = space;
    this.lastElicitingMicros = -1;
    this.openMicros = 0;
  }

  /** No new data may be sent until packets are acknowledged or declared lost; acknowledgements and probes may. */
  get full(): boolean {
    return this.isShortOf(RESERVE_PACKETS);
  }

  /** Only probes may still be sent: a peer that acknowledges nothing is not acknowledged for ever. */
  get fullForAcks(): boolean {
    return this.isShortOf(PROBE_PACKETS);
  }

  /** Nothing may be opened any more. */
  get fullForProbes(): boolean {
    return this.isShortOf(0);
  }

  /** Starts a packet with a number at or above `next`; numbers in between were skipped. */
  open(pn: number, nowMicros: number): void {
    if (pn < this.next) unreachable(`packet ${pn} opened after ${this.next - 1}`);
    while (pn - this.base > this.mask) this.growPackets(pn);
    this.openPn = pn;
    this.openMicros = nowMicros;
    this.openRecord = this.recordHead;
  }

  /** Notes a frame of the open packet. */
  note(kind: number, id: number, offset: number, length: number): void {
    if (this.recordHead - this.recordTail > this.recordMask) this.growRecords();
    const slot = this.recordHead & this.recordMask;
    this.kind[slot] = kind;
    this.id[slot] = id;
    this.offset[slot] = offset;
    this.length[slot] = length;
    this.recordHead++;
  }

  /** Whether the open packet has noted frames: whether anything in it needs to be known later. */
  get hasNotes(): boolean {
    return this.recordHead !== this.openRecord;
  }

  /** The open packet is on its way. Call `Recovery.onPacketSent`, which calls this. */
  commit(sizeBytes: number, ackEliciting: boolean, inFlight: boolean): void {
    const pn = this.openPn;
    for (let skipped = this.next; skipped < pn; skipped++) {
      this.flags[skipped & this.mask] = SENT_SKIPPED;
      this.link[skipped & this.mask] = this.openRecord;
    }
    const slot = pn & this.mask;
    let flags = SENT_OUTSTANDING;
    if (ackEliciting) {
      flags |= SENT_ELICITING;
      this.elicitingCount++;
      this.lastElicitingMicros = this.openMicros;
    }
    if (inFlight) {
      flags |= SENT_IN_FLIGHT;
      this.bytesInFlight += sizeBytes;
    }
    this.flags[slot] = flags;
    this.sizeBytes[slot] = sizeBytes;
    this.sentMicros[slot] = this.openMicros;
    this.link[slot] = this.openRecord;
    this.recordCount[slot] = this.recordHead - this.openRecord;
    this.next = pn + 1;
    if (inFlight && this.delivery !== null) this.delivery.onSent(slot, sizeBytes, this.bytesInFlight, this.openMicros);
  }

  /** Packets that fit into the rings as they are, one record each, before `full` or growing says otherwise. */
  get roomPackets(): number {
    const { base, next, recordTail, recordHead } = this;
    const packets = Math.min(this.mask + 1, MAX_SENT_PACKETS - SPARE_PACKETS - RESERVE_PACKETS) - (next - base);
    const mostRecords = MAX_SENT_RECORDS - SPARE_RECORDS - RESERVE_RECORDS_EACH * RESERVE_PACKETS;
    return Math.min(packets, Math.min(this.recordMask + 1, mostRecords) - (recordHead - recordTail));
  }

  /** Opens, notes and commits the packets of a run, whose numbers begin with `next`; at most `roomPackets`. */
  commitRun(run: StreamRun, nowMicros: number): void {
    const { flags, sizeBytes, sentMicros, link, recordCount, mask, kind, id, offset, length, recordMask } = this;
    const { packets, packetBytes, streamId, dataBytes } = run;
    const packetFlags = SENT_OUTSTANDING | SENT_ELICITING | SENT_IN_FLIGHT | (run.ecn === ECN_ECT0 ? SENT_ECT : 0);
    let record = this.recordHead;
    let frameOffset = run.offset;
    const end = this.next + packets;
    for (let pn = this.next; pn < end; pn++) {
      const slot = pn & mask;
      flags[slot] = packetFlags;
      sizeBytes[slot] = packetBytes;
      sentMicros[slot] = nowMicros;
      link[slot] = record;
      recordCount[slot] = 1;
      const at = record & recordMask;
      kind[at] = REC_STREAM;
      id[at] = streamId;
      offset[at] = frameOffset;
      length[at] = dataBytes;
      frameOffset += dataBytes;
      record++;
    }
    this.recordHead = record;
    this.next = end;
    this.elicitingCount += packets;
    this.lastElicitingMicros = nowMicros;
    this.bytesInFlight += packets * packetBytes;
    this.delivery?.onRunSent(end - packets, packets, packetBytes, this.bytesInFlight, nowMicros);
  }

  /** The open packet was not sent. Its number may be used by the next `open`, or counts as skipped. */
  abort(): void {
    this.recordHead = this.openRecord;
  }

  /** The packet committed last travels in a datagram marked ECT(0). */
  markLastEct(): void {
    this.flags[(this.next - 1) & this.mask] |= SENT_ECT;
  }

  /** The packet committed last probes the path MTU. */
  markLastMtuProbe(): void {
    this.flags[(this.next - 1) & this.mask] |= SENT_MTU_PROBE;
  }

  /** PADDING was added to the packet committed last, which thereby counts as in flight (RFC 9002 §2). */
  addBytes(bytes: number): void {
    const slot = (this.next - 1) & this.mask;
    this.sizeBytes[slot] += bytes;
    if ((this.flags[slot] & SENT_IN_FLIGHT) !== 0) {
      this.bytesInFlight += bytes;
      return;
    }
    this.flags[slot] |= SENT_IN_FLIGHT;
    this.bytesInFlight += this.sizeBytes[slot];
  }

  /** Takes the packet in `slot` out of flight. Its state is the caller's to change. */
  leaveFlight(slot: number): void {
    const flags = this.flags[slot];
    if ((flags & SENT_IN_FLIGHT) !== 0) this.bytesInFlight -= this.sizeBytes[slot];
    if ((flags & SENT_ELICITING) !== 0) this.elicitingCount--;
  }

  /** The path is another one: what is outstanding from `firstPn` on takes no room in its congestion window. */
  leavePath(firstPn: number): void {
    for (let pn = Math.max(firstPn, this.firstOutstanding); pn < this.next; pn++) {
      const slot = pn & this.mask;
      if ((this.flags[slot] & (SENT_STATE_MASK | SENT_IN_FLIGHT)) !== (SENT_OUTSTANDING | SENT_IN_FLIGHT)) continue;
      this.flags[slot] &= ~SENT_IN_FLIGHT;
      this.bytesInFlight -= this.sizeBytes[slot];
    }
  }

  /** Tells what the packet in `slot` carried. Ranges of streams go to `runs`, which tells them joined. */
  tellAcked(slot: number, runs: AckedRuns, fates: FrameFates): void {
    const { kind, id, offset, length, recordMask, space } = this;
    const first = this.link[slot];
    const end = first + this.recordCount[slot];
    for (let record = first; record < end; record++) {
      const at = record & recordMask;
      if (kind[at] === REC_STREAM) runs.add(id[at], offset[at], length[at], space, fates);
      else fates.onFrameAcked(space, kind[at], id[at], offset[at], length[at]);
    }
  }

  tellLost(slot: number, fates: FrameFates): void {
    const end = this.link[slot] + this.recordCount[slot];
    for (let record = this.link[slot]; record < end; record++) {
      const at = record & this.recordMask;
      fates.onFrameLost(this.space, this.kind[at], this.id[at], this.offset[at], this.length[at]);
    }
  }

  /** Frees the oldest packets that are settled, the lost ones only when they were sent before `lostBeforeMicros`. */
  reclaim(lostBeforeMicros: number): void {
    let floor = this.base;
    for (let pn = floor; pn < this.next; pn++) {
      const slot = pn & this.mask;
      const state = this.flags[slot] & SENT_STATE_MASK;
      if (state === SENT_SKIPPED) continue; // goes with the packet after it, so that a lie about it is noticed till then
      if (state === SENT_OUTSTANDING || (state === SENT_LOST && this.sentMicros[slot] >= lostBeforeMicros)) break;
      floor = pn + 1;
    }
    if (floor !== this.base) this.dropBelow(floor);
  }

  /** Forgets everything; numbers go on from `next`. */
  clear(): void {
    this.base = this.firstOutstanding = this.next;
    this.bytesInFlight = 0;
    this.elicitingCount = 0;
    this.lastElicitingMicros = -1;
    this.largestAcked = -1;
    this.recordTail = this.recordHead;
    this.release();
  }

  /** As `clear`, and numbers begin again: the next packet belongs to another connection. */
  restart(): void {
    this.clear();
    this.next = this.base = this.firstOutstanding = 0;
  }

  /** Gives all memory back when no packet is in flight: acknowledgements that nobody acknowledged are forgotten. */
  rest(): void {
    this.makeRoom();
    if (this.base === this.next) this.release();
  }

  private release(): void {
    this.mask = this.recordMask = -1;
    this.flags = this.kind = NO_BYTES;
    this.sizeBytes = this.recordCount = NO_SIZES;
    this.sentMicros = this.link = this.id = this.offset = this.length = NO_NUMBERS;
    if (this.first !== null) giveFirstColumns(this.first);
    this.first = null;
  }

  /** No packet has a slot: memory for the first ones. */
  private begin(): void {
    const first = takeFirstColumns();
    this.first = first;
    this.flags = first.flags;
    this.sizeBytes = first.sizeBytes;
    this.sentMicros = first.sentMicros;
    this.link = first.link;
    this.recordCount = first.recordCount;
    this.kind = first.kind;
    this.id = first.id;
    this.offset = first.offset;
    this.length = first.length;
    this.mask = FIRST_PACKETS - 1;
    this.recordMask = FIRST_RECORDS - 1;
    this.delivery?.resize(FIRST_PACKETS, this.base, this.next);
  }

  private isShortOf(packets: number): boolean {
    if (this.hasSpare(packets)) return false;
    this.makeRoom();
    return !this.hasSpare(packets);
  }

  private hasSpare(packets: number): boolean {
    return (
      this.next - this.base < MAX_SENT_PACKETS - SPARE_PACKETS - packets &&
      this.recordHead - this.recordTail < MAX_SENT_RECORDS - SPARE_RECORDS - RESERVE_RECORDS_EACH * packets
    );
  }

  /** Forgets the oldest packets as long as none of them counts as in flight, acknowledgements only included. */
  private makeRoom(): void {
    let floor = this.base;
    for (let pn = floor; pn < this.next; pn++) {
      const flags = this.flags[pn & this.mask];
      const state = flags & SENT_STATE_MASK;
      if (state === SENT_SKIPPED) continue;
      if (state === SENT_OUTSTANDING && (flags & (SENT_IN_FLIGHT | SENT_ELICITING)) !== 0) break;
      floor = pn + 1;
    }
    if (floor !== this.base) this.dropBelow(floor);
  }

  private dropBelow(floor: number): void {
    this.base = floor;
    if (this.firstOutstanding < floor) this.firstOutstanding = floor;
    this.recordTail = floor === this.next ? this.recordHead : this.link[floor & this.mask];
  }

  private growPackets(pn: number): void {
    const capacity = this.mask + 1;
    if (capacity === 0) {
      this.begin();
      return;
    }
    if (capacity >= ROOMY_PACKETS) {
      // A peer that hears nothing ack-eliciting from us never acknowledges our ACK frames: those must not fill memory.
      this.makeRoom();
      if (pn - this.base < capacity / 2) return;
    }
    const wanted = capacity * 2;
    if (wanted > MAX_SENT_PACKETS) unreachable(`${capacity} packets in flight`);
    this.first = null; // half of it is still in use
    const { flags, sizeBytes, sentMicros, link, recordCount, mask } = this;
    this.flags = new Uint8Array(wanted);
    this.sizeBytes = new Uint16Array(wanted);
    this.sentMicros = new Float64Array(wanted);
    this.link = new Float64Array(wanted);
    this.recordCount = new Uint16Array(wanted);
    this.mask = wanted - 1;
    this.delivery?.resize(wanted, this.base, this.next);
    for (let old = this.base; old < this.next; old++) {
      const from = old & mask;
      const to = old & this.mask;
      this.flags[to] = flags[from];
      this.sizeBytes[to] = sizeBytes[from];
      this.sentMicros[to] = sentMicros[from];
      this.link[to] = link[from];
      this.recordCount[to] = recordCount[from];
    }
  }

  private growRecords(): void {
    const capacity = this.recordMask + 1;
    const wanted = capacity * 2;
    if (wanted > MAX_SENT_RECORDS) unreachable(`${capacity} frame records`);
    this.first = null;
    const { kind, id, offset, length, recordMask } = this;
    this.kind = new Uint8Array(wanted);
    this.id = new Float64Array(wanted);
    this.offset = new Float64Array(wanted);
    this.length = new Float64Array(wanted);
    this.recordMask = wanted - 1;
    for (let record = this.recordTail; record < this.recordHead; record++) {
      const from = record & recordMask;
      const to = record & this.recordMask;
      this.kind[to] = kind[from];
      this.id[to] = id[from];
      this.offset[to] = offset[from];
      this.length[to] = length[from];
    }
  }
}

/** Stands in for a space without keys (RFC 9001 §4.9), in which nothing is sent any more: one for all connections. */
export const NO_SENT_PACKETS = new SentPackets(SPACE_INITIAL);
