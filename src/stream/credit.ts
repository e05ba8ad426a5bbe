/**
 * Flow control of the connection, and the receiving side's of one stream (RFC 9000 §4). Credit is counted by offsets:
 * `received` is the highest offset seen (for the connection: the sum over its streams), whatever is buffered, and
 * `consumed` is what the application has read or will never read. Invariants: received <= advertised, and advertised
 * <= consumed + window, so that a peer cannot grow a window by sparse frames.
 */

import { DOUBLE } from "../base/double.js";
import { NO_PRESSURE } from "../port/memory.js";

/** The use of less than this share of the window says nothing about how fast it is used. */
const TUNE_SHARE = 1 / 2;
/**
 * An update comes after this share of the window, but not for fewer bytes than that. A peer that fills the window waits for
 * it on top of the round trip: with half a window, a path of as much delay-bandwidth product lost a third of its rate.
 */
const DUE_SHARE = 1 / 16;
const DUE_BYTES = 4096;

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
  private windowMaxBytes: number;
  /** An update must raise the limit by this share of the window, against dribbling credit; 0 = any raise is worth it. */
  private readonly minGainShare: number;
  /** When the use of the window was last looked at, and what was consumed then. */
  private tunedAtMicros = -1;
  private tunedConsumed = 0;

  constructor(initialBytes: number, windowMaxBytes: number, minGainShare: number) {
    this.advertised = initialBytes;
    this.windowBytes = initialBytes;
    this.windowMaxBytes = Math.max(initialBytes, windowMaxBytes);
    this.minGainShare = minGainShare;
  }

  /** Other limits, before the peer was told one. */
  begin(initialBytes: number, windowMaxBytes: number): void {
    this.advertised = this.windowBytes = initialBytes;
    this.windowMaxBytes = Math.max(initialBytes, windowMaxBytes);
  }

  /**
   * Whether an update is worth a frame: it gives a share of the window, or at least doubles what the peer has left. With
   * much unread that comes earlier, so that one paused stream never starves the others of the connection.
   */
  isDue(): boolean {
    const gain = this.consumed + this.windowBytes - this.advertised;
    if (gain >= this.windowBytes * DUE_SHARE && gain >= DUE_BYTES) return true;
    return gain > 0 && gain >= this.advertised - this.received && gain >= this.windowBytes * this.minGainShare;
  }

  /** Whether any update is possible: asked when the peer says that it is blocked. */
  canRaise(): boolean {
    return this.consumed + this.windowBytes > this.advertised;
  }

  /**
   * The new limit, to be sent now. The window doubles, or grows by `growth` where memory is short, when half of it was
   * consumed within two round trips: then the window, not the path, holds the peer back. Repetitions of a lost update gain
   * nothing.
   */
  update(nowMicros: number, rttMicros: number, growth = NO_PRESSURE.windowGrowth): number {
    if (this.consumed - this.tunedConsumed >= this.windowBytes * TUNE_SHARE) {
      const isQuick = this.tunedAtMicros >= 0 && nowMicros - this.tunedAtMicros < 2 * rttMicros;
      if (isQuick) this.widen(growth * this.windowBytes);
      this.tunedAtMicros = nowMicros;
      this.tunedConsumed = this.consumed;
    }
    this.advertised = Math.max(this.advertised, this.consumed + this.windowBytes);
    return this.advertised;
  }

  /** Raises the window to `bytes`, within its maximum. */
  widen(bytes: number): void {
    this.windowBytes = Math.max(this.windowBytes, Math.min(Math.floor(bytes), this.windowMaxBytes));
  }
}
