/**
 * Transport parameters on the wire: the body of the quic_transport_parameters extension (RFC 9000 §7.4, §18).
 *
 * Invariant: what `decodeParams` returns keeps every rule that can be told from the parameters alone; the owner adds
 * `checkHandshakeCids` and closes with TRANSPORT_PARAMETER_ERROR when either gives a text.
 */

import { equalBytes, Reader, u32At, Writer } from "../base/bytes.js";
import { unreachable } from "../base/unreachable.js";
import { MAX_VARINT, MAX_VARINT_BIG, varintLength } from "../base/varint.js";
import type { Random } from "../port/random.js";
import { MAX_CID_BYTES } from "../proto/limits.js";
import {
  defaultParams,
  PARAM_ACK_DELAY_EXPONENT,
  PARAM_ACTIVE_CONNECTION_ID_LIMIT,
  PARAM_DISABLE_1RTT_ENCRYPTION,
  PARAM_DISABLE_ACTIVE_MIGRATION,
  PARAM_GREASE_QUIC_BIT,
  PARAM_INITIAL_MAX_DATA,
  PARAM_INITIAL_MAX_STREAM_DATA_BIDI_LOCAL,
  PARAM_INITIAL_MAX_STREAM_DATA_BIDI_REMOTE,
  PARAM_INITIAL_MAX_STREAM_DATA_UNI,
  PARAM_INITIAL_MAX_STREAMS_BIDI,
  PARAM_INITIAL_MAX_STREAMS_UNI,
  PARAM_INITIAL_SCID,
  PARAM_MAX_ACK_DELAY,
  PARAM_MAX_DATAGRAM_FRAME_SIZE,
  PARAM_MAX_IDLE_TIMEOUT,
  PARAM_MAX_UDP_PAYLOAD_SIZE,
  PARAM_MIN_ACK_DELAY,
  PARAM_ORIGINAL_DCID,
  PARAM_PREFERRED_ADDRESS,
  PARAM_RETRY_SCID,
  PARAM_STATELESS_RESET_TOKEN,
  PARAM_VERSION_INFORMATION,
  type PreferredAddress,
  RESET_TOKEN_BYTES,
  type TransportParams,
  type VersionInformation,
} from "../proto/params.js";
import { reservedVersion } from "../proto/version.js";

type IntegerField = {
  [K in keyof TransportParams]: TransportParams[K] extends number ? K : never;
}[keyof TransportParams];

interface IntegerParam {
  readonly id: number;
  readonly field: IntegerField;
  readonly name: string;
  /** Valid values, both inclusive. */
  readonly min: bigint;
  readonly max: bigint;
}

/** RFC 9000 §18.2, RFC 9221 §3; the stream limits as in RFC 9000 §4.6. */
const INTEGERS: readonly IntegerParam[] = [
  integer(PARAM_MAX_IDLE_TIMEOUT, "maxIdleTimeoutMillis", "max_idle_timeout"),
  integer(PARAM_MAX_UDP_PAYLOAD_SIZE, "maxUdpPayloadBytes", "max_udp_payload_size", 1200n),
  integer(PARAM_INITIAL_MAX_DATA, "initialMaxData", "initial_max_data"),
  integer(
    PARAM_INITIAL_MAX_STREAM_DATA_BIDI_LOCAL,
    "initialMaxStreamDataBidiLocal",
    "initial_max_stream_data_bidi_local",
  ),
  integer(
    PARAM_INITIAL_MAX_STREAM_DATA_BIDI_REMOTE,
    "initialMaxStreamDataBidiRemote",
    "initial_max_stream_data_bidi_remote",
  ),
  integer(PARAM_INITIAL_MAX_STREAM_DATA_UNI, "initialMaxStreamDataUni", "initial_max_stream_data_uni"),
  integer(PARAM_INITIAL_MAX_STREAMS_BIDI, "initialMaxStreamsBidi", "initial_max_streams_bidi", 0n, 1n << 60n),
  integer(PARAM_INITIAL_MAX_STREAMS_UNI, "initialMaxStreamsUni", "initial_max_streams_uni", 0n, 1n << 60n),
  integer(PARAM_ACK_DELAY_EXPONENT, "ackDelayExponent", "ack_delay_exponent", 0n, 20n),
  integer(PARAM_MAX_ACK_DELAY, "maxAckDelayMillis", "max_ack_delay", 0n, (1n << 14n) - 1n),
  integer(PARAM_ACTIVE_CONNECTION_ID_LIMIT, "activeConnectionIdLimit", "active_connection_id_limit", 2n),
  integer(PARAM_MAX_DATAGRAM_FRAME_SIZE, "maxDatagramFrameBytes", "max_datagram_frame_size"),
];

const SERVER_ONLY: readonly number[] = [
  PARAM_ORIGINAL_DCID,
  PARAM_STATELESS_RESET_TOKEN,
  PARAM_PREFERRED_ADDRESS,
  PARAM_RETRY_SCID,
];

const FINE = "";
const VERSION_BYTES = 4;

/** A parameter that exists to be ignored (RFC 9000 §18.1). */
export interface ReservedParam {
  /** 31 * N + 27. */
  readonly id: number;
  readonly bytes: Uint8Array;
}

/** One with an id and up to 15 bytes that nobody foresees (RFC 9000 §18.1, RFC 9170 §3.3). */
export function reservedParam(random: Random): ReservedParam {
  const drawn = new Uint8Array(18);
  random.fill(drawn, 0, drawn.length);
  const steps = drawn[0] * 256 + drawn[1];
  return { id: 31 * steps + 27, bytes: drawn.slice(3, 3 + (drawn[2] & 15)) };
}

/** A version that exists to be ignored (RFC 9000 §6.3, §15). */
export function randomReservedVersion(random: Random): number {
  const drawn = new Uint8Array(4);
  random.fill(drawn, 0, drawn.length);
  return reservedVersion(u32At(drawn, 0));
}

/** The extension's body. Defaults are left out. A client that is given server-only parameters is a bug of ours. */
export function encodeParams(params: TransportParams, isServer: boolean, grease?: ReservedParam): Uint8Array {
  const out = new Writer(256);
  const defaults = defaultParams();
  for (const { id, field, min, max } of INTEGERS) {
    const value = params[field];
    if (!(value >= min && value <= max)) unreachable(`transport parameter ${field}: ${value}`);
    if (value === defaults[field]) continue;
    writeInteger(out, id, value);
  }
  if (params.disableActiveMigration) writeParam(out, PARAM_DISABLE_ACTIVE_MIGRATION, new Uint8Array(0));
  if (params.disable1RttEncryption) writeParam(out, PARAM_DISABLE_1RTT_ENCRYPTION, new Uint8Array(0));
  if (params.greaseQuicBit) writeParam(out, PARAM_GREASE_QUIC_BIT, new Uint8Array(0));
  if (params.initialScid !== null) writeParam(out, PARAM_INITIAL_SCID, params.initialScid);
  if (params.versionInformation !== null) writeVersionInformation(out, params.versionInformation);
  if (params.minAckDelayMicros !== null) writeInteger(out, PARAM_MIN_ACK_DELAY, params.minAckDelayMicros);

  const { originalDcid, retryScid, statelessResetToken, preferredAddress } = params;
  if (!isServer && (originalDcid ?? retryScid ?? statelessResetToken ?? preferredAddress) !== null) {
    unreachable("a client with server-only transport parameters");
  }
  if (originalDcid !== null) writeParam(out, PARAM_ORIGINAL_DCID, originalDcid);
  if (retryScid !== null) writeParam(out, PARAM_RETRY_SCID, retryScid);
  if (statelessResetToken !== null) writeParam(out, PARAM_STATELESS_RESET_TOKEN, statelessResetToken);
  if (preferredAddress !== null) writeParam(out, PARAM_PREFERRED_ADDRESS, encodePreferredAddress(preferredAddress));
  if (grease !== undefined) {
    if (grease.id % 31 !== 27) unreachable(`transport parameter ${grease.id} is not reserved`);
    writeParam(out, grease.id, grease.bytes);
  }
  return out.finish();
}

/** What a peer sent, checked and copied, or null with the reason for a TRANSPORT_PARAMETER_ERROR. */
export function decodeParams(
  bytes: Uint8Array,
  fromServer: boolean,
): { params: TransportParams | null; error: string } {
  const reader = new Reader();
  const value = new Reader();
  reader.reset(bytes, 0, bytes.length);
  const params = defaultParams();
  const seen = new Set<bigint>();
  while (reader.remaining > 0) {
    const id = reader.varintBig();
    const start = reader.skip(reader.varint());
    if (!reader.ok) return refuse("truncated transport parameters");
    if (seen.has(id)) return refuse(`transport parameter 0x${id.toString(16)} twice`);
    seen.add(id);
    value.reset(bytes, start, reader.pos);
    const wrong = readParam(Number(id), value, fromServer, params);
    if (wrong !== FINE) return refuse(wrong);
  }
  if (params.preferredAddress !== null && params.initialScid?.length === 0) {
    return refuse("preferred_address beside a zero-length connection id");
  }
  if ((params.minAckDelayMicros ?? 0) > params.maxAckDelayMillis * 1000) {
    return refuse("min_ack_delay exceeds max_ack_delay");
  }
  return { params, error: FINE };
}

/** What the connection ids in the peer's parameters must be, as seen in the handshake. */
export interface HandshakeCids {
  /** Source connection id of the peer's first Initial. */
  readonly initialScid: Uint8Array;
  /** At a client: destination connection id of its first Initial. Null at a server. */
  readonly originalDcid: Uint8Array | null;
  /** At a client: source connection id of the Retry that it followed, null = there was none. Null at a server. */
  readonly retryScid: Uint8Array | null;
}

/** RFC 9000 §7.3: "" when the ids in `params` are those of the handshake, else the reason to close. */
export function checkHandshakeCids(params: TransportParams, seen: HandshakeCids): string {
  if (!sameCid(params.initialScid, seen.initialScid)) return "initial_source_connection_id does not match";
  if (!sameCid(params.originalDcid, seen.originalDcid)) return "original_destination_connection_id does not match";
  if (!sameCid(params.retryScid, seen.retryScid)) return "retry_source_connection_id does not match";
  return FINE;
}

function integer(id: number, field: IntegerField, name: string, min = 0n, max: bigint = MAX_VARINT_BIG): IntegerParam {
  return { id, field, name, min, max };
}

function refuse(error: string): { params: null; error: string } {
  return { params: null, error };
}

function sameCid(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : equalBytes(a, b);
}

function writeParam(out: Writer, id: number, value: Uint8Array): void {
  out.varint(id);
  out.varint(value.length);
  out.bytes(value);
}

function writeInteger(out: Writer, id: number, value: number): void {
  out.varint(id);
  out.varint(varintLength(value));
  out.varint(value);
}

function encodePreferredAddress(address: PreferredAddress): Uint8Array {
  const out = new Writer(64);
  out.bytes(address.ipv4);
  out.u16(address.ipv4Port);
  out.bytes(address.ipv6);
  out.u16(address.ipv6Port);
  out.u8(address.connectionId.length);
  out.bytes(address.connectionId);
  out.bytes(address.statelessResetToken);
  return out.finish();
}

/** Reads one value, which fills `value`, into `params`. Unknown ids are fine (RFC 9000 §7.4.2). */
function readParam(id: number, value: Reader, fromServer: boolean, params: TransportParams): string {
  if (!fromServer && SERVER_ONLY.includes(id)) return `server-only transport parameter 0x${id.toString(16)}`;
  const length = value.remaining;
  switch (id) {
    case PARAM_ORIGINAL_DCID:
      params.originalDcid = value.take(length);
      return length > MAX_CID_BYTES ? "original_destination_connection_id is too long" : FINE;
    case PARAM_INITIAL_SCID:
      params.initialScid = value.take(length);
      return length > MAX_CID_BYTES ? "initial_source_connection_id is too long" : FINE;
    case PARAM_RETRY_SCID:
      params.retryScid = value.take(length);
      return length > MAX_CID_BYTES ? "retry_source_connection_id is too long" : FINE;
    case PARAM_STATELESS_RESET_TOKEN:
      params.statelessResetToken = value.take(length);
      return length === RESET_TOKEN_BYTES ? FINE : "stateless_reset_token is not 16 bytes";
    case PARAM_DISABLE_ACTIVE_MIGRATION:
      params.disableActiveMigration = true;
      return length === 0 ? FINE : "disable_active_migration with a value";
    case PARAM_GREASE_QUIC_BIT:
      params.greaseQuicBit = true;
      return length === 0 ? FINE : "grease_quic_bit with a value";
    case PARAM_DISABLE_1RTT_ENCRYPTION:
      params.disable1RttEncryption = true;
      return length === 0 ? FINE : "disable_1rtt_encryption with a value";
    case PARAM_VERSION_INFORMATION:
      params.versionInformation = readVersionInformation(value);
      return checkVersionInformation(params.versionInformation, fromServer);
    case PARAM_PREFERRED_ADDRESS:
      params.preferredAddress = readPreferredAddress(value);
      return params.preferredAddress === null ? "malformed preferred_address" : FINE;
    case PARAM_MIN_ACK_DELAY:
      params.minAckDelayMicros = value.varint();
      return value.ok && value.remaining === 0 ? FINE : "min_ack_delay is not one integer";
    default:
      return readInteger(id, value, params);
  }
}

function writeVersionInformation(out: Writer, { chosen, available }: VersionInformation): void {
  const value = new Writer(VERSION_BYTES * (1 + available.length));
  for (const version of [chosen, ...available]) value.u32(version);
  writeParam(out, PARAM_VERSION_INFORMATION, value.finish());
}

/** Null when it is not a list of whole versions with one at least. */
function readVersionInformation(value: Reader): VersionInformation | null {
  if (value.remaining === 0 || value.remaining % VERSION_BYTES !== 0) return null;
  const chosen = value.u32();
  const available: number[] = [];
  while (value.remaining > 0) available.push(value.u32());
  return { chosen, available };
}

/** RFC 9368 §4: what can be told from the parameter alone. */
function checkVersionInformation(info: VersionInformation | null, fromServer: boolean): string {
  if (info === null) return "malformed version_information";
  const { chosen, available } = info;
  if (chosen === 0 || available.includes(0)) return "version_information with version 0";
  return fromServer || available.includes(chosen) ? FINE : "version_information without the chosen version in its list";
}

function readInteger(id: number, value: Reader, params: TransportParams): string {
  const known = INTEGERS.find((integerParam) => integerParam.id === id);
  if (known === undefined) return FINE;
  const wide = value.varintBig();
  if (!value.ok || value.remaining > 0) return `${known.name} is not one integer`;
  if (wide < known.min || wide > known.max) return `${known.name} is out of range`;
  params[known.field] = wide > BigInt(MAX_VARINT) ? MAX_VARINT : Number(wide);
  return FINE;
}

/** Null when it is cut or too long, or its connection id has not 1 to 20 bytes (RFC 9000 §18.2). */
function readPreferredAddress(value: Reader): PreferredAddress | null {
  const ipv4 = value.take(4);
  const ipv4Port = value.u16();
  const ipv6 = value.take(16);
  const ipv6Port = value.u16();
  const cidBytes = value.u8();
  const connectionId = value.take(cidBytes);
  const statelessResetToken = value.take(RESET_TOKEN_BYTES);
  if (!value.ok || value.remaining > 0 || cidBytes < 1 || cidBytes > MAX_CID_BYTES) return null;
  return { ipv4, ipv4Port, ipv6, ipv6Port, connectionId, statelessResetToken };
}
