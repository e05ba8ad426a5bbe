/** The trace of a run as one hash: every datagram sent, with its bytes, and every delivery, each with its time. */

import type { Hash } from "node:crypto";
import type { Datagram, DropCause, Host, WireTap } from "#src/sim/index.js";

export class TracingTap implements WireTap {
  private readonly head = new Float64Array(3);
  private readonly headBytes = new Uint8Array(this.head.buffer);

  constructor(
    private readonly inner: WireTap,
    private readonly hash: Hash,
  ) {}

  onSent(host: Host, datagram: Datagram, nowMicros: number): void {
    this.head.set([nowMicros, host.id, datagram.length]);
    this.hash.update(this.headBytes).update(datagram.bytes.subarray(0, datagram.length));
    this.inner.onSent(host, datagram, nowMicros);
  }

  onDelivered(host: Host, datagram: Datagram, nowMicros: number): void {
    this.head.set([nowMicros, -host.id, datagram.id]);
    this.hash.update(this.headBytes);
    this.inner.onDelivered(host, datagram, nowMicros);
  }

  onDropped(datagram: Datagram, cause: DropCause, nowMicros: number): void {
    this.inner.onDropped(datagram, cause, nowMicros);
  }

  afterTransmit(host: Host, nowMicros: number): void {
    this.inner.afterTransmit(host, nowMicros);
  }
}
