/**
 * What a socket is told before it connects or listens: options TRANSPORT_PARAM and CONFIG, with the ranges of Linux. In a
 * `set`, 0 keeps what is there and a flag that is on stays on. Invariant: what is kept here is in its range.
 */

import { EINVAL } from "./errno.js";
import {
  QUIC_CONG_ALG_MAX,
  QUIC_CONG_ALG_RENO,
  TLS_CIPHER_AES_GCM_128,
  TLS_CIPHER_CHACHA20_POLY1305,
} from "./numbers.js";
import { config as configStruct, type Of, transportParam } from "./structs.js";

export type TransportParamValue = Of<typeof transportParam>;
export type ConfigValue = Of<typeof configStruct>;

const MAX_DATA_BYTES = Math.floor((2 ** 31 - 1) / 4);
const MAX_STREAM_DATA_BYTES = Math.floor((2 ** 31 - 1) / 8);
const MAX_STREAMS = 4096;
const MIN_PAYLOAD_BYTES = 1200;
const MAX_PAYLOAD_BYTES = 65_527;
const MAX_ACK_DELAY_MICROS = 16_384_000;
const WORD_MAX = 0xffffffff;
/** The raise timer of PLPMTUD is 30 intervals, and has to fit its field. */
const MTU_RAISE_INTERVALS = 30;

/** Lowest and highest value that is not 0, or null where any value is taken. */
type Range = readonly [min: number, max: number] | null;

const PARAM_RANGES: { readonly [K in keyof TransportParamValue]?: Range } = {
  active_connection_id_limit: [2, 8],
  ack_delay_exponent: [0, 20],
  max_datagram_frame_size: [MIN_PAYLOAD_BYTES, 65_535],
  max_udp_payload_size: [MIN_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES],
  max_idle_timeout: [1_000_000, WORD_MAX],
  max_ack_delay: [1, MAX_ACK_DELAY_MICROS - 1],
  max_streams_bidi: [1, MAX_STREAMS],
  max_streams_uni: [1, MAX_STREAMS],
  max_data: [MIN_PAYLOAD_BYTES, MAX_DATA_BYTES],
  max_stream_data_bidi_local: [MIN_PAYLOAD_BYTES, MAX_STREAM_DATA_BYTES],
  max_stream_data_bidi_remote: [MIN_PAYLOAD_BYTES, MAX_STREAM_DATA_BYTES],
  max_stream_data_uni: [MIN_PAYLOAD_BYTES, MAX_STREAM_DATA_BYTES],
};

const PARAM_FLAGS = [
  "disable_active_migration",
  "grease_quic_bit",
  "stateless_reset",
  "disable_1rtt_encryption",
  "disable_compatible_version",
] as const;

const CONFIG_RANGES: { readonly [K in keyof ConfigValue]: Range } = {
  version: null,
  plpmtud_probe_interval: [5_000_000, Math.floor(WORD_MAX / MTU_RAISE_INTERVALS)],
  initial_smoothed_rtt: [1_000, 6_000_000],
  payload_cipher_type: [TLS_CIPHER_AES_GCM_128, TLS_CIPHER_CHACHA20_POLY1305],
  congestion_control_algo: [QUIC_CONG_ALG_RENO, QUIC_CONG_ALG_MAX - 1],
  validate_peer_address: [0, 1],
  stream_data_nodelay: [0, 1],
  receive_session_ticket: null,
  certificate_request: [0, 3],
  keepalive_probe_interval: [1_500_000, WORD_MAX],
};

export class SocketSettings {
  readonly params: TransportParamValue = defaultTransportParam();
  readonly config: ConfigValue = defaultConfig();

  /** 0 or -EINVAL; a refused set changes nothing. `remote` is the caller's to look at. */
  setParams(given: TransportParamValue): number {
    if (!inRanges(given, PARAM_RANGES)) return -EINVAL;
    for (const name of Object.keys(PARAM_RANGES) as (keyof TransportParamValue)[]) {
      if (given[name] !== 0) this.params[name] = given[name];
    }
    for (const flag of PARAM_FLAGS) if (given[flag] !== 0) this.params[flag] = 1;
    return 0;
  }

  /** 0 or -EINVAL; a refused set changes nothing. */
  setConfig(given: ConfigValue): number {
    if (!inRanges(given, CONFIG_RANGES)) return -EINVAL;
    for (const name of Object.keys(CONFIG_RANGES) as (keyof ConfigValue)[]) {
      if (given[name] !== 0) this.config[name] = given[name];
    }
    return 0;
  }

  /** An accepted socket begins with its listener's. */
  inherit(from: SocketSettings): void {
    Object.assign(this.params, from.params);
    Object.assign(this.config, from.config);
  }
}

function inRanges<V extends Record<string, number>>(given: V, ranges: { readonly [K in keyof V]?: Range }): boolean {
  for (const [name, range] of Object.entries(ranges) as [keyof V, Range][]) {
    const value = given[name] as number;
    if (range !== null && value !== 0 && (value < range[0] || value > range[1])) return false;
  }
  return true;
}

/** Linux's defaults: 32 and 16 times 65,535 bytes of windows, 30 s idle, 25 ms acknowledgement delay. */
function defaultTransportParam(): TransportParamValue {
  const window = 65_535;
  return {
    ...transportParam.decode(new Uint8Array(0)),
    max_udp_payload_size: MAX_PAYLOAD_BYTES,
    ack_delay_exponent: 3,
    max_ack_delay: 25_000,
    active_connection_id_limit: 7,
    max_idle_timeout: 30_000_000,
    max_data: 32 * window,
    max_stream_data_bidi_local: 16 * window,
    max_stream_data_bidi_remote: 16 * window,
    max_stream_data_uni: 16 * window,
    max_streams_bidi: 100,
    max_streams_uni: 100,
  };
}

function defaultConfig(): ConfigValue {
  return { ...configStruct.decode(new Uint8Array(0)), version: 1, initial_smoothed_rtt: 333_000 };
}
