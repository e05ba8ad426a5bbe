/**
 * Loss in bursts (Gilbert-Elliott): a two-state chain steps with each datagram; in the bad state datagrams are dropped
 * with `badLoss`, in the good state none.
 */

import type { Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink } from "./node.js";
import type { Prng } from "./prng.js";

export interface BurstLossOptions {
  /** Mean length of a good and of a bad period, datagrams, at least 1. */
  goodMean: number;
  badMean: number;
  /** Loss inside a bad period, 0..1. */
  badLoss: number;
}

export class BurstLoss implements NetNode {
  next: NetSink = NOWHERE;
  /** False switches the node off. */
  enabled = true;
  private bad = false;

  constructor(
    private readonly net: Net,
    private readonly prng: Prng,
    private readonly options: BurstLossOptions,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    const { goodMean, badMean, badLoss } = this.options;
    if (this.prng.chance(1 / (this.bad ? badMean : goodMean))) this.bad = !this.bad;
    if (this.enabled && this.bad && this.prng.chance(badLoss)) this.net.drop(datagram, "burst", nowMicros);
    else this.next.push(datagram, nowMicros);
  }
}
