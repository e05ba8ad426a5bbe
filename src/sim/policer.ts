/**
 * A policer: a bucket of bytes that fills at a rate; a datagram that finds too few is dropped, and nothing ever waits. It
 * lets a burst through and then holds the mean, which no rise of the delay tells in advance.
 */

import type { Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink } from "./node.js";

const BITS_PER_BYTE = 8;
const MICROS_PER_SECOND = 1e6;

export interface PolicerOptions {
  bitsPerSec: number;
  /** What the bucket holds, and begins with. */
  burstBytes: number;
}

export class Policer implements NetNode {
  next: NetSink = NOWHERE;
  /** False switches the node off. */
  enabled = true;
  private tokenBytes: number;
  private filledMicros = 0;

  constructor(
    private readonly net: Net,
    private readonly options: PolicerOptions,
  ) {
    this.tokenBytes = options.burstBytes;
  }

  push(datagram: Datagram, nowMicros: number): void {
    const { bitsPerSec, burstBytes } = this.options;
    const filled = ((nowMicros - this.filledMicros) * bitsPerSec) / BITS_PER_BYTE / MICROS_PER_SECOND;
    this.tokenBytes = Math.min(burstBytes, this.tokenBytes + filled);
    this.filledMicros = nowMicros;
    if (this.enabled && this.tokenBytes < datagram.length) {
      this.net.drop(datagram, "policer", nowMicros);
      return;
    }
    this.tokenBytes -= datagram.length;
    this.next.push(datagram, nowMicros);
  }
}
