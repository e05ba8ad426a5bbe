/**
 * Delay and jitter. With `fifo` the order is kept (a queue that breathes); without it jitter reorders, as parallel paths
 * do.
 */

import type { Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink, type NetTimer } from "./node.js";
import type { Prng } from "./prng.js";

export interface DelayOptions {
  baseMicros: number;
  /** Largest addition; 0 = none. */
  jitterMicros: number;
  /** `uniform` over 0..jitter, or `pareto`: mostly small, now and then the whole of it. */
  jitter: "uniform" | "pareto";
  fifo: boolean;
}

export class Delay implements NetNode, NetTimer {
  next: NetSink = NOWHERE;
  private lastMicros = 0;

  /** `options` may change during a run: a step in the delay. */
  constructor(
    private readonly net: Net,
    private readonly prng: Prng,
    public options: DelayOptions,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    const { baseMicros, fifo } = this.options;
    let atMicros = nowMicros + baseMicros + this.drawJitter();
    if (fifo) {
      atMicros = Math.max(atMicros, this.lastMicros);
      this.lastMicros = atMicros;
    }
    this.net.schedule(atMicros, this, datagram);
  }

  onTimer(datagram: Datagram | null, nowMicros: number): void {
    if (datagram !== null) this.next.push(datagram, nowMicros);
  }

  private drawJitter(): number {
    const { jitterMicros, jitter } = this.options;
    if (jitterMicros === 0) return 0;
    if (jitter === "uniform") return Math.floor(this.prng.float() * jitterMicros);
    return Math.floor(this.prng.pareto(jitterMicros / 100, 1, jitterMicros));
  }
}
