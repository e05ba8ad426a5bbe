/** Stream ids (RFC 9000 §2.1): bit 0 says who opened it, bit 1 which way data flows, the rest counts. */

import { STREAM_BIDI, STREAM_UNI, type StreamKind } from "../port/transport.js";

export function isServerInitiated(id: number): boolean {
  return (id & 1) === 1;
}

export function isUni(id: number): boolean {
  return (id & 2) === 2;
}

export function kindOf(id: number): StreamKind {
  return (id & 2) === 0 ? STREAM_BIDI : STREAM_UNI;
}

/** Position among the streams of the same initiator and kind, from 0. */
export function indexOf(id: number): number {
  return Math.floor(id / 4);
}

export function makeId(index: number, isServer: boolean, kind: StreamKind): number {
  return index * 4 + (kind === STREAM_UNI ? 2 : 0) + (isServer ? 1 : 0);
}
