/**
 * What all TCP connections of a tunnel together may keep waiting for the other end's acknowledgement: a program that sends to
 * a peer that does not read is held back, however many connections it makes. Each QUIC connection has an equal share.
 */

import type { QuicSession } from "../quic/index.js";
import { LEAST_SESSION_SEND_BYTES, MOST_SESSION_SEND_BYTES, TUNNEL_SEND_BYTES } from "./limits.js";

export class SendBudget {
  private readonly sessions = new Set<QuicSession>();

  add(session: QuicSession): void {
    this.sessions.add(session);
  }

  remove(session: QuicSession): void {
    this.sessions.delete(session);
  }

  /** More may be read from the TCP connections of `session`. */
  hasRoom(session: QuicSession | null): boolean {
    return session === null || session.ext.sendHeldBytes < shareOf(this.sessions.size);
  }
}

/** Bytes of each of so many connections. */
export function shareOf(sessions: number): number {
  const share = Math.floor(TUNNEL_SEND_BYTES / sessions);
  return Math.max(LEAST_SESSION_SEND_BYTES, Math.min(share, MOST_SESSION_SEND_BYTES));
}
