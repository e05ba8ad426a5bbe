/**
 * Options of sessions (`SessionOptions` and `TransportParams` of node:quic), checked and with the units of the rooms below.
 * Node's names and units hold: `maxIdleTimeout` in seconds, `keepAlive`, `handshakeTimeout` and `initialRtt` in
 * milliseconds. What is ours stands under `ext`.
 */

import type { TlsIdentity } from "../../port/tls.js";
import {
  ACTIVE_CID_LIMIT,
  CLOSE_PTOS,
  CONN_WINDOW_BYTES,
  DATAGRAMS_OUT,
  MAX_ACK_THRESHOLD_PACKETS,
  MAX_CLOSE_PTOS,
  MAX_DATAGRAM_FRAME_BYTES,
  MAX_DATAGRAMS_OUT,
  MAX_SEND_DATAGRAM_BYTES,
  MAX_STREAM_LIMIT,
  MIN_INITIAL_DATAGRAM_BYTES,
  STREAM_WINDOW_BYTES,
} from "../../proto/limits.js";
import type { ConnectionConfig } from "../../runtime/loop.js";
import { invalidType, invalidValue } from "../errors.js";
import { type DevCertificate, identityOfDev, readDevCertificate } from "./dev-certificate.js";
import { OptionReader, viewOf } from "./option-reader.js";
import { certificates, identityOf } from "./pem.js";
import { type PreferredSetup, readPreferred } from "./preferred.js";
import type { DatagramQueueOptions } from "./session-core.js";
import { CALLBACK_NAMES, type SessionCallbacks } from "./types.js";
import { readVersions } from "./version-options.js";

/** What client and server have in common. */
interface CommonSetup {
  alpn: string[];
  ca: string[] | undefined;
  ciphers: string | undefined;
  groups: string | undefined;
  keylog: boolean;
  earlyData: boolean;
  datagramQueue: DatagramQueueOptions;
  config: Partial<ConnectionConfig>;
  callbacks: SessionCallbacks;
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
}

const DEFAULT_ALPN = "h3";
const MAX_SAFE = Number.MAX_SAFE_INTEGER;

export function readClientOptions(given: unknown): ClientSetup {
  const reader = new OptionReader(given, "options");
  const ext = reader.nested("ext");
  const params = reader.nested("transportParams");
  const common = readCommon(reader, params, ext, false);
  params.finish();
  const keys = reader.raw("keys");
  const certs = reader.raw("certs");
  const verifyPeer = reader.oneOf("verifyPeer", ["strict", "auto", "manual"]);
  const setup: ClientSetup = {
    ...common,
    serverName: reader.string("servername"),
    identity: keys === undefined && certs === undefined ? undefined : identityOf(keys, certs, "options"),
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
  ext.finish();
  reader.finish();
  // made after every other option proved good: it says so on stderr
  const devCertificate = readDevCertificate(askedForDev, "options.ext.devCertificate");
  if (devCertificate !== null) identities["*"] ??= identityOfDev(devCertificate);
  if (Object.keys(identities).length === 0) {
    throw invalidType("options.sni", "an object of host names with {keys, certs} (or ask for ext.devCertificate)", {});
  }
  const clientCertificate = !verifyClient ? "ignore" : strict ? "require" : "request";
  return { ...common, identities, clientCertificate, devCertificate, preferred };
}

function readCommon(reader: OptionReader, params: OptionReader, ext: OptionReader, isServer: boolean): CommonSetup {
  const ca = reader.raw("ca");
  const callbacks: Record<string, unknown> = {};
  for (const name of CALLBACK_NAMES) callbacks[name] = reader.callback(name);
  return {
    alpn: readAlpn(reader),
    ca: ca === undefined ? undefined : certificates(ca, "options.ca"),
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

function readAlpn(reader: OptionReader): string[] {
  const given = reader.raw("alpn") ?? DEFAULT_ALPN;
  const list: unknown[] = Array.isArray(given) ? given : [given];
  if (list.length === 0) throw invalidValue("options.alpn", "must name at least one protocol", given);
  for (const protocol of list) {
    if (typeof protocol !== "string") throw invalidType("options.alpn", "a string or an array of strings", given);
    const bytes = Buffer.byteLength(protocol);
    if (bytes < 1 || bytes > 255)
      throw invalidValue("options.alpn", "has a protocol that is not 1 to 255 bytes", given);
  }
  return list as string[];
}

function readConfig(reader: OptionReader, params: OptionReader, ext: OptionReader): Partial<ConnectionConfig> {
  const bytes = (key: string): number | undefined => params.number(key, 0, MAX_SAFE);
  const idleSeconds = params.number("maxIdleTimeout", 0, 2 ** 31, true);
  const initialRtt = reader.number("initialRtt", 0, 60_000, true) ?? 0;
  const streamMax = reader.number("maxStreamWindow", 1, MAX_SAFE);
  const connMax = reader.number("maxWindow", 1, MAX_SAFE);
  const streamWindow = Math.min(STREAM_WINDOW_BYTES, streamMax ?? Infinity);
  const config: { [K in keyof ConnectionConfig]?: ConnectionConfig[K] | undefined } = {
    maxIdleTimeoutMillis: idleSeconds === undefined ? undefined : Math.round(idleSeconds * 1000),
    initialMaxData: bytes("initialMaxData") ?? Math.min(CONN_WINDOW_BYTES, connMax ?? Infinity),
    initialMaxStreamDataBidiLocal: bytes("initialMaxStreamDataBidiLocal") ?? streamWindow,
    initialMaxStreamDataBidiRemote: bytes("initialMaxStreamDataBidiRemote") ?? streamWindow,
    initialMaxStreamDataUni: bytes("initialMaxStreamDataUni") ?? streamWindow,
    initialMaxStreamsBidi: params.number("initialMaxStreamsBidi", 0, MAX_STREAM_LIMIT),
    initialMaxStreamsUni: params.number("initialMaxStreamsUni", 0, MAX_STREAM_LIMIT),
    ackDelayExponent: params.number("ackDelayExponent", 0, 20),
    maxAckDelayMillis: params.number("maxAckDelay", 0, 2 ** 14 - 1),
    maxDatagramFrameBytes: params.number("maxDatagramFrameSize", 0, MAX_DATAGRAM_FRAME_BYTES),
    activeConnectionIdLimit: params.number("activeConnectionIDLimit", 2, ACTIVE_CID_LIMIT),
    streamWindowMaxBytes: streamMax,
    connWindowMaxBytes: connMax,
    congestion: readCongestion(reader),
    initialRttMicros: initialRtt === 0 ? undefined : Math.round(initialRtt * 1000),
    keepAliveMillis: reader.number("keepAlive", 0, 2 ** 31),
    ackThresholdPackets: reader.number("unacknowledgedPacketThreshold", 0, MAX_ACK_THRESHOLD_PACKETS) || undefined,
    closePtos: reader.number("drainingPeriodMultiplier", CLOSE_PTOS, MAX_CLOSE_PTOS),
    handshakeTimeoutMillis: reader.number("handshakeTimeout", 1, 2 ** 31),
    maxDatagramBytes: reader.number("maxPayloadSize", MIN_INITIAL_DATAGRAM_BYTES, MAX_SEND_DATAGRAM_BYTES),
    preferredAddress: readPolicy(reader),
    grease: ext.boolean("grease"),
    disable1RttEncryption: ext.boolean("disable1RttEncryption"),
    ackFrequency: ext.boolean("ackFrequency"),
    sendBufferBytes: ext.number("sendBufferBytes", 1024, 2 ** 30),
  };
  for (const key of Object.keys(config) as (keyof ConnectionConfig)[])
    if (config[key] === undefined) delete config[key];
  return config as Partial<ConnectionConfig>;
}

/** As node:quic: whoever says nothing ignores it, and its own default is to use it. */
function readPolicy(reader: OptionReader): "use" | "ignore" {
  const policy = reader.oneOf("preferredAddressPolicy", ["use", "ignore", "default"]);
  return policy === undefined || policy === "ignore" ? "ignore" : "use";
}

function readCongestion(reader: OptionReader): "newreno" | "cubic" | "bbr" | undefined {
  const cc = reader.oneOf("cc", ["reno", "cubic", "bbr"]);
  return cc === "reno" ? "newreno" : cc;
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
