/**
 * What a client keeps to resume a session with: the ticket of its TLS library, and what 0-RTT has to know before the
 * server speaks: version, protocol and the server's transport parameters (RFC 9000 §7.4.1, RFC 9001 §4.6). And the
 * server's address validation token, which like the ticket is for one version (RFC 9369 §5).
 *
 *   form (1) · allows 0-RTT (1) · version (4) · protocol length (1) · protocol, two bytes a character
 *   · parameters length (2) · parameters · ticket of TLS
 *
 * It comes back from the application's storage, so all of it is checked; what is not whole is no ticket.
 */

import { Reader, Writer } from "../base/bytes.js";
import { decodeParams, encodeParams } from "../frame/params.js";
import { TOKEN_HEADER_BYTES } from "../port/transport.js";
import { MAX_PEER_TOKEN_BYTES } from "../proto/limits.js";
import { defaultParams, type TransportParams } from "../proto/params.js";

const FORM = 0xd1;
const TOKEN_FORM = 0xd2;

export interface SessionTicket {
  /** The server takes 0-RTT with it (RFC 9001 §4.6.1). */
  allowsEarlyData: boolean;
  version: number;
  alpn: string;
  /** The server's parameters that still hold, the others as if they had not been sent. */
  params: TransportParams;
  tls: Uint8Array;
}

export interface Kept {
  ticket: SessionTicket | null;
  token: Uint8Array | null;
  /** 0 for no token. */
  tokenVersion: number;
}

export function sealSessionTicket({ allowsEarlyData, version, alpn, params, tls }: SessionTicket): Uint8Array {
  const encoded = encodeParams(rememberedParams(params), true);
  const out = new Writer(64 + encoded.length + tls.length);
  out.u8(FORM);
  out.u8(allowsEarlyData ? 1 : 0);
  out.u32(version);
  out.u8(alpn.length);
  for (let i = 0; i < alpn.length; i++) out.u16(alpn.charCodeAt(i));
  out.u16(encoded.length);
  out.bytes(encoded);
  out.bytes(tls);
  return out.finish();
}

/** Null for bytes that `sealSessionTicket` did not make. */
export function openSessionTicket(bytes: Uint8Array): SessionTicket | null {
  const reader = new Reader();
  reader.reset(bytes, 0, bytes.length);
  if (reader.u8() !== FORM) return null;
  const allowsEarlyData = reader.u8() === 1;
  const version = reader.u32();
  let alpn = "";
  for (let left = reader.u8(); left > 0 && reader.ok; left--) alpn += String.fromCharCode(reader.u16());
  const encoded = reader.take(reader.u16());
  const tls = reader.take(reader.remaining);
  const { params } = decodeParams(encoded, true);
  if (!reader.ok || params === null || tls.length === 0) return null;
  return { allowsEarlyData, version, alpn, params: rememberedParams(params), tls };
}

/** A token of a NEW_TOKEN frame with the version that it came in: form (1) · version (4) · token. */
export function sealPeerToken(version: number, token: Uint8Array): Uint8Array {
  const out = new Writer(TOKEN_HEADER_BYTES + token.length);
  out.u8(TOKEN_FORM);
  out.u32(version);
  out.bytes(token);
  return out.finish();
}

/** What a client kept of an earlier connection; bytes that are none count as absent. */
export function openKept({ ticket, token }: { ticket?: Uint8Array; token?: Uint8Array }): Kept {
  const kept: Kept = { ticket: ticket === undefined ? null : openSessionTicket(ticket), token: null, tokenVersion: 0 };
  if (token === undefined) return kept;
  const reader = new Reader();
  reader.reset(token, 0, token.length);
  const isToken = reader.u8() === TOKEN_FORM;
  const tokenVersion = reader.u32();
  if (!isToken || reader.remaining === 0 || reader.remaining > MAX_PEER_TOKEN_BYTES) return kept;
  return { ...kept, token: reader.take(reader.remaining), tokenVersion };
}

/** RFC 9000 §7.4.1 lists what must not be remembered. */
export function rememberedParams(params: TransportParams): TransportParams {
  const { ackDelayExponent, maxAckDelayMillis } = defaultParams();
  return {
    ...params,
    ackDelayExponent,
    maxAckDelayMillis,
    minAckDelayMicros: null, // draft-ietf-quic-ack-frequency §3
    originalDcid: null,
    initialScid: null,
    retryScid: null,
    preferredAddress: null,
    statelessResetToken: null,
    versionInformation: null,
    greaseQuicBit: false,
    disable1RttEncryption: false,
  };
}
