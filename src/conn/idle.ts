/** Idle timeout and keep-alive (RFC 9000 §10.1). */

import { REST_AFTER_MICROS } from "../proto/limits.js";
import { SPACE_APP } from "../proto/space.js";
import { DEADLINE_IDLE, DEADLINE_KEEP_ALIVE, DEADLINE_REST } from "../timer/deadlines.js";
import type { Connection } from "./connection.js";

/** At least this many PTOs pass before a connection is idle (RFC 9000 §10.1). */
const MIN_IDLE_PTOS = 3;

/** The effective idle timeout, microseconds: the smaller of what both sides announced; Infinity when neither did. */
export function idleMicros(conn: Connection): number {
  const ours = conn.config.maxIdleTimeoutMillis;
  const theirs = conn.handshakeState.peerParams?.maxIdleTimeoutMillis ?? 0;
  const millis = Math.min(ours === 0 ? Infinity : ours, theirs === 0 ? Infinity : theirs);
  return Math.max(millis * 1000, MIN_IDLE_PTOS * conn.recovery.ptoMicros(SPACE_APP));
}

/** What restarts the timer and what does not (RFC 9000 §10.1). */
export class IdleState {
  /** An ack-eliciting packet was sent since the last one arrived: another one restarts nothing. */
  sentSinceReceived = false;
}

/** Packets of one batch were processed; the connection is open. */
export function onPacketsProcessed(conn: Connection, nowMicros: number): void {
  conn.idle.sentSinceReceived = false;
  restartIdle(conn, nowMicros);
}

export function onElicitingSent(conn: Connection, nowMicros: number): void {
  if (conn.idle.sentSinceReceived) return;
  conn.idle.sentSinceReceived = true;
  restartIdle(conn, nowMicros);
}

export function restartIdle(conn: Connection, nowMicros: number): void {
  conn.deadlines.set(DEADLINE_IDLE, nowMicros + idleMicros(conn));
  if (conn.handshakeState.confirmed) conn.deadlines.set(DEADLINE_REST, nowMicros + REST_AFTER_MICROS);
  if (conn.config.keepAliveMillis > 0 && conn.handshakeState.complete) {
    conn.deadlines.set(DEADLINE_KEEP_ALIVE, nowMicros + conn.config.keepAliveMillis * 1000);
  }
}

/** The connection sleeps: memory that only traffic needs is given back until there is some. */
export function rest(conn: Connection): void {
  conn.deadlines.clear(DEADLINE_REST);
  conn.recovery.sent[SPACE_APP].rest();
  conn.keys.phases.rest();
}
