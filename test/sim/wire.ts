/** A small reader of packets on the wire, apart from the engine's own, for checks on unprotected (null) runs. */

export const WIRE_INITIAL = 0;
export const WIRE_ZERO_RTT = 1;
export const WIRE_HANDSHAKE = 2;
export const WIRE_RETRY = 3;
export const WIRE_VERSION_NEGOTIATION = 4;
export const WIRE_SHORT = 5;

export interface WirePacket {
  type: number;
  tokenBytes: number;
  /** Payload without packet number and tag; empty where there is none. */
  payloadStart: number;
  payloadEnd: number;
}

const TAG_BYTES = 16;
/** RFC 9369 §3.2: its type bits are those of version 1 and one more. */
const V2 = 0x6b3343cf;

/** The packets of a datagram; stops at the first that makes no sense (it was damaged on the way). */
export function readPackets(buf: Uint8Array, length: number): WirePacket[] {
  const packets: WirePacket[] = [];
  for (let at = 0; at < length; ) {
    const first = buf[at];
    if ((first & 0x80) === 0) {
      packets.push({ type: WIRE_SHORT, tokenBytes: 0, payloadStart: length, payloadEnd: length });
      return packets;
    }
    const cursor = { at: at + 5 };
    cursor.at += 1 + buf[cursor.at];
    cursor.at += 1 + buf[cursor.at];
    const version = ((buf[at + 1] << 24) | (buf[at + 2] << 16) | (buf[at + 3] << 8) | buf[at + 4]) >>> 0;
    const type = version === 0 ? WIRE_VERSION_NEGOTIATION : ((first >> 4) - (version === V2 ? 1 : 0)) & 3;
    if (type === WIRE_RETRY || type === WIRE_VERSION_NEGOTIATION) {
      packets.push({ type, tokenBytes: 0, payloadStart: length, payloadEnd: length });
      return packets;
    }
    let tokenBytes = 0;
    if (type === WIRE_INITIAL) {
      tokenBytes = readVarint(buf, cursor);
      cursor.at += tokenBytes;
    }
    const packetBytes = readVarint(buf, cursor);
    const end = cursor.at + packetBytes;
    if (!(end <= length) || packetBytes < TAG_BYTES) return packets;
    const payloadStart = cursor.at + (first & 3) + 1;
    packets.push({ type, tokenBytes, payloadStart, payloadEnd: end - TAG_BYTES });
    at = end;
  }
  return packets;
}

/** Whether a payload of an Initial or Handshake packet elicits an acknowledgement (RFC 9000 §13.2). */
export function isEliciting(buf: Uint8Array, start: number, end: number): boolean {
  const cursor = { at: start };
  while (cursor.at < end) {
    const type = readVarint(buf, cursor);
    if (type === 0x00) continue;
    if (type === 0x1c || type === 0x1d) return false; // nothing but padding follows a close
    if (type !== 0x02 && type !== 0x03) return true;
    readVarint(buf, cursor); // largest acknowledged
    readVarint(buf, cursor); // delay
    const ranges = readVarint(buf, cursor);
    const numbers = 1 + 2 * ranges + (type === 0x03 ? 3 : 0);
    for (let left = numbers; left > 0; left--) readVarint(buf, cursor);
  }
  return false;
}

function readVarint(buf: Uint8Array, cursor: { at: number }): number {
  const length = 1 << (buf[cursor.at] >> 6);
  let value = buf[cursor.at++] & 0x3f;
  for (let left = length - 1; left > 0; left--) value = value * 256 + buf[cursor.at++];
  return value;
}
