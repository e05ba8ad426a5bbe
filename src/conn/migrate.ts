/**
 * A client that moves (RFC 9000 §9): to another local address of its own choice, or to the address that the server
 * prefers (§9.6), or because the kernel has chosen another address for it. The new path is asked with a connection id of
 * its own (§9.5) while data stays where it is, and is used as soon as it answers. A move that is forced, because the old
 * address is gone, uses the new path at once and asks after that. The path that was left is listened to, and answers, for
 * some time.
 *
 *   start --> asking --PATH_RESPONSE--> moved --the server is there, too, and 3 PTO--> the old path is forgotten
 *               '------3 PTO without--> failed: data stays where it was, or goes back there
 *
 * Invariants: paths that are asked, and the one that was left, are among `moves.probed`, where what comes from elsewhere is
 * looked up. Nothing but challenges and answers goes to an address of the server's that has not answered (§21.5.3).
 */

import { hasSameIp, Path } from "../path/path.js";
import { type Attempt, Migration } from "../path/migration.js";
import { PathChallenge, VALIDATION_FAILED } from "../path/validation.js";
import type { MoveRefusal, MoveTarget } from "../port/transport.js";
import { ADDR_COLS, ADDR_LOCAL_IP0, ADDR_LOCAL_IP3 } from "../port/udp.js";
import { PATH_VALIDATION_PTOS } from "../proto/limits.js";
import type { Connection } from "./connection.js";
import { rememberPath, setPathDeadline, takePath, tellPath, validationPtoMicros } from "./moves.js";
import { claimCid, leavePath } from "./path-cids.js";
import { isIpv4, preferredRow } from "./preferred.js";
import { STATE_OPEN } from "./state.js";

/** The kernel chooses. */
const ANY_LOCAL = new Int32Array(ADDR_COLS);

/** Begins to move to another local address; null, or why that is not possible. What came of it is an event. */
export function migrate(conn: Connection, target: MoveTarget | null, nowMicros: number): MoveRefusal | null {
  const stays = target === null || isIpv4(conn.path.addr) === target.isIpv4;
  const refusal = whyNot(conn, stays);
  if (refusal !== null) return refusal;
  const { moves } = conn;
  const migration = (moves.own ??= new Migration());
  if (target === null) {
    for (const attempt of [...migration.attempts]) if (attempt.path !== conn.path) giveUp(conn, attempt, "aborted");
    setPathDeadline(conn);
    return null;
  }
  const preferred = preferredRow(conn, target.isIpv4);
  const remote = stays ? conn.path.addr : preferred;
  if (remote === null) return "no-address";
  if (!conn.peerIds.hasSpare) return "no-connection-id";
  // RFC 9000 §9.6.3: if the preferred address is being asked, it is asked from the new address, too
  const asksBoth = stays && migration.attempts.some(({ isPreferred }) => isPreferred);
  for (const attempt of [...migration.attempts]) giveUp(conn, attempt, "aborted");
  const path = newPath(conn, remote, target);
  const attempt = ask(conn, path, !stays, nowMicros);
  if (attempt === null) return "no-connection-id";
  if (target.force) moveTo(conn, path, nowMicros);
  else if (asksBoth && preferred !== null) ask(conn, newPath(conn, preferred, target), true, nowMicros);
  return null;
}

/**
 * The kernel, which chooses our address on this path, has chosen another one: packets of the server come there. That is a
 * migration like any other (RFC 9000 §9), only that we have been there before we knew: data goes on with another connection
 * id (§9.5) and without what was known of the path (§9.4), and the path is asked. A NAT's rebinding is not seen here.
 */
export function onLocalChanged(conn: Connection, sources: Int32Array, row: number, nowMicros: number): void {
  const { addr, socket } = conn.path;
  if (conn.moves.own !== null && conn.moves.own.attempts.length > 0) return; // what is asked leaves from there, too
  migrate(conn, { socket, local: ANY_LOCAL, isIpv4: isIpv4(addr), force: true }, nowMicros);
  conn.path.noteLocal(sources, row);
}

/** Client: the handshake is confirmed, and the server prefers another address of this family (RFC 9000 §9.6.2). */
export function tryPreferred(conn: Connection, nowMicros: number): void {
  if (conn.isServer || conn.config.preferredAddress !== "use") return;
  const { addr, socket } = conn.path;
  const remote = preferredRow(conn, isIpv4(addr));
  if (remote === null || conn.peerIds.current.length === 0) return;
  conn.moves.own ??= new Migration();
  const target = { socket, local: addr, isIpv4: isIpv4(addr), force: false };
  ask(conn, newPath(conn, remote, target), true, nowMicros);
}

/** `stays`: at the server's address of now, and not at the one that it prefers in the other family. */
function whyNot(conn: Connection, stays: boolean): MoveRefusal | null {
  const { peerParams, confirmed } = conn.handshakeState;
  if (conn.state !== STATE_OPEN) return "closed";
  if (conn.isServer) return "server";
  if (!confirmed || peerParams === null) return "not-confirmed"; // RFC 9000 §9
  // RFC 9000 §18.2: it speaks of the address of the handshake only
  if (peerParams.disableActiveMigration && stays && conn.moves.own?.isOnPreferred !== true) return "disabled";
  return conn.peerIds.current.length === 0 ? "no-connection-id" : null;
}

function newPath(conn: Connection, remote: Int32Array, target: MoveTarget): Path {
  const path = new Path(conn.config.maxDatagramBytes);
  path.setAddress(remote, 0, target.socket);
  for (let i = ADDR_LOCAL_IP0; i <= ADDR_LOCAL_IP3; i++) path.addr[i] = target.local[i];
  path.validated = true; // the bound of RFC 9000 §8 is a server's; ours is the number of challenges
  return path;
}

function ask(conn: Connection, path: Path, isPreferred: boolean, nowMicros: number): Attempt | null {
  if (!claimCid(conn, path, nowMicros)) return null;
  rememberPath(conn, path);
  const challenge = new PathChallenge(conn.host.random);
  challenge.start(nowMicros, validationPtoMicros(conn));
  const attempt = { path, challenge, isPreferred, isLed: false };
  conn.moves.own?.attempts.push(attempt);
  setPathDeadline(conn);
  conn.host.schedule(conn);
  return attempt;
}

/** Data takes `path` from now on, congestion control starts anew where the route is another (RFC 9000 §9.4). */
function moveTo(conn: Connection, path: Path, nowMicros: number): boolean {
  const { moves, recovery } = conn;
  const migration = moves.own as Migration;
  if (!claimCid(conn, path, nowMicros)) return false; // the server has demanded it back, and left no other
  const left = conn.path;
  const leftBefore = migration.takeLeft(Infinity);
  if (leftBefore !== null && leftBefore !== path) forget(conn, leftBefore);
  drop(moves.probed, path);
  const isSameRoute = path.knowsLocal && hasSameIp(path, left);
  if (isSameRoute) path.continueMtu(left);
  takePath(conn, path);
  if (isSameRoute) recovery.onNewPort();
  else recovery.onNewPath(nowMicros);
  moves.count++;
  moves.probed.push(left);
  migration.keepLeft(left);
  conn.control.sendPing(); // more than a probe: the server follows it
  setPathDeadline(conn);
  return true;
}

/** A PATH_RESPONSE came to a client, on whatever path (RFC 9000 §8.2.3). */
export function onOwnPathResponse(conn: Connection, buf: Uint8Array, start: number, nowMicros: number): void {
  const { moves } = conn;
  const migration = moves.own;
  const attempt = migration?.attempts.find(({ challenge }) => challenge.onResponse(buf, start));
  if (migration === null || attempt === undefined) return;
  const { path, isPreferred } = attempt;
  const before = path === conn.path ? (migration.left ?? path) : conn.path;
  if (path !== conn.path && !moveTo(conn, path, nowMicros)) {
    giveUp(conn, attempt, "failure");
    return;
  }
  drop(migration.attempts, attempt);
  moves.validated++;
  tellPath(conn, "success", path, before, isPreferred);
  if (isPreferred) {
    migration.preferredSettled = migration.isOnPreferred = true;
    // RFC 9000 §9.6.3: the address of before is not asked any more
    for (const other of [...migration.attempts]) giveUp(conn, other, null);
  }
  setPathDeadline(conn);
}

/** DEADLINE_PATH has come to a client. */
export function onOwnPathTimeout(conn: Connection, nowMicros: number): void {
  const migration = conn.moves.own;
  if (migration === null) return;
  for (const attempt of [...migration.attempts]) {
    attempt.challenge.onTimeout(nowMicros);
    if (attempt.challenge.state !== VALIDATION_FAILED) continue;
    // forced, and in vain: perhaps the old address is there after all
    if (attempt.path === conn.path && migration.left !== null) moveTo(conn, migration.left, nowMicros);
    giveUp(conn, attempt, "failure");
  }
  forgetLeft(conn, nowMicros);
  setPathDeadline(conn);
}

/** `result`: null is not told. */
function giveUp(conn: Connection, attempt: Attempt, result: "failure" | "aborted" | null): void {
  const { moves } = conn;
  const { path, isPreferred } = attempt;
  const migration = moves.own as Migration;
  drop(migration.attempts, attempt);
  if (result === "failure") {
    moves.failed++;
    migration.preferredSettled ||= isPreferred;
  }
  if (result !== null) tellPath(conn, result, path, conn.path, isPreferred);
  if (path === conn.path || path === migration.left) return;
  forget(conn, path);
}

/** An ACK came on the path of a client's last move: the server is there, too, which may take it a while (RFC 9000 §9.6.2). */
export function onFollowed(conn: Connection, nowMicros: number): void {
  conn.moves.own?.onFollowed(nowMicros + PATH_VALIDATION_PTOS * validationPtoMicros(conn));
  setPathDeadline(conn);
}

function forgetLeft(conn: Connection, nowMicros: number): void {
  const left = conn.moves.own?.takeLeft(nowMicros) ?? null;
  if (left !== null) forget(conn, left);
}

function forget(conn: Connection, path: Path): void {
  drop(conn.moves.probed, path);
  leavePath(conn, path);
  conn.host.noteLeftPath();
}

function drop<T>(list: T[], one: T): void {
  const at = list.indexOf(one);
  if (at >= 0) list.splice(at, 1);
}
