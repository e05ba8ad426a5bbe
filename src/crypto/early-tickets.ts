/**
 * Tickets that this server handed out and that nobody has used for 0-RTT yet (RFC 8446 §8.1, RFC 9001 §9.2). 0-RTT is
 * accepted only with one of these, once, for the server name, protocol and version that it was made with; whatever is
 * not known here (of another process, of before a restart, forgotten) costs 0-RTT and never the handshake. Tickets
 * belong to one configuration of one listener, so the limits that a client remembers are those that hold (RFC 9000 §7.4.1).
 *
 * Two generations: when the younger is full or old, the older is forgotten. Invariants: a ticket is taken at most once;
 * memory is bounded by `maxTickets`, whatever peers do.
 */

import { u32At } from "../base/bytes.js";
import { EARLY_TICKET_SECONDS, MAX_EARLY_TICKETS } from "../proto/limits.js";
import type { ClientHello } from "./hello.js";

const WORD = 2 ** 32;
const FIRST_SLOTS = 256;
/** Of a ticket, its last bytes: they are those of its MAC, which is as good as random. */
const TAIL_BYTES = 8;

export class EarlyTickets {
  private young = new Generation();
  private old = new Generation();

  constructor(
    private readonly maxTickets = MAX_EARLY_TICKETS,
    private readonly lifeMicros = EARLY_TICKET_SECONDS * 1e6,
  ) {}

  /** A ticket is on its way to the client. */
  issue(ticket: Uint8Array, serverName: string, alpn: string, version: number, nowMicros: number): void {
    const id = ticketId(ticket, serverName, alpn, version);
    if (id === 0) return;
    this.age(nowMicros);
    this.young.add(id);
  }

  /** The protocol with which the 0-RTT of this hello may be accepted, now and never again; null = not at all. */
  take(hello: ClientHello, version: number, nowMicros: number): string | null {
    const { ticket, serverName } = hello;
    if (!hello.offersEarlyData || ticket === null) return null;
    this.age(nowMicros);
    for (const alpn of hello.alpn) {
      const id = ticketId(ticket, serverName, alpn, version);
      if (id !== 0 && (this.young.take(id) || this.old.take(id))) return alpn;
    }
    return null;
  }

  private age(nowMicros: number): void {
    const { young, old } = this;
    const ageMicros = nowMicros - young.bornMicros;
    if (ageMicros < this.lifeMicros && young.count < this.maxTickets / 2) return;
    if (ageMicros >= 2 * this.lifeMicros) young.restart(nowMicros); // a long rest: both are old
    old.restart(nowMicros);
    this.young = old;
    this.old = young;
  }
}

/** A set of numbers above 0 by open addressing; one that was taken stays, negated. Half of the slots stay free. */
class Generation {
  count = 0;
  bornMicros = -Infinity;
  private slots = new Float64Array(0);

  /** Forgets everything but the memory: a busy server has what it needs after two generations. */
  restart(nowMicros: number): void {
    this.count = 0;
    this.bornMicros = nowMicros;
    this.slots.fill(0);
  }

  add(id: number): void {
    if (2 * (this.count + 1) > this.slots.length) this.grow();
    const at = this.find(id);
    if (this.slots[at] === 0) this.count++;
    if (this.slots[at] !== -id) this.slots[at] = id;
  }

  take(id: number): boolean {
    if (this.count === 0) return false;
    const at = this.find(id);
    if (this.slots[at] !== id) return false;
    this.slots[at] = -id;
    return true;
  }

  /** The slot of the number, or the free one where it would be. */
  private find(id: number): number {
    const { slots } = this;
    const mask = slots.length - 1;
    let at = (id % WORD) & mask;
    while (slots[at] !== 0 && Math.abs(slots[at]) !== id) at = (at + 1) & mask;
    return at;
  }

  private grow(): void {
    const before = this.slots;
    this.slots = new Float64Array(Math.max(FIRST_SLOTS, 2 * before.length));
    for (const id of before) if (id !== 0) this.slots[this.find(Math.abs(id))] = id;
  }
}

/** 53 bits of the ticket's MAC, mixed with what the ticket is good for; 0 for something too short to be one. */
function ticketId(ticket: Uint8Array, serverName: string, alpn: string, version: number): number {
  if (ticket.length < TAIL_BYTES) return 0;
  const at = ticket.length - TAIL_BYTES;
  const bound = hash(`${serverName}\0${alpn}\0${version}`);
  const high = (u32At(ticket, at) ^ Math.imul(bound, 0x9e3779b1)) >>> 11;
  const low = (u32At(ticket, at + 4) ^ bound) >>> 0;
  return high * WORD + low || 1;
}

/** FNV-1a. What it binds to was chosen by the client itself; the ticket's MAC is what nobody can choose. */
function hash(text: string): number {
  let state = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  return state;
}
