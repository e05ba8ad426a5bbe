/**
 * A server whose client comes to its preferred address (RFC 9000 §9.6.2). The server asks the path there as soon as anything
 * arrives on it, and sends data from that address once it was answered and the client has sent more than a probe to it.
 * It does not go back: late packets to the address of the handshake are read, and lead nowhere.
 */

import { type Attempt, Migration } from "../path/migration.js";
import { hasSameLocal, type Path } from "../path/path.js";
import { PathChallenge, VALIDATION_FAILED, VALIDATION_PENDING } from "../path/validation.js";
import type { Connection } from "./connection.js";
import { endValidation, rememberPath, setPathDeadline, takePath, tellPath, validationPtoMicros } from "./moves.js";
import { claimCid, leavePath } from "./path-cids.js";

/** A packet came on `path`, to another address of ours than that of the connection's path; `leads` as for `follow`. */
export function onServedArrival(conn: Connection, path: Path, leads: boolean, nowMicros: number): void {
  const own = (conn.moves.own ??= new Migration());
  if (own.isOnPreferred) return;
  let attempt = own.attempts.find((one) => one.path === path);
  if (attempt === undefined) {
    // answers to our own challenges come from there, too: if they began it anew, two paths would displace each other forever
    if (!leads && own.attempts[0]?.challenge.state === VALIDATION_PENDING) return;
    attempt = { path, challenge: new PathChallenge(conn.host.random), isPreferred: true, isLed: false };
    attempt.challenge.start(nowMicros, validationPtoMicros(conn));
    own.attempts.length = 0; // where the client is now counts
    own.attempts.push(attempt);
    takeOver(conn, path);
    if (!claimCid(conn, path, nowMicros)) conn.moves.refused++; // it is asked as soon as the client gives an id
    setPathDeadline(conn);
  }
  attempt.isLed ||= leads;
  if (path.validated) move(conn, attempt, nowMicros);
}

/** Without a spare id: where a NAT gave the client another address, the id of the address before goes on (RFC 9000 §9.5). */
function takeOver(conn: Connection, path: Path): void {
  const { moves, peerIds } = conn;
  if (path.cidSeq >= 0 || peerIds.hasSpare) return;
  for (const before of moves.probed) {
    if (before === path || before.cidSeq < 0 || !hasSameLocal(before, path) || !before.hasSameDcid(path)) continue;
    path.cidSeq = before.cidSeq;
    before.cidSeq = -1;
    moves.shared++;
    return;
  }
}

/** A PATH_RESPONSE came; true = it was about this. */
export function onServedResponse(conn: Connection, buf: Uint8Array, start: number, nowMicros: number): boolean {
  const attempt = conn.moves.own?.attempts.find(({ challenge }) => challenge.onResponse(buf, start));
  if (attempt === undefined) return false;
  attempt.path.validated = true;
  setPathDeadline(conn);
  move(conn, attempt, nowMicros);
  return true;
}

/** DEADLINE_PATH has come to a server. */
export function onServedTimeout(conn: Connection, nowMicros: number): void {
  const { moves } = conn;
  const attempt = moves.own?.attempts[0];
  if (attempt === undefined) return;
  attempt.challenge.onTimeout(nowMicros);
  if (attempt.challenge.state !== VALIDATION_FAILED) return;
  moves.failed++;
  tellPath(conn, "failure", attempt.path, conn.path, false);
  moves.own?.attempts.pop();
}

function move(conn: Connection, attempt: Attempt, nowMicros: number): void {
  const { path, isLed } = attempt;
  const { moves } = conn;
  if (!isLed || !claimCid(conn, path, nowMicros)) return;
  const own = moves.own as Migration;
  const left = conn.path;
  const at = moves.probed.indexOf(path);
  if (at >= 0) moves.probed.splice(at, 1);
  own.attempts.length = 0;
  own.isOnPreferred = true;
  if (moves.previous !== null) {
    // the client's address was in question: that has been answered from here
    leavePath(conn, moves.previous);
    endValidation(conn);
  }
  takePath(conn, path);
  conn.recovery.onNewPath(nowMicros); // RFC 9000 §9.4
  conn.control.sendPing(); // its acknowledgement finds what was lost on the path before
  rememberPath(conn, left);
  moves.count++;
  moves.validated++;
  tellPath(conn, "success", path, left, false);
  setPathDeadline(conn);
}
