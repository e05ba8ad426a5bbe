/**
 * A link of limited rate with a queue in front of it: tail drop beyond `queuePackets`, and CE marks on ECN-capable
 * datagrams beyond `markPackets` (RFC 3168 §5).
 */

import { ECN_CE, ECN_NOT_ECT } from "../port/udp.js";
import type { Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink, type NetTimer } from "./node.js";

/** IPv4 and UDP headers, which the link carries too. */
const HEADER_BYTES = 28;
const BITS_PER_BYTE = 8;
const MICROS_PER_SECOND = 1e6;

export interface RateOptions {
  bitsPerSec: number;
  /** Datagrams that wait, the one on the wire included; at least 1. */
  queuePackets: number;
  /** Queue length from which datagrams are marked; Infinity = never. */
  markPackets: number;
}

export class RateLimit implements NetNode, NetTimer {
  next: NetSink = NOWHERE;
  private busyUntilMicros = 0;
  private queued = 0;

  constructor(
    private readonly net: Net,
    public options: RateOptions,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    const { bitsPerSec, queuePackets, markPackets } = this.options;
    if (this.queued >= queuePackets) {
      this.net.drop(datagram, "queue", nowMicros);
      return;
    }
    if (this.queued >= markPackets && datagram.ecn !== ECN_NOT_ECT) datagram.ecn = ECN_CE;
    this.queued++;
    this.busyUntilMicros = Math.max(nowMicros, this.busyUntilMicros) + wireMicros(datagram.length, bitsPerSec);
    this.net.schedule(this.busyUntilMicros, this, datagram);
  }

  onTimer(datagram: Datagram | null, nowMicros: number): void {
    this.queued--;
    if (datagram !== null) this.next.push(datagram, nowMicros);
  }
}

/** How long a datagram of `bytes` UDP payload is on the wire. */
export function wireMicros(bytes: number, bitsPerSec: number): number {
  return ((bytes + HEADER_BYTES) * BITS_PER_BYTE * MICROS_PER_SECOND) / bitsPerSec;
}
