/** Between a socket's settings (structs of Linux, times in microseconds) and the engine's configuration of a connection. */

import { ACTIVE_CID_LIMIT, MAX_UDP_PAYLOAD_BYTES } from "../../proto/limits.js";
import type { TransportParams } from "../../proto/params.js";
import { isSupportedVersion, SUPPORTED_VERSIONS } from "../../proto/version.js";
import type { ConnectionConfig } from "../../runtime/loop.js";
import { QUIC_CONG_ALG_BBR, QUIC_CONG_ALG_CUBIC, QUIC_CONG_ALG_RENO } from "../../socket/numbers.js";
import type { TransportParamValue } from "../../socket/settings.js";
import type { QuicSock } from "../../socket/sock.js";
import { transportParam } from "../../socket/structs.js";
import { withinLimits } from "../memory.js";

const MICROS_PER_MILLI = 1000;
/** RFC 9000 §18.2. */
const MIN_ACTIVE_CIDS = 2;

const CONGESTION = {
  [QUIC_CONG_ALG_RENO]: "newreno",
  [QUIC_CONG_ALG_CUBIC]: "cubic",
  [QUIC_CONG_ALG_BBR]: "bbr",
} as const;

export function connectionConfig({ settings, receiveBufferBytes }: QuicSock): Partial<ConnectionConfig> {
  const { params, config } = settings;
  // of those that a Version Negotiation packet offers, Linux takes the one with the highest number
  const others = SUPPORTED_VERSIONS.filter((version) => version !== config.version).sort((a, b) => b - a);
  return withinLimits({
    versions: isSupportedVersion(config.version) ? [config.version, ...others] : others,
    firstVersion: config.version,
    compatibleVersions: params.disable_compatible_version === 0,
    // SO_RCVBUF bounds how far receive windows grow with use; one stream gets half of it
    ...(receiveBufferBytes > 0 && {
      connWindowMaxBytes: receiveBufferBytes,
      streamWindowMaxBytes: Math.floor(receiveBufferBytes / 2),
    }),
    maxIdleTimeoutMillis: Math.round(params.max_idle_timeout / MICROS_PER_MILLI),
    initialMaxData: params.max_data,
    initialMaxStreamDataBidiLocal: params.max_stream_data_bidi_local,
    initialMaxStreamDataBidiRemote: params.max_stream_data_bidi_remote,
    initialMaxStreamDataUni: params.max_stream_data_uni,
    initialMaxStreamsBidi: params.max_streams_bidi,
    initialMaxStreamsUni: params.max_streams_uni,
    congestion: CONGESTION[config.congestion_control_algo as keyof typeof CONGESTION],
    keepAliveMillis: Math.round(config.keepalive_probe_interval / MICROS_PER_MILLI),
    initialRttMicros: config.initial_smoothed_rtt,
    maxAckDelayMillis: Math.round(params.max_ack_delay / MICROS_PER_MILLI),
    ackDelayExponent: params.ack_delay_exponent,
    activeConnectionIdLimit: params.active_connection_id_limit,
    issuedConnectionIds: ACTIVE_CID_LIMIT,
    maxDatagramFrameBytes: params.max_datagram_frame_size,
    grease: params.grease_quic_bit !== 0,
    disable1RttEncryption: params.disable_1rtt_encryption !== 0,
    statelessReset: params.stateless_reset !== 0,
    disableActiveMigration: params.disable_active_migration !== 0,
    maxUdpPayloadBytes: params.max_udp_payload_size,
    preferredAddress: "use",
  });
}

/** The other way round: what a program kept of the peer's parameters. */
export function paramsOfValue(value: TransportParamValue): Partial<TransportParams> {
  return {
    disableActiveMigration: value.disable_active_migration !== 0,
    activeConnectionIdLimit: Math.max(MIN_ACTIVE_CIDS, value.active_connection_id_limit),
    maxDatagramFrameBytes: value.max_datagram_frame_size,
    maxUdpPayloadBytes: value.max_udp_payload_size || MAX_UDP_PAYLOAD_BYTES,
    maxIdleTimeoutMillis: Math.round(value.max_idle_timeout / MICROS_PER_MILLI),
    initialMaxStreamsBidi: value.max_streams_bidi,
    initialMaxStreamsUni: value.max_streams_uni,
    initialMaxData: value.max_data,
    initialMaxStreamDataBidiLocal: value.max_stream_data_bidi_local,
    initialMaxStreamDataBidiRemote: value.max_stream_data_bidi_remote,
    initialMaxStreamDataUni: value.max_stream_data_uni,
  };
}

/** What the peer announced, as option TRANSPORT_PARAM shows it. */
export function peerParamValue(peer: TransportParams): TransportParamValue {
  return {
    ...transportParam.decode(new Uint8Array(0)),
    remote: 1,
    disable_active_migration: Number(peer.disableActiveMigration),
    grease_quic_bit: Number(peer.greaseQuicBit),
    stateless_reset: Number(peer.statelessResetToken !== null),
    disable_1rtt_encryption: Number(peer.disable1RttEncryption),
    disable_compatible_version: Number(peer.versionInformation === null),
    active_connection_id_limit: Math.min(255, peer.activeConnectionIdLimit),
    ack_delay_exponent: peer.ackDelayExponent,
    max_datagram_frame_size: Math.min(65_535, peer.maxDatagramFrameBytes),
    max_udp_payload_size: Math.min(65_535, peer.maxUdpPayloadBytes),
    max_idle_timeout: Math.min(2 ** 32 - 1, peer.maxIdleTimeoutMillis * MICROS_PER_MILLI),
    max_ack_delay: peer.maxAckDelayMillis * MICROS_PER_MILLI,
    max_streams_bidi: Math.min(65_535, peer.initialMaxStreamsBidi),
    max_streams_uni: Math.min(65_535, peer.initialMaxStreamsUni),
    max_data: peer.initialMaxData,
    max_stream_data_bidi_local: peer.initialMaxStreamDataBidiLocal,
    max_stream_data_bidi_remote: peer.initialMaxStreamDataBidiRemote,
    max_stream_data_uni: peer.initialMaxStreamDataUni,
  };
}
