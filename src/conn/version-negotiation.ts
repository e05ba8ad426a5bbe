/** A Version Negotiation packet at the client (RFC 9000 §6.2): believed only before any other packet. */

import { equalRange } from "../base/bytes.js";
import { DROP_NONE, DROP_UNEXPECTED_TYPE, type DropReason } from "../observe/drop-reason.js";
import type { PacketHeader } from "../packet/header.js";
import { readVersions } from "../packet/version-negotiation.js";
import { vanish } from "./close.js";
import type { Connection } from "./connection.js";

/** Versions named in the reason: the packet is not authenticated, and one datagram holds thousands of them. */
const SHOWN_VERSIONS = 8;

export function onVersionNegotiation(
  conn: Connection,
  buf: Uint8Array,
  header: PacketHeader,
  nowMicros: number,
): DropReason {
  if (conn.isServer || conn.peerScid !== null || conn.retryScid !== null) return DROP_UNEXPECTED_TYPE;
  if (!equalRange(buf, header.scidStart, header.scidStart + header.scidLength, conn.origDcid))
    return DROP_UNEXPECTED_TYPE;
  const versions = readVersions(buf, header);
  // a list that holds our version answers something that we did not send
  if (versions === null || versions.includes(conn.version)) return DROP_UNEXPECTED_TYPE;
  const shown = versions.slice(0, SHOWN_VERSIONS).map((version) => `0x${version.toString(16)}`);
  if (versions.length > SHOWN_VERSIONS) shown.push(`${versions.length - SHOWN_VERSIONS} more`);
  const reason = `the server speaks none of our versions; it offers ${shown.join(", ")}`;
  vanish(conn, { type: "version-negotiation", remote: true, code: 0n, frameType: 0, reason }, nowMicros);
  return DROP_NONE;
}
