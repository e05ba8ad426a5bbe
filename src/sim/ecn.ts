/** What routers do to the ECN field: clear it, change ECT(0) to ECT(1), mark at random, or mark all (RFC 9000 §13.4.2). */

import { ECN_CE, ECN_ECT0, ECN_ECT1, ECN_NOT_ECT } from "../port/udp.js";
import type { Datagram } from "./datagram.js";
import { NOWHERE, type NetNode, type NetSink } from "./node.js";
import type { Prng } from "./prng.js";

export class EcnMarker implements NetNode {
  next: NetSink = NOWHERE;
  /** ECT(0) arrives as ECT(1). */
  remarks = false;

  /** `bleach` clears the field of every datagram; else ECN-capable ones are marked CE with `markChance` 0..1. */
  constructor(
    private readonly prng: Prng,
    public bleach: boolean,
    public markChance: number,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    if (this.bleach) datagram.ecn = ECN_NOT_ECT;
    else if (this.remarks && datagram.ecn === ECN_ECT0) datagram.ecn = ECN_ECT1;
    else if (datagram.ecn !== ECN_NOT_ECT && this.prng.chance(this.markChance)) datagram.ecn = ECN_CE;
    this.next.push(datagram, nowMicros);
  }
}
