/**
 * Which connection id of the peer's the packets on a path carry (RFC 9000 §9.5): one that no other path has or had. The
 * only exception is an address that changed under the peer, as NATs do: there the id in use may go on.
 */

import type { Path } from "../path/path.js";
import { PATH_VALIDATION_PTOS } from "../proto/limits.js";
import { SPACE_APP } from "../proto/space.js";
import type { Connection } from "./connection.js";

/** The id for `path`, or null while packets may not be sent there. */
export function cidOf(conn: Connection, path: Path): Uint8Array | null {
  const { peerIds } = conn;
  // an empty id tells nobody anything
  if (path === conn.path || peerIds.current.length === 0) return peerIds.current;
  return peerIds.takenCid(path.cidSeq) ?? (path.sharesCid ? peerIds.current : null);
}

/** Takes an id for `path`, which is not the connection's, if it has none. False: packets may not be sent there. */
export function claimCid(conn: Connection, path: Path, nowMicros: number): boolean {
  const { peerIds } = conn;
  if (peerIds.takenCid(path.cidSeq) !== null) return true;
  path.cidSeq = peerIds.takeSpare();
  if (path.cidSeq >= 0 || peerIds.current.length === 0) return true;
  releaseIdle(conn, path, nowMicros);
  if (path.sharesCid) conn.moves.shared++;
  return path.sharesCid;
}

/** Nothing is sent to `path` any more, which is not the connection's. */
export function leavePath(conn: Connection, path: Path): void {
  conn.peerIds.giveBack(path.cidSeq);
  path.cidSeq = -1;
}

/** No id is left: an address that the peer has not used for long gives up its own, so that the peer sends a new one. */
function releaseIdle(conn: Connection, wanted: Path, nowMicros: number): void {
  if (!conn.isServer) return; // a client knows which of its paths it wants
  const { moves, recovery } = conn;
  const idleMicros = PATH_VALIDATION_PTOS * recovery.ptoMicros(SPACE_APP);
  for (const path of moves.probed) {
    if (path === wanted || path.cidSeq < 0 || nowMicros - path.heardMicros < idleMicros) continue;
    leavePath(conn, path);
    moves.probed.splice(moves.probed.indexOf(path), 1);
    return;
  }
}
