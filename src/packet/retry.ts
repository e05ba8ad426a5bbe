/** Retry packets (RFC 9000 §17.2.5) and their integrity tag (RFC 9001 §5.8, RFC 9369 §3.3.3). */

import { equalConstantTimeAt, equalRange } from "../base/bytes.js";
import { unreachable } from "../base/unreachable.js";
import { AEAD_AES_128_GCM, type AeadPort, TAG_BYTES } from "../port/aead.js";
import { versionRow } from "../proto/version.js";
import { FIXED_BIT, HEADER_FORM_BIT, longTypeBits, PACKET_RETRY, type PacketHeader, writeLongHead } from "./header.js";

const NO_BYTES = new Uint8Array(0);

/**
 * Writes a Retry packet and returns the position after it.
 *
 * @param dcid the client's source connection id
 * @param scid the id that we chose; must differ from `origDcid` (RFC 9000 §17.2.5.1)
 * @param token at least one byte
 * @param origDcid destination connection id of the client's Initial
 * @param unusedBits any value: its low four bits go into the first byte
 */
export function writeRetry(
  buf: Uint8Array,
  pos: number,
  version: number,
  dcid: Uint8Array,
  scid: Uint8Array,
  token: Uint8Array,
  origDcid: Uint8Array,
  aead: AeadPort,
  unusedBits = 0,
): number {
  if (token.length === 0) unreachable("Retry that nobody could take");
  const firstByte = HEADER_FORM_BIT | FIXED_BIT | longTypeBits(version, PACKET_RETRY) | (unusedBits & 0x0f);
  let at = writeLongHead(buf, pos, firstByte, version, dcid, scid);
  buf.set(token, at);
  at += token.length;
  buf.set(integrityTag(version, buf, pos, at, origDcid, aead), at);
  return at + TAG_BYTES;
}

/**
 * Whether a parsed Retry packet has a token, a new id and the right tag for the Initial that was sent to `origDcid`
 * (RFC 9000 §17.2.5.1, §17.2.5.2). Whether a Retry is welcome now is the connection's to say.
 */
export function verifyRetry(buf: Uint8Array, header: PacketHeader, origDcid: Uint8Array, aead: AeadPort): boolean {
  if (header.type !== PACKET_RETRY || header.tokenEnd <= header.tokenStart) return false;
  if (equalRange(buf, header.scidStart, header.scidStart + header.scidLength, origDcid)) return false;
  const tag = integrityTag(header.version, buf, header.start, header.tokenEnd, origDcid, aead);
  return equalConstantTimeAt(buf, header.tokenEnd, tag);
}

/** The tag over [start, end) of a Retry packet, preceded by the original id (the Retry Pseudo-Packet). */
function integrityTag(
  version: number,
  buf: Uint8Array,
  start: number,
  end: number,
  origDcid: Uint8Array,
  aead: AeadPort,
): Uint8Array {
  const { retryKey, retryNonce } = versionRow(version) ?? unreachable(`a Retry of version ${version}`);
  const pseudo = new Uint8Array(1 + origDcid.length + end - start);
  pseudo[0] = origDcid.length;
  pseudo.set(origDcid, 1);
  pseudo.set(buf.subarray(start, end), 1 + origDcid.length);
  return aead.sealOnce(AEAD_AES_128_GCM, retryKey, retryNonce, pseudo, NO_BYTES);
}
