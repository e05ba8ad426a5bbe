/** Transport parameters (RFC 9000 §18) as a list of ids and bytes, right or wrong. */

import { bytes, vi } from "../support/raw-frames.js";
import { readVarint } from "./varint.js";

export type Param = [id: number, value: Uint8Array];

export const P_ORIGINAL_DCID = 0x00;
export const P_IDLE_TIMEOUT = 0x01;
export const P_RESET_TOKEN = 0x02;
export const P_MAX_UDP_PAYLOAD = 0x03;
export const P_MAX_DATA = 0x04;
export const P_STREAM_DATA_BIDI_LOCAL = 0x05;
export const P_STREAM_DATA_BIDI_REMOTE = 0x06;
export const P_STREAM_DATA_UNI = 0x07;
export const P_STREAMS_BIDI = 0x08;
export const P_STREAMS_UNI = 0x09;
export const P_ACK_DELAY_EXPONENT = 0x0a;
export const P_MAX_ACK_DELAY = 0x0b;
export const P_DISABLE_MIGRATION = 0x0c;
export const P_PREFERRED_ADDRESS = 0x0d;
export const P_CID_LIMIT = 0x0e;
export const P_INITIAL_SCID = 0x0f;
export const P_RETRY_SCID = 0x10;
export const P_VERSION_INFORMATION = 0x11;
export const P_MAX_DATAGRAM = 0x20;
export const P_GREASE_QUIC_BIT = 0x2ab2;

export function writeParams(list: readonly Param[]): Buffer {
  return Buffer.from(bytes(...list.flatMap(([id, value]) => [vi(id), vi(value.length), value])));
}

export function readParams(extension: Buffer): Map<number, Buffer> {
  const out = new Map<number, Buffer>();
  for (let at = 0; at < extension.length; ) {
    const id = readVarint(extension, at);
    const length = readVarint(extension, id.next);
    const end = length.next + Number(length.value);
    out.set(Number(id.value), extension.subarray(length.next, end));
    at = end;
  }
  return out;
}

/** The integer that a parameter holds; 0 when it is absent. */
export function intParam(params: Map<number, Buffer>, id: number): number {
  const value = params.get(id);
  return value === undefined ? 0 : Number(readVarint(value, 0).value);
}

/** What a generous endpoint announces. */
export function usualParams(initialScid: Uint8Array): Param[] {
  return [
    [P_IDLE_TIMEOUT, vi(120_000)],
    [P_MAX_DATA, vi(1 << 24)],
    [P_STREAM_DATA_BIDI_LOCAL, vi(1 << 20)],
    [P_STREAM_DATA_BIDI_REMOTE, vi(1 << 20)],
    [P_STREAM_DATA_UNI, vi(1 << 20)],
    [P_STREAMS_BIDI, vi(100)],
    [P_STREAMS_UNI, vi(100)],
    [P_CID_LIMIT, vi(8)],
    [P_INITIAL_SCID, initialScid],
  ];
}

/** `list` with the value of one parameter set, or removed for null. */
export function withParam(list: readonly Param[], id: number, value: Uint8Array | null): Param[] {
  const rest = list.filter(([other]) => other !== id);
  return value === null ? rest : [...rest, [id, value]];
}
