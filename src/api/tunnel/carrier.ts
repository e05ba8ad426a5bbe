/** The QUIC connection that carries a service now, and those who wait for one: there is one, or there is none yet. */

import type { QuicSession } from "../quic/index.js";
import { MAX_WAITING_CONNECTIONS } from "./limits.js";

export class Carrier {
  /** Newest last: the newest carries. */
  private readonly sessions: QuicSession[] = [];
  private readonly waiting = new Set<(session: QuicSession | null) => void>();

  get current(): QuicSession | null {
    return this.sessions.at(-1) ?? null;
  }

  up(session: QuicSession): void {
    this.sessions.push(session);
    for (const wake of this.waiting) wake(session);
  }

  down(session: QuicSession): void {
    const index = this.sessions.indexOf(session);
    if (index >= 0) this.sessions.splice(index, 1);
  }

  /** The connection, as soon as there is one; null after `millis`, when `signal` aborts, or when too many wait. */
  whenUp(millis: number, signal: AbortSignal): Promise<QuicSession | null> {
    const { current } = this;
    if (current !== null) return Promise.resolve(current);
    if (millis <= 0 || signal.aborted || this.waiting.size >= MAX_WAITING_CONNECTIONS) return Promise.resolve(null);
    return new Promise((resolve) => {
      const giveUp = (): void => wake(null);
      const timer = setTimeout(giveUp, millis);
      const wake = (session: QuicSession | null): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", giveUp);
        this.waiting.delete(wake);
        resolve(session);
      };
      signal.addEventListener("abort", giveUp, { once: true });
      this.waiting.add(wake);
    });
  }
}
