/** The handshake messages of the null TLS: RFC 8446 §4 framing, real where QUIC looks into them, filler elsewhere. */

export const CLIENT_HELLO = 1;
export const SERVER_HELLO = 2;
export const NEW_SESSION_TICKET = 4;
export const ENCRYPTED_EXTENSIONS = 8;
export const CERTIFICATE = 11;
export const CERTIFICATE_REQUEST = 13;
export const CERTIFICATE_VERIFY = 15;
export const FINISHED = 20;

export const ALERT_UNEXPECTED_MESSAGE = 10;
export const ALERT_DECODE_ERROR = 50;
export const ALERT_DECRYPT_ERROR = 51;
export const ALERT_NO_APPLICATION_PROTOCOL = 120;

const EXT_SERVER_NAME = 0;
const EXT_ALPN = 16;
const EXT_PRE_SHARED_KEY = 41;
const EXT_EARLY_DATA = 42;
const EXT_COOKIE = 44;
const EXT_SUPPORTED_VERSIONS = 43;
const EXT_KEY_SHARE = 51;
const EXT_QUIC_PARAMS = 0x39;

const LEGACY_VERSION = 0x0303;
const TLS_1_3 = 0x0304;
const CIPHER_SUITE = 0x1301;
const GROUP_X25519 = 0x001d;
const FILLER_PERIOD = 65_521;

/** SHA-256 of "HelloRetryRequest" (RFC 8446 §4.1.3). */
const RETRY_RANDOM = Uint8Array.from(
  "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c".match(/../g) ?? [],
  (pair) => Number.parseInt(pair, 16),
);

/** Ends a handshake with a TLS alert. */
export class AlertError extends Error {
  constructor(
    readonly alert: number,
    message: string,
  ) {
    super(message);
  }
}

const TICKET_MAGIC = 0x4e75;
const TICKET_BYTES = 160;
const TICKET_TAIL_BYTES = 32;
const BINDER_BYTES = 32;

export interface Hello {
  /** To resume with; null = a full handshake. */
  ticket: Uint8Array | null;
  earlyData: boolean;
  random: Uint8Array;
  alpn: string[];
  serverName: string;
  keyShareBytes: number;
}

export interface HelloExtensions {
  alpn: string[];
  serverName: string;
  params: Uint8Array | null;
  ticket: Uint8Array | null;
  earlyData: boolean;
}

/** What a ticket says. Nothing in it is secret, as nothing here is. */
export interface NullTicket {
  aead: number;
  earlyData: boolean;
  /** Two bytes of it are kept. */
  scope: number;
}

/** Bytes that differ from place to place, so that a piece put at the wrong offset shows. */
const FILLER = (() => {
  const bytes = new Uint8Array(FILLER_PERIOD);
  for (let i = 0, x = 1; i < bytes.length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
})();

/** A message of this type whose body is filler. */
export function filler(type: number, bodyBytes: number): Uint8Array {
  const message = new Uint8Array(4 + bodyBytes);
  setHeader(message, type);
  for (let at = 4; at < message.length; at += FILLER_PERIOD) {
    message.set(FILLER.subarray(0, Math.min(FILLER_PERIOD, message.length - at)), at);
  }
  return message;
}

export function clientHello(hello: Hello, params: Uint8Array, withCookie: boolean): Uint8Array {
  const out = new MessageWriter(CLIENT_HELLO);
  out.u16(LEGACY_VERSION).bytes(hello.random);
  out.u8(0); // legacy_session_id
  out.u16(2).u16(CIPHER_SUITE);
  out.u8(1).u8(0); // legacy_compression_methods
  const extensions = out.open16();
  if (hello.serverName !== "") {
    const name = ascii(hello.serverName);
    out
      .u16(EXT_SERVER_NAME)
      .u16(name.length + 5)
      .u16(name.length + 3);
    out.u8(0).u16(name.length).bytes(name);
  }
  out.u16(EXT_SUPPORTED_VERSIONS).u16(3).u8(2).u16(TLS_1_3);
  writeAlpn(out, hello.alpn);
  const share = FILLER.subarray(0, hello.keyShareBytes);
  out
    .u16(EXT_KEY_SHARE)
    .u16(share.length + 6)
    .u16(share.length + 4);
  out.u16(GROUP_X25519).u16(share.length).bytes(share);
  if (withCookie) out.u16(EXT_COOKIE).u16(4).u16(2).u16(0xc00c);
  out.u16(EXT_QUIC_PARAMS).u16(params.length).bytes(params);
  if (hello.earlyData) out.u16(EXT_EARLY_DATA).u16(0);
  if (hello.ticket !== null) writePsk(out, hello.ticket);
  out.close16(extensions);
  return out.finish();
}

/** Last of all (RFC 8446 §4.2.11). */
function writePsk(out: MessageWriter, ticket: Uint8Array): void {
  out.u16(EXT_PRE_SHARED_KEY);
  const extension = out.open16();
  const identities = out.open16();
  out.u16(ticket.length).bytes(ticket).u16(0).u16(0);
  out.close16(identities);
  out
    .u16(1 + BINDER_BYTES)
    .u8(BINDER_BYTES)
    .bytes(FILLER.subarray(0, BINDER_BYTES));
  out.close16(extension);
}

/** A NewSessionTicket (RFC 8446 §4.6.1); `tail` makes it one of its kind. */
export function newSessionTicket({ aead, earlyData, scope }: NullTicket, tail: Uint8Array): Uint8Array {
  const out = new MessageWriter(NEW_SESSION_TICKET);
  out.u16(0).u16(7200).u16(0).u16(0).u8(0);
  out
    .u16(TICKET_BYTES)
    .u16(TICKET_MAGIC)
    .u8(aead)
    .u8(earlyData ? 1 : 0)
    .u16(scope & 0xffff);
  out.bytes(FILLER.subarray(0, TICKET_BYTES - 6 - TICKET_TAIL_BYTES)).bytes(tail.subarray(0, TICKET_TAIL_BYTES));
  const extensions = out.open16();
  if (earlyData) out.u16(EXT_EARLY_DATA).u16(4).u16(0xffff).u16(0xffff);
  out.close16(extensions);
  return out.finish();
}

/** The ticket of a NewSessionTicket. */
export function ticketOf(message: Uint8Array): Uint8Array {
  const at = new Cursor(message, 4 + 8);
  at.skip(at.u8());
  return at.take(at.u16());
}

/** Null for anything else than a ticket of `newSessionTicket`. */
export function openTicket(ticket: Uint8Array | null): NullTicket | null {
  if (ticket === null || ticket.length !== TICKET_BYTES) return null;
  const at = new Cursor(ticket, 0);
  if (at.u16() !== TICKET_MAGIC) return null;
  return { aead: at.u8(), earlyData: at.u8() === 1, scope: at.u16() };
}

export function serverHello(random: Uint8Array, isResumed: boolean): Uint8Array {
  const out = new MessageWriter(SERVER_HELLO);
  out.u16(LEGACY_VERSION).bytes(random).u8(0).u16(CIPHER_SUITE).u8(0);
  const extensions = out.open16();
  out.u16(EXT_SUPPORTED_VERSIONS).u16(2).u16(TLS_1_3);
  out.u16(EXT_KEY_SHARE).u16(36).u16(GROUP_X25519).u16(32).bytes(FILLER.subarray(0, 32));
  if (isResumed) out.u16(EXT_PRE_SHARED_KEY).u16(2).u16(0);
  out.close16(extensions);
  return out.finish();
}

export function helloRetryRequest(): Uint8Array {
  const out = new MessageWriter(SERVER_HELLO);
  out.u16(LEGACY_VERSION).bytes(RETRY_RANDOM).u8(0).u16(CIPHER_SUITE).u8(0);
  const extensions = out.open16();
  out.u16(EXT_SUPPORTED_VERSIONS).u16(2).u16(TLS_1_3);
  out.u16(EXT_COOKIE).u16(4).u16(2).u16(0xc00c);
  out.close16(extensions);
  return out.finish();
}

export function isHelloRetry(message: Uint8Array): boolean {
  return RETRY_RANDOM.every((byte, i) => byte === message[6 + i]);
}

/** Whether the ServerHello takes the ticket. */
export function isResumption(message: Uint8Array): boolean {
  const at = new Cursor(message, 4 + 2 + 32 + 1 + 2 + 1);
  return parseExtensions(at).ticket !== null;
}

export function encryptedExtensions(alpn: string, params: Uint8Array, earlyData: boolean): Uint8Array {
  const out = new MessageWriter(ENCRYPTED_EXTENSIONS);
  const extensions = out.open16();
  writeAlpn(out, [alpn]);
  if (earlyData) out.u16(EXT_EARLY_DATA).u16(0);
  out.u16(EXT_QUIC_PARAMS).u16(params.length).bytes(params);
  out.close16(extensions);
  return out.finish();
}

/** @throws AlertError decode_error */
export function parseClientHello(message: Uint8Array): HelloExtensions {
  const at = new Cursor(message, 4);
  at.skip(2 + 32);
  at.skip(at.u8());
  at.skip(at.u16());
  at.skip(at.u8());
  return parseExtensions(at);
}

/** @throws AlertError decode_error */
export function parseEncryptedExtensions(message: Uint8Array): HelloExtensions {
  return parseExtensions(new Cursor(message, 4));
}

function parseExtensions(at: Cursor): HelloExtensions {
  const found: HelloExtensions = { alpn: [], serverName: "", params: null, ticket: null, earlyData: false };
  if (at.u16() !== at.remaining) throw new AlertError(ALERT_DECODE_ERROR, "length of the extensions");
  while (at.remaining > 0) {
    const type = at.u16();
    const body = new Cursor(at.take(at.u16()), 0);
    if (type === EXT_QUIC_PARAMS) found.params = body.take(body.remaining);
    if (type === EXT_EARLY_DATA) found.earlyData = true;
    if (type === EXT_PRE_SHARED_KEY) {
      body.skip(2);
      found.ticket = body.remaining === 0 ? new Uint8Array(0) : body.take(body.u16());
    }
    if (type === EXT_SERVER_NAME) {
      body.skip(3);
      found.serverName = text(body.take(body.u16()));
    }
    if (type === EXT_ALPN) {
      body.skip(2);
      while (body.remaining > 0) found.alpn.push(text(body.take(body.u8())));
    }
  }
  return found;
}

function writeAlpn(out: MessageWriter, names: string[]): void {
  out.u16(EXT_ALPN);
  const extension = out.open16();
  const list = out.open16();
  for (const name of names) out.u8(name.length).bytes(ascii(name));
  out.close16(list);
  out.close16(extension);
}

function ascii(value: string): Uint8Array {
  return Uint8Array.from(value, (character) => character.charCodeAt(0));
}

function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function setHeader(message: Uint8Array, type: number): void {
  const length = message.length - 4;
  message[0] = type;
  message[1] = length >>> 16;
  message[2] = length >>> 8;
  message[3] = length;
}

/** Grows as needed; for hellos of a kilobyte or two. */
class MessageWriter {
  private buf = new Uint8Array(512);
  private at = 4;

  constructor(private readonly type: number) {}

  u8(value: number): this {
    this.reserve(1);
    this.buf[this.at++] = value;
    return this;
  }

  u16(value: number): this {
    return this.u8(value >>> 8).u8(value & 0xff);
  }

  bytes(bytes: Uint8Array): this {
    this.reserve(bytes.length);
    this.buf.set(bytes, this.at);
    this.at += bytes.length;
    return this;
  }

  /** Leaves room for a 16-bit length that `close16` fills in. */
  open16(): number {
    this.u16(0);
    return this.at;
  }

  close16(start: number): void {
    this.buf[start - 2] = (this.at - start) >>> 8;
    this.buf[start - 1] = this.at - start;
  }

  finish(): Uint8Array {
    const message = this.buf.slice(0, this.at);
    setHeader(message, this.type);
    return message;
  }

  private reserve(bytes: number): void {
    if (this.at + bytes <= this.buf.length) return;
    const grown = new Uint8Array(2 * (this.at + bytes));
    grown.set(this.buf.subarray(0, this.at));
    this.buf = grown;
  }
}

class Cursor {
  constructor(
    private readonly buf: Uint8Array,
    private at: number,
  ) {}

  get remaining(): number {
    return this.buf.length - this.at;
  }

  u8(): number {
    this.skip(1);
    return this.buf[this.at - 1];
  }

  u16(): number {
    return (this.u8() << 8) | this.u8();
  }

  skip(bytes: number): void {
    if (bytes > this.remaining) throw new AlertError(ALERT_DECODE_ERROR, "a message ends early");
    this.at += bytes;
  }

  take(bytes: number): Uint8Array {
    this.skip(bytes);
    return this.buf.slice(this.at - bytes, this.at);
  }
}
