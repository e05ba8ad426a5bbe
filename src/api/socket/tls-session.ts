/**
 * A TLS session of this process that is prepared for a handshake and then gives its steps: what libquic does with a GnuTLS
 * session. It knows nothing of the socket; `handshake` brings the two together.
 */

import { createHash, randomBytes } from "node:crypto";
import type { TlsClientConfig, TlsContext, TlsProvider, TlsPsk, TlsServerConfig, TlsSession } from "../../port/tls.js";
import { joinAlpnList, parseAlpnList } from "../../socket/alpn-list.js";
import { EINVAL } from "../../socket/errno.js";
import { type HandshakeStep, HandshakeSteps, QUIC_HANDSHAKE_OP_RECVMSG } from "../../socket/handshake-steps.js";
import { CIPHERS, cipherOfType } from "../../socket/tls-numbers.js";
import { agentFor, sharedTls, tlsAt, wantsKeylogFile, writeKeylogFile } from "../environment.js";
import { handshakeError, socketError } from "./system-error.js";

interface CommonSessionOptions {
  /** Protocols, a comma list; default those of the socket. */
  alpn?: string;
  /** In place of certificates; a client offers the first. */
  psk?: TlsPsk[];
  /** Trust anchors, PEM; default those of the runtime. */
  ca?: string[];
  /** TLS_CIPHER_*, 0 = any; default `payload_cipher_type` of the socket. */
  cipherType?: number;
  /** 0-RTT: a client offers it, a server takes it. Default false. */
  earlyData?: boolean;
}

export interface ClientSessionOptions extends CommonSessionOptions {
  /** SNI, and the name that the certificate must be valid for; may be "" with `psk`. */
  serverName: string;
  /** Certificate and key, PEM, for a server that asks. */
  identity?: { cert: string; key: string };
}

export interface ServerSessionOptions extends CommonSessionOptions {
  /** Certificate chain and key, PEM; not with `psk`. */
  cert?: string;
  key?: string;
  /** `certificate_request` of option CONFIG, which is the default. */
  certificateRequest?: number;
}

/** What a session needs to know of the socket's connection. */
export interface SessionStart {
  transportParams: Uint8Array;
  /** Client: data of an earlier session. */
  ticket?: Uint8Array | null;
  /** Server: key for tickets. */
  ticketKey?: Uint8Array;
  /** Server: 0-RTT may be accepted with this protocol. */
  earlyAlpn?: string | null;
  /** QUIC version. */
  version?: number;
}

/** By `certificate_request`. */
const CERTIFICATE_REQUEST = ["ignore", "request", "require", "ignore"] as const;
const MAX_ALPN_CHARS = 64;
const MAX_ALPN_NAMES = 5;

/** Who the peer proved to be. */
export interface HandshakePeer {
  /** DER, leaf first; empty when it showed none, or the session was resumed. */
  certificates: readonly Uint8Array[];
  /** Identity of its pre-shared key, "" for none. */
  pskIdentity: string;
  /** Names that a handshake agent gives it by what its certificate says. */
  tags: readonly string[];
}

export class QuicTlsSession {
  alpn: string[];
  /** Client: to resume with. */
  data: Uint8Array = new Uint8Array(0);
  peer: HandshakePeer | null = null;
  private started: { context: TlsContext | null; session: TlsSession; steps: HandshakeSteps } | null = null;

  constructor(
    readonly isServer: boolean,
    private readonly options: ClientSessionOptions | ServerSessionOptions,
  ) {
    this.alpn = options.alpn === undefined ? [] : alpnNames(options.alpn);
  }

  /** @throws SocketError EINVAL when it has begun, without a protocol, and for what the TLS library does not take */
  start(start: SessionStart, provider = this.provider()): HandshakeSteps {
    if (this.started !== null || this.alpn.length === 0) throw socketError("handshake", -EINVAL);
    const context = this.context(start, provider);
    const { transportParams, version = 0, earlyAlpn = null } = start;
    const ticket = start.ticket ?? (this.data.length > 0 ? this.data : null);
    const session = context.newSession({
      transportParams,
      ...(!this.isServer && ticket !== null && { ticket }),
      ...(this.isServer && { ticketScope: version }),
    });
    if (earlyAlpn !== null && this.options.earlyData === true) session.allowEarlyData(earlyAlpn);
    const steps = new HandshakeSteps(session);
    this.started = { context: this.isServer ? null : context, session, steps };
    return steps;
  }

  /** Null before `start`, and after `close`. */
  get steps(): HandshakeSteps | null {
    return this.started?.steps ?? null;
  }

  /** Called when TLS has something to say later. */
  set onResults(wake: (() => void) | null) {
    if (this.started !== null) this.started.session.onResults = wake;
  }

  /** Keeps what came: the latest session data, and lines for SSLKEYLOGFILE. */
  settle(): void {
    const { steps } = this;
    for (const line of steps?.keylog.splice(0) ?? []) writeKeylogFile(line);
    if (steps?.info != null) {
      const { alpn, peerCertificates: certificates, pskIdentity, tags = [] } = steps.info;
      this.alpn = [alpn];
      this.peer = { certificates, pskIdentity, tags };
    }
    this.data = steps?.tickets.at(-1) ?? this.data;
  }

  /** Frees what TLS holds. */
  close(): void {
    this.started?.session.close();
    this.started?.context?.close();
    this.started = null;
  }

  private context(start: SessionStart, provider: TlsProvider): TlsContext {
    try {
      return this.isServer ? this.serverContext(start, provider) : this.clientContext(provider);
    } catch (error) {
      throw socketError("handshake", -EINVAL, (error as Error).message, error);
    }
  }

  private common(): Pick<TlsClientConfig, "alpn" | "ciphers" | "ca" | "psk" | "earlyData" | "keylog"> {
    const { ca, psk, cipherType = 0, earlyData } = this.options;
    const cipher = cipherOfType(cipherType);
    return {
      alpn: this.alpn,
      ciphers: cipher?.suite ?? CIPHERS.map(({ suite }) => suite).join(":"),
      keylog: wantsKeylogFile(),
      ...(ca !== undefined && { ca }),
      ...(psk !== undefined && { psk }),
      ...(earlyData !== undefined && { earlyData }),
    };
  }

  /** That of NETQUIC_AGENT for who brings no key, else this process's. */
  private provider(): TlsProvider {
    const { psk, identity, cert } = this.options as Partial<ClientSessionOptions & ServerSessionOptions>;
    return tlsAt(agentFor(undefined, psk !== undefined || identity !== undefined || cert !== undefined));
  }

  private clientContext(provider: TlsProvider): TlsContext {
    const { serverName, identity } = this.options as ClientSessionOptions;
    const own = { serverName, verify: "strict", ...(identity !== undefined && { identity }) } as const;
    return provider.newClientContext({ ...this.common(), ...own });
  }

  private serverContext({ ticketKey }: SessionStart, provider: TlsProvider): TlsContext {
    const { cert, key = "", psk, certificateRequest = 0 } = this.options as ServerSessionOptions;
    const identities: TlsServerConfig["identities"] = cert === undefined ? {} : { "*": { cert, key } };
    const clientCertificate = psk === undefined ? CERTIFICATE_REQUEST[certificateRequest] : "ignore";
    return sharedContext(provider, {
      ...this.common(),
      identities,
      clientCertificate: clientCertificate ?? "ignore",
      ticketSecret: ticketKey ?? defaultTicketSecret,
    });
  }
}

/** Of this process: tickets of its servers open as long as it runs. */
const defaultTicketSecret = randomBytes(32);
const MAX_CONTEXTS = 32;
const contextsOf = new WeakMap<TlsProvider, Map<string, TlsContext>>();

/**
 * A context of this configuration, for many connections: certificates are parsed once, and GnuTLS refuses 0-RTT with tickets
 * that are older than its context. Of those that were not used for longest one goes; sessions keep what they need of it.
 */
function sharedContext(provider: TlsProvider, config: TlsServerConfig): TlsContext {
  const contexts = contextsOf.get(provider) ?? new Map<string, TlsContext>();
  contextsOf.set(provider, contexts);
  const key = createHash("sha256").update(JSON.stringify(config)).digest("base64"); // no secret stays in it
  const context = contexts.get(key) ?? provider.newServerContext(config);
  contexts.delete(key);
  contexts.set(key, context);
  for (const [oldest, old] of contexts) {
    if (contexts.size <= MAX_CONTEXTS) break;
    contexts.delete(oldest);
    old.close();
  }
  return context;
}

/** A client's session, for `quic_handshake` or `quic_handshake_init`. @throws SocketError EINVAL for its `alpn` */
export function quic_client_session(options: ClientSessionOptions): QuicTlsSession {
  return new QuicTlsSession(false, options);
}

/** A server's session, for one connection. @throws SocketError EINVAL for its `alpn` */
export function quic_server_session(options: ServerSessionOptions): QuicTlsSession {
  return new QuicTlsSession(true, options);
}

/** Protocols to offer or to take: a comma list of 1 to 64 characters and at most 5 names. @throws SocketError EINVAL */
export function quic_session_set_alpn(session: QuicTlsSession, list: string): void {
  session.alpn = alpnNames(list);
}

/** The protocols, or after the handshake the one that was chosen. */
export function quic_session_get_alpn(session: QuicTlsSession): string {
  return joinAlpnList(session.alpn);
}

/** A client's, before its handshake: the data of an earlier session with this server. @throws SocketError EINVAL */
export function quic_session_set_data(session: QuicTlsSession, data: Uint8Array): void {
  if (session.isServer || session.steps !== null) throw socketError("quic_session_set_data", -EINVAL);
  session.data = data.slice();
}

/** What to resume with: empty before a ticket came. */
export function quic_session_get_data(session: QuicTlsSession): Uint8Array {
  session.settle();
  return session.data;
}

/** The peer, null before the handshake is complete. */
export function quic_session_get_peer(session: QuicTlsSession): HandshakePeer | null {
  session.settle();
  return session.peer;
}

/**
 * The first step of a handshake for a caller with his own I/O. `transportParams` is the socket's TRANSPORT_PARAM_EXT. Only
 * with TLS in this process.
 */
export function quic_handshake_init(session: QuicTlsSession, transportParams: Uint8Array): HandshakeStep | null {
  return next(session, session.start({ transportParams }, sharedTls()));
}

/**
 * `step` was taken (what was to be received stands in it); the next one, null = complete. After completion a client may
 * give it what comes at level APP: tickets. @throws SocketError EACCES or EKEYREJECTED when TLS failed
 */
export function quic_handshake_step(session: QuicTlsSession, step: HandshakeStep): HandshakeStep | null {
  const { steps } = session;
  if (steps === null) throw socketError("quic_handshake_step", -EINVAL);
  if (step.op === QUIC_HANDSHAKE_OP_RECVMSG) {
    if (step.data === null || !steps.receive(step.level, step.data)) throw socketError("quic_handshake_step", -EINVAL);
  }
  return next(session, steps);
}

/** Frees what TLS holds; a client that waits for tickets calls it after them. */
export function quic_handshake_deinit(session: QuicTlsSession): void {
  session.settle();
  session.close();
}

function next(session: QuicTlsSession, steps: HandshakeSteps): HandshakeStep | null {
  const step = steps.next();
  session.settle();
  if (step === null && steps.alert !== null) throw handshakeError("quic_handshake", steps.alert);
  return step;
}

function alpnNames(list: string): string[] {
  const names = list.length <= MAX_ALPN_CHARS ? parseAlpnList(list) : null;
  if (names === null || names.length === 0 || names.length > MAX_ALPN_NAMES || names.includes("")) {
    throw socketError("alpn", -EINVAL, `a comma list of 1 to ${MAX_ALPN_NAMES} names, ${MAX_ALPN_CHARS} characters`);
  }
  return names;
}
