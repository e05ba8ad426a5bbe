/**
 * What moves of our own need (RFC 9000 §9): a client's, and those to a server's preferred address at either side. The paths
 * that are asked whether they work, and the one that was left.
 */

import type { Path } from "./path.js";
import type { PathChallenge } from "./validation.js";

/** A path that is asked whether it works. */
export interface Attempt {
  readonly path: Path;
  readonly challenge: PathChallenge;
  /** It leads to the server's preferred address. */
  readonly isPreferred: boolean;
  /** Server: more than a probe came on it. */
  isLed: boolean;
}

/** What a client's own moves, and those to a server's preferred address, need; made with the first. */
export class Migration {
  /** At most two: towards the address that the server has, and the one that it prefers (RFC 9000 §9.6.3). */
  readonly attempts: Attempt[] = [];
  /** The path before, while it still counts. */
  left: Path | null = null;
  private leftUntilMicros = Infinity;
  /** The peer has sent more than probes on the path of the last move. */
  isFollowed = true;
  /** The server's preferred address was reached, or did not answer: it is not asked again. */
  preferredSettled = false;
  isOnPreferred = false;

  get isAsking(): boolean {
    return this.attempts.length > 0;
  }

  get deadlineMicros(): number {
    let earliest = this.leftUntilMicros;
    for (const { challenge } of this.attempts) earliest = Math.min(earliest, challenge.deadlineMicros);
    return earliest;
  }

  /** Until the peer has followed, and then for a while. */
  keepLeft(path: Path): void {
    this.left = path;
    this.leftUntilMicros = Infinity;
    this.isFollowed = false;
  }

  onFollowed(untilMicros: number): void {
    this.isFollowed = true;
    if (this.left !== null) this.leftUntilMicros = untilMicros;
  }

  /** The path whose time is over, or null. */
  takeLeft(nowMicros: number): Path | null {
    const { left } = this;
    if (left === null || nowMicros < this.leftUntilMicros) return null;
    this.left = null;
    this.leftUntilMicros = Infinity;
    return left;
  }
}
