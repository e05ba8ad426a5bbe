/**
 * A Version Negotiation packet at the client, believed once and before any other packet (RFC 9000 §6.2, RFC 9368 §2.1, §4).
 * With a version that we speak too the handshake begins again.
 */

import { equalRange } from "../base/bytes.js";
import { DROP_NONE, DROP_UNEXPECTED_TYPE, type DropReason } from "../observe/drop-reason.js";
import { CryptoOut } from "../outqueue/crypto.js";
import type { PacketHeader } from "../packet/header.js";
import { readVersions } from "../packet/version-negotiation.js";
import { newSpaces } from "../pnspace/pnspace.js";
import { INITIAL_DCID_BYTES } from "../proto/limits.js";
import { SPACE_INITIAL } from "../proto/space.js";
import { vanish } from "./close.js";
import type { Connection } from "./connection.js";
import { onEarlyAnswer } from "./early.js";
import { newHandshake } from "./handshake.js";

/** Versions named in the reason: the packet is not authenticated, and one datagram holds thousands of them. */
const SHOWN_VERSIONS = 8;

export function onVersionNegotiation(
  conn: Connection,
  buf: Uint8Array,
  header: PacketHeader,
  nowMicros: number,
): DropReason {
  const { versions } = conn;
  if (conn.isServer || conn.peerScid !== null || conn.retryScid !== null) return DROP_UNEXPECTED_TYPE;
  if (versions.isSecond) return DROP_UNEXPECTED_TYPE;
  if (!equalRange(buf, header.scidStart, header.scidStart + header.scidLength, conn.origDcid))
    return DROP_UNEXPECTED_TYPE;
  const offered = readVersions(buf, header);
  // a list that holds our version answers something that we did not send
  if (offered === null || offered.includes(versions.original)) return DROP_UNEXPECTED_TYPE;
  const version = versions.selectFrom(offered);
  if (version === 0) giveUp(conn, offered, nowMicros);
  else startOver(conn, version, nowMicros);
  return DROP_NONE;
}

function giveUp(conn: Connection, offered: readonly number[], nowMicros: number): void {
  const shown = offered.slice(0, SHOWN_VERSIONS).map((version) => `0x${version.toString(16)}`);
  if (offered.length > SHOWN_VERSIONS) shown.push(`${offered.length - SHOWN_VERSIONS} more`);
  const reason = `the server speaks none of our versions; it offers ${shown.join(", ")}`;
  vanish(conn, { type: "version-negotiation", remote: true, code: 0n, frameType: 0, reason }, nowMicros);
}

/** Another first flight: for the server a new connection, for the application the same (RFC 9368 §2.4). */
function startOver(conn: Connection, version: number, nowMicros: number): void {
  const { host, keys, versions } = conn;
  onEarlyAnswer(conn, false); // a ticket is for one version (RFC 9369 §5), and so is a token
  conn.token = null;
  versions.restart(version);
  conn.origDcid = new Uint8Array(INITIAL_DCID_BYTES);
  host.random.fill(conn.origDcid, 0, INITIAL_DCID_BYTES);
  conn.peerIds.replaceFirst(conn.origDcid);
  keys.installInitial(version, conn.origDcid);
  conn.undecryptable.clear();
  conn.recovery.restart(nowMicros);
  conn.spaces = newSpaces(host.random, conn.recovery, conn.config);
  conn.cryptoOut[SPACE_INITIAL].discard();
  conn.cryptoOut[SPACE_INITIAL] = new CryptoOut(conn.cryptoHeld);
  conn.handshakeState.release();
  conn.handshakeState = newHandshake(conn);
}
