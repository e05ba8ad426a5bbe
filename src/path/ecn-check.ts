/**
 * Whether a path carries ECN marks (RFC 9000 §13.4.2, A.4). Packets are marked ECT(0) while testing; the peer's counts
 * then either prove the path capable or fail it for good. Counts are per packet number space.
 *
 *   testing --(marked enough)--> unknown --(counts add up)--> capable
 *      |                            |                            |
 *      +------- counts do not add up, or all marked lost --------+--> failed
 */

import { ECN_TESTING_DATAGRAMS } from "../proto/limits.js";
import { perSpace, SPACE_APP, SPACE_HANDSHAKE, SPACE_INITIAL, type SpaceId } from "../proto/space.js";

export const ECN_TESTING = 0;
export const ECN_UNKNOWN = 1;
export const ECN_CAPABLE = 2;
export const ECN_FAILED = 3;
export type EcnState = typeof ECN_TESTING | typeof ECN_UNKNOWN | typeof ECN_CAPABLE | typeof ECN_FAILED;

/** What an ACK frame says about marks; `AckFrame` fits. */
export interface EcnReport {
  readonly hasEcn: boolean;
  readonly ect0: number;
  readonly ect1: number;
  readonly ce: number;
}

export class EcnValidator {
  state: EcnState;
  private testDatagrams = 0;
  private markedTotal = 0;
  private lostTotal = 0;
  private readonly marked = perSpace(0);
  private readonly ect0 = perSpace(0);
  private readonly ce = perSpace(0);

  constructor(private readonly enabled: boolean) {
    this.state = enabled ? ECN_TESTING : ECN_FAILED;
  }

  /** Another path: it is tested anew (RFC 9000 §13.4.2). The peer's counts go on. */
  restart(): void {
    if (!this.enabled) return;
    this.state = ECN_TESTING;
    this.testDatagrams = this.markedTotal = this.lostTotal = 0;
  }

  /** Packets of ours that the peer saw with a CE mark. */
  get ceReported(): number {
    return this.ce[SPACE_INITIAL] + this.ce[SPACE_HANDSHAKE] + this.ce[SPACE_APP];
  }

  /** Whether the datagram that begins now is to be marked ECT(0). */
  beginDatagram(): boolean {
    if (this.state === ECN_CAPABLE) return true;
    if (this.state !== ECN_TESTING) return false;
    if (++this.testDatagrams >= ECN_TESTING_DATAGRAMS) this.state = ECN_UNKNOWN;
    return true;
  }

  /** `packets` were sent in marked datagrams. */
  onMarkedSent(space: SpaceId, packets = 1): void {
    this.marked[space] += packets;
    this.markedTotal += packets;
  }

  /** A marked packet was declared lost: a path that drops every mark is not used with marks (A.4). */
  onMarkedLost(): void {
    this.lostTotal++;
    if (this.state === ECN_UNKNOWN && this.lostTotal === this.markedTotal) this.state = ECN_FAILED;
  }

  /**
   * An ACK that raised the largest acknowledged number; `ackedMarked` of the packets that it newly acknowledged were
   * marked. Returns true when it reports new CE marks on a path that carries them truthfully.
   */
  onAck(space: SpaceId, report: EcnReport, ackedMarked: number): boolean {
    if (this.state === ECN_FAILED) return false;
    if (!report.hasEcn) {
      if (ackedMarked > 0) this.state = ECN_FAILED;
      return false;
    }
    const newEct0 = report.ect0 - this.ect0[space];
    const newCe = report.ce - this.ce[space];
    const fell = newEct0 < 0 || newCe < 0;
    const tooFew = newEct0 + newCe < ackedMarked;
    const tooMany = report.ect1 > 0 || report.ect0 + report.ce > this.marked[space];
    if (fell || tooFew || tooMany) {
      this.state = ECN_FAILED;
      return false;
    }
    this.ect0[space] = report.ect0;
    this.ce[space] = report.ce;
    if (ackedMarked > 0) this.state = ECN_CAPABLE;
    return newCe > 0;
  }
}
