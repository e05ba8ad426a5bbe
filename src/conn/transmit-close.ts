/**
 * CONNECTION_CLOSE, so that the peer can read it (RFC 9000 §10.2.3): once in every level that it may have keys for,
 * coalesced into one datagram, which is kept for the closing period.
 */

import { writeConnectionClose } from "../frame/close.js";
import { sealBatch } from "../crypto/seal.js";
import { FIXED_BIT, PACKET_HANDSHAKE, PACKET_INITIAL } from "../packet/header.js";
import type { CloseInfo } from "../port/transport.js";
import type { TxBatch } from "../port/udp.js";
import { MIN_INITIAL_DATAGRAM_BYTES } from "../proto/limits.js";
import { SPACE_APP, SPACE_INITIAL, SPACES, type SpaceId, spaceLevel } from "../proto/space.js";
import { APPLICATION_ERROR } from "../proto/transport-error.js";
import { resendClose, startPeriod } from "./close.js";
import type { Connection } from "./connection.js";

const EMPTY = new Uint8Array(0);
/** Packet numbers of a close need no compression: it is the last packet. */
const PN_BYTES = 4;

/** Builds or repeats the close. True = the batch has no room for it now. */
export function transmitClose(conn: Connection, tx: TxBatch, nowMicros: number): boolean {
  const { closing } = conn;
  if (!closing.pending) return !resendClose(conn, tx);
  closing.datagram = buildClose(conn, closing.info as CloseInfo);
  closing.pending = false;
  closing.resend = true;
  startPeriod(conn, nowMicros);
  conn.release();
  return !resendClose(conn, tx);
}

/** The sealed datagram, or null when no level can be written or nothing may be sent. */
function buildClose(conn: Connection, info: CloseInfo): Uint8Array | null {
  const { builder } = conn.host.bench;
  const scratch = conn.host.closeBatch;
  scratch.count = scratch.destCount = scratch.used = 0;
  builder.beginBatch(scratch, FIXED_BIT, conn.keys.appTagBytes);
  const allowance = conn.path.sendAllowance();
  if (!builder.beginDatagram(Math.min(MIN_INITIAL_DATAGRAM_BYTES, allowance))) return null;
  let hasInitial = false;
  for (let space = 0; space < SPACES; space++) {
    const level = spaceLevel(space as SpaceId);
    if (!conn.keys.canWrite(level) || !openClosePacket(conn, space as SpaceId)) continue;
    const end = writeCloseFrame(conn, info, space as SpaceId);
    if (end < 0) {
      builder.cancelPacket();
      continue;
    }
    builder.pos = end;
    builder.closePacket(conn.keys.writeKey(level), conn.keys.writeHp(level));
    hasInitial ||= space === SPACE_INITIAL;
  }
  if (hasInitial && allowance >= MIN_INITIAL_DATAGRAM_BYTES) builder.padLastPacket(MIN_INITIAL_DATAGRAM_BYTES);
  const bytes = builder.endDatagram(0, 0, 0);
  if (bytes === 0) return null;
  sealBatch(conn.host.aead, builder.seal);
  return scratch.buf.slice(0, bytes);
}

function openClosePacket(conn: Connection, space: SpaceId): boolean {
  const { builder } = conn.host.bench;
  const dcid = conn.peerIds.current;
  const pn = conn.space(space).takePn();
  if (space === SPACE_APP) return builder.openShort(dcid, pn, PN_BYTES, conn.keys.keyPhase, 0);
  const type = space === SPACE_INITIAL ? PACKET_INITIAL : PACKET_HANDSHAKE;
  const token = space === SPACE_INITIAL ? conn.token : null;
  return builder.openLong(type, conn.versions.current, dcid, conn.localCid, token, pn, PN_BYTES);
}

/** An application's code and reason must not show before 1-RTT (RFC 9000 §10.2.3). */
function writeCloseFrame(conn: Connection, info: CloseInfo, space: SpaceId): number {
  const { buf, pos, limit } = conn.host.bench.builder;
  if (info.type === "application" && space !== SPACE_APP) {
    return writeConnectionClose(buf, pos, limit, false, BigInt(APPLICATION_ERROR), 0, EMPTY);
  }
  const reason = asciiBytes(info.reason);
  return writeConnectionClose(buf, pos, limit, info.type === "application", info.code, info.frameType, reason);
}

function asciiBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(Math.min(text.length, 256));
  for (let i = 0; i < bytes.length; i++) {
    const unit = text.charCodeAt(i);
    bytes[i] = unit < 0x80 ? unit : 0x3f;
  }
  return bytes;
}
