/** Duplication: extra copies of a datagram, at once or up to `spreadMicros` later (a late replay). */

import type { Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink, type NetTimer } from "./node.js";
import type { Prng } from "./prng.js";

export interface DuplicateOptions {
  /** Chance that a datagram is duplicated, 0..1. */
  chance: number;
  /** Most copies made of one. */
  copies: number;
  /** Latest time of a copy after the original; 0 = at once. */
  spreadMicros: number;
}

export class Duplicate implements NetNode, NetTimer {
  next: NetSink = NOWHERE;

  constructor(
    private readonly net: Net,
    private readonly prng: Prng,
    public options: DuplicateOptions,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    const { chance, copies, spreadMicros } = this.options;
    if (this.prng.chance(chance)) {
      for (let left = this.prng.range(1, copies); left > 0; left--) {
        const delayMicros = Math.floor(this.prng.float() * spreadMicros);
        this.net.schedule(nowMicros + delayMicros, this, this.net.clone(datagram));
      }
    }
    this.next.push(datagram, nowMicros);
  }

  onTimer(datagram: Datagram | null, nowMicros: number): void {
    if (datagram !== null) this.next.push(datagram, nowMicros);
  }
}
