/** Packet headers (RFC 9000 §17, RFC 9369 §3.2) as the raw peer reads and writes them. */

import { bytes, vi } from "../support/raw-frames.js";
import { TAG_BYTES, V2 } from "./protection.js";
import { APP, EARLY, HANDSHAKE, INITIAL } from "./tls-messages.js";
import { readVarint } from "./varint.js";

export const RETRY = 4;
export const VERSION_NEGOTIATION = 5;

const V1_TYPES = [INITIAL, EARLY, HANDSHAKE, RETRY];
const V2_TYPES = [RETRY, INITIAL, EARLY, HANDSHAKE];

export interface Header {
  /** A level, RETRY or VERSION_NEGOTIATION. */
  kind: number;
  version: number;
  dcid: Buffer;
  scid: Buffer;
  token: Buffer;
  /** Where the packet number is, or the rest of a Retry or Version Negotiation begins. */
  pnOffset: number;
  /** End of the packet. */
  end: number;
}

/** The header at `at`; null for what is none. `cidBytes` is the length of ids in short headers. */
export function readHeader(datagram: Buffer, at: number, cidBytes: number): Header | null {
  const first = datagram[at] as number;
  const empty = Buffer.alloc(0);
  if ((first & 0x80) === 0) {
    const pnOffset = at + 1 + cidBytes;
    if (pnOffset > datagram.length) return null;
    const dcid = datagram.subarray(at + 1, pnOffset);
    return { kind: APP, version: 0, dcid, scid: empty, token: empty, pnOffset, end: datagram.length };
  }
  try {
    return readLong(datagram, at, first);
  } catch {
    return null;
  }
}

function readLong(datagram: Buffer, at: number, first: number): Header {
  const version = datagram.readUInt32BE(at + 1);
  const dcidAt = at + 6;
  const scidAt = dcidAt + datagram.readUInt8(at + 5) + 1;
  const dcid = datagram.subarray(dcidAt, scidAt - 1);
  let next = scidAt + datagram.readUInt8(scidAt - 1);
  const scid = datagram.subarray(scidAt, next);
  const base = { version, dcid, scid, token: Buffer.alloc(0), pnOffset: next, end: datagram.length };
  if (version === 0) return { ...base, kind: VERSION_NEGOTIATION };
  const kind = (version === V2 ? V2_TYPES : V1_TYPES)[(first >> 4) & 3] as number;
  if (kind === RETRY) return { ...base, kind, token: datagram.subarray(next, datagram.length - TAG_BYTES) };
  let token: Buffer = base.token;
  if (kind === INITIAL) {
    const length = readVarint(datagram, next);
    next = length.next + Number(length.value);
    token = datagram.subarray(length.next, next);
  }
  const length = readVarint(datagram, next);
  const end = length.next + Number(length.value);
  if (end > datagram.length) throw new Error("the packet is cut");
  return { ...base, kind, token, pnOffset: length.next, end };
}

export function typeBits(kind: number, version: number): number {
  return (version === V2 ? V2_TYPES : V1_TYPES).indexOf(kind) << 4;
}

export function version32(version: number): Uint8Array {
  return Uint8Array.of(version >>> 24, (version >>> 16) & 255, (version >>> 8) & 255, version & 255);
}

/** Everything of a long header up to the Length field, or to the token of a Retry. */
export function longHeader(
  firstByte: number,
  version: number,
  dcid: Uint8Array,
  scid: Uint8Array,
  rest: Uint8Array = new Uint8Array(0),
): Uint8Array {
  return bytes(firstByte, version32(version), dcid.length, dcid, scid.length, scid, rest);
}

export function tokenField(token: Uint8Array): Uint8Array {
  return bytes(vi(token.length), token);
}

export function versionNegotiation(dcid: Uint8Array, scid: Uint8Array, versions: readonly number[]): Uint8Array {
  return longHeader(0xc0, 0, dcid, scid, bytes(...versions.map(version32)));
}
