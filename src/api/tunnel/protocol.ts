/**
 * What the two ends of a tunnel say to each other (docs/tunnel.md). A TCP connection is one bidirectional stream that holds
 * its bytes and nothing else, so that a program that speaks QUIC itself can be one of the ends. A UDP datagram is a DATAGRAM
 * frame (RFC 9221): the number of its flow as a varint (RFC 9000 §16), then its payload.
 */

import { varintEnd, varintLength, varintLengthAt, writeVarint } from "../../base/varint.js";
import { QuicError } from "../errors.js";

/** Codes of RESET_STREAM and STOP_SENDING: why a TCP connection is gone. The listening end answers each with a TCP reset. */
export const TUNNEL_RESET = 1; // it was reset, or broke
export const TUNNEL_UNREACHABLE = 2; // the target refused it, or did not answer
export const TUNNEL_NOT_SERVED = 3; // this end dials nothing for streams
/** Codes of CONNECTION_CLOSE. */
export const TUNNEL_REPLACED = 16; // the client has made another connection in its place

/** Flow numbers are counted up from 0 and never used again in a connection; no flow is the last one of 30 bits. */
export const LAST_FLOW = varintEnd(0x4000) - 1;

/** An ALPN name for streams and flows that the server opens: a server without `--reverse` does not speak it. */
const REVERSE_SUFFIX = "/reverse";

export function wireName(alpn: string, isReverse: boolean): string {
  return isReverse ? alpn + REVERSE_SUFFIX : alpn;
}

/** Bytes that the number of a flow takes. */
export function flowHeadBytes(flow: number): number {
  return varintLength(flow);
}

/** A datagram of `flow`; a copy. */
export function encodeFlow(flow: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(varintLength(flow) + payload.length);
  bytes.set(payload, writeVarint(bytes, 0, flow));
  return bytes;
}

/** The number of the flow, -1 for what is none; `payloadOf` has the rest. */
export function flowOf(datagram: Uint8Array): number {
  const [first = 0, second = 0, third = 0, fourth = 0] = datagram;
  const length = headLength(datagram);
  if (length > 4 || length > datagram.length) return -1;
  if (length === 1) return first;
  return length === 2
    ? ((first & 0x3f) << 8) | second
    : ((first & 0x3f) << 24) | (second << 16) | (third << 8) | fourth;
}

/** A view of what follows the number. */
export function payloadOf(datagram: Uint8Array): Uint8Array {
  return datagram.subarray(headLength(datagram));
}

function headLength(datagram: Uint8Array): number {
  return datagram.length === 0 ? 1 : varintLengthAt(datagram[0] as number);
}

export function tunnelError(code: number, message: string): QuicError {
  return new QuicError(message, { errorCode: code });
}
