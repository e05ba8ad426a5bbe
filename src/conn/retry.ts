/** A Retry packet at the client (RFC 9000 §17.2.5): once, before anything else was processed, with a valid tag. */

import {
  DROP_NONE,
  DROP_RETRY_INTEGRITY,
  DROP_UNEXPECTED_TYPE,
  DROP_UNKNOWN_VERSION,
  type DropReason,
} from "../observe/drop-reason.js";
import type { PacketHeader } from "../packet/header.js";
import { verifyRetry } from "../packet/retry.js";
import { MAX_PEER_TOKEN_BYTES } from "../proto/limits.js";
import type { Connection } from "./connection.js";

/** DROP_NONE when the Retry was followed. */
export function onRetry(conn: Connection, buf: Uint8Array, header: PacketHeader, nowMicros: number): DropReason {
  if (conn.isServer || conn.peerScid !== null || conn.retryScid !== null) return DROP_UNEXPECTED_TYPE;
  if (header.version !== conn.versions.original) return DROP_UNKNOWN_VERSION; // RFC 9369 §4.1
  const tokenBytes = header.tokenEnd - header.tokenStart;
  // one that leaves no room for a ClientHello would end the attempt: it is taken for damaged
  if (tokenBytes > MAX_PEER_TOKEN_BYTES) return DROP_RETRY_INTEGRITY;
  const scid = buf.slice(header.scidStart, header.scidStart + header.scidLength);
  if (!verifyRetry(buf, header, conn.origDcid, conn.host.aead)) return DROP_RETRY_INTEGRITY;
  conn.retryScid = scid;
  conn.token = buf.slice(header.tokenStart, header.tokenEnd);
  conn.peerIds.replaceFirst(scid);
  conn.keys.installInitial(header.version, scid);
  conn.recovery.onRetry(nowMicros);
  return DROP_NONE;
}
