/**
 * How many streams of one kind there are, on both sides (RFC 9000 §4.6), and which ids the peer has opened without
 * using them: opening a stream opens all lower ones of its type (§3.2), but those cost nothing until they are touched.
 */

import { RangeSet } from "../base/range-set.js";
import { STREAMS_CREDIT_SHARE } from "../proto/limits.js";

export class StreamCounts {
  /** Streams that we opened. */
  opened = 0;
  /** The peer's limit for them: its MAX_STREAMS. */
  peerMax = 0;
  /** The limit that STREAMS_BLOCKED was last sent for, -1 = none. */
  blockedAt = -1;
  /** The application was refused a stream and waits. */
  openBlocked = false;

  /** Streams that the peer opened, untouched ones included. */
  peerOpened = 0;
  /** Our last MAX_STREAMS, or the transport parameter. */
  advertised: number;
  /** The application has enough to do with the streams that there were: no new ones. */
  isHeld = false;
  /** Peer's streams that are finished and forgotten. */
  private peerClosed = 0;
  private window: number;
  private untouched: RangeSet | null = null;

  constructor(window: number) {
    this.window = this.advertised = window;
  }

  /** Another initial limit, before the peer was told one. */
  begin(window: number): void {
    this.window = this.advertised = window;
  }

  /** The peer used this index below `advertised`. False when its stream was there before and is forgotten. */
  touch(index: number): boolean {
    if (index >= this.peerOpened) {
      if (index > this.peerOpened) {
        this.untouched ??= new RangeSet();
        this.untouched.add(this.peerOpened, index);
      }
      this.peerOpened = index + 1;
      return true;
    }
    if (!this.isUntouched(index)) return false;
    this.untouched!.remove(index, index + 1);
    return true;
  }

  /** Whether the peer opened this index and nobody has used it. */
  isUntouched(index: number): boolean {
    return this.untouched !== null && this.untouched.covers(index, index + 1);
  }

  onPeerStreamForgotten(): void {
    this.peerClosed++;
  }

  /** Whether MAX_STREAMS is worth a frame: it gives much back, or little is left. */
  isUpdateDue(): boolean {
    const gain = this.window + this.peerClosed - this.advertised;
    if (gain <= 0 || this.isHeld) return false;
    const share = this.window * STREAMS_CREDIT_SHARE;
    return gain >= share || this.advertised - this.peerOpened < 2 * share;
  }

  /** Whether any update is possible: asked when the peer says that it is blocked. */
  canRaise(): boolean {
    return !this.isHeld && this.window + this.peerClosed > this.advertised;
  }

  /** The value of a MAX_STREAMS sent now. */
  update(): number {
    this.advertised = this.window + this.peerClosed;
    return this.advertised;
  }
}
