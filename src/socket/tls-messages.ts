/**
 * TLS by messages, as Linux has it: the program, or a library for it, does the handshake. What the peer's TLS says comes out
 * of `recvmsg`, what ours says goes into `sendmsg`, and secrets are set by CRYPTO_SECRET. To the engine this is one more
 * TLS provider (port/tls).
 *
 * Invariant: results leave in the order in which the program gave them, and nothing leaves after `close`.
 */

import { concatBytes } from "../base/bytes.js";
import type { AeadId } from "../port/aead.js";
import type { Level, TlsContext, TlsInfo, TlsResult, TlsSession, TlsSessionOptions } from "../port/tls.js";
import { QUIC_CRYPTO_APP, QUIC_CRYPTO_INITIAL } from "./numbers.js";
import { cryptoOfLevel, levelOfCrypto } from "./tls-numbers.js";

/** Longest NewSessionTicket message that a socket keeps, bytes (Linux: 4096). */
export const MAX_TICKET_BYTES = 4096;
const HEADER_BYTES = 4;

export interface TlsOwner {
  /** Protocols of the socket; when the handshake is complete, the one that was chosen. */
  readonly alpn: readonly string[];
  /** Both sides have 1-RTT keys. */
  onTlsComplete(): void;
}

export class MessageTls implements TlsContext, TlsSession {
  onResults: (() => void) | null = null;
  /** Local quic_transport_parameters, for TLS; empty before there is a connection. */
  transportParams: Uint8Array = new Uint8Array(0);
  /** Client: what the engine kept of an earlier session, and whether it allows 0-RTT with it. */
  ticket: Uint8Array | null = null;
  offersEarlyData = false;
  /** Server: 0-RTT may be accepted with this protocol; null = not. */
  earlyAlpn: string | null = null;
  /** What the end of the handshake will say; who does the handshake may know more than we, and writes it here. */
  info: TlsInfo = {
    alpn: "",
    serverName: "",
    cipher: "",
    group: "",
    resumed: false,
    pskIdentity: "",
    earlyDataAccepted: false,
    peerCertificates: [],
    verifyError: "",
  };
  /** Server: the program may send tickets when the handshake is complete. */
  sendsLater = true;
  private readonly results: TlsResult[] = [];
  /** Client: what was said before the server has answered. */
  private hello: TlsResult[] = [];
  private closed = false;
  /** MSG_MORE: the last message waits for the next one. */
  private holds = false;
  /** Bits of QUIC_CRYPTO_* levels that can be sent at, and of directions with 1-RTT secrets. */
  private writeLevels = 1 << QUIC_CRYPTO_INITIAL;
  private appSecrets = 0;

  /** `onMessage`: the peer's TLS said this, QUIC_CRYPTO_* level. */
  constructor(
    readonly isServer: boolean,
    private readonly owner: TlsOwner,
    public onMessage: (level: number, bytes: Uint8Array) => void,
  ) {}

  // --- TlsContext, of one session --------------------------------------------------------------------------------------

  newSession({ transportParams, ticket, earlyData }: TlsSessionOptions): TlsSession {
    this.transportParams = transportParams;
    this.ticket = ticket ?? null;
    this.offersEarlyData = earlyData === true;
    if (this.closed) this.sayAgain();
    return this;
  }

  // --- TlsSession -------------------------------------------------------------------------------------------------------

  put(level: Level, bytes: Uint8Array): void {
    this.hello = [];
    if (!this.closed) this.onMessage(cryptoOfLevel(level), bytes);
  }

  allowEarlyData(alpn: string): void {
    this.earlyAlpn = alpn;
  }

  take(): TlsResult | null {
    return this.closed ? null : (this.results.shift() ?? null);
  }

  close(): void {
    this.closed = true;
    this.results.length = 0;
  }

  // --- the program -------------------------------------------------------------------------------------------------------

  /**
   * A TLS message to send at QUIC_CRYPTO_* `level`; with `more` it waits for the next one, to share its datagram. False
   * when there are no keys of that level, or the connection is gone. What is held leaves with the end of the handshake at the latest.
   */
  send(level: number, bytes: Uint8Array, more: boolean): boolean {
    const known = levelOfCrypto(level);
    if (known < 0 || (this.writeLevels & (1 << level)) === 0) return false;
    const message: TlsResult = { kind: "send", level: known as Level, bytes: bytes.slice() };
    if (level === QUIC_CRYPTO_INITIAL && !this.isServer) this.hello.push(message);
    this.holds = more;
    return this.give(message);
  }

  /** A traffic secret. With both of level APP the handshake is complete. */
  setSecret(level: number, direction: "read" | "write", aead: AeadId, secret: Uint8Array): boolean {
    const known = levelOfCrypto(level);
    if (known < 0) return false;
    const given = this.give({ kind: "secret", level: known as Level, direction, aead, secret: secret.slice() });
    if (given && direction === "write") this.writeLevels |= 1 << level;
    if (!given || level !== QUIC_CRYPTO_APP) return given;
    this.appSecrets |= direction === "read" ? 1 : 2;
    if (this.appSecrets !== 3) return true;
    const [alpn = ""] = this.owner.alpn;
    this.holds = false;
    this.give({ kind: "done", info: { ...this.info, alpn } });
    this.owner.onTlsComplete();
    return true;
  }

  /** Client: a session of the TLS library, which the engine keeps with what 0-RTT has to know. */
  keepTicket(bytes: Uint8Array): boolean {
    return this.give({ kind: "ticket", bytes });
  }

  /** TLS failed with this alert (RFC 8446 §6). */
  fail(alert: number, message: string): boolean {
    this.holds = false;
    return this.give({ kind: "alert", alert, message });
  }

  /** The server has asked for another version before it looked at the ClientHello (RFC 9000 §6.2). */
  private sayAgain(): void {
    this.closed = false;
    this.results.push(...this.hello);
  }

  private give(result: TlsResult): boolean {
    if (this.closed) return false;
    this.results.push(result);
    if (!this.holds) this.onResults?.();
    return true;
  }
}

/** Finds the first NewSessionTicket in what a server's TLS says in 1-RTT (RFC 8446 §4.6.1); as in Linux, later ones go. */
export class FirstTicket {
  private bytes: Uint8Array | null = new Uint8Array(0);

  /** The next bytes of the CRYPTO stream. The message with its header, once it is whole; one that is too long never is. */
  push(bytes: Uint8Array): Uint8Array | null {
    if (this.bytes === null) return null;
    this.bytes = concatBytes(this.bytes, bytes.subarray(0, MAX_TICKET_BYTES));
    if (this.bytes.length < HEADER_BYTES) return null;
    const [, high = 0, middle = 0, low = 0] = this.bytes;
    const length = HEADER_BYTES + ((high << 16) | (middle << 8) | low);
    const message = length <= this.bytes.length ? this.bytes.slice(0, length) : null;
    if (message !== null || length > MAX_TICKET_BYTES) this.bytes = null;
    return message;
  }
}
