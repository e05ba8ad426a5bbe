/** A path MTU: larger datagrams vanish without a word, as behind a router whose ICMP answers are filtered. */

import type { Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink } from "./node.js";

export class MtuLimit implements NetNode {
  next: NetSink = NOWHERE;

  /** `payloadBytes`: largest UDP payload that passes; writable, so that a path can shrink. */
  constructor(
    private readonly net: Net,
    public payloadBytes: number,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    if (datagram.length > this.payloadBytes) this.net.drop(datagram, "mtu", nowMicros);
    else this.next.push(datagram, nowMicros);
  }
}
