/**
 * TLS 1.3 for QUIC as message passing (RFC 9001 §4): `put` bytes of a CRYPTO stream, `take` results, now or later.
 * Nothing is called back from inside `put`, so that a provider may live in another thread or process; when results
 * come later, the session calls `onResults` once and the owner drains.
 *
 * The engine's framer screens what goes in (message types by level and role) and parses transport parameters itself;
 * the provider carries them as opaque bytes.
 */

import type { AeadId } from "./aead.js";

export const LEVEL_INITIAL = 0;
export const LEVEL_EARLY = 1;
export const LEVEL_HANDSHAKE = 2;
export const LEVEL_APP = 3;
export type Level = typeof LEVEL_INITIAL | typeof LEVEL_EARLY | typeof LEVEL_HANDSHAKE | typeof LEVEL_APP;
export const LEVELS = 4;

/** One thing that TLS produced, in the order in which it produced them. */
export type TlsResult =
  /** CRYPTO bytes to send at `level` (INITIAL, HANDSHAKE or APP). */
  | { kind: "send"; level: Level; bytes: Uint8Array }
  /** A traffic secret (RFC 9001 §5.1). `direction` is as seen from this side. */
  | { kind: "secret"; level: Level; direction: "read" | "write"; aead: AeadId; secret: Uint8Array }
  /** The peer's quic_transport_parameters extension, body only. May come again after HelloRetryRequest. */
  | { kind: "peer-params"; bytes: Uint8Array }
  /** The handshake is complete here (RFC 9001 §4.1.1). At a server nothing follows, tickets were sent: it can be closed. */
  | { kind: "done"; info: TlsInfo }
  /** Client: a session to resume with, opaque to all but the same provider. */
  | { kind: "ticket"; bytes: Uint8Array }
  /** One line in NSS key log format, without newline; only when asked for. */
  | { kind: "keylog"; line: string }
  /**
   * TLS failed; nothing follows. `alert` is the TLS alert number (RFC 8446 §6). `code` is a system error (`ETIMEDOUT`) where
   * not TLS itself failed but whoever does it.
   */
  | { kind: "alert"; alert: number; message: string; code?: string };

export interface TlsInfo {
  /** Negotiated ALPN protocol, "" for none. */
  alpn: string;
  /** SNI: what the client asked for; "" when it sent none. */
  serverName: string;
  /** IANA cipher suite name, e.g. TLS_AES_128_GCM_SHA256. */
  cipher: string;
  /** Key exchange group as the library names it, "" when unknown. */
  group: string;
  resumed: boolean;
  /** Identity of the pre-shared key that both sides proved to have, "" for none. Those of a ticket do not count. */
  pskIdentity: string;
  earlyDataAccepted: boolean;
  /** Peer's certificate chain, DER, leaf first; empty when none was sent (or the session was resumed). */
  peerCertificates: Uint8Array[];
  /** "" = verified; else why not (with verify "report" only), e.g. `DEPTH_ZERO_SELF_SIGNED_CERT`. */
  verifyError: string;
  /** Names that an agent gave the peer by what its certificate says; missing where nobody gives any. */
  tags?: string[];
}

/** A certificate chain with its key, PEM text. */
export interface TlsIdentity {
  cert: string;
  key: string;
  /** One of ML-DSA (FIPS 204), shown to peers that can verify it; OpenSSL 3.5 only. */
  postQuantum?: { cert: string; key: string };
}

/** In the message of an alert that a server raised because it knows no key of the identity which the client named. */
export const UNKNOWN_PSK_IDENTITY = "unknown PSK identity";

/** A key that both sides were given beforehand (RFC 8446 §4.2.11), used with a key exchange and with SHA-256. */
export interface TlsPsk {
  /** 1 to 65,535 bytes of UTF-8; everyone on the way can read it. */
  identity: string;
  /** 16 to 256 bytes that nobody can guess (RFC 9257 §6): no password. */
  key: Uint8Array;
}

/** What client and server share. */
interface TlsCommonConfig {
  /** ALPN protocols in order of preference; at least one (RFC 9001 §8.1). */
  alpn: string[];
  /** Trust anchors, PEM; undefined = the runtime's default store. An empty array trusts nothing. */
  ca?: string[];
  /**
   * Revocation lists, PEM (RFC 5280 §5), one or several in each text. A peer's certificate, or one above it, that its issuer's list
   * names is revoked; an issuer need not have a list, and one that is out of date still counts. One with the name of an anchor
   * and not its signature is refused with the configuration; one of another authority is checked when a chain shows who that is.
   */
  crl?: string[];
  /** `TLS_AES_128_GCM_SHA256:...`, IANA names joined by colons; default all that the engine supports. */
  ciphers?: string;
  /** Key exchange groups in order, OpenSSL names: `X25519:P-256`. */
  groups?: string;
  keylog?: boolean;
  /**
   * In place of certificates, which are then neither shown nor taken: a client offers the first, a server takes any. Ciphers of
   * another hash than SHA-256 are left out. An identity or a key that is wrong is alert 51 (decrypt_error) at the server.
   */
  psk?: TlsPsk[];
}

export interface TlsClientConfig extends TlsCommonConfig {
  /** SNI and the name (or IP address) that the certificate must be valid for. */
  serverName: string;
  /**
   * `strict`: chain and name must verify. `report`: the handshake goes on and TlsInfo.verifyError says what was wrong:
   * only for a caller that then decides by itself (pinned hash, manual).
   */
  verify: "strict" | "report";
  identity?: TlsIdentity;
  /** From an earlier `ticket` result of the same provider. */
  ticket?: Uint8Array;
  /** Offer 0-RTT when the ticket allows it: a write secret of LEVEL_EARLY says that it was offered. */
  earlyData?: boolean;
}

export interface TlsServerConfig extends TlsCommonConfig {
  /** By SNI host name, lower case; `*` is the default and `*.example.org` one label. At least one, or none with `psk`. */
  identities: Record<string, TlsIdentity>;
  /** `require` fails the handshake without a valid client certificate; `request` reports through verifyError. */
  clientCertificate?: "ignore" | "request" | "require";
  /** Secret for stateless tickets, 32 bytes or more; default random for each context. */
  ticketSecret?: Uint8Array;
  /** Tickets allow 0-RTT; see {@link TlsSession.allowEarlyData}. A read secret of LEVEL_EARLY says that it is accepted. */
  earlyData?: boolean;
}

/**
 * A parsed configuration, made once and shared by many sessions. The factory throws when something is wrong with it; where
 * TLS is in another process, its sessions end in alert 80 instead.
 */
export interface TlsContext {
  readonly isServer: boolean;
  /** `transportParams` is the local quic_transport_parameters extension body. `serverName` and `ticket` override the
   *  context's (client only). */
  newSession(options: TlsSessionOptions): TlsSession;
  close(): void;
}

export interface TlsSessionOptions {
  transportParams: Uint8Array;
  serverName?: string;
  ticket?: Uint8Array;
  /** Client: false = 0-RTT is not offered, whatever the context says. */
  earlyData?: boolean;
  /** Server: tickets that it makes, and tickets that it takes, are for sessions of the same scope: a QUIC version. */
  ticketScope?: number;
  /** Server: of the ClientHello that will be put. Tickets that the session makes and takes are then for this server name and for
   *  the protocol that this hello leads to only; a second hello that says otherwise is alert 47 (illegal_parameter). */
  hello?: HelloNames;
}

/** What a ClientHello asks for, a character for each byte. */
export interface HelloNames {
  /** SNI, "" for none. */
  readonly serverName: string;
  /** By the client's preference. */
  readonly alpn: readonly string[];
}

export interface TlsSession {
  /** Gives TLS in-order bytes of the CRYPTO stream of `level`. A client session starts by itself: its first flight is
   *  there before any `put` (now or later). */
  put(level: Level, bytes: Uint8Array): void;
  /** Server, before the ClientHello is complete: 0-RTT that the client offers may be accepted if `alpn` is negotiated.
   *  Without this call it never is: only the owner knows whether a ticket is fresh (RFC 8446 §8). */
  allowEarlyData(alpn: string): void;
  /** The next result, or null when there is none now. */
  take(): TlsResult | null;
  /** Set by the owner: called (never from inside put or take) when results became available later. */
  onResults: (() => void) | null;
  /** A server's may send tickets after `done`, so that the owner does not close it there. Default false. */
  readonly sendsLater?: boolean;
  /** Frees everything; idempotent; put and take after it do nothing. */
  close(): void;
}

export interface TlsProvider {
  /** `openssl` or `gnutls` for the libraries; tests and agents have other names. */
  readonly name: string;
  /** For people: `OpenSSL 3.5.8`. */
  readonly version: string;
  newClientContext(config: TlsClientConfig): TlsContext;
  newServerContext(config: TlsServerConfig): TlsContext;
}
