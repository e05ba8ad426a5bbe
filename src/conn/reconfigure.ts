/**
 * Another configuration for a connection whose TLS has not spoken yet: for programs that do the handshake themselves, and are
 * told of a client first. Invariant: what the peer is told, and what the parts go by, is the same.
 */

import { STREAM_BIDI, STREAM_UNI } from "../port/transport.js";
import { SPACE_APP } from "../proto/space.js";
import { type ConnectionConfig, makeConfig, recoveryOptions, streamWindows } from "./config.js";
import type { Connection } from "./connection.js";
import { agree } from "./handshake.js";
import { restartIdle } from "./idle.js";
import { STATE_OPEN } from "./state.js";

/** False, with nothing changed, once this side has sent a TLS message, or streams are there. @throws RangeError */
export function reconfigure(conn: Connection, given: Partial<ConnectionConfig>, nowMicros: number): boolean {
  const { handshakeState: handshake, streams, config, recovery } = conn;
  if (conn.state !== STATE_OPEN || handshake.started || streams.size > 0) return false;
  Object.assign(config, makeConfig(given)); // the stream table reads the limits of streams here
  streams.begin(streamWindows(config, conn.host.pressure));
  streams.counts[STREAM_BIDI].begin(config.initialMaxStreamsBidi);
  streams.counts[STREAM_UNI].begin(config.initialMaxStreamsUni);
  conn.peerIds.limit = config.activeConnectionIdLimit;
  conn.space(SPACE_APP).ackPolicy.configure(config.maxAckDelayMillis * 1000, config.ackThresholdPackets);
  Object.assign(recovery.options, recoveryOptions(conn.isServer, config, conn.path));
  recovery.onNewPath(nowMicros); // the controller and the RTT start anew
  restartIdle(conn, nowMicros);
  if (!conn.isServer) beginVersion(conn);
  if (handshake.peerParams !== null) agree(conn, handshake.peerParams);
  conn.versions.newTls();
  return true;
}

/** A server has settled its version with the ClientHello. */
function beginVersion(conn: Connection): void {
  const { config, versions, keys, origDcid } = conn;
  const version = config.firstVersion || versions.original;
  if (version !== versions.original) keys.installInitial(version, origDcid);
  versions.begin(version, config.versions, config.compatibleVersions);
}
