/**
 * TLS by messages, as Linux has it: the program, or a library for it, does the handshake. What the peer's TLS says comes out
 * of `recvmsg`, what ours says goes into `sendmsg`, and secrets are set by CRYPTO_SECRET. To the engine this is one more
 * TLS provider (port/tls).
 *
 * Invariant: results leave in the order in which the program gave them, and nothing leaves after `close`.
 */

import type { AeadId } from "../port/aead.js";
import {
  LEVEL_APP,
  LEVEL_EARLY,
  LEVEL_HANDSHAKE,
  LEVEL_INITIAL,
  type Level,
  type TlsContext,
  type TlsInfo,
  type TlsResult,
  type TlsSession,
  type TlsSessionOptions,
} from "../port/tls.js";
import { QUIC_CRYPTO_APP, QUIC_CRYPTO_EARLY, QUIC_CRYPTO_HANDSHAKE, QUIC_CRYPTO_INITIAL } from "./numbers.js";

/** By QUIC_CRYPTO_*. */
const LEVELS: readonly Level[] = [LEVEL_APP, LEVEL_INITIAL, LEVEL_HANDSHAKE, LEVEL_EARLY];
/** By LEVEL_*. */
const CRYPTO_LEVELS = [QUIC_CRYPTO_INITIAL, QUIC_CRYPTO_EARLY, QUIC_CRYPTO_HANDSHAKE, QUIC_CRYPTO_APP];

export interface TlsMessages {
  /** The peer's TLS said this, QUIC_CRYPTO_* level. */
  onMessage(level: number, bytes: Uint8Array): void;
}

export class MessageTls implements TlsContext, TlsSession {
  onResults: (() => void) | null = null;
  /** Local quic_transport_parameters, for TLS; empty before there is a connection. */
  transportParams: Uint8Array = new Uint8Array(0);
  /** What `done` will say; the program may know more than we. */
  readonly info: TlsInfo;
  private readonly results: TlsResult[] = [];
  /** A library does the handshake and says when it is complete: a server's secrets may come before. */
  isDriven = false;
  private closed = false;
  /** Bits of directions with 1-RTT secrets. */
  private appSecrets = 0;

  constructor(
    readonly isServer: boolean,
    private readonly sink: TlsMessages,
  ) {
    this.info = {
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
  }

  // --- TlsContext, of one session --------------------------------------------------------------------------------------

  newSession(options: TlsSessionOptions): TlsSession {
    this.transportParams = options.transportParams;
    return this;
  }

  // --- TlsSession -------------------------------------------------------------------------------------------------------

  put(level: Level, bytes: Uint8Array): void {
    if (!this.closed) this.sink.onMessage(CRYPTO_LEVELS[level] ?? QUIC_CRYPTO_APP, bytes);
  }

  allowEarlyData(): void {}

  take(): TlsResult | null {
    return this.closed ? null : (this.results.shift() ?? null);
  }

  close(): void {
    this.closed = true;
    this.results.length = 0;
  }

  // --- the program -------------------------------------------------------------------------------------------------------

  /** A TLS message to send at QUIC_CRYPTO_* `level`; false when the connection is gone. */
  send(level: number, bytes: Uint8Array): boolean {
    return this.give({ kind: "send", level: LEVELS[level] as Level, bytes: bytes.slice() });
  }

  /** A traffic secret. With both of level APP the handshake is complete. */
  setSecret(level: number, direction: "read" | "write", aead: AeadId, secret: Uint8Array): boolean {
    const given = this.give({ kind: "secret", level: LEVELS[level] as Level, direction, aead, secret: secret.slice() });
    if (!given || this.isDriven || level !== QUIC_CRYPTO_APP) return given;
    this.appSecrets |= direction === "read" ? 1 : 2;
    return this.appSecrets === 3 ? this.give({ kind: "done", info: this.info }) : true;
  }

  /** The handshake is complete (RFC 9001 §4.1.1), where a library does it. */
  complete(info: TlsInfo): boolean {
    return this.give({ kind: "done", info });
  }

  /** TLS failed with this alert (RFC 8446 §6). */
  fail(alert: number, message: string): boolean {
    return this.give({ kind: "alert", alert, message });
  }

  private give(result: TlsResult): boolean {
    if (this.closed) return false;
    this.results.push(result);
    this.onResults?.();
    return true;
  }
}
