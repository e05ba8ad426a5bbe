/** What a connection may be told before it starts, with defaults, and the transport parameters that follow from it. */

import type { CongestionName } from "../cong/controller.js";
import { encodeParams, randomReservedVersion, reservedParam } from "../frame/params.js";
import type { RecoveryOptions } from "../outqueue/recovery.js";
import type { Path } from "../path/path.js";
import type { MemoryPressure } from "../port/memory.js";
import type { Random } from "../port/random.js";
import {
  ACK_DELAY_EXPONENT,
  ACK_ELICITING_THRESHOLD,
  ACTIVE_CID_LIMIT,
  ACTIVE_CIDS,
  CLOSE_PTOS,
  CONN_WINDOW_BYTES,
  CONN_WINDOW_MAX_BYTES,
  DATAGRAM_FRAME_BYTES,
  DEFAULT_DATAGRAM_BYTES,
  HANDSHAKE_TIMEOUT_MICROS,
  IDLE_TIMEOUT_MILLIS,
  INITIAL_RTT_MICROS,
  MAX_ACK_DELAY_MILLIS,
  MAX_ACK_THRESHOLD_PACKETS,
  MAX_CLOSE_PTOS,
  MAX_DATAGRAM_FRAME_BYTES,
  MAX_STREAM_LIMIT,
  MAX_STREAMS_BIDI,
  MAX_STREAMS_UNI,
  MAX_SEND_DATAGRAM_BYTES,
  MAX_UDP_PAYLOAD_BYTES,
  MIN_ACK_DELAY_MICROS,
  MIN_INITIAL_DATAGRAM_BYTES,
  STREAM_SEND_BUFFER_BYTES,
  STREAM_WINDOW_BYTES,
  STREAM_WINDOW_MAX_BYTES,
} from "../proto/limits.js";
import { defaultParams, type TransportParams } from "../proto/params.js";
import { isSupportedVersion, SUPPORTED_VERSIONS } from "../proto/version.js";
import type { StreamWindows } from "../stream/table.js";
import { preferredVersions, spokenVersions } from "./versions.js";

export interface ConnectionConfig {
  /** Ours; the effective one is the smaller non-zero of both sides (RFC 9000 §10.1). 0 = none. */
  maxIdleTimeoutMillis: number;
  initialMaxData: number;
  initialMaxStreamDataBidiLocal: number;
  initialMaxStreamDataBidiRemote: number;
  initialMaxStreamDataUni: number;
  initialMaxStreamsBidi: number;
  initialMaxStreamsUni: number;
  /** Receive windows grow with use up to these, bytes. */
  streamWindowMaxBytes: number;
  connWindowMaxBytes: number;
  /** What one stream buffers before `write` takes less than it is given, bytes. */
  sendBufferBytes: number;
  congestion: CongestionName;
  /** A PING after this much silence, milliseconds; 0 = off. */
  keepAliveMillis: number;
  handshakeTimeoutMillis: number;
  /** Closing and draining last so many PTOs, 3 to 255 (RFC 9000 §10.2). */
  closePtos: number;
  /**
   * UDP payload that we send at most, 1200 to 12288; the peer's max_udp_payload_size lowers it. A connection begins with
   * 1200 and finds out what the path carries (RFC 9000 §14.3).
   */
  maxDatagramBytes: number;
  /** Mark packets ECT(0) and validate the path for it (RFC 9000 §13.4). */
  ecn: boolean;
  initialRttMicros: number;
  maxAckDelayMillis: number;
  ackDelayExponent: number;
  /** Ack-eliciting packets after which we acknowledge at once, 1 to 255, until the peer asks for something else. */
  ackThresholdPackets: number;
  /** Take ACK_FREQUENCY frames, and send them to peers that do so too (draft-ietf-quic-ack-frequency). */
  ackFrequency: boolean;
  activeConnectionIdLimit: number;
  /** Ids that we give the peer to choose from, 2 to 8, if it takes so many (RFC 9000 §5.1.1). */
  issuedConnectionIds: number;
  /** Largest DATAGRAM frame that we take, type and length included, 0 to 65535; 0 = none (RFC 9221 §3). */
  maxDatagramFrameBytes: number;
  /** Server: announce a stateless reset token for the id of the handshake (RFC 9000 §18.2). */
  statelessReset: boolean;
  /** Ask the peer to stay where it is (RFC 9000 §18.2). */
  disableActiveMigration: boolean;
  /** Largest UDP payload that we take, 1200 to 65527 bytes. */
  maxUdpPayloadBytes: number;
  /** Client: go to the address that the server prefers (RFC 9000 §9.6), or stay. */
  preferredAddress: "use" | "ignore";
  /** Take packets whatever their QUIC bit is, draw that bit for peers that do so too (RFC 9287), and send a reserved
   *  transport parameter (RFC 9000 §18.1). */
  grease: boolean;
  /**
   * QUIC versions that may be used, most wanted first (RFC 9368 §3). Empty = all of this build: a client wants version 1 most,
   * a server what its client wants most.
   */
  versions: readonly number[];
  /** Send Version Information, and go on in another version than the client's first flight has, where that is wanted more
   *  (RFC 9368 §2.3). */
  compatibleVersions: boolean;
  /** Client: version of its first flight; 0 = see conn/versions. One that nobody speaks asks for Version Negotiation. */
  firstVersion: number;
  /**
   * Ask for 1-RTT packets in the clear, neither encrypted nor authenticated: for networks where nobody but the two hosts can
   * read or write. In force only if the peer asks, too; 0-RTT and the handshake stay as they are.
   */
  disable1RttEncryption: boolean;
}

function defaultConfig(): ConnectionConfig {
  return {
    maxIdleTimeoutMillis: IDLE_TIMEOUT_MILLIS,
    initialMaxData: CONN_WINDOW_BYTES,
    initialMaxStreamDataBidiLocal: STREAM_WINDOW_BYTES,
    initialMaxStreamDataBidiRemote: STREAM_WINDOW_BYTES,
    initialMaxStreamDataUni: STREAM_WINDOW_BYTES,
    initialMaxStreamsBidi: MAX_STREAMS_BIDI,
    initialMaxStreamsUni: MAX_STREAMS_UNI,
    streamWindowMaxBytes: STREAM_WINDOW_MAX_BYTES,
    connWindowMaxBytes: CONN_WINDOW_MAX_BYTES,
    sendBufferBytes: STREAM_SEND_BUFFER_BYTES,
    congestion: "cubic",
    keepAliveMillis: 0,
    handshakeTimeoutMillis: HANDSHAKE_TIMEOUT_MICROS / 1000,
    closePtos: CLOSE_PTOS,
    maxDatagramBytes: DEFAULT_DATAGRAM_BYTES,
    ecn: true,
    initialRttMicros: INITIAL_RTT_MICROS,
    maxAckDelayMillis: MAX_ACK_DELAY_MILLIS,
    ackDelayExponent: ACK_DELAY_EXPONENT,
    ackThresholdPackets: ACK_ELICITING_THRESHOLD,
    ackFrequency: true,
    activeConnectionIdLimit: ACTIVE_CIDS,
    issuedConnectionIds: ACTIVE_CIDS,
    maxDatagramFrameBytes: DATAGRAM_FRAME_BYTES,
    statelessReset: true,
    disableActiveMigration: false,
    maxUdpPayloadBytes: MAX_UDP_PAYLOAD_BYTES,
    preferredAddress: "ignore",
    grease: true,
    versions: [],
    compatibleVersions: true,
    firstVersion: 0,
    disable1RttEncryption: false,
  };
}

/** Defaults overlaid with what was given; undefined keeps the default. Throws a RangeError that names the option. */
export function makeConfig(given: Partial<ConnectionConfig> = {}): ConnectionConfig {
  const config = defaultConfig();
  for (const key of Object.keys(config) as (keyof ConnectionConfig)[]) {
    const value = given[key];
    if (value === undefined) continue;
    if (typeof config[key] === "number" && !(Number(value) >= 0)) {
      throw new RangeError(`${key} is ${String(value)}; a number of 0 or more is expected`);
    }
    (config as unknown as Record<string, unknown>)[key] = value;
  }
  inRange("maxDatagramBytes", config.maxDatagramBytes, MIN_INITIAL_DATAGRAM_BYTES, MAX_SEND_DATAGRAM_BYTES);
  inRange("ackThresholdPackets", config.ackThresholdPackets, 1, MAX_ACK_THRESHOLD_PACKETS);
  inRange("closePtos", config.closePtos, CLOSE_PTOS, MAX_CLOSE_PTOS);
  inRange("ackDelayExponent", config.ackDelayExponent, 0, 20);
  inRange("maxAckDelayMillis", config.maxAckDelayMillis, 0, 2 ** 14 - 1);
  inRange("activeConnectionIdLimit", config.activeConnectionIdLimit, 2, ACTIVE_CID_LIMIT);
  inRange("maxUdpPayloadBytes", config.maxUdpPayloadBytes, MIN_INITIAL_DATAGRAM_BYTES, MAX_UDP_PAYLOAD_BYTES);
  inRange("issuedConnectionIds", config.issuedConnectionIds, 2, ACTIVE_CID_LIMIT);
  inRange("maxDatagramFrameBytes", config.maxDatagramFrameBytes, 0, MAX_DATAGRAM_FRAME_BYTES);
  inRange("initialMaxStreamsBidi", config.initialMaxStreamsBidi, 0, MAX_STREAM_LIMIT);
  inRange("initialMaxStreamsUni", config.initialMaxStreamsUni, 0, MAX_STREAM_LIMIT);
  checkVersions(config);
  return config;
}

function inRange(name: string, value: number, min: number, max: number): void {
  if (!(value >= min && value <= max)) throw new RangeError(`${name} is ${value}; allowed is ${min} to ${max}`);
}

function checkVersions({ versions, firstVersion }: ConnectionConfig): void {
  const unknown = versions.find((version) => !isSupportedVersion(version));
  if (unknown !== undefined)
    throw new RangeError(`versions has ${unknown}; known are ${SUPPORTED_VERSIONS.join(", ")}`);
  if (new Set(versions).size < versions.length) throw new RangeError("versions has one twice");
  if (isSupportedVersion(firstVersion) && !spokenVersions(versions).includes(firstVersion)) {
    throw new RangeError(`firstVersion is ${firstVersion}, which is not among the versions`);
  }
}

/** Delay of acknowledgements that the peer may ask for at least, microseconds: never above our max_ack_delay. */
export function minAckDelayMicros(config: ConnectionConfig): number {
  return Math.min(MIN_ACK_DELAY_MICROS, config.maxAckDelayMillis * 1000);
}

/** The parameters that we announce, without connection ids and tokens. */
export function localParams(config: ConnectionConfig): TransportParams {
  const params = defaultParams();
  params.maxIdleTimeoutMillis = config.maxIdleTimeoutMillis;
  params.maxUdpPayloadBytes = config.maxUdpPayloadBytes;
  params.disableActiveMigration = config.disableActiveMigration;
  params.initialMaxData = config.initialMaxData;
  params.initialMaxStreamDataBidiLocal = config.initialMaxStreamDataBidiLocal;
  params.initialMaxStreamDataBidiRemote = config.initialMaxStreamDataBidiRemote;
  params.initialMaxStreamDataUni = config.initialMaxStreamDataUni;
  params.initialMaxStreamsBidi = config.initialMaxStreamsBidi;
  params.initialMaxStreamsUni = config.initialMaxStreamsUni;
  params.ackDelayExponent = config.ackDelayExponent;
  params.maxAckDelayMillis = config.maxAckDelayMillis;
  params.minAckDelayMicros = config.ackFrequency ? minAckDelayMicros(config) : null;
  params.activeConnectionIdLimit = config.activeConnectionIdLimit;
  params.maxDatagramFrameBytes = config.maxDatagramFrameBytes;
  params.greaseQuicBit = config.grease;
  params.disable1RttEncryption = config.disable1RttEncryption;
  return params;
}

/**
 * Their wire form in a handshake of this version, with Version Information, and with what is reserved if the configuration
 * greases.
 */
export function localParamBytes(
  params: TransportParams,
  config: ConnectionConfig,
  isServer: boolean,
  version: number,
  random: Random,
): Uint8Array {
  const available = [...preferredVersions(config.versions, version)];
  if (config.grease) available.push(randomReservedVersion(random)); // RFC 9368 §3
  // a first flight of a version that nobody speaks is never answered in it, and its TLS messages may be sent again
  const isTold = config.compatibleVersions && isSupportedVersion(version);
  params.versionInformation = isTold ? { chosen: version, available } : null;
  return encodeParams(params, isServer, config.grease ? reservedParam(random) : undefined);
}

/** The sizes that streams grow to. */
export function streamWindows(config: ConnectionConfig, pressure: Readonly<MemoryPressure>): StreamWindows {
  return {
    streamMaxBytes: config.streamWindowMaxBytes,
    connMaxBytes: config.connWindowMaxBytes,
    sendBufferBytes: config.sendBufferBytes,
    pressure,
  };
}

/** What loss recovery and congestion control go by. */
export function recoveryOptions(isServer: boolean, config: ConnectionConfig, path: Path): RecoveryOptions {
  const { congestion, initialRttMicros, ecn } = config;
  return { isServer, congestion, datagramBytes: path.maxDatagramBytes, initialRttMicros, ecn };
}
