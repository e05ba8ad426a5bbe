/**
 * What the program of a simulated connection does with datagrams (RFC 9221): sends its planned number, a few at a time, and
 * checks what comes. Each carries its number and bytes that follow from it; none may come twice or damaged, and each that
 * was sent has one fate at most.
 */

import type { DatagramFate, Transport } from "#src/port/transport.js";

/** Sent in one go; the next follow with news of these. */
const BURST = 8;
const HEAD_BYTES = 4;

export class DatagramChatter {
  received = 0;
  private sent = 0;
  private readonly waiting = new Set<number>();
  private readonly seen = new Set<number>();

  constructor(
    private readonly conn: Transport,
    private readonly planned: number,
  ) {}

  /** Sends the next ones; the peer's parameters are known. */
  go(): void {
    const most = this.conn.datagrams.maxBytes;
    if (most < HEAD_BYTES) return;
    while (this.sent < this.planned && this.waiting.size < BURST) {
      const index = this.sent;
      const id = this.conn.datagrams.send(content(index, HEAD_BYTES + ((index * 397) % (most - HEAD_BYTES + 1))));
      if (id < 0) return;
      this.sent++;
      this.waiting.add(id);
    }
  }

  /** "" or what is wrong with a datagram of the peer. */
  onDatagram(bytes: Uint8Array): string {
    if (bytes.length < HEAD_BYTES) return `a datagram of ${bytes.length} bytes`;
    const index = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    for (let at = HEAD_BYTES; at < bytes.length; at++) {
      if (bytes[at] !== ((index * 31 + at * 7) & 0xff)) return `datagram ${index} is damaged`;
    }
    if (this.seen.has(index)) return `datagram ${index} came twice`;
    this.seen.add(index);
    this.received++;
    return "";
  }

  /** "" or what is wrong with the news. */
  onFate(id: number, fate: DatagramFate): string {
    return this.waiting.delete(id) ? "" : `datagram ${id} has fate ${fate} and was not sent, or had one before`;
  }
}

function content(index: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = HEAD_BYTES; at < length; at++) bytes[at] = index * 31 + at * 7;
  new DataView(bytes.buffer).setUint32(0, index);
  return bytes;
}
