/**
 * A datagram on its way through the simulated network, and the pool that they come from: a run moves thousands, and a
 * fresh buffer for each would cost more than the engine's own work.
 *
 * Invariant: a datagram has one owner at a time; whoever ends its way gives it back to the pool exactly once.
 */

import { ADDR_PORT } from "../port/udp.js";

/** Words of an address that routing looks at: four of IPv6 and the port. */
export const ADDRESS_WORDS = ADDR_PORT + 1;

const FIRST_CAPACITY_BYTES = 2048;

export class Datagram {
  /** Grows when more is put in; the payload is [0, length). */
  bytes = new Uint8Array(FIRST_CAPACITY_BYTES);
  length = 0;
  /** ECN_* of port/udp. */
  ecn = 0;
  readonly source = new Int32Array(ADDRESS_WORDS);
  readonly dest = new Int32Array(ADDRESS_WORDS);
  /** Number of this sending among all of the run; a copy has the number of its original. */
  id = 0;
  sentMicros = 0;
  pooled = true;

  /** Replaces the payload. */
  set(buf: Uint8Array, start: number, end: number): void {
    this.reserve(end - start);
    // An indexed loop beats set(subarray()) for small packets, and packets here are small more often than not.
    if (end - start > 128) this.bytes.set(buf.subarray(start, end));
    else for (let i = start, to = 0; i < end; i++) this.bytes[to++] = buf[i];
    this.length = end - start;
  }

  /** Makes room for this many bytes and keeps the payload. */
  reserve(bytes: number): void {
    if (bytes <= this.bytes.length) return;
    const grown = new Uint8Array(bytes);
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }
}

export class DatagramPool {
  private readonly free: Datagram[] = [];
  /** Taken and not given back: on their way. */
  outstanding = 0;

  take(): Datagram {
    const datagram = this.free.pop() ?? new Datagram();
    datagram.pooled = false;
    this.outstanding++;
    return datagram;
  }

  give(datagram: Datagram): void {
    if (datagram.pooled) throw new Error("a datagram was given back twice");
    datagram.pooled = true;
    this.outstanding--;
    this.free.push(datagram);
  }

  clone(original: Datagram): Datagram {
    const copy = this.take();
    copy.set(original.bytes, 0, original.length);
    copy.ecn = original.ecn;
    copy.source.set(original.source);
    copy.dest.set(original.dest);
    copy.id = original.id;
    copy.sentMicros = original.sentMicros;
    return copy;
  }
}

/** Whether two addresses are one: IP words and port, starting at the given indexes. */
export function sameAddress(a: Int32Array, aStart: number, b: Int32Array, bStart: number): boolean {
  for (let i = 0; i < ADDRESS_WORDS; i++) if (a[aStart + i] !== b[bStart + i]) return false;
  return true;
}
