/**
 * Keeps a client's QUIC connection on a path that works (RFC 9000 §9). Another address of this host leads to the server: it
 * moves there at once. The
 * server has not answered for a while: it asks from a fresh socket, which a NAT that has forgotten the old one takes for a
 * new flow, and moves when that is answered. Streams notice nothing.
 */

import { createSocket } from "node:dgram";
import { isIP } from "node:net";
import type { QuicSession, SessionPath } from "../quic/index.js";
import { STALL_MILLIS, WATCH_MILLIS } from "./limits.js";

export interface PathEvents {
  onMoved(path: SessionPath): void;
  onStuck(error: unknown): void;
  /** The server answered for long neither where the connection is nor from a fresh socket. */
  onUnanswered(): void;
}

/** The address of this host that datagrams to `address` leave from now; null: nothing leads there. */
export type SourceOf = (address: string) => Promise<string | null>;

export class PathWatch {
  private readonly timer: NodeJS.Timeout;
  private bytesReceived = -1;
  private heardAtMillis = 0;
  /** The next move for want of answers waits for this silence. */
  private nextStallMillis = STALL_MILLIS;
  /** It looks already, or moves. */
  private isBusy = false;
  /** Where datagrams left from when it was last known, null: not known yet. */
  private source: string | null = null;

  constructor(
    private readonly session: QuicSession,
    private readonly events: PathEvents,
    private readonly sourceOf: SourceOf = kernelSource,
  ) {
    this.timer = setInterval(() => void this.look(performance.now()), WATCH_MILLIS);
    void this.hasNewSource();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** Moves to a fresh socket. `force`: data goes there before it has answered. False: nothing answered there. */
  async move(force: boolean): Promise<boolean> {
    try {
      this.events.onMoved(await this.session.ext.migrate({ force }));
      return true;
    } catch (error) {
      if (!this.session.destroyed) this.events.onStuck(error);
      return false;
    }
  }

  /** What the timer does; by a monotonic clock. */
  async look(nowMillis: number): Promise<void> {
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      const isSilent = this.isSilent(nowMillis);
      if (await this.hasNewSource()) await this.move(true);
      else if (isSilent && !(await this.move(false))) this.events.onUnanswered();
    } finally {
      this.isBusy = false;
    }
  }

  /** The server owes an answer for long; each time is told once. */
  private isSilent(nowMillis: number): boolean {
    const { session } = this;
    const { bytesReceived, bytesInFlight } = session.ext.stats();
    if (session.closing || bytesReceived !== this.bytesReceived || bytesInFlight === 0) {
      this.bytesReceived = bytesReceived;
      this.heardAtMillis = nowMillis;
      this.nextStallMillis = STALL_MILLIS;
    }
    if (nowMillis - this.heardAtMillis < this.nextStallMillis) return false;
    this.nextStallMillis += STALL_MILLIS;
    return true;
  }

  /** The kernel has taken another address for this connection already: the server should be asked there, with ids of its own. */
  private async hasNewSource(): Promise<boolean> {
    const server = this.session.path?.remote.address;
    const source = server === undefined ? null : await this.sourceOf(server);
    const old = this.source;
    this.source = source ?? old;
    return old !== null && source !== null && source !== old;
  }
}

/** A UDP socket that is connected knows, and sends nothing. */
export function kernelSource(address: string): Promise<string | null> {
  const socket = createSocket(isIP(address) === 6 ? "udp6" : "udp4");
  return new Promise((resolve) => {
    const end = (source: string | null): void => {
      socket.close();
      resolve(source);
    };
    socket.once("error", () => end(null));
    // the typings leave out that it is told what failed
    const done = (error?: Error): void => end(error === undefined ? socket.address().address : null);
    socket.connect(1, address, done as () => void);
  });
}
