/**
 * First flights that were handed over: whose later packets with the client's own ids they are (RFC 9000 §7.2: until a client
 * has an answer it sends to the id that it chose), and how many of those clients have not answered yet.
 *
 * Invariant: at most MAX_BROKER_HANDED, none for longer than BROKER_HANDED_MICROS.
 */

import { ADDR_LOCAL_IP0 } from "../port/udp.js";
import { BROKER_HANDED_MICROS, HANDSHAKE_TIMEOUT_MICROS, MAX_BROKER_HANDED } from "../proto/limits.js";

interface Entry<T> {
  readonly owner: T;
  readonly atMicros: number;
}

interface Waiting {
  count: number;
  /** Of the last one. */
  atMicros: number;
}

export class HandedAttempts<T> {
  private readonly owners = new Map<string, Entry<T>>();
  /** By address: attempts whose client has not shown that it gets what it is sent. */
  private readonly silent = new Map<string, Waiting>();
  private silentSum = 0;
  /** Ids that counted for somebody: a client that has one cannot speak with it for addresses that are not its own. */
  private readonly confirmed = new Map<string, number>();

  /** Clients that are half-open for all that the host knows. */
  get silentCount(): number {
    return this.silentSum;
  }

  add(addr: Int32Array, at: number, dcid: Uint8Array, owner: T, validated: boolean, nowMicros: number): void {
    const from = addressOf(addr, at);
    const key = from + idOf(dcid, 0, dcid.length);
    this.owners.delete(key);
    this.owners.set(key, { owner, atMicros: nowMicros });
    if (!validated) {
      const count = (this.silent.get(from)?.count ?? 0) + 1;
      this.silent.delete(from);
      this.silent.set(from, { count, atMicros: nowMicros });
      this.silentSum++;
    }
    this.expire(nowMicros);
  }

  /** Whose attempt a packet with the id buf[start, end) from `addr` belongs to; null: nobody's. */
  find(addr: Int32Array, at: number, buf: Uint8Array, start: number, end: number): T | null {
    if (this.owners.size === 0) return null;
    return this.owners.get(addressOf(addr, at) + idOf(buf, start, end))?.owner ?? null;
  }

  /** A client used the id buf[start, end), which only an answer can have told it: for one attempt, once. */
  confirm(addr: Int32Array, at: number, id: { buf: Uint8Array; start: number; end: number }, nowMicros: number): void {
    if (this.silentSum === 0) return;
    const from = addressOf(addr, at);
    const waiting = this.silent.get(from);
    if (waiting === undefined) return;
    const key = idOf(id.buf, id.start, id.end);
    if (this.confirmed.has(key)) return;
    this.confirmed.set(key, nowMicros);
    this.silentSum--;
    if (--waiting.count === 0) this.silent.delete(from);
  }

  expire(nowMicros: number): void {
    for (const [key, { atMicros }] of this.owners) {
      if (this.owners.size <= MAX_BROKER_HANDED && nowMicros - atMicros < BROKER_HANDED_MICROS) break;
      this.owners.delete(key);
    }
    for (const [from, { count, atMicros }] of this.silent) {
      if (nowMicros - atMicros < HANDSHAKE_TIMEOUT_MICROS) break;
      this.silent.delete(from);
      this.silentSum -= count;
    }
    for (const [key, atMicros] of this.confirmed) {
      if (this.confirmed.size <= MAX_BROKER_HANDED && nowMicros - atMicros < BROKER_HANDED_MICROS) break;
      this.confirmed.delete(key);
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
