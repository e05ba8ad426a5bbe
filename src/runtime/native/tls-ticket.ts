/**
 * What a client keeps to resume with: the library's session, bound to what was true when it was made. A resumed
 * handshake shows no certificate, so a ticket is used only for the same library, host and trust anchors, and a strict
 * client takes none from a session whose certificate had not verified.
 *
 * Layout: version 1, library 1, verification result 2, digest of the anchors 8, length of the host 1, host, session.
 */

import type { LibraryName } from "./tls-config.js";

const FORMAT = 1;
const DIGEST_BYTES = 8;
const HEADER_BYTES = 4 + DIGEST_BYTES + 1;
const LIBRARY_IDS = { openssl: 1, gnutls: 2 } as const;

export interface TicketBinding {
  library: LibraryName;
  /** DIGEST_BYTES bytes. */
  caDigest: Uint8Array;
  /** Host name or address that was verified, "" for none. */
  host: string;
}

export function sealTicket(binding: TicketBinding, verifyCode: number, session: Uint8Array): Uint8Array {
  const host = Buffer.from(binding.host, "latin1");
  const out = new Uint8Array(HEADER_BYTES + host.length + session.length);
  out[0] = FORMAT;
  out[1] = LIBRARY_IDS[binding.library];
  out[2] = verifyCode >> 8;
  out[3] = verifyCode & 0xff;
  out.set(binding.caDigest, 4);
  out[HEADER_BYTES - 1] = host.length;
  out.set(host, HEADER_BYTES);
  out.set(session, HEADER_BYTES + host.length);
  return out;
}

/** The library's session and the verification result of its first handshake; null when it must not be used here. */
export function openTicket(
  bytes: Uint8Array,
  binding: TicketBinding,
  verify: "strict" | "report",
): { session: Uint8Array; verifyCode: number } | null {
  const host = Buffer.from(binding.host, "latin1");
  const start = HEADER_BYTES + host.length;
  if (bytes.length <= start || bytes[0] !== FORMAT || bytes[1] !== LIBRARY_IDS[binding.library]) return null;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes[HEADER_BYTES - 1] !== host.length || !view.subarray(HEADER_BYTES, start).equals(host)) return null;
  if (!view.subarray(4, 4 + DIGEST_BYTES).equals(binding.caDigest)) return null;
  const verifyCode = view.readUInt16BE(2);
  if (verify === "strict" && verifyCode !== 0) return null;
  return { session: bytes.subarray(start), verifyCode };
}
