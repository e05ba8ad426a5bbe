/**
 * Sums over connections that nobody needs while one lasts: an endpoint adds each connection once, when it is gone, and
 * those that are there whenever somebody asks. Nothing is counted twice for it, and no packet pays.
 */

import { DOUBLE } from "../base/double.js";
import type { Connection } from "./connection.js";
import { STATE_OPEN } from "./state.js";

export class ConnectionTally {
  /** Established now; accepted and begun ones that ever were. */
  established = 0;
  passiveOpens = 0;
  activeOpens = 0;
  packetsReceived = DOUBLE;
  packetsSent = DOUBLE;
  /** Of those received, packets that waited for their keys. */
  packetsHeld = 0;
  /** Frames that were lost and whose content is sent again, and the bytes of stream and TLS data in them. */
  framesLost = DOUBLE;
  frameBytesLost = DOUBLE;
  /** CONNECTION_CLOSE of this side and of the peer; of the former, those for a frame that broke a rule. */
  closesSent = 0;
  closesReceived = 0;
  frameErrors = 0;
  /** DATAGRAM frames dropped for want of room. */
  datagramsDropped = 0;
  heldBytes = DOUBLE;

  constructor() {
    this.packetsReceived = this.packetsSent = this.framesLost = this.frameBytesLost = this.heldBytes = 0;
  }

  add(conn: Connection): void {
    const { counters, isServer, closing } = conn;
    if (counters.handshakeCompletedAtMicros > 0) {
      if (conn.state === STATE_OPEN) this.established++;
      if (isServer) this.passiveOpens++;
      else this.activeOpens++;
    }
    this.packetsReceived += counters.packetsReceived;
    this.packetsSent += counters.packetsSent;
    this.packetsHeld += conn.undecryptable.heldEver;
    this.framesLost += counters.framesLost;
    this.frameBytesLost += counters.frameBytesLost;
    this.datagramsDropped += conn.events.datagramsDropped;
    this.heldBytes += conn.heldBytes();
    const { info } = closing;
    if (info === null || (info.type !== "application" && info.type !== "transport")) return;
    if (info.remote) this.closesReceived++;
    else this.closesSent++;
    if (!info.remote && info.frameType !== 0) this.frameErrors++;
  }

  /** Takes the sums of `other` in, but not what is only true of connections that are there. */
  addGone(other: ConnectionTally): void {
    this.passiveOpens += other.passiveOpens;
    this.activeOpens += other.activeOpens;
    this.packetsReceived += other.packetsReceived;
    this.packetsSent += other.packetsSent;
    this.packetsHeld += other.packetsHeld;
    this.framesLost += other.framesLost;
    this.frameBytesLost += other.frameBytesLost;
    this.closesSent += other.closesSent;
    this.closesReceived += other.closesReceived;
    this.frameErrors += other.frameErrors;
    this.datagramsDropped += other.datagramsDropped;
  }
}
