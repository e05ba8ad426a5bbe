/**
 * A NAT in front of one host: outgoing datagrams leave from a public address, and answers to it find the host. `rebind`
 * gives it another public address at once, as home routers do after silence (RFC 9000 §9.3.3); the old one then leads
 * nowhere. Switched off until `enabled` is set.
 */

import { ADDRESS_WORDS, type Datagram, sameAddress } from "./datagram.js";
import type { Network } from "./network.js";
import { NOWHERE, type NetNode, type NetSink } from "./node.js";

export class Nat implements NetNode {
  next: NetSink = NOWHERE;
  enabled = false;
  /** How often the public address changed. */
  rebindings = 0;
  private current: Int32Array | null = null;

  /** `host`: what `Network.attach` returned for the host behind the NAT; its address there is `inside`. */
  constructor(
    private readonly network: Network,
    private readonly host: number,
    private readonly inside: Int32Array,
  ) {}

  push(datagram: Datagram, nowMicros: number): void {
    // other addresses of the host lead round it
    const isMine = this.enabled && sameAddress(this.inside, 0, datagram.source, 0);
    if (isMine && this.current !== null) datagram.source.set(this.current.subarray(0, ADDRESS_WORDS));
    this.next.push(datagram, nowMicros);
  }

  /** Maps the host to `publicAddress` (ADDR_COLS words) from now on. */
  rebind(publicAddress: Int32Array): void {
    if (this.current !== null) {
      this.network.removeAlias(this.current);
      this.rebindings++;
    }
    this.current = publicAddress.slice();
    this.network.addAlias(publicAddress, this.host);
  }
}
