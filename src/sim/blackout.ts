/** A path that goes silent: everything that enters between two times is dropped. */

import type { Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink } from "./node.js";

export class Blackout implements NetNode {
  next: NetSink = NOWHERE;

  /** Silent from `fromMicros` (included) until `untilMicros` (not included; Infinity = for ever). */
  constructor(
    private readonly net: Net,
    public fromMicros: number,
    public untilMicros: number,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    const silent = nowMicros >= this.fromMicros && nowMicros < this.untilMicros;
    if (silent) this.net.drop(datagram, "blackout", nowMicros);
    else this.next.push(datagram, nowMicros);
  }
}
