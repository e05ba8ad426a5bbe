/** What an endpoint counts. All monotonic. */

import { DOUBLE } from "../base/double.js";
import { ConnectionTally } from "../conn/tally.js";
import { DROP_NAMES, DROP_REASONS, type DropReason } from "../observe/drop-reason.js";

export class EndpointCounters {
  /** By DropReason. */
  readonly drops = new Float64Array(DROP_REASONS);
  datagramsReceived = 0;
  bytesReceived = DOUBLE;
  datagramsSent = 0;
  bytesSent = DOUBLE;
  connectionsAccepted = 0;
  connectionsStarted = 0;
  connectionsClosed = 0;
  connectionsRefused = 0;
  /** Datagrams that waited until a ClientHello was whole. */
  datagramsHeld = 0;
  /** Of connections that are gone. */
  readonly gone = new ConnectionTally();
  /** CONNECTION_CLOSE without a connection: to those, and for tokens of Retry packets that do not hold. */
  refusalsSent = 0;
  retriesSent = 0;
  versionNegotiationsSent = 0;
  statelessResetsSent = 0;
  /** ICMP messages that the socket passed on, which are so many a second at most. */
  icmpReceived = 0;

  constructor() {
    this.bytesReceived = this.bytesSent = 0;
  }

  drop(reason: DropReason): void {
    this.drops[reason]++;
  }

  /** Drops by name, without the zeros. */
  dropsByName(): Record<string, number> {
    const out: Record<string, number> = {};
    for (let i = 1; i < DROP_REASONS; i++) {
      const count = this.drops[i];
      if (count > 0) out[DROP_NAMES[i] as string] = count;
    }
    return out;
  }
}
