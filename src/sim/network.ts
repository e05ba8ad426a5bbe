/**
 * Topology: hosts by address, and a chain of nodes for each ordered pair of hosts. A datagram picks its chain when it is
 * sent and its host when it leaves the chain, so that chains can share nodes (a common bottleneck) and a NAT can move.
 */

import { type Datagram, sameAddress } from "./datagram.js";
import type { Net, NetNode, NetSink } from "./node.js";

interface Attachment {
  address: Int32Array;
  host: number;
}

export class Network implements NetSink {
  private readonly attachments: Attachment[] = [];
  private readonly sinks: NetSink[] = [];
  /** chains[from][to]: the first node. */
  private readonly chains: (NetSink | undefined)[][] = [];

  constructor(private readonly net: Net) {}

  /** Adds a host and returns its number. `address` has ADDR_COLS words; the local ones do not matter. */
  attach(address: Int32Array, sink: NetSink): number {
    if (this.find(address, 0) >= 0) throw new Error("two hosts have one address");
    const host = this.sinks.push(sink) - 1;
    this.attachments.push({ address: address.slice(), host });
    this.chains.push([]);
    return host;
  }

  /** Another host takes the place, addresses and paths of this one. */
  replace(host: number, sink: NetSink): void {
    this.sinks[host] = sink;
  }

  /** What goes from one host to the other passes `nodes` in this order. A node may be the tail of several chains. */
  join(from: number, to: number, nodes: readonly NetNode[]): void {
    for (let i = 0; i < nodes.length; i++) nodes[i].next = nodes[i + 1] ?? this;
    this.chains[from][to] = nodes[0] ?? this;
  }

  /** A second address of a host: the public side of a NAT. */
  addAlias(address: Int32Array, host: number): void {
    if (this.find(address, 0) >= 0) throw new Error("two hosts have one address");
    this.attachments.push({ address: address.slice(), host });
  }

  removeAlias(address: Int32Array): void {
    const at = this.attachments.findIndex((attachment) => sameAddress(attachment.address, 0, address, 0));
    if (at >= 0) this.attachments.splice(at, 1);
  }

  /** Starts a datagram on its way from a host to its `dest`. */
  send(from: number, datagram: Datagram, nowMicros: number): void {
    const to = this.find(datagram.dest, 0);
    const chain = to < 0 ? undefined : this.chains[from][to];
    if (chain === undefined) this.net.drop(datagram, "unroutable", nowMicros);
    else chain.push(datagram, nowMicros);
  }

  /** The end of every chain. */
  push(datagram: Datagram, nowMicros: number): void {
    const host = this.find(datagram.dest, 0);
    if (host < 0) this.net.drop(datagram, "nat", nowMicros);
    else this.sinks[host].push(datagram, nowMicros);
  }

  private find(address: Int32Array, start: number): number {
    for (const attachment of this.attachments) {
      if (sameAddress(attachment.address, 0, address, start)) return attachment.host;
    }
    return -1;
  }
}
