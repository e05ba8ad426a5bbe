/**
 * An attacker beside a path: copies of what passes reach the same host from other addresses, by a way of their own, so
 * that some arrive before the original (RFC 9000 §9.3.2, §9.3.3). What is answered to those addresses is lost, unless
 * the network knows them as aliases of a host. Copies nothing until `options` are set.
 */

import { ADDRESS_WORDS, type Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink, type NetTimer } from "./node.js";
import type { Prng } from "./prng.js";

export interface CopierOptions {
  /** Chance that a datagram is copied, 0..1. */
  chance: number;
  /** Source addresses of the copies, ADDR_COLS words each; each copy has one of them. */
  sources: readonly Int32Array[];
  /** A copy takes up to so long. */
  latestMicros: number;
}

export class Copier implements NetNode, NetTimer {
  next: NetSink = NOWHERE;
  options: CopierOptions | null = null;
  copies = 0;

  /** `end`: where the way of a copy ends, the network itself. */
  constructor(
    private readonly net: Net,
    private readonly end: NetSink,
    private readonly prng: Prng,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    const { options, prng, net } = this;
    if (options !== null && prng.chance(options.chance)) {
      const copy = net.clone(datagram);
      copy.source.set(prng.pick(options.sources).subarray(0, ADDRESS_WORDS));
      net.schedule(nowMicros + Math.floor(prng.float() * options.latestMicros), this, copy);
      this.copies++;
    }
    this.next.push(datagram, nowMicros);
  }

  onTimer(datagram: Datagram | null, nowMicros: number): void {
    if (datagram !== null) this.end.push(datagram, nowMicros);
  }
}
