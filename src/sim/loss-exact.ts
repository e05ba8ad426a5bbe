/** Exact loss: which of the first datagrams of one direction are dropped, by bitmap. What comes after them passes. */

import type { Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink } from "./node.js";

export class ExactLoss implements NetNode {
  next: NetSink = NOWHERE;
  /** False switches the node off. */
  enabled = true;
  private seen = 0;

  /** Bit n of `bitmap` (n in 0..31) drops the n-th datagram, counted from 0. */
  constructor(
    private readonly net: Net,
    private readonly bitmap: number,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    const index = this.seen++;
    if (this.enabled && index < 32 && ((this.bitmap >>> index) & 1) === 1) this.net.drop(datagram, "exact", nowMicros);
    else this.next.push(datagram, nowMicros);
  }
}
