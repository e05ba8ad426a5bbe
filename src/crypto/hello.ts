/**
 * What is read in TLS messages for the decision about 0-RTT (RFC 8446 §4.2.10): of a ClientHello who is asked for, which
 * protocols are offered, and the ticket; of a NewSessionTicket the ticket. TLS judges the messages; here a part that
 * makes no sense reads as absent.
 */

import { fromHex, Reader } from "../base/bytes.js";
import { MAX_ALPN_READ } from "../proto/limits.js";

/** Handshake message types (RFC 8446 §4). */
export const CLIENT_HELLO = 1;
export const NEW_SESSION_TICKET = 4;
const EXTENSION_SERVER_NAME = 0;
export const EXTENSION_ALPN = 16;
const EXTENSION_PRE_SHARED_KEY = 41;
export const EXTENSION_EARLY_DATA = 42;
export const RANDOM_BYTES = 32;
/** legacy_version stands before the random. */
const RANDOM_AT = 2;
/** SHA-256 of "HelloRetryRequest", in place of the random (RFC 8446 §4.1.3). */
const RETRY_RANDOM = fromHex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c");

export interface ClientHello {
  /** SNI, "" for none. */
  serverName: string;
  /** By preference; the first MAX_ALPN_READ. */
  alpn: string[];
  offersEarlyData: boolean;
  /** The first PSK identity, the one that 0-RTT needs; null = none. */
  ticket: Uint8Array | null;
  /** It could be read to its end. What stands before the place where it breaks is told all the same. */
  isWhole: boolean;
}

/** The body of a ClientHello is `buf[0, end)`. */
export function readClientHello(buf: Uint8Array, end: number): ClientHello {
  const hello: ClientHello = { serverName: "", alpn: [], offersEarlyData: false, ticket: null, isWhole: false };
  const reader = new Reader();
  reader.reset(buf, 0, end);
  reader.skip(RANDOM_AT + RANDOM_BYTES);
  reader.skip(reader.u8()); // legacy_session_id
  reader.skip(reader.u16()); // cipher_suites
  reader.skip(reader.u8()); // legacy_compression_methods
  reader.u16(); // length of the extensions
  const body = new Reader();
  while (reader.remaining > 0) {
    const type = reader.u16();
    const length = reader.u16();
    const start = reader.skip(length);
    if (!reader.ok) break;
    body.reset(buf, start, start + length);
    if (type === EXTENSION_SERVER_NAME) hello.serverName = readServerName(body);
    else if (type === EXTENSION_ALPN) hello.alpn = readAlpn(body);
    else if (type === EXTENSION_EARLY_DATA) hello.offersEarlyData = true;
    else if (type === EXTENSION_PRE_SHARED_KEY) hello.ticket = readTicket(body);
  }
  hello.isWhole = reader.ok;
  return hello;
}

/** Whether the ServerHello with this body asks for another ClientHello. */
export function isHelloRetryRequest(buf: Uint8Array, end: number): boolean {
  if (end < RANDOM_AT + RANDOM_BYTES) return false;
  for (let i = 0; i < RANDOM_BYTES; i++) if (buf[RANDOM_AT + i] !== RETRY_RANDOM[i]) return false;
  return true;
}

/** The tickets that allow 0-RTT in CRYPTO data of a server's in 1-RTT; messages that are cut are left out. */
export function earlyTicketsIn(bytes: Uint8Array): Uint8Array[] {
  const tickets: Uint8Array[] = [];
  const reader = new Reader();
  reader.reset(bytes, 0, bytes.length);
  const body = new Reader();
  while (reader.remaining > 0) {
    const type = reader.u8();
    const length = reader.u24();
    const start = reader.skip(length);
    if (!reader.ok) break;
    body.reset(bytes, start, start + length);
    const ticket = type === NEW_SESSION_TICKET ? readEarlyTicket(body) : null;
    if (ticket !== null) tickets.push(ticket);
  }
  return tickets;
}

/** RFC 8446 §4.6.1: the ticket of a NewSessionTicket that has the early_data extension. */
function readEarlyTicket(body: Reader): Uint8Array | null {
  body.u32(); // ticket_lifetime
  body.u32(); // ticket_age_add
  body.skip(body.u8()); // ticket_nonce
  const ticket = body.take(body.u16());
  body.u16(); // length of the extensions
  while (body.remaining > 0) {
    const type = body.u16();
    body.skip(body.u16());
    if (body.ok && type === EXTENSION_EARLY_DATA) return ticket;
  }
  return null;
}

/** RFC 6066 §3: one name of type host_name. */
function readServerName(body: Reader): string {
  body.u16(); // length of the list
  const type = body.u8();
  const name = body.take(body.u16());
  return body.ok && type === 0 ? asciiOf(name) : "";
}

function readAlpn(body: Reader): string[] {
  const names: string[] = [];
  body.u16(); // length of the list
  while (body.remaining > 0 && names.length < MAX_ALPN_READ) {
    const name = body.take(body.u8());
    if (!body.ok) return [];
    names.push(asciiOf(name));
  }
  return names;
}

/** The one protocol that a server chose, from the next `length` bytes: the body of its ALPN extension. */
export function readChosenAlpn(reader: Reader, length: number): string | null {
  const bytes = reader.take(length);
  const body = new Reader();
  body.reset(bytes, 0, bytes.length);
  return readAlpn(body)[0] ?? null;
}

function readTicket(body: Reader): Uint8Array | null {
  body.u16(); // length of the identities
  const ticket = body.take(body.u16());
  return body.ok && ticket.length > 0 ? ticket : null;
}

/** A character for each byte: an identity to compare, not text. */
function asciiOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
