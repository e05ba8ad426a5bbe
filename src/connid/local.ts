/**
 * Connection ids that we issued to the peer (RFC 9000 §5.1.1): which are live, which NEW_CONNECTION_ID frames are still
 * to be sent, which ids the peer retired.
 *
 * Invariants: sequence numbers grow by 1; never more ids to use than the peer's limit or `maxLive`; a peer that
 * retires each new id at once gets CID_ISSUE_PER_SECOND of them, so retiring costs it more than us. An id of zero
 * length stays alone. Never more than RETIRED_CIDS that are retired and still routed, nor more than `maxLive` that were
 * demanded back and are not retired.
 */

import { equalRange } from "../base/bytes.js";
import { ACTIVE_CIDS, CID_ISSUE_BURST, CID_ISSUE_PER_SECOND, RETIRED_CIDS } from "../proto/limits.js";
import { PROTOCOL_VIOLATION } from "../proto/transport-error.js";

/** One id that the peer may use. */
export interface LocalId {
  readonly seq: number;
  readonly cid: Uint8Array;
  /** Stateless reset token, 16 bytes, until the peer has it; null for the first id, whose token travels with TLS. */
  token: Uint8Array | null;
  /** A NEW_CONNECTION_ID frame with it is to be sent. */
  unsent: boolean;
}

/** A peer that sends no active_connection_id_limit means this (RFC 9000 §18.2). */
const DEFAULT_PEER_LIMIT = 2;
const MICROS_PER_SECOND = 1e6;

export class LocalIds {
  /** Live ids, oldest first. */
  readonly live: LocalId[] = [];
  /** The peer's active_connection_id_limit. */
  peerLimit = DEFAULT_PEER_LIMIT;
  /** The peer shall give back all ids below this one: Retire Prior To of our frames (RFC 9000 §19.15). */
  retirePriorTo = 0;
  private readonly isZeroLength: boolean;
  /** Retired ids that still lead here, oldest first: packets with them may be under way, behind the frame that retired them. */
  readonly lingering: Uint8Array[] = [];
  private nextSeq = 1;
  /** Live ids with `unsent`: asked for with every packet. */
  private unsentCount = 0;
  private budget = CID_ISSUE_BURST;
  private budgetAtMicros = 0;

  /**
   * `firstCid` is the Source Connection ID of our long headers; its sequence number is 0. The peer has `maxLive` ids at most
   * to choose from.
   */
  constructor(
    firstCid: Uint8Array,
    private readonly maxLive: number = ACTIVE_CIDS,
  ) {
    this.isZeroLength = firstCid.length === 0;
    this.live.push({ seq: 0, cid: firstCid, token: null, unsent: false });
  }

  /** How many more ids may be issued now. The owner makes them and calls `add` for each. */
  toIssue(nowMicros: number): number {
    if (this.isZeroLength) return 0;
    const room = Math.min(this.peerLimit, this.maxLive) - this.live.length + this.indexOf(this.retirePriorTo);
    if (room <= 0) return 0;
    const earned = ((nowMicros - this.budgetAtMicros) / MICROS_PER_SECOND) * CID_ISSUE_PER_SECOND;
    this.budget = Math.min(CID_ISSUE_BURST, this.budget + earned);
    this.budgetAtMicros = nowMicros;
    return Math.min(room, Math.floor(this.budget));
  }

  /** Sequence number of the oldest id that was not demanded back; and of the newest. */
  get lowestSeq(): number {
    return this.live[this.indexOf(this.retirePriorTo)]?.seq ?? this.retirePriorTo;
  }

  get highestSeq(): number {
    return this.nextSeq - 1;
  }

  /**
   * Demands the ids below `seq` back, which is one that is not (RFC 9000 §5.1.2): how many new ones the owner makes now and
   * adds, whose frames say so. 0 while the peer owes too many.
   */
  demandBelow(seq: number): number {
    const demanded = this.indexOf(seq);
    const count = demanded - this.indexOf(this.retirePriorTo);
    if (count <= 0 || demanded > this.maxLive || demanded === this.live.length) return 0;
    this.retirePriorTo = seq;
    this.budget += count; // the budget is for what the peer makes us do
    return count;
  }

  /** Adds a fresh id and returns its sequence number; its frame is to be sent. */
  add(cid: Uint8Array, token: Uint8Array): number {
    const seq = this.nextSeq++;
    this.budget--;
    this.live.push({ seq, cid, token, unsent: true });
    this.unsentCount++;
    return seq;
  }

  /** The id of the preferred_address parameter: the peer learns it from there, as number 1 (RFC 9000 §5.1.1). */
  addPreferred(cid: Uint8Array): void {
    this.live.push({ seq: this.nextSeq++, cid, token: null, unsent: false });
  }

  /** The id whose NEW_CONNECTION_ID frame is to be sent next, or null. */
  nextUnsent(): LocalId | null {
    if (this.unsentCount === 0) return null;
    for (const id of this.live) if (id.unsent) return id;
    return null;
  }

  /** The frame for `seq` went into a packet. */
  onFrameSent(seq: number): void {
    const id = this.find(seq);
    if (id?.unsent === true) this.setUnsent(id, false);
  }

  /** The peer has it: nothing of the frame is needed again. */
  onFrameAcked(seq: number): void {
    const id = this.find(seq);
    if (id === null) return;
    if (id.unsent) this.setUnsent(id, false);
    id.token = null;
  }

  /** That packet was lost: the frame is sent again, unless the peer has retired the id meanwhile (RFC 9000 §13.3). */
  onFrameLost(seq: number): void {
    const id = this.find(seq);
    if (id?.unsent === false && id.token !== null) this.setUnsent(id, true);
  }

  /**
   * RETIRE_CONNECTION_ID for `seq` arrived in a packet whose Destination Connection ID is buf[start, end). Returns 0 or
   * the error of RFC 9000 §19.16.
   */
  onRetire(seq: number, buf: Uint8Array, start: number, end: number): number {
    if (this.isZeroLength || seq >= this.nextSeq) return PROTOCOL_VIOLATION;
    const index = this.live.findIndex((id) => id.seq === seq);
    if (index < 0) return 0; // a repeat
    const id = this.live[index];
    const { cid } = id;
    if (equalRange(buf, start, end, cid)) return PROTOCOL_VIOLATION;
    this.live.splice(index, 1);
    if (id.unsent) this.setUnsent(id, false);
    this.lingering.push(cid);
    return 0;
  }

  /** A retired id that must leave the routing table now, the latest RETIRED_CIDS being kept; null when there is none. */
  takeRetired(): Uint8Array | null {
    return this.lingering.length > RETIRED_CIDS ? (this.lingering.shift() as Uint8Array) : null;
  }

  /** Whether buf[start, end) is a live id. */
  has(buf: Uint8Array, start = 0, end = buf.length): boolean {
    for (const { cid } of this.live) if (equalRange(buf, start, end, cid)) return true;
    return false;
  }

  private setUnsent(id: LocalId, unsent: boolean): void {
    id.unsent = unsent;
    this.unsentCount += unsent ? 1 : -1;
  }

  /** Of the first live id that has this sequence number or a higher one. */
  private indexOf(seq: number): number {
    const index = this.live.findIndex((id) => id.seq >= seq);
    return index < 0 ? this.live.length : index;
  }

  private find(seq: number): LocalId | null {
    return this.live.find((id) => id.seq === seq) ?? null;
  }
}
