/** A path MTU: larger datagrams vanish without a word, as behind a router whose ICMP answers are filtered. */

import type { Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink } from "./node.js";

export interface MtuChange {
  /** Largest UDP payload from then on. */
  payloadBytes: number;
  /** Virtual time. */
  atMicros: number;
}

export class MtuLimit implements NetNode {
  next: NetSink = NOWHERE;

  /** Largest UDP payload that passes, and what becomes of it: paths shrink and grow. */
  constructor(
    private readonly net: Net,
    public payloadBytes: number,
    private readonly change: MtuChange = { payloadBytes, atMicros: Infinity },
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    if (nowMicros >= this.change.atMicros) this.payloadBytes = this.change.payloadBytes;
    if (datagram.length > this.payloadBytes) this.net.drop(datagram, "mtu", nowMicros);
    else this.next.push(datagram, nowMicros);
  }
}
