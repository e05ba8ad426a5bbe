/**
 * ECN marks of the packets received in one space, as ACK frames report them (RFC 9000 §13.4.1, §19.3.2). Each QUIC
 * packet of a datagram counts, and only packets that were processed: the counts never fall.
 */

import { ECN_CE, ECN_ECT0, ECN_ECT1 } from "../port/udp.js";

export class EcnCounts {
  ect0 = 0;
  ect1 = 0;
  ce = 0;

  /** `ecn` is an ECN_* code point of port/udp, of each of `packets`; unmarked and unknown count nothing. */
  onPackets(ecn: number, packets: number): void {
    if (ecn === ECN_ECT0) this.ect0 += packets;
    else if (ecn === ECN_ECT1) this.ect1 += packets;
    else if (ecn === ECN_CE) this.ce += packets;
  }

  /** Whether ACK frames need an ECN section. */
  get any(): boolean {
    return this.ect0 + this.ect1 + this.ce > 0;
  }
}
