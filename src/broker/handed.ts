/**
 * First flights that were handed over: whose later packets with the client's own ids they are (RFC 9000 §7.2: until a client
 * has an answer it sends to the id that it chose), and how many of those clients are half-open. The host makes the id of each
 * answer: only who got the answer can use it, so that nobody speaks for addresses that are not its own.
 *
 * Invariant: at most MAX_BROKER_HANDED, none for longer than BROKER_HANDED_MICROS.
 */

import { ADDR_LOCAL_IP0 } from "../port/udp.js";
import { BROKER_HANDED_MICROS, HANDSHAKE_TIMEOUT_MICROS, MAX_BROKER_HANDED } from "../proto/limits.js";

interface Entry<T> {
  readonly owner: T;
  readonly atMicros: number;
}

export class HandedAttempts<T> {
  private readonly owners = new Map<string, Entry<T>>();
  /** When attempts were handed over, by the id of the answer, of those whose client has not shown that it got one. */
  private readonly silent = new Map<string, number>();

  /** Clients that are half-open for all that the host knows. */
  get silentCount(): number {
    return this.silent.size;
  }

  /** `answerId`: the id that the answer will bring, which nobody knows; null for a client that has proved its address. */
  add(addr: Int32Array, dcid: Uint8Array, owner: T, answerId: Uint8Array | null, nowMicros: number): void {
    const key = addressOf(addr, 0) + idOf(dcid, 0, dcid.length);
    this.owners.delete(key);
    this.owners.set(key, { owner, atMicros: nowMicros });
    if (answerId !== null) this.silent.set(idOf(answerId, 0, answerId.length), nowMicros);
    this.expire(nowMicros);
  }

  /** Whose attempt a packet with the id buf[start, end) from `addr` belongs to; null: nobody's. */
  find(addr: Int32Array, at: number, buf: Uint8Array, start: number, end: number): T | null {
    if (this.owners.size === 0) return null;
    return this.owners.get(addressOf(addr, at) + idOf(buf, start, end))?.owner ?? null;
  }

  /** Somebody used the id buf[start, end): if it is that of an answer, the client that it was sent to. */
  confirm(buf: Uint8Array, start: number, end: number): void {
    if (this.silent.size > 0) this.silent.delete(idOf(buf, start, end));
  }

  expire(nowMicros: number): void {
    for (const [key, { atMicros }] of this.owners) {
      if (this.owners.size <= MAX_BROKER_HANDED && nowMicros - atMicros < BROKER_HANDED_MICROS) break;
      this.owners.delete(key);
    }
    for (const [id, atMicros] of this.silent) {
      if (nowMicros - atMicros < HANDSHAKE_TIMEOUT_MICROS) break;
      this.silent.delete(id);
    }
  }
}

/** The peer's address and port, as a key. */
function addressOf(addr: Int32Array, at: number): string {
  let key = "";
  for (let i = 0; i < ADDR_LOCAL_IP0; i++) {
    const word = addr[at + i] as number;
    key += String.fromCharCode(word & 0xffff, word >>> 16);
  }
  return key;
}

function idOf(buf: Uint8Array, start: number, end: number): string {
  let key = "";
  for (let i = start; i < end; i++) key += String.fromCharCode(buf[i] as number);
  return key;
}
