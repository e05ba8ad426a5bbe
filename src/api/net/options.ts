/**
 * Options of sockets and servers: names of node:net and node:tls where these have one. As there, what is not known is
 * ignored, because programs pass objects on that hold more. What is QUIC's stands under `quic`, with the names and units of
 * node:quic, and is checked to the last key.
 */

import type { LookupFunction } from "node:net";
import type { TlsIdentity } from "../../port/tls.js";
import {
  NET_CONN_WINDOW_BYTES,
  NET_KEEP_ALIVE_MILLIS,
  NET_STREAM_WINDOW_BYTES,
  NET_STREAMS,
} from "../../proto/limits.js";
import type { ConnectionConfig } from "../../runtime/loop.js";
import { readAgent, readAlpn, readConfig } from "../connection-options.js";
import { identityOfDev, readDevCertificate } from "../dev-certificate.js";
import { invalidType, invalidValue } from "../errors.js";
import { hostPath } from "../hosted.js";
import { OptionReader } from "../option-reader.js";
import { type CertificateInput, certificates, identityOf, type KeyInput, revocationLists } from "../pem.js";
import { readVersions } from "../version-options.js";
import type { NetSession } from "./session.js";

/** Protocol that is asked for, and served, when nothing else is said. */
export const DEFAULT_ALPN = "netquic-net";

/** What shapes the QUIC connection; see `SessionOptions` of netquic. */
export interface QuicOptions {
  transportParams?: Record<string, bigint | number>;
  cc?: "reno" | "cubic" | "bbr";
  /** A PING after so many milliseconds of silence, so that idle sockets live on: a client's default is 10,000, 0 = off. */
  keepAlive?: number;
  handshakeTimeout?: number;
  initialRtt?: number;
  maxPayloadSize?: number;
  maxStreamWindow?: bigint | number;
  maxWindow?: bigint | number;
  preferredAddressPolicy?: "use" | "ignore" | "default";
  version?: number;
  minVersion?: number;
  ext?: {
    sendBufferBytes?: number;
    grease?: boolean;
    ackFrequency?: boolean;
    versions?: readonly number[];
    /** Path of a handshake agent; default NETQUIC_AGENT where there is no key and cert, `off` for none. */
    agent?: string;
    /** Server: path of a quic host that owns the port; default NETQUIC_HOST, `off` for none. */
    host?: string;
  };
}

/** Of the stream below a socket. */
export interface StreamOptions {
  /** False (default): the socket ends by itself when the peer has ended. */
  allowHalfOpen?: boolean | undefined;
  /** Bytes buffered each way before back-pressure; default 64 KiB. */
  highWaterMark?: number | undefined;
  signal?: AbortSignal | undefined;
}

interface TlsOptions {
  /** ALPN (RFC 7301), most wanted first; default `netquic-net`. `alpn` and `ALPNProtocols` are the same. */
  alpn?: string | readonly string[] | undefined;
  ALPNProtocols?: readonly string[] | undefined;
  ca?: CertificateInput | undefined;
  crl?: CertificateInput | undefined;
  cert?: CertificateInput | undefined;
  key?: KeyInput | readonly KeyInput[] | undefined;
  ciphers?: string | undefined;
  groups?: string | undefined;
  rejectUnauthorized?: boolean | undefined;
  quic?: QuicOptions | undefined;
}

/** Where a session goes, and whom it trusts. */
export interface SessionOptions extends TlsOptions {
  port?: number | string | undefined;
  /** Default `localhost`. */
  host?: string | null | undefined;
  family?: number | undefined;
  lookup?: LookupFunction | undefined;
  localAddress?: string | undefined;
  localPort?: number | undefined;
  /** Name that the certificate must have, and SNI; default: `host`, `localhost` for loopback addresses. */
  servername?: string | undefined;
}

export interface ConnectOptions extends SessionOptions, StreamOptions {
  /** A session to share, in place of one of its own; or a ticket, bytes of the `session` event of an earlier socket. */
  session?: NetSession | Uint8Array | undefined;
  /** Milliseconds, as `socket.setTimeout`. */
  timeout?: number | undefined;
}

export interface ServerOptions extends TlsOptions, StreamOptions {
  /** Sockets are handed out paused. */
  pauseOnConnect?: boolean | undefined;
  /** Certificates by host name; `*` is the default and `*.example.org` takes one label. */
  sni?: Record<string, { cert: CertificateInput; key: KeyInput }> | undefined;
  /** Ask clients for a certificate; with `rejectUnauthorized` (default true) they must have a valid one. */
  requestCert?: boolean | undefined;
  /** A self-signed certificate, announced on stderr. */
  devCertificate?: boolean | { hosts?: readonly string[]; days?: number } | undefined;
}

interface TlsSetup {
  alpn: string[];
  ca: string[] | undefined;
  crl: string[] | undefined;
  ciphers: string | undefined;
  groups: string | undefined;
  /** Path of the handshake agent, "" for TLS in this process. */
  agent: string;
  /** Server: of the quic host that owns its port; null: the port is its own. */
  hostPath: string | null;
  config: Partial<ConnectionConfig>;
}

export interface ClientSetup extends TlsSetup {
  host: string;
  port: number;
  family: 0 | 4 | 6;
  lookup: LookupFunction | undefined;
  local: { address?: string; port?: number };
  servername: string | undefined;
  identity: TlsIdentity | undefined;
  strict: boolean;
  ticket: Uint8Array | undefined;
}

export interface ServerSetup extends TlsSetup {
  identities: Record<string, TlsIdentity>;
  clientCertificate: "ignore" | "request" | "require";
}

const KEY_NAMES = { key: "key", cert: "cert" };

/** @throws TypeError or RangeError that names the option. */
export function readSessionOptions(given: SessionOptions & { session?: unknown }): ClientSetup {
  const reader = readerOf(given);
  const { key, cert, session } = given;
  const host = given.host ?? "localhost";
  if (typeof host !== "string") throw invalidType("options.host", "a string", host);
  const address = reader.string("localAddress");
  const port = reader.number("localPort", 0, 65_535);
  const family = reader.raw("family");
  return {
    ...readTls(reader, false, key != null || cert != null),
    host: host.replace(/^\[(.*)\]$/, "$1"),
    port: readPort(given.port),
    family: family === 4 || family === 6 ? family : 0,
    lookup: reader.callback<LookupFunction>("lookup"),
    local: { ...(address !== undefined && { address }), ...(port !== undefined && { port }) },
    servername: reader.string("servername") || undefined,
    identity: key == null && cert == null ? undefined : identityOf(key, cert, "options", KEY_NAMES),
    strict: reader.boolean("rejectUnauthorized") ?? true,
    ticket: session instanceof Uint8Array ? session : undefined,
  };
}

/** @throws TypeError or RangeError that names the option. */
export function readServerOptions(given: ServerOptions): ServerSetup {
  const reader = readerOf(given);
  const hasKey = given.key != null || given.cert != null || given.sni != null || Boolean(given.devCertificate);
  const setup = readTls(reader, true, hasKey);
  const identities: Record<string, TlsIdentity> = {};
  for (const [host, entry] of Object.entries(given.sni ?? {})) {
    identities[host.toLowerCase()] = identityOf(entry?.key, entry?.cert, `options.sni['${host}']`, KEY_NAMES);
  }
  if (given.key != null || given.cert != null) {
    identities["*"] ??= identityOf(given.key, given.cert, "options", KEY_NAMES);
  }
  const strict = reader.boolean("rejectUnauthorized") ?? true;
  const clientCertificate = reader.boolean("requestCert") !== true ? "ignore" : strict ? "require" : "request";
  // made after every other option proved good: it says so on stderr
  const dev = readDevCertificate(given.devCertificate, "options.devCertificate");
  if (dev !== null) identities["*"] ??= identityOfDev(dev);
  if (Object.keys(identities).length === 0 && setup.agent === "") {
    throw invalidType("options.cert", "a certificate, with options.key (or ask for devCertificate)", given.cert);
  }
  return { ...setup, identities, clientCertificate };
}

/** As node:net, which takes numbers as text, too. @throws RangeError `ERR_SOCKET_BAD_PORT` */
export function readPort(given: unknown): number {
  const port = typeof given === "string" && given.trim() !== "" ? Number(given) : given;
  if (typeof port === "number" && Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw Object.assign(invalidValue("options.port", "must be a port from 0 to 65535", given), {
    code: "ERR_SOCKET_BAD_PORT",
  });
}

/** Programs pass null for what they do not want to say. */
function readerOf(given: object): OptionReader {
  return new OptionReader(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null)), "options");
}

function readTls(reader: OptionReader, isServer: boolean, hasKey: boolean): TlsSetup {
  const ca = reader.raw("ca");
  const crl = reader.raw("crl");
  const quic = reader.nested("quic");
  const params = quic.nested("transportParams");
  const ext = quic.nested("ext");
  const config = {
    ...(isServer ? SERVER_DEFAULTS : CLIENT_DEFAULTS),
    ...readConfig(quic, params, ext, WINDOWS),
    ...readVersions(quic, ext, isServer),
  };
  const agent = readAgent(ext, hasKey);
  const host = isServer ? hostPath(ext.string("host")) : null;
  for (const each of [params, ext, quic]) each.finish();
  return {
    alpn: readAlpn(reader, "alpn") ?? readAlpn(reader, "ALPNProtocols") ?? [DEFAULT_ALPN],
    ca: ca == null ? undefined : certificates(ca, "options.ca"),
    crl: crl == null ? undefined : revocationLists(crl, "options.crl"),
    ciphers: reader.string("ciphers"),
    groups: reader.string("groups"),
    agent,
    hostPath: host,
    config,
  };
}

const WINDOWS = { streamBytes: NET_STREAM_WINDOW_BYTES, connBytes: NET_CONN_WINDOW_BYTES };
/** Streams of one direction only and datagrams are not the business of sockets. */
const COMMON_DEFAULTS = { initialMaxStreamsUni: 0, initialMaxStreamsBidi: NET_STREAMS, maxDatagramFrameBytes: 0 };
const SERVER_DEFAULTS: Partial<ConnectionConfig> = COMMON_DEFAULTS;
const CLIENT_DEFAULTS: Partial<ConnectionConfig> = { ...COMMON_DEFAULTS, keepAliveMillis: NET_KEEP_ALIVE_MILLIS };
