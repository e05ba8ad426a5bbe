/** What time does to a connection: the one door for every deadline of its parts. */

import { LEVEL_EARLY } from "../port/tls.js";
import { SPACE_APP } from "../proto/space.js";
import { PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import {
  DEADLINE_CLOSE,
  DEADLINE_HANDSHAKE,
  DEADLINE_IDLE,
  DEADLINE_KEEP_ALIVE,
  DEADLINE_KEYS,
  DEADLINE_PACING,
  DEADLINE_PATH,
  DEADLINE_REST,
} from "../timer/deadlines.js";
import { closeTransport, finish, vanish } from "./close.js";
import type { Connection } from "./connection.js";
import { idleMicros, rest } from "./idle.js";
import { onOwnPathTimeout } from "./migrate.js";
import { onPathTimeout } from "./moves.js";
import { onServedTimeout } from "./served-preferred.js";
import { STATE_CLOSED, STATE_OPEN } from "./state.js";

/** The earliest of all deadlines, microseconds; Infinity once closed. */
export function nextDeadline(conn: Connection): number {
  if (conn.state === STATE_CLOSED) return Infinity;
  let earliest = conn.deadlines.next();
  if (conn.state !== STATE_OPEN) return earliest;
  const { keys } = conn;
  earliest = Math.min(earliest, conn.recovery.deadline(), keys.phases.deadlineMicros, keys.updateDeadlineMicros);
  // a peer that acknowledges nothing for so long is not acknowledged either; waking up would not change it
  if (conn.recovery.sent[SPACE_APP].fullForAcks) return earliest;
  // packets wait to be acknowledged, but nothing may be sent before more comes from that address (RFC 9000 §8.1)
  if (conn.recovery.amplificationBlocked) return earliest;
  return Math.min(earliest, conn.space(SPACE_APP).ackPolicy.deadlineMicros);
}

/** Handles what is due; sending (acknowledgements, probes) is left to the next transmit. */
export function onTimeout(conn: Connection, nowMicros: number): void {
  const { deadlines } = conn;
  if (deadlines.due(DEADLINE_CLOSE, nowMicros)) {
    finish(conn, nowMicros);
    return;
  }
  if (conn.state !== STATE_OPEN) return;
  if (deadlines.due(DEADLINE_IDLE, nowMicros)) {
    const reason = `nothing arrived for ${Math.round(idleMicros(conn) / 1000)} ms`;
    vanish(conn, { type: "idle-timeout", remote: true, code: 0n, frameType: 0, reason }, nowMicros);
    return;
  }
  if (deadlines.due(DEADLINE_HANDSHAKE, nowMicros)) {
    const reason = `the handshake did not finish within ${conn.config.handshakeTimeoutMillis} ms`;
    vanish(conn, { type: "handshake-timeout", remote: true, code: 0n, frameType: 0, reason }, nowMicros);
    return;
  }
  if (conn.recovery.deadline() <= nowMicros) {
    conn.recovery.onTimeout(nowMicros);
    if (conn.recovery.sent[SPACE_APP].fullForProbes) {
      closeTransport(conn, PROTOCOL_VIOLATION, 0, "tens of thousands of packets and no acknowledgement");
      return;
    }
  }
  if (deadlines.due(DEADLINE_KEYS, nowMicros)) {
    deadlines.clear(DEADLINE_KEYS);
    conn.keys.discard(LEVEL_EARLY);
  }
  if (deadlines.due(DEADLINE_PACING, nowMicros)) deadlines.clear(DEADLINE_PACING);
  if (deadlines.due(DEADLINE_PATH, nowMicros)) {
    if (conn.isServer) {
      onServedTimeout(conn, nowMicros);
      onPathTimeout(conn, nowMicros);
    } else onOwnPathTimeout(conn, nowMicros);
  }
  conn.keys.phases.onDeadline(nowMicros);
  if (deadlines.due(DEADLINE_REST, nowMicros)) rest(conn);
  if (deadlines.due(DEADLINE_KEEP_ALIVE, nowMicros)) {
    deadlines.clear(DEADLINE_KEEP_ALIVE);
    conn.control.sendPing();
  }
}
