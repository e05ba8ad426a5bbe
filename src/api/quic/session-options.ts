/**
 * Options of sessions (`SessionOptions` and `TransportParams` of node:quic), checked and with the units of the rooms below.
 * Node's names and units hold: `maxIdleTimeout` in seconds, `keepAlive`, `handshakeTimeout` and `initialRtt` in
 * milliseconds. What is ours stands under `ext`.
 */

import type { TlsIdentity } from "../../port/tls.js";
import { DATAGRAMS_OUT, MAX_DATAGRAMS_OUT } from "../../proto/limits.js";
import type { ConnectionConfig } from "../../runtime/loop.js";
import { invalidType, invalidValue } from "../errors.js";
import { type DevCertificate, identityOfDev, readDevCertificate } from "../dev-certificate.js";
import { readAgent, readAlpn, readConfig } from "../connection-options.js";
import { hostPath } from "../hosted.js";
import { OptionReader, viewOf } from "../option-reader.js";
import { certificates, identityOf, revocationLists } from "../pem.js";
import { type PreferredSetup, readPreferred } from "./preferred.js";
import type { DatagramQueueOptions } from "./session-core.js";
import { CALLBACK_NAMES, type SessionCallbacks } from "./types.js";
import { readVersions } from "../version-options.js";

/** What client and server have in common. */
interface CommonSetup {
  alpn: string[];
  ca: string[] | undefined;
  crl: string[] | undefined;
  ciphers: string | undefined;
  groups: string | undefined;
  keylog: boolean;
  earlyData: boolean;
  datagramQueue: DatagramQueueOptions;
  config: Partial<ConnectionConfig>;
  callbacks: SessionCallbacks;
  /** Path of the handshake agent, "" for TLS in this process. */
  agent: string;
  /** A QuicEndpoint or EndpointOptions, not looked at yet. */
  endpoint: unknown;
}

export interface ClientSetup extends CommonSetup {
  serverName: string | undefined;
  identity: TlsIdentity | undefined;
  /** The handshake goes on whatever the certificate is; the caller decides. */
  manual: boolean;
  /** SHA-256 of acceptable certificates, lower-case hex; null = verified by `ca`. */
  pins: readonly string[] | null;
  ticket: Uint8Array | undefined;
  token: Uint8Array | undefined;
  reuseEndpoint: boolean;
  signal: AbortSignal | undefined;
}

export interface ServerSetup extends CommonSetup {
  identities: Record<string, TlsIdentity>;
  clientCertificate: "ignore" | "request" | "require";
  devCertificate: DevCertificate | null;
  /** Null: clients stay where they are. */
  preferred: PreferredSetup | null;
  /** The Unix socket of the quic host to ask for the port; null: the port is the endpoint's own. */
  hostPath: string | null;
  /** Of clients that the host shall send, lower case; empty: any. */
  serverNames: string[];
}

const DEFAULT_ALPN = "h3";

export function readClientOptions(given: unknown): ClientSetup {
  const reader = new OptionReader(given, "options");
  const ext = reader.nested("ext");
  const params = reader.nested("transportParams");
  const common = readCommon(reader, params, ext, false);
  params.finish();
  const keys = reader.raw("keys");
  const certs = reader.raw("certs");
  const hasKey = keys !== undefined || certs !== undefined;
  const verifyPeer = reader.oneOf("verifyPeer", ["strict", "auto", "manual"]);
  const setup: ClientSetup = {
    ...common,
    agent: readAgent(ext, hasKey),
    serverName: reader.string("servername"),
    identity: hasKey ? identityOf(keys, certs, "options") : undefined,
    manual: reader.boolean("rejectUnauthorized") === false || verifyPeer === "manual",
    pins: readPins(ext),
    ticket: reader.bytes("sessionTicket"),
    token: reader.bytes("token"),
    reuseEndpoint: reader.boolean("reuseEndpoint") ?? true,
    signal: reader.signal("signal"),
  };
  ext.finish();
  reader.finish();
  return setup;
}

export function readServerOptions(given: unknown): ServerSetup {
  const reader = new OptionReader(given, "options");
  const ext = reader.nested("ext");
  const params = reader.nested("transportParams");
  const common = readCommon(reader, params, ext, true);
  const preferred = readPreferred(params);
  params.finish();
  const verifyClient = reader.boolean("verifyClient") ?? false;
  const strict = reader.boolean("rejectUnauthorized") ?? true;
  const identities = readIdentities(reader);
  const askedForDev = ext.raw("devCertificate");
  const wantsDev = askedForDev !== undefined && askedForDev !== false;
  const agent = readAgent(ext, wantsDev || Object.keys(identities).length > 0);
  const path = hostPath(ext.string("host"));
  const serverNames = readServerNames(ext);
  ext.finish();
  reader.finish();
  // made after every other option proved good: it says so on stderr
  const devCertificate = readDevCertificate(askedForDev, "options.ext.devCertificate");
  if (devCertificate !== null) identities["*"] ??= identityOfDev(devCertificate);
  if (Object.keys(identities).length === 0 && agent === "") {
    throw invalidType("options.sni", "an object of host names with {keys, certs} (or ask for ext.devCertificate)", {});
  }
  const clientCertificate = !verifyClient ? "ignore" : strict ? "require" : "request";
  return { ...common, agent, identities, clientCertificate, devCertificate, preferred, hostPath: path, serverNames };
}

function readCommon(
  reader: OptionReader,
  params: OptionReader,
  ext: OptionReader,
  isServer: boolean,
): Omit<CommonSetup, "agent"> {
  const ca = reader.raw("ca");
  const crl = reader.raw("crl");
  const callbacks: Record<string, unknown> = {};
  for (const name of CALLBACK_NAMES) callbacks[name] = reader.callback(name);
  return {
    alpn: readAlpn(reader, "alpn") ?? [DEFAULT_ALPN],
    ca: ca === undefined ? undefined : certificates(ca, "options.ca"),
    crl: crl === undefined ? undefined : revocationLists(crl, "options.crl"),
    ciphers: reader.string("ciphers"),
    groups: reader.string("groups"),
    keylog: reader.boolean("keylog") ?? false,
    earlyData: reader.boolean("enableEarlyData") ?? true, // node's default
    datagramQueue: readDatagramQueue(reader),
    config: { ...readConfig(reader, params, ext), ...readVersions(reader, ext, isServer) },
    callbacks: callbacks as SessionCallbacks,
    endpoint: reader.raw("endpoint"),
  };
}

function readDatagramQueue(reader: OptionReader): DatagramQueueOptions {
  reader.number("maxDatagramSendAttempts", 1, 255); // node:quic's; here a datagram waits until it can leave
  return {
    maxPending: reader.number("maxPendingDatagrams", 1, MAX_DATAGRAMS_OUT) ?? DATAGRAMS_OUT,
    dropsOldest: reader.oneOf("datagramDropPolicy", ["drop-oldest", "drop-newest"]) !== "drop-newest",
  };
}

/** Certificates by host name, as `sni` and `setSNIContexts` have them. */
export function readSni(sni: unknown, name: string): Record<string, TlsIdentity> {
  if (typeof sni !== "object" || sni === null || Array.isArray(sni)) {
    throw invalidType(name, "an object of host names with {keys, certs}", sni);
  }
  const identities: Record<string, TlsIdentity> = {};
  for (const [host, entry] of Object.entries(sni)) {
    const one = new OptionReader(entry, `${name}['${host}']`);
    identities[host.toLowerCase()] = identityOf(one.raw("keys"), one.raw("certs"), one.path);
    one.boolean("verifyPrivateKey"); // always verified
    one.number("port", 0, 65_535); // of ORIGIN frames, which HTTP/3 alone has
    one.boolean("authoritative");
    one.finish();
  }
  return identities;
}

function readIdentities(reader: OptionReader): Record<string, TlsIdentity> {
  const sni = reader.raw("sni");
  const identities = sni === undefined ? {} : readSni(sni, "options.sni");
  const keys = reader.raw("keys");
  const certs = reader.raw("certs");
  if (keys !== undefined || certs !== undefined) identities["*"] ??= identityOf(keys, certs, "options");
  return identities;
}

/** `ext.serverNames`: of whom a quic host shall send clients. */
function readServerNames(ext: OptionReader): string[] {
  const given = ext.raw("serverNames") ?? [];
  const isName = (one: unknown): one is string => typeof one === "string" && one !== "";
  if (!Array.isArray(given) || !given.every(isName))
    throw invalidType(ext.name("serverNames"), "an array of host names", given);
  return given.map((name) => name.toLowerCase());
}

/** `ext.serverCertificateHashes` in the form of WebTransport; a hex string is fine too. */
function readPins(ext: OptionReader): string[] | null {
  const given = ext.raw("serverCertificateHashes");
  if (given === undefined) return null;
  const name = ext.name("serverCertificateHashes");
  if (!Array.isArray(given) || given.length === 0) throw invalidType(name, "an array of {algorithm, value}", given);
  return given.map((entry: unknown, index) => {
    const one = new OptionReader(entry, `${name}[${index}]`);
    one.oneOf("algorithm", ["sha-256"]);
    const value = one.raw("value");
    one.finish();
    const bytes = typeof value === "string" ? Buffer.from(value.replaceAll(":", ""), "hex") : viewOf(value);
    if (bytes === null) throw invalidType(one.name("value"), "32 bytes or their hex", value);
    if (bytes.length !== 32) throw invalidValue(one.name("value"), "must be the 32 bytes of a SHA-256", value);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
  });
}
