/**
 * The structs of `linux/quic.h` as bytes: fields at their C offsets (natural alignment, size rounded up to it), in the byte
 * order of the host. Invariant: `decode(encode(v))` is `v`. Bytes that are shorter than the struct read as if zeros
 * followed, longer ones are cut, as the kernel does so that header and kernel may differ in age.
 *
 * Fields of 64 bits are numbers; a stored value beyond ±(2^53 - 1) reads as that bound.
 */

const SIZES = { u8: 1, u16: 2, u32: 4, s64: 8, u64: 8 } as const;
type Scalar = keyof typeof SIZES;
/** A number, bytes of a fixed count, or padding that has no value. */
type Field = Scalar | { readonly bytes: number } | { readonly reserved: number };
type Layout = Record<string, Field>;
type ValueOf<F extends Field> = F extends Scalar ? number : Uint8Array;
type KeysWithValue<L extends Layout> = {
  [K in keyof L]: L[K] extends { readonly reserved: number } ? never : K;
}[keyof L];
/** The value of a struct: its fields without padding. */
export type StructValue<L extends Layout> = { [K in KeysWithValue<L>]: ValueOf<L[K]> };

const IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

interface Place {
  name: string;
  field: Field;
  offset: number;
  length: number;
}

export class Struct<L extends Layout> {
  /** As `sizeof` gives it. */
  readonly size: number;
  private readonly places: Place[] = [];

  constructor(layout: L) {
    let offset = 0;
    let alignment = 1;
    for (const [name, field] of Object.entries(layout)) {
      const align = typeof field === "string" ? SIZES[field] : 1;
      const length = typeof field === "string" ? SIZES[field] : byteCount(field);
      offset = roundUp(offset, align);
      alignment = Math.max(alignment, align);
      this.places.push({ name, field, offset, length });
      offset += length;
    }
    this.size = roundUp(offset, alignment);
  }

  /** Absent fields are 0. A number that its field cannot hold is cut to the low bits, as C does. */
  encode(value: Partial<StructValue<L>>): Uint8Array {
    const bytes = new Uint8Array(this.size);
    const view = new DataView(bytes.buffer);
    const given = value as Record<string, number | Uint8Array | undefined>;
    for (const { name, field, offset, length } of this.places) {
      const part = given[name];
      if (part === undefined) continue;
      if (typeof part === "number") putScalar(view, offset, field as Scalar, part);
      else bytes.set(part.subarray(0, length), offset);
    }
    return bytes;
  }

  decode(bytes: Uint8Array): StructValue<L> {
    const whole = new Uint8Array(this.size);
    whole.set(bytes.subarray(0, this.size));
    const view = new DataView(whole.buffer);
    const value: Record<string, number | Uint8Array> = {};
    for (const { name, field, offset, length } of this.places) {
      if (typeof field === "string") value[name] = getScalar(view, offset, field);
      else if ("bytes" in field) value[name] = whole.slice(offset, offset + length);
    }
    return value as StructValue<L>;
  }
}

function byteCount(field: Exclude<Field, string>): number {
  return "bytes" in field ? field.bytes : field.reserved;
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

function putScalar(view: DataView, offset: number, type: Scalar, value: number): void {
  if (type === "u8") view.setUint8(offset, value);
  else if (type === "u16") view.setUint16(offset, value, IS_LITTLE_ENDIAN);
  else if (type === "u32") view.setUint32(offset, value, IS_LITTLE_ENDIAN);
  else view.setBigInt64(offset, BigInt(Math.trunc(value)), IS_LITTLE_ENDIAN);
}

function getScalar(view: DataView, offset: number, type: Scalar): number {
  if (type === "u8") return view.getUint8(offset);
  if (type === "u16") return view.getUint16(offset, IS_LITTLE_ENDIAN);
  if (type === "u32") return view.getUint32(offset, IS_LITTLE_ENDIAN);
  const big = type === "s64" ? view.getBigInt64(offset, IS_LITTLE_ENDIAN) : view.getBigUint64(offset, IS_LITTLE_ENDIAN);
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number(big), Number.MAX_SAFE_INTEGER));
}

/** What a struct of this codec looks like: `Of<typeof streamInfo>`. */
export type Of<S> = S extends Struct<infer L> ? StructValue<L> : never;

export const handshakeInfo = new Struct({ crypto_level: "u8" });
export const streamInfo = new Struct({ stream_id: "s64", stream_flags: "u32" });
export const errInfo = new Struct({ stream_id: "s64", errcode: "u32" });
export const eventOption = new Struct({ type: "u8", on: "u8" });
export const connectionIdInfo = new Struct({ dest: "u8", pad: { reserved: 3 }, active: "u32", prior_to: "u32" });
/** `phrase` ends with a zero byte, so that it has 63 characters at most. */
export const connectionClose = new Struct({
  errcode: "u32",
  frame: "u8",
  pad: { reserved: 3 },
  phrase: { bytes: 64 },
});
export const streamUpdate = new Struct({
  id: "s64",
  state: "u8",
  pad: { reserved: 3 },
  errcode: "u32",
  finalsz: "u64",
});
export const streamMaxData = new Struct({ id: "s64", max_data: "u64" });
export const cryptoSecret = new Struct({
  send: "u8",
  level: "u8",
  pad: { reserved: 2 },
  type: "u32",
  secret: { bytes: 48 },
});
/** Times in microseconds. */
export const transportParam = new Struct({
  remote: "u8",
  disable_active_migration: "u8",
  grease_quic_bit: "u8",
  stateless_reset: "u8",
  disable_1rtt_encryption: "u8",
  disable_compatible_version: "u8",
  active_connection_id_limit: "u8",
  ack_delay_exponent: "u8",
  max_datagram_frame_size: "u16",
  max_udp_payload_size: "u16",
  max_idle_timeout: "u32",
  max_ack_delay: "u32",
  max_streams_bidi: "u16",
  max_streams_uni: "u16",
  max_data: "u64",
  max_stream_data_bidi_local: "u64",
  max_stream_data_bidi_remote: "u64",
  max_stream_data_uni: "u64",
});
/** Times in microseconds, but `receive_session_ticket` in seconds. */
export const config = new Struct({
  version: "u32",
  plpmtud_probe_interval: "u32",
  initial_smoothed_rtt: "u32",
  payload_cipher_type: "u32",
  congestion_control_algo: "u8",
  validate_peer_address: "u8",
  stream_data_nodelay: "u8",
  receive_session_ticket: "u8",
  certificate_request: "u8",
  pad: { reserved: 3 },
  keepalive_probe_interval: "u32",
});
export const streamPeeloff = new Struct({ stream_id: "s64", flags: "u32", sd: "u32" });
