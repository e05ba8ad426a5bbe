/** Independent loss: each datagram is dropped with one probability. */

import type { Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink } from "./node.js";
import type { Prng } from "./prng.js";

export class RandomLoss implements NetNode {
  next: NetSink = NOWHERE;

  /** `probability` 0..1; writable, so that a network can become good. */
  constructor(
    private readonly net: Net,
    private readonly prng: Prng,
    public probability: number,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    if (this.prng.chance(this.probability)) this.net.drop(datagram, "loss", nowMicros);
    else this.next.push(datagram, nowMicros);
  }
}
