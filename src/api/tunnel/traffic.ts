/** What one service of a tunnel has carried: numbers for the status line, for tests and for whoever looks on. */

import type { Socket } from "node:net";
import { resetSocket } from "./reset.js";

export class Traffic {
  /** TCP connections ever, and those that ended because the target or the tunnel was not there, or by a reset. */
  connections = 0;
  refused = 0;
  reset = 0;
  /** Datagrams into the tunnel and out of it, those that did not fit into it, and those that nobody could take. */
  datagramsIn = 0;
  datagramsOut = 0;
  datagramsTooLarge = 0;
  datagramsDropped = 0;
  /** The last one that did not fit, and what would have, bytes. */
  tooLargeBytes = 0;
  fitBytes = 0;
  /** UDP flows that are open. */
  flows = 0;
  private readonly live = new Set<Socket>();
  private endedInBytes = 0;
  private endedOutBytes = 0;

  get open(): number {
    return this.live.size;
  }

  /** TCP bytes into the tunnel at this end. */
  get inBytes(): number {
    let sum = this.endedInBytes;
    for (const socket of this.live) sum += socket.bytesRead;
    return sum;
  }

  /** And out of it. */
  get outBytes(): number {
    let sum = this.endedOutBytes;
    for (const socket of this.live) sum += socket.bytesWritten;
    return sum;
  }

  /** Counts a TCP connection of this end until it closes. */
  watch(socket: Socket): void {
    this.connections++;
    this.live.add(socket);
    socket.once("close", () => {
      this.live.delete(socket);
      this.endedInBytes += socket.bytesRead;
      this.endedOutBytes += socket.bytesWritten;
    });
  }

  /** Ends every TCP connection at once. */
  destroyAll(): void {
    for (const socket of this.live) resetSocket(socket);
  }
}
