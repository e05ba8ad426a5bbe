/**
 * Options that shape a connection, whoever opens it: transport parameters (RFC 9000 §18.2), timers and congestion control
 * under the names and units of node:quic, made into the engine's configuration.
 */

import {
  ACTIVE_CID_LIMIT,
  CLOSE_PTOS,
  CONN_WINDOW_BYTES,
  MAX_ACK_THRESHOLD_PACKETS,
  MAX_CLOSE_PTOS,
  MAX_DATAGRAM_FRAME_BYTES,
  MAX_SEND_DATAGRAM_BYTES,
  MAX_STREAM_LIMIT,
  MIN_INITIAL_DATAGRAM_BYTES,
  STREAM_WINDOW_BYTES,
} from "../proto/limits.js";
import type { ConnectionConfig } from "../runtime/loop.js";
import { agentFor } from "./environment.js";
import { invalidType, invalidValue } from "./errors.js";
import { processLimits, withinLimits } from "./memory.js";
import type { OptionReader } from "./option-reader.js";

const MAX_SAFE = Number.MAX_SAFE_INTEGER;

/** Receive windows when nothing is said, bytes. */
const WINDOWS = { streamBytes: STREAM_WINDOW_BYTES, connBytes: CONN_WINDOW_BYTES };

/** `params` reads `transportParams`, `ext` what is ours. @throws TypeError or RangeError that names the option. */
export function readConfig(
  reader: OptionReader,
  params: OptionReader,
  ext: OptionReader,
  windows = WINDOWS,
): Partial<ConnectionConfig> {
  const bytes = (key: string): number | undefined => params.number(key, 0, MAX_SAFE);
  const idleSeconds = params.number("maxIdleTimeout", 0, 2 ** 31, true);
  const initialRtt = reader.number("initialRtt", 0, 60_000, true) ?? 0;
  const streamMax = reader.number("maxStreamWindow", 1, MAX_SAFE);
  const connMax = reader.number("maxWindow", 1, MAX_SAFE);
  const streamWindow = Math.min(windows.streamBytes, streamMax ?? Infinity);
  const firstWindow = processLimits().rmemBytes?.[1] ?? windows.connBytes;
  const config: { [K in keyof ConnectionConfig]?: ConnectionConfig[K] | undefined } = {
    maxIdleTimeoutMillis: idleSeconds === undefined ? undefined : Math.round(idleSeconds * 1000),
    initialMaxData: bytes("initialMaxData") ?? Math.min(firstWindow, connMax ?? Infinity),
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
  return withinLimits(config as Partial<ConnectionConfig>);
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

/** One protocol or a list (RFC 7301), most wanted first; undefined when absent. */
export function readAlpn(reader: OptionReader, key: string): string[] | undefined {
  const given = reader.raw(key);
  if (given === undefined) return undefined;
  const name = reader.name(key);
  const list: unknown[] = Array.isArray(given) ? given : [given];
  if (list.length === 0) throw invalidValue(name, "must name at least one protocol", given);
  for (const protocol of list) {
    if (typeof protocol !== "string") throw invalidType(name, "a string or an array of strings", given);
    const bytes = Buffer.byteLength(protocol);
    if (bytes < 1 || bytes > 255) throw invalidValue(name, "has a protocol that is not 1 to 255 bytes", given);
  }
  return list as string[];
}

/** `ext.agent`, or NETQUIC_AGENT where this side has no key of its own. */
export function readAgent(ext: OptionReader, hasKey: boolean): string {
  const asked = ext.string("agent");
  const agent = agentFor(asked, hasKey);
  if (agent !== "" && hasKey)
    throw invalidValue(ext.name("agent"), "does not go with keys and certs of its own", asked);
  return agent;
}
