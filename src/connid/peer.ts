/**
 * Connection ids that the peer issued to us (RFC 9000 §5.1.2): the one that packets on the connection's path carry, those
 * that other paths have taken, the spare ones, and those that we have to retire.
 *
 * Invariants: at most as many ids are held as we announced; at most MAX_RETIRE_PENDING RETIRE_CONNECTION_ID frames wait or are
 * in flight (CVE-2024-22189); work per frame is bounded by these two numbers, whatever the sequence numbers are. Every
 * sequence number below `floor` is retired, and so are those in `retiredAbove`. An id that a path has given back is
 * retired: no other path ever gets it (RFC 9000 §9.5).
 */

import { equalBytes, equalConstantTimeAt, equalRange } from "../base/bytes.js";
import { RangeSet } from "../base/range-set.js";
import { unreachable } from "../base/unreachable.js";
import { ACTIVE_CID_LIMIT, MAX_RETIRE_PENDING } from "../proto/limits.js";
import { CONNECTION_ID_LIMIT_ERROR, PROTOCOL_VIOLATION } from "../proto/transport-error.js";

interface PeerId {
  readonly seq: number;
  cid: Uint8Array;
  /** Null while the peer gave none: a client's first id never has one. */
  token: Uint8Array | null;
  /** A path that is not the connection's has taken it. */
  taken: boolean;
  /** The connection's path took it from another, which still knows its number. */
  robbed: boolean;
}

export class PeerIds {
  /** Destination Connection ID of the packets we send. */
  current: Uint8Array;
  private currentId: PeerId;
  private readonly active: PeerId[];
  /** The active_connection_id_limit that we announce. */
  limit: number;
  private floor = 0;
  private readonly retiredAbove = new RangeSet();
  private readonly toRetire: number[] = [];
  private readonly inFlight: number[] = [];

  /**
   * `firstCid` is what the first packet goes to: a client's random choice, or the Source Connection ID of a client.
   * `limit` is the active_connection_id_limit that we announce, 2 or more.
   */
  constructor(firstCid: Uint8Array, limit: number = ACTIVE_CID_LIMIT) {
    this.limit = limit;
    this.currentId = { seq: 0, cid: firstCid, token: null, taken: false, robbed: false };
    this.current = firstCid;
    this.active = [this.currentId];
  }

  /** Client: the server chose its id, in a Retry or in its first Initial (RFC 9000 §7.2). It takes the place of ours. */
  replaceFirst(cid: Uint8Array): void {
    this.currentId.cid = cid;
    this.current = cid;
  }

  /** Client: stateless_reset_token of the server's transport parameters belongs to the first id. */
  setResetToken(token: Uint8Array): void {
    const first = this.active.find((id) => id.seq === 0);
    if (first !== undefined) first.token = token;
  }

  /** Sequence number of the oldest id that is held; of the next one while there is none. */
  get lowestSeq(): number {
    return this.active[0]?.seq ?? this.floor;
  }

  /** Sequence number of the newest id that is held. */
  get highestSeq(): number {
    return this.active[this.active.length - 1]?.seq ?? this.floor;
  }

  /** Whether an id that is held stands at `at` of these bytes, whole. */
  isHeld(bytes: Uint8Array, at: number): boolean {
    return this.active.some(({ cid }) => equalRange(bytes, at, Math.min(at + cid.length, bytes.length), cid));
  }

  /** Sequence number of the current id. */
  get currentSeq(): number {
    return this.currentId.seq;
  }

  /** Ids held, the current one included. */
  get activeCount(): number {
    return this.active.length;
  }

  /** Whether there is another id to move to. */
  get hasSpare(): boolean {
    return this.nextId() !== undefined;
  }

  /** Takes an id for another path, until `use` or `giveBack`: its sequence number, -1 when there is none. */
  takeSpare(): number {
    const next = this.nextId();
    if (next === undefined) return -1;
    next.taken = true;
    return next.seq;
  }

  /** The id that another path has taken; null when the peer has demanded it back since, and for -1. */
  takenCid(seq: number): Uint8Array | null {
    return this.takenId(seq)?.cid ?? null;
  }

  /**
   * The path that has taken the id `seq` is the connection's from now on. Returns the sequence number of the id before,
   * which the path that was left has now; -1 when that had been another path's, and so is given back.
   */
  use(seq: number): number {
    const next = this.takenId(seq);
    if (next === undefined) return unreachable(`connection id ${seq} is not taken`);
    const old = this.currentId;
    old.taken = true;
    this.setCurrent(next);
    if (!old.robbed) return old.seq;
    this.giveBack(old.seq);
    return -1;
  }

  /** A path that had taken the id `seq` is not used any more; nothing happens when the peer has demanded it back. */
  giveBack(seq: number): void {
    const id = this.takenId(seq);
    if (id === undefined) return;
    this.active.splice(this.active.indexOf(id), 1);
    this.retire(seq);
    this.retiredAbove.add(seq, seq + 1);
    this.compact();
  }

  /**
   * NEW_CONNECTION_ID arrived (the decoder has checked the lengths and retirePriorTo <= seq); `cid` and `token` are kept.
   * The id of a preferred_address parameter is onNew(1, 0, ...). Returns 0 or the error of RFC 9000 §5.1.1, §19.15.
   */
  onNew(seq: number, retirePriorTo: number, cid: Uint8Array, token: Uint8Array): number {
    if (this.current.length === 0) return PROTOCOL_VIOLATION;
    let known = false;
    for (const id of this.active) {
      const sameSeq = id.seq === seq;
      const sameCid = equalBytes(id.cid, cid);
      const sameToken = id.token !== null && equalBytes(id.token, token);
      if (sameSeq && sameCid && sameToken) known = true;
      else if (sameSeq || sameCid || sameToken) return PROTOCOL_VIOLATION;
    }
    // Old ids go before the new one counts (RFC 9000 §5.1.2).
    if (retirePriorTo > this.floor) this.raiseFloor(retirePriorTo);
    if (!known) {
      if (seq < this.floor) this.retire(seq);
      else if (!this.retiredAbove.covers(seq, seq + 1)) this.insert({ seq, cid, token, taken: false, robbed: false });
    }
    if (this.active.length > this.limit || this.retiredAbove.count > MAX_RETIRE_PENDING) {
      return CONNECTION_ID_LIMIT_ERROR;
    }
    if (this.toRetire.length + this.inFlight.length > MAX_RETIRE_PENDING) return CONNECTION_ID_LIMIT_ERROR;
    // All were demanded back and the new one we had given back before: nothing is left to send to.
    if (this.active.length === 0) return PROTOCOL_VIOLATION;
    if (!this.active.includes(this.currentId)) this.replaceCurrent();
    return 0;
  }

  /** Moves to another id and retires the current one (RFC 9000 §9.5). False when there is no spare. */
  rotate(): boolean {
    const seq = this.takeSpare();
    if (seq < 0) return false;
    this.giveBack(this.use(seq));
    return true;
  }

  /**
   * The id `seq`, which is newer than the current one, is used from now on. That of before stays, for this path only, until
   * `retireBelow`; one that had been another path's is given back. False when `seq` is not held, or another path's.
   */
  select(seq: number): boolean {
    const next = this.active.find((id) => id.seq === seq && !id.taken);
    if (next === undefined || seq <= this.currentSeq) return false;
    const old = this.currentId;
    old.taken = true; // so that no other path gets it (RFC 9000 §9.5)
    this.setCurrent(next);
    if (old.robbed) this.giveBack(old.seq);
    return true;
  }

  /** Gives back all ids below `seq`, which is one that is held; paths that had one of them lose it. */
  retireBelow(seq: number): void {
    if (seq <= this.floor) return;
    this.raiseFloor(seq);
    if (!this.active.includes(this.currentId)) this.replaceCurrent();
  }

  /** Sequence number for the next RETIRE_CONNECTION_ID frame, or -1. Hand it back to `onRetireLost` if it did not fit. */
  takeRetire(): number {
    const seq = this.toRetire.shift();
    if (seq === undefined) return -1;
    this.inFlight.push(seq);
    return seq;
  }

  get hasRetire(): boolean {
    return this.toRetire.length > 0;
  }

  onRetireAcked(seq: number): void {
    drop(this.inFlight, seq);
    drop(this.toRetire, seq);
  }

  onRetireLost(seq: number): void {
    if (drop(this.inFlight, seq)) this.toRetire.push(seq);
  }

  /**
   * Whether the 16 bytes at `start` are the stateless reset token of the id in use; takes the same time either way
   * (RFC 9000 §10.3.1). Tokens of unused and of retired ids do not count.
   */
  isResetToken(buf: Uint8Array, start: number): boolean {
    const { token } = this.currentId;
    return token !== null && equalConstantTimeAt(buf, start, token);
  }

  /** Stateless reset token of the id in use, null while there is none. */
  get currentToken(): Uint8Array | null {
    return this.currentId.token;
  }

  private nextId(): PeerId | undefined {
    return this.active.find((id) => id !== this.currentId && !id.taken);
  }

  private takenId(seq: number): PeerId | undefined {
    return this.active.find((id) => id.taken && id.seq === seq);
  }

  private setCurrent(id: PeerId): void {
    id.taken = false;
    this.currentId = id;
    this.current = id.cid;
  }

  /** The current id was demanded back. When other paths have taken all that are left, one of them loses its id. */
  private replaceCurrent(): void {
    const next = this.nextId() ?? this.active[0];
    next.robbed ||= next.taken;
    this.setCurrent(next);
  }

  /** In order of sequence numbers, so that the oldest is used next. */
  private insert(id: PeerId): void {
    let at = this.active.length;
    while (at > 0 && this.active[at - 1].seq > id.seq) at--;
    this.active.splice(at, 0, id);
  }

  private raiseFloor(retirePriorTo: number): void {
    this.floor = retirePriorTo;
    while (this.active.length > 0 && this.active[0].seq < retirePriorTo) {
      this.retire((this.active.shift() as PeerId).seq);
    }
    this.compact();
  }

  private retire(seq: number): void {
    if (!this.toRetire.includes(seq) && !this.inFlight.includes(seq)) this.toRetire.push(seq);
  }

  /** Folds retired numbers into the floor where they touch it. */
  private compact(): void {
    const { retiredAbove } = this;
    while (retiredAbove.count > 0 && retiredAbove.start[0] <= this.floor) {
      this.floor = Math.max(this.floor, retiredAbove.end[0]);
      retiredAbove.removeFirst();
    }
  }
}

function drop(list: number[], value: number): boolean {
  const index = list.indexOf(value);
  if (index < 0) return false;
  list.splice(index, 1);
  return true;
}
