/**
 * A link of limited rate whose queue is held short as CoDel does it (RFC 8289): once datagrams have waited longer than
 * the target for a whole interval, one is dropped, or marked where it is ECN-capable, and then one more after ever
 * shorter times, until the wait is below the target. The wait is known when a datagram comes, and looked at there.
 */

import { ECN_CE, ECN_NOT_ECT } from "../port/udp.js";
import type { Datagram } from "./datagram.js";
import { NOWHERE, type Net, type NetNode, type NetSink, type NetTimer } from "./node.js";
import { wireMicros } from "./rate.js";

export interface CodelOptions {
  bitsPerSec: number;
  /** Wait that is fine, and the time for which more is, too; RFC 8289 §4.2, §4.3 have 5 and 100 ms. */
  targetMicros: number;
  intervalMicros: number;
  /** Marks ECN-capable datagrams in place of dropping them. */
  marks: boolean;
}

export class CodelLink implements NetNode, NetTimer {
  next: NetSink = NOWHERE;
  /** False: nothing is dropped or marked any more. */
  enabled = true;
  private busyUntilMicros = 0;
  /** Since when the wait is too long; Infinity while it is not. */
  private aboveSinceMicros = Infinity;
  private nextDropMicros = 0;
  private drops = 0;

  constructor(
    private readonly net: Net,
    private readonly options: CodelOptions,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    const { bitsPerSec, marks } = this.options;
    if (this.enabled && this.isOver(nowMicros)) {
      if (!marks || datagram.ecn === ECN_NOT_ECT) {
        this.net.drop(datagram, "codel", nowMicros);
        return;
      }
      datagram.ecn = ECN_CE;
    }
    this.busyUntilMicros = Math.max(nowMicros, this.busyUntilMicros) + wireMicros(datagram.length, bitsPerSec);
    this.net.schedule(this.busyUntilMicros, this, datagram);
  }

  onTimer(datagram: Datagram | null, nowMicros: number): void {
    if (datagram !== null) this.next.push(datagram, nowMicros);
  }

  /** Whether it is time for a datagram to go (RFC 8289 §5.3). */
  private isOver(nowMicros: number): boolean {
    const { targetMicros, intervalMicros } = this.options;
    if (this.busyUntilMicros - nowMicros < targetMicros) {
      this.aboveSinceMicros = Infinity;
      this.drops = 0;
      return false;
    }
    if (this.aboveSinceMicros === Infinity) {
      this.aboveSinceMicros = nowMicros;
      this.nextDropMicros = nowMicros + intervalMicros;
    }
    if (nowMicros < this.nextDropMicros) return false;
    this.drops++;
    this.nextDropMicros += intervalMicros / Math.sqrt(this.drops);
    return true;
  }
}
