/** Application datagrams of a connection (RFC 9221) as port/transport shows them; their queue is outqueue/datagrams. */

import { DatagramsOut } from "../outqueue/datagrams.js";
import { MAX_PN_BYTES } from "../packet/number.js";
import { type DatagramTransport, T_CLOSED } from "../port/transport.js";
import type { Connection } from "./connection.js";
import { STATE_OPEN } from "./state.js";

export class ConnectionDatagrams implements DatagramTransport {
  readonly out: DatagramsOut;
  /** The application tried to send one: whether the path carries larger ones matters to it. */
  used = false;
  private readonly conn: Connection;

  constructor(conn: Connection) {
    this.conn = conn;
    this.out = new DatagramsOut(conn.events);
  }

  /** Of both directions. */
  get heldBytes(): number {
    return this.out.heldBytes + this.conn.events.datagramBytes;
  }

  get maxBytes(): number {
    const { path, peerIds, keys } = this.conn;
    const headBytes = 1 + peerIds.current.length + MAX_PN_BYTES;
    return this.out.maxPayload(path.maxDatagramBytes - headBytes - keys.appTagBytes);
  }

  send(bytes: Uint8Array): number {
    const { conn } = this;
    if (conn.state !== STATE_OPEN) return T_CLOSED;
    this.used = true;
    const id = this.out.send(bytes, this.maxBytes);
    conn.host.schedule(conn);
    return id;
  }

  setQueue(maxWaiting: number, dropsOldest: boolean): void {
    this.out.maxWaiting = maxWaiting;
    this.out.dropsOldest = dropsOldest;
  }
}
