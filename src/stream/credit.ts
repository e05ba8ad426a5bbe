/**
 * Flow control of the connection, and the receiving side's of one stream (RFC 9000 §4). Credit is counted by offsets:
 * `received` is the highest offset seen (for the connection: the sum over its streams), whatever is buffered, and
 * `consumed` is what the application has read or will never read. Invariants: received <= advertised, and advertised
 * <= consumed + window, so that a peer cannot grow a window by sparse frames.
 */

import { DOUBLE } from "../base/double.js";

/** An update of less than this share of the window says nothing about how fast the window is used. */
const TUNE_SHARE = 1 / 4;

/** What we may send on the connection. */
export class SendCredit {
  /** Highest MAX_DATA seen. */
  max = DOUBLE;
  /** Sum of the highest offsets sent. */
  used = DOUBLE;
  /** The limit that DATA_BLOCKED was last sent for, -1 = none (RFC 9000 §4.1). */
  blockedAt = DOUBLE;

  constructor() {
    this.max = this.used = 0;
    this.blockedAt = -1;
  }

  get available(): number {
    return this.max - this.used;
  }

  /** A limit that is not above the known one is ignored (RFC 9000 §4.1). */
  raise(max: number): boolean {
    if (max <= this.max) return false;
    this.max = max;
    return true;
  }

  /** Nothing of what was sent counts, and this is the limit, also when it is lower. */
  restart(max: number): void {
    this.max = max;
    this.used = 0;
    this.blockedAt = -1;
  }
}

/** What the peer may send. */
export class RecvCredit {
  /** The last MAX_DATA or MAX_STREAM_DATA, or the transport parameter. */
  advertised: number;
  received = 0;
  consumed = 0;
  /** How far `advertised` may be ahead of `consumed`; grows by {@link update}. */
  windowBytes: number;
  private readonly windowMaxBytes: number;
  /** An update must raise the limit by this share of the window, against dribbling credit; 0 = any raise is worth it. */
  private readonly minGainShare: number;
  private updatedAtMicros = -1;

  constructor(initialBytes: number, windowMaxBytes: number, minGainShare: number) {
    this.advertised = initialBytes;
    this.windowBytes = initialBytes;
    this.windowMaxBytes = Math.max(initialBytes, windowMaxBytes);
    this.minGainShare = minGainShare;
  }

  /**
   * Whether an update is worth a frame: it at least doubles what the peer has left. With everything read that is half
   * the window; with much unread it comes earlier, so that one paused stream never starves the others of the connection.
   */
  isDue(): boolean {
    const gain = this.consumed + this.windowBytes - this.advertised;
    return gain > 0 && gain >= this.advertised - this.received && gain >= this.windowBytes * this.minGainShare;
  }

  /** Whether any update is possible: asked when the peer says that it is blocked. */
  canRaise(): boolean {
    return this.consumed + this.windowBytes > this.advertised;
  }

  /**
   * The new limit, to be sent now. The window doubles when a quarter of it or more was consumed within two round trips of
   * the update before: then the window, not the path, holds the peer back. Repetitions of a lost update gain nothing.
   */
  update(nowMicros: number, rttMicros: number): number {
    const gain = this.consumed + this.windowBytes - this.advertised;
    if (gain >= this.windowBytes * TUNE_SHARE) {
      const isQuick = this.updatedAtMicros >= 0 && nowMicros - this.updatedAtMicros < 2 * rttMicros;
      if (isQuick) this.widen(2 * this.windowBytes);
      this.updatedAtMicros = nowMicros;
    }
    this.advertised = Math.max(this.advertised, this.consumed + this.windowBytes);
    return this.advertised;
  }

  /** Raises the window to `bytes`, within its maximum. */
  widen(bytes: number): void {
    this.windowBytes = Math.max(this.windowBytes, Math.min(Math.floor(bytes), this.windowMaxBytes));
  }
}
