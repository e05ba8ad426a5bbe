/**
 * Aggregation as radio links do it: datagrams wait for the next slot and leave together, in order. On the way back it makes
 * acknowledgements come in bursts.
 */

import type { Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink, type NetTimer } from "./node.js";

export class Aggregate implements NetNode, NetTimer {
  next: NetSink = NOWHERE;
  private readonly waiting: Datagram[] = [];

  /** `slotMicros`: time from one slot to the next. */
  constructor(
    private readonly net: Net,
    private readonly slotMicros: number,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    this.waiting.push(datagram);
    if (this.waiting.length > 1) return;
    this.net.schedule((Math.floor(nowMicros / this.slotMicros) + 1) * this.slotMicros, this, null);
  }

  onTimer(_datagram: Datagram | null, nowMicros: number): void {
    for (const datagram of this.waiting) this.next.push(datagram, nowMicros);
    this.waiting.length = 0;
  }
}
