/** Hands the fate of each frame to the room that wrote it (RFC 9000 §13.3): packets are never resent, their data is. */

import {
  type FrameFates,
  REC_ACK,
  REC_ACK_FREQUENCY,
  REC_CRYPTO,
  REC_DATAGRAM,
  REC_HANDSHAKE_DONE,
  REC_MTU_PROBE,
  REC_NEW_CONNECTION_ID,
  REC_NEW_TOKEN,
  REC_PING,
  REC_RETIRE_CONNECTION_ID,
  REC_STREAM,
  REC_STREAM_FIN,
} from "../outqueue/sent.js";
import type { MtuDiscovery } from "../path/mtu-discovery.js";
import type { SpaceId } from "../proto/space.js";
import type { Connection } from "./connection.js";
import { takePathMtu } from "./path-mtu.js";

export class FrameFate implements FrameFates {
  constructor(private readonly conn: Connection) {}

  onFrameAcked(space: SpaceId, kind: number, id: number, offset: number, length: number): void {
    const { conn } = this;
    switch (kind) {
      case REC_ACK:
        // the answer on a path that is slower than this one comes late, and must not be taken for a duplicate
        if (conn.moves.own?.isAsking !== true) conn.space(space).received.forgetBelow(id);
        return;
      case REC_CRYPTO:
        conn.cryptoOut[space].onAcked(offset, length);
        return;
      case REC_HANDSHAKE_DONE:
      case REC_NEW_TOKEN:
      case REC_NEW_CONNECTION_ID:
      case REC_RETIRE_CONNECTION_ID:
      case REC_ACK_FREQUENCY:
        conn.control.onFrameAcked(kind, id);
        return;
      case REC_MTU_PROBE:
        mtuOf(conn, offset)?.onProbeAcked(id);
        takePathMtu(conn);
        return;
      case REC_DATAGRAM:
        conn.datagrams.out.onAcked(id);
        return;
      case REC_PING:
        return;
      default:
        conn.streamOut.onFrameAcked(kind, id, offset, length);
    }
  }

  onFrameLost(space: SpaceId, kind: number, id: number, offset: number, length: number): void {
    const { conn } = this;
    noteLost(conn, kind, length);
    switch (kind) {
      case REC_CRYPTO:
        conn.cryptoOut[space].onLost(offset, length);
        return;
      case REC_HANDSHAKE_DONE:
      case REC_NEW_TOKEN:
      case REC_NEW_CONNECTION_ID:
      case REC_RETIRE_CONNECTION_ID:
      case REC_ACK_FREQUENCY:
        conn.control.onFrameLost(kind, id);
        return;
      case REC_MTU_PROBE:
        mtuOf(conn, offset)?.onProbeLost(id);
        return;
      case REC_DATAGRAM:
        conn.datagrams.out.onLost(id);
        return;
      case REC_ACK: // the next ACK frame says the same and more
      case REC_PING:
        return;
      default:
        conn.streamOut.onFrameLost(kind, id, offset, length);
    }
  }
}

/** Counts what is to be sent again (RFC 9000 §13.3). */
function noteLost({ counters }: Connection, kind: number, length: number): void {
  if (kind === REC_ACK || kind === REC_PING || kind === REC_MTU_PROBE || kind === REC_DATAGRAM) return;
  counters.framesLost++;
  if (kind === REC_CRYPTO || kind === REC_STREAM || kind === REC_STREAM_FIN) counters.frameBytesLost += length;
}

/** Of the path that a probe took; null when that is no longer the peer's. */
function mtuOf({ path, moves }: Connection, pathNumber: number): MtuDiscovery | null {
  if (path.number === pathNumber) return path.mtu;
  return moves.previous?.number === pathNumber ? moves.previous.mtu : null;
}
