/** The programs behind the two endpoints of a run: they take connections, drain events, and look at the clock. */

import type { Connection } from "#src/conn/connection.js";
import type { Endpoint } from "#src/endpoint/endpoint.js";
import type { SimApp } from "#src/sim/index.js";
import type { Peer } from "./peer.js";

export class Program implements SimApp {
  readonly peers: Peer[] = [];
  private readonly byConnection = new Map<Connection, Peer>();

  constructor(
    readonly endpoint: Endpoint,
    private readonly makePeer: (conn: Connection, index: number) => Peer,
    private readonly wakeAt: (atMicros: number) => void,
  ) {}

  adopt(conn: Connection): Peer {
    const peer = this.makePeer(conn, this.peers.length);
    const isCopy = (other: Connection): boolean => Buffer.compare(other.origDcid, conn.origDcid) === 0;
    peer.isSecond = [...this.byConnection.keys()].some(isCopy);
    this.peers.push(peer);
    this.byConnection.set(conn, peer);
    return peer;
  }

  run(nowMicros: number): boolean {
    let acted = false;
    for (let conn = this.endpoint.accept(); conn !== null; conn = this.endpoint.accept()) {
      this.adopt(conn);
      acted = true;
    }
    for (let conn = this.endpoint.takeEventful(); conn !== null; conn = this.endpoint.takeEventful()) {
      this.peerOf(conn).drain();
      acted = true;
    }
    // The host keeps one time for the whole program: the earliest.
    let next = Infinity;
    for (const peer of this.peers) {
      acted = peer.tick(nowMicros) || acted;
      next = Math.min(next, peer.tickMicros);
    }
    if (next !== Infinity) this.wakeAt(next);
    return acted;
  }

  peerOf(conn: Connection): Peer {
    const peer = this.byConnection.get(conn);
    if (peer === undefined) throw new Error("events of a connection that was never accepted");
    return peer;
  }
}
