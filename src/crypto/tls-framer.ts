/**
 * Looks at the CRYPTO bytes on their way to TLS and stops what no TLS library shall have to judge in QUIC: message
 * types that this peer may not send at this level or in this order (RFC 8446 §4, RFC 9001 §4.1.3, §6, §8.3), messages
 * that are too large, and what only QUIC forbids. On the way it finds the peer's transport parameters (RFC 9001 §8.2).
 *
 * The bytes are forwarded as they came, by the owner, when `push` returned 0. Malformed messages are left to TLS, whose
 * alerts are more exact, save for the transport parameters extension, which is ours.
 *
 * Invariants: at most one message is kept, of MAX_TLS_MESSAGE_BYTES at most, and only of the few types that are read
 * here; memory follows the bytes that arrived, not the length that was announced. After an error nothing is accepted.
 */

import { Reader } from "../base/bytes.js";
import { LEVEL_APP, LEVEL_HANDSHAKE, LEVEL_INITIAL } from "../port/tls.js";
import type { Level } from "../port/tls.js";
import { MAX_ALPN_READ, MAX_TLS_MESSAGE_BYTES } from "../proto/limits.js";
import {
  ALERT_ILLEGAL_PARAMETER,
  ALERT_NO_APPLICATION_PROTOCOL,
  ALERT_UNEXPECTED_MESSAGE,
} from "../proto/tls-alert.js";
import { CRYPTO_BUFFER_EXCEEDED, CRYPTO_ERROR, PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import {
  CLIENT_HELLO,
  type ClientHello,
  EXTENSION_ALPN,
  EXTENSION_EARLY_DATA,
  isHelloRetryRequest,
  NEW_SESSION_TICKET,
  RANDOM_BYTES,
  readChosenAlpn,
  readClientHello,
} from "./hello.js";

/** Handshake message types (RFC 8446 §4). */
const SERVER_HELLO = 2;
const ENCRYPTED_EXTENSIONS = 8;
const CERTIFICATE = 11;
const CERTIFICATE_REQUEST = 13;
const CERTIFICATE_VERIFY = 15;
const FINISHED = 20;
/** Takes the place of Certificate (RFC 8879 §4); whether it was offered is the library's to know. */
const COMPRESSED_CERTIFICATE = 25;

const UNEXPECTED_MESSAGE = CRYPTO_ERROR + ALERT_UNEXPECTED_MESSAGE;
const ILLEGAL_PARAMETER = CRYPTO_ERROR + ALERT_ILLEGAL_PARAMETER;
const NO_APPLICATION_PROTOCOL = CRYPTO_ERROR + ALERT_NO_APPLICATION_PROTOCOL;

const EXTENSION_TRANSPORT_PARAMETERS = 0x39;
/** The one value of max_early_data_size in QUIC (RFC 9001 §4.6.1). */
const EARLY_DATA_UNLIMITED = 0xffffffff;
const HEADER_BYTES = 4;
const NO_BYTES = new Uint8Array(0);

/** A message that may come at a point of the handshake. */
interface Step {
  readonly type: number;
  readonly level: Level;
  /** Index of the point that it leads to. */
  readonly to: number;
}

/**
 * What a client may send, by point of the handshake. The second ClientHello is the answer to HelloRetryRequest; a
 * Certificate without CertificateVerify is an empty one. No TLS message of a client is legal in 1-RTT.
 */
const FROM_CLIENT: readonly (readonly Step[])[] = [
  [step(CLIENT_HELLO, LEVEL_INITIAL, 1)],
  [step(CLIENT_HELLO, LEVEL_INITIAL, 2), ...certificate(3), step(FINISHED, LEVEL_HANDSHAKE, 5)],
  [...certificate(3), step(FINISHED, LEVEL_HANDSHAKE, 5)],
  [step(CERTIFICATE_VERIFY, LEVEL_HANDSHAKE, 4), step(FINISHED, LEVEL_HANDSHAKE, 5)],
  [step(FINISHED, LEVEL_HANDSHAKE, 5)],
  [],
];

/**
 * What a server may send. The first of two ServerHellos is a HelloRetryRequest; without certificates the session is
 * resumed.
 */
const FROM_SERVER: readonly (readonly Step[])[] = [
  [step(SERVER_HELLO, LEVEL_INITIAL, 1)],
  [step(SERVER_HELLO, LEVEL_INITIAL, 2), step(ENCRYPTED_EXTENSIONS, LEVEL_HANDSHAKE, 3)],
  [step(ENCRYPTED_EXTENSIONS, LEVEL_HANDSHAKE, 3)],
  [step(CERTIFICATE_REQUEST, LEVEL_HANDSHAKE, 4), ...certificate(5), step(FINISHED, LEVEL_HANDSHAKE, 7)],
  certificate(5),
  [step(CERTIFICATE_VERIFY, LEVEL_HANDSHAKE, 6)],
  [step(FINISHED, LEVEL_HANDSHAKE, 7)],
  [step(NEW_SESSION_TICKET, LEVEL_APP, 7)],
];

export class TlsFramer {
  /** Body of the peer's quic_transport_parameters, of its latest message that has one; null = not seen. */
  peerParams: Uint8Array | null = null;
  /**
   * The message that carries them (ClientHello, EncryptedExtensions) has come whole and well-formed: with `peerParams`
   * null this is missing_extension, 0x16d (RFC 9001 §8.2).
   */
  sawParamsMessage = false;
  /** Set by a server that may accept 0-RTT: the first ClientHello is looked into and kept in `hello`. */
  wantsHello = false;
  hello: ClientHello | null = null;
  /** At a client: what HelloRetryRequest or EncryptedExtensions said of 0-RTT (RFC 9001 §4.6.2); null before. */
  earlyDataAccepted: boolean | null = null;
  /** At a client: the latest ticket allows 0-RTT, and the server would not ask for another hello before. */
  ticketAllowsEarlyData = false;
  private chosenAlpn: string | null = null;
  /** At a client: the protocols of its own ClientHello; empty = not known, or too many to tell. */
  private offeredAlpn: readonly string[] = [];
  private sawRetry = false;
  private readonly steps: readonly (readonly Step[])[];
  private point = 0;
  private error = 0;
  /** Where the message in progress began. */
  private level: Level = LEVEL_INITIAL;
  private readonly header = [0, 0, 0, 0];
  private headerBytes = 0;
  /** Bytes of the message body still to come. */
  private bodyLeft = 0;
  /** The body so far, of a message that is read here. */
  private body = NO_BYTES;
  private bodyBytes = 0;

  /** `isServer`: this side; the messages are the other's. */
  constructor(isServer: boolean) {
    this.steps = isServer ? FROM_CLIENT : FROM_SERVER;
  }

  /** What this side's TLS sends in Initial packets. */
  noteSent(bytes: Uint8Array): void {
    const body = bytes.subarray(HEADER_BYTES);
    if (bytes[0] === SERVER_HELLO) this.sawRetry = isHelloRetryRequest(body, body.length);
    if (bytes[0] !== CLIENT_HELLO) return;
    const { alpn } = readClientHello(body, body.length);
    this.offeredAlpn = alpn.length < MAX_ALPN_READ ? alpn : [];
  }

  /**
   * The next in-order bytes of the CRYPTO stream of `level`, cut anywhere. Returns 0, or the error to close with: then
   * none of these bytes may go to TLS.
   */
  push(level: Level, buf: Uint8Array, start: number, end: number): number {
    let pos = start;
    while (pos < end && this.error === 0) {
      if (this.headerBytes === 0) this.level = level;
      else if (level !== this.level) return this.fail(PROTOCOL_VIOLATION); // RFC 9001 §4.1.3
      pos = this.headerBytes < HEADER_BYTES ? this.takeHeader(buf, pos) : this.takeBody(buf, pos, end);
      if (this.error === 0 && this.headerBytes === HEADER_BYTES && this.bodyLeft === 0) this.endMessage();
    }
    return this.error;
  }

  /** A message of this level has begun and not ended: a violation when TLS moves on (RFC 9001 §4.1.3). */
  hasPartial(level: Level): boolean {
    return this.headerBytes > 0 && this.level === level;
  }

  private takeHeader(buf: Uint8Array, pos: number): number {
    this.header[this.headerBytes++] = buf[pos];
    // The type decides, so a message that may not come is not waited for.
    if (this.headerBytes === 1) this.checkType(buf[pos]);
    if (this.headerBytes === HEADER_BYTES) {
      const { header } = this;
      this.bodyLeft = (header[1] << 16) | (header[2] << 8) | header[3];
      if (this.bodyLeft > MAX_TLS_MESSAGE_BYTES) this.fail(CRYPTO_BUFFER_EXCEEDED);
    }
    return pos + 1;
  }

  private checkType(type: number): void {
    // RFC 9001 §4.1.3: after its hello a side moves on to the next level, unless there is a HelloRetryRequest
    const isOver = this.level === LEVEL_INITIAL && this.point > 0 && !(this.sawRetry && this.point === 1);
    if (isOver) {
      this.fail(PROTOCOL_VIOLATION);
      return;
    }
    for (const step of this.steps[this.point]) {
      if (step.type !== type || step.level !== this.level) continue;
      this.point = step.to;
      return;
    }
    // RFC 9001 §4.4 has a code of its own for authentication asked for after the handshake.
    const isLateRequest = this.steps === FROM_SERVER && type === CERTIFICATE_REQUEST && this.level === LEVEL_APP;
    this.fail(isLateRequest ? PROTOCOL_VIOLATION : UNEXPECTED_MESSAGE);
  }

  private takeBody(buf: Uint8Array, pos: number, end: number): number {
    const taken = Math.min(this.bodyLeft, end - pos);
    this.bodyLeft -= taken;
    if (isRead(this.header[0])) this.keep(buf, pos, pos + taken);
    return pos + taken;
  }

  private keep(buf: Uint8Array, start: number, end: number): void {
    const needed = this.bodyBytes + (end - start);
    if (needed > this.body.length) {
      const larger = new Uint8Array(Math.min(MAX_TLS_MESSAGE_BYTES, Math.max(needed, 2 * this.body.length)));
      larger.set(this.body.subarray(0, this.bodyBytes));
      this.body = larger;
    }
    this.body.set(buf.subarray(start, end), this.bodyBytes);
    this.bodyBytes = needed;
  }

  private endMessage(): void {
    const type = this.header[0];
    const reader = new Reader();
    reader.reset(this.body, 0, this.bodyBytes);
    if (type === CLIENT_HELLO) this.readClientHello(reader);
    else if (type === SERVER_HELLO) this.readServerHello();
    else if (type === ENCRYPTED_EXTENSIONS) this.readEncryptedExtensions(reader);
    else if (type === NEW_SESSION_TICKET) this.readTicket(reader);
    this.headerBytes = 0;
    this.body = NO_BYTES;
    this.bodyBytes = 0;
  }

  /** A HelloRetryRequest refuses 0-RTT (RFC 9001 §4.6.2). */
  private readServerHello(): void {
    if (!isHelloRetryRequest(this.body, this.bodyBytes)) return;
    this.earlyDataAccepted = false;
    this.sawRetry = true;
  }

  private readEncryptedExtensions(reader: Reader): void {
    const hasEarlyData = this.readParams(reader);
    this.earlyDataAccepted ??= hasEarlyData;
    const { offeredAlpn, chosenAlpn } = this;
    // RFC 9001 §8.1; libraries have different alerts for it, or none
    if (!this.sawParamsMessage || offeredAlpn.length === 0) return;
    if (chosenAlpn === null || !offeredAlpn.includes(chosenAlpn)) this.fail(NO_APPLICATION_PROTOCOL);
  }

  private readClientHello(reader: Reader): void {
    if (this.wantsHello) this.hello ??= readClientHello(this.body, this.bodyBytes);
    reader.u16(); // legacy_version
    reader.skip(RANDOM_BYTES);
    const sessionIdBytes = reader.u8();
    reader.skip(sessionIdBytes);
    reader.skip(reader.u16()); // cipher_suites
    reader.skip(reader.u8()); // legacy_compression_methods
    if (!reader.ok) return;
    if (sessionIdBytes > 0)
      this.fail(PROTOCOL_VIOLATION); // RFC 9001 §8.4
    else if (reader.remaining > 0) this.readParams(reader);
    else this.sawParamsMessage = true; // a hello from before extensions
  }

  /**
   * Finds extension 0x39 in the extensions block that is the rest of the message. True = early_data is there too, and
   * the message is well-formed.
   */
  private readParams(reader: Reader): boolean {
    this.peerParams = null;
    this.sawParamsMessage = false;
    let params: Uint8Array | null = null;
    if (reader.u16() !== reader.remaining) return false;
    const seen = new Set<number>();
    while (reader.remaining > 0) {
      const type = reader.u16();
      const length = reader.u16();
      // RFC 8446 §4.2; libraries have different alerts for it
      if (seen.has(type)) this.fail(ILLEGAL_PARAMETER);
      seen.add(type);
      if (type === EXTENSION_TRANSPORT_PARAMETERS) params = reader.take(length);
      else if (type === EXTENSION_ALPN && this.steps === FROM_SERVER) this.chosenAlpn = readChosenAlpn(reader, length);
      else reader.skip(length);
    }
    if (!reader.ok || this.error !== 0) return false;
    this.peerParams = params;
    this.sawParamsMessage = true;
    return seen.has(EXTENSION_EARLY_DATA);
  }

  /** RFC 9001 §4.6.1: a ticket allows 0-RTT without limit or not at all. */
  private readTicket(reader: Reader): void {
    reader.u32(); // ticket_lifetime
    reader.u32(); // ticket_age_add
    reader.skip(reader.u8()); // ticket_nonce
    reader.skip(reader.u16()); // ticket
    reader.u16(); // length of the extensions
    this.ticketAllowsEarlyData = false;
    while (reader.remaining > 0) {
      const type = reader.u16();
      const length = reader.u16();
      const start = reader.skip(length);
      if (!reader.ok || type !== EXTENSION_EARLY_DATA || length !== 4) continue;
      const at = new Reader();
      at.reset(this.body, start, start + length);
      if (at.u32() !== EARLY_DATA_UNLIMITED) this.fail(PROTOCOL_VIOLATION);
      this.ticketAllowsEarlyData = !this.sawRetry;
    }
  }

  private fail(code: number): number {
    this.error = code;
    return code;
  }
}

/** Types whose body is looked into. */
function isRead(type: number): boolean {
  switch (type) {
    case CLIENT_HELLO:
    case SERVER_HELLO:
    case ENCRYPTED_EXTENSIONS:
    case NEW_SESSION_TICKET:
      return true;
    default:
      return false;
  }
}

/** Certificate, compressed or not. */
function certificate(to: number): Step[] {
  return [step(CERTIFICATE, LEVEL_HANDSHAKE, to), step(COMPRESSED_CERTIFICATE, LEVEL_HANDSHAKE, to)];
}

function step(type: number, level: Level, to: number): Step {
  return { type, level, to };
}
