/**
 * Reordering by packets: now and then one datagram is held until `depth` later ones have passed (`late`; depth 1 swaps
 * neighbours), or `depth` in a row leave in reverse (`reverse`). A held datagram leaves after `holdMicros` at the latest.
 */

import type { Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink, type NetTimer } from "./node.js";
import type { Prng } from "./prng.js";

export interface ReorderOptions {
  mode: "late" | "reverse";
  /** Chance that a datagram starts a disturbance, 0..1. */
  chance: number;
  /** At least 1. */
  depth: number;
  holdMicros: number;
}

export class Reorder implements NetNode, NetTimer {
  next: NetSink = NOWHERE;
  private readonly held: Datagram[] = [];
  private passed = 0;
  private releaseMicros = Infinity;

  constructor(
    private readonly net: Net,
    private readonly prng: Prng,
    public options: ReorderOptions,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    const { chance, mode, depth } = this.options;
    if (this.held.length === 0) {
      if (this.prng.chance(chance)) this.hold(datagram, nowMicros);
      else this.next.push(datagram, nowMicros);
      return;
    }
    if (mode === "reverse") {
      this.held.push(datagram);
      if (this.held.length > depth) this.release(nowMicros);
      return;
    }
    this.next.push(datagram, nowMicros);
    this.passed++;
    if (this.passed >= depth) this.release(nowMicros);
  }

  onTimer(_datagram: Datagram | null, nowMicros: number): void {
    if (nowMicros >= this.releaseMicros) this.release(nowMicros);
  }

  private hold(datagram: Datagram, nowMicros: number): void {
    this.held.push(datagram);
    this.passed = 0;
    this.releaseMicros = nowMicros + this.options.holdMicros;
    this.net.schedule(this.releaseMicros, this, null);
  }

  private release(nowMicros: number): void {
    this.releaseMicros = Infinity;
    for (let last = this.held.pop(); last !== undefined; last = this.held.pop()) this.next.push(last, nowMicros);
  }
}
