/**
 * A UDP port of a host, as a program has it: packets come through a member of the group and by message, and leave through the
 * member. To everything above it is a UDP socket like any other (port/udp).
 *
 * Invariant: what came by message goes first, each message in a batch of its own; it never stands in front of a member that is
 * still open for longer than one batch.
 */

import { Fifo } from "../base/fifo.js";
import {
  ADDR_COLS,
  ADDR_LOCAL_IP0,
  type RxBatch,
  TX_COLS,
  TX_DEST,
  type TxBatch,
  type UdpHandler,
  type UdpSocket,
  type UdpStats,
} from "../port/udp.js";
import { isAnyAddress, isMappedIpv4 } from "../runtime/address.js";
import { adoptUdp, udpDescriptor } from "../runtime/native/udp.js";
import { closeFd } from "../runtime/native/unix-socket.js";
import { newUdpStats } from "../runtime/udp-stats.js";
import { unpack } from "./datagrams.js";
import type { Place } from "./messages.js";
import { isWildcardAddress, wordsOf } from "./registry.js";

/** The conversation with the host. */
export interface HostLink {
  /** The socket that gave the last batch: what is not the program's own goes back through it. */
  current: HostUdpSocket | null;
  /** With a first flight: the id that its answer shall have. */
  answerId: Uint8Array | null;
  unbind(socket: HostUdpSocket): void;
  /** A socket wants the event loop kept alive, or no longer does. */
  onKept(): void;
}

export class HostUdpSocket implements UdpSocket {
  kept = true;
  /** Of the member in its group; -1 without. */
  index = -1;
  /** The last batch came through the member, not by message. */
  direct = false;
  group: Place | null = null;
  /** The member; or what sends for a program of another user, with a second one for IPv4 where the port is of both families. */
  private members: readonly UdpSocket[] = [];
  private readonly messages = new Fifo<Uint8Array>();
  private told = false;
  private closed = false;
  /** Where what it sends leaves from, while nothing says otherwise: its senders have no address. Null: as the route says. */
  private home: Int32Array | null = null;
  /** A bit for each of `members` that had no room. */
  private blocked = 0;
  private readonly own = newUdpStats();

  constructor(
    readonly bind: number,
    private readonly link: HostLink,
    private readonly handler: UdpHandler,
    /** The address that the program asked for, and its port. */
    public place: Place,
  ) {}

  /**
   * Its member, or the one or two sockets by which it sends; those of before are closed. The descriptors are its own, or closed.
   * @throws the system's error.
   */
  attach(fds: readonly number[], place: Place, group: Place, index: number): void {
    const members: UdpSocket[] = [];
    try {
      for (const [at, fd] of fds.entries()) {
        members.push(adoptUdp(fd, at === 0 && group.address.includes(":"), this.handlerOf(at)));
      }
    } catch (error) {
      for (const member of members) member.close();
      for (const fd of fds.slice(members.length)) closeFd(fd);
      throw error;
    }
    this.detach();
    this.members = members;
    this.place = place;
    this.group = group;
    this.index = index;
    this.home = index < 0 ? specific(group) : null;
    if (!this.kept) for (const member of members) member.unref();
    this.unblock();
  }

  /** The member goes: nothing leaves until there is another one. */
  detach(): void {
    if (this.members.length === 0) return;
    for (const member of this.members) {
      addStats(this.own, member.stats);
      member.close();
    }
    this.members = [];
    this.unblock();
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** Of the member; -1 without. */
  get descriptor(): number {
    const [member] = this.members;
    return member === undefined ? -1 : udpDescriptor(member);
  }

  /** A message with datagrams for it; `message` is a copy. */
  push(message: Uint8Array): void {
    this.messages.push(message);
    this.tell();
  }

  // --- UdpSocket -------------------------------------------------------------------------------------------------------

  get address(): string {
    return this.place.address;
  }

  get port(): number {
    return this.place.port;
  }

  get family(): "IPv4" | "IPv6" {
    return this.place.address.includes(":") ? "IPv6" : "IPv4";
  }

  get rung(): string {
    return `${this.members[0]?.rung ?? "none"}+host`;
  }

  get ecn(): boolean {
    return true;
  }

  get stats(): UdpStats {
    const sum = { ...this.own };
    for (const member of this.members) addStats(sum, member.stats);
    return sum;
  }

  recv(rx: RxBatch): number {
    this.link.current = this;
    this.link.answerId = null;
    const message = this.messages.take();
    this.direct = message === null;
    if (message === null) {
      rx.proof = null;
      return this.members[0]?.recv(rx) ?? 0;
    }
    // not an empty batch, which would mean that nothing waits
    const unpacked = unpack(message, rx);
    if (unpacked === null || rx.count === 0) return this.recv(rx);
    this.link.answerId = unpacked.attempt?.answerId ?? null;
    this.own.datagramsReceived += rx.count;
    return rx.count;
  }

  send(tx: TxBatch): boolean {
    const [first, forIpv4] = this.members;
    if (first === undefined) {
      this.own.sendErrors += tx.count;
      return true;
    }
    if (this.home !== null) fillLocal(tx, this.home);
    if (forIpv4 === undefined) this.sendBy(0, first, tx);
    else {
      this.sendBy(0, first, ofFamily(tx, false));
      this.sendBy(1, forIpv4, ofFamily(tx, true));
    }
    return this.blocked === 0;
  }

  ref(): void {
    this.kept = true;
    for (const member of this.members) member.ref();
    this.link.onKept();
  }

  unref(): void {
    this.kept = false;
    for (const member of this.members) member.unref();
    this.link.onKept();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const member of this.members) member.close();
    this.messages.clear();
    this.link.unbind(this);
  }

  // --- inside ------------------------------------------------------------------------------------------------------------

  /** Of the member at `at`. */
  private handlerOf(at: number): UdpHandler {
    const { handler } = this;
    return {
      onReadable: () => handler.onReadable(),
      onWritable: () => {
        this.blocked &= ~(1 << at);
        if (this.blocked === 0) handler.onWritable();
      },
      onError: (error) => {
        this.closed = true;
        this.link.unbind(this);
        handler.onError(error);
      },
      onTooBig: (dest, bytes) => handler.onTooBig?.(dest, bytes),
      onIcmp: (dest, kind, mtuBytes, quoted) => handler.onIcmp?.(dest, kind, mtuBytes, quoted),
    };
  }

  private sendBy(at: number, member: UdpSocket, tx: TxBatch): void {
    if (tx.count > 0 && !member.send(tx)) this.blocked |= 1 << at;
  }

  /** Once for many messages, and again for what a turn left. */
  private tell(): void {
    if (this.told) return;
    this.told = true;
    setImmediate(() => {
      this.told = false;
      if (this.closed) return;
      this.handler.onReadable();
      if (this.messages.count > 0) this.tell();
    });
  }

  /** The member that had no room is gone, and with it what it kept. */
  private unblock(): void {
    if (this.blocked === 0) return;
    this.blocked = 0;
    setImmediate(() => {
      if (!this.closed) this.handler.onWritable();
    });
  }
}

function addStats(sum: UdpStats, more: UdpStats): void {
  for (const key of Object.keys(sum) as (keyof UdpStats)[]) sum[key] += more[key];
}

function specific({ address }: Place): Int32Array | null {
  const words = wordsOf(address);
  return isWildcardAddress(words) ? null : words;
}

function fillLocal({ dests, destCount }: TxBatch, home: Int32Array): void {
  for (let at = ADDR_LOCAL_IP0; at < destCount * ADDR_COLS; at += ADDR_COLS) {
    if (isAnyAddress(dests, at)) dests.set(home, at);
  }
}

/** The datagrams to destinations of one family, or all when there are no others. */
function ofFamily(tx: TxBatch, isIpv4: boolean): TxBatch {
  const { rows, dests, count } = tx;
  const kept: number[] = [];
  for (let at = 0; at < count * TX_COLS; at += TX_COLS) {
    if (isMappedIpv4(dests, (rows[at + TX_DEST] as number) * ADDR_COLS) === isIpv4) kept.push(at);
  }
  if (kept.length === count) return tx;
  const part = new Int32Array(kept.length * TX_COLS);
  for (const [to, at] of kept.entries()) part.set(rows.subarray(at, at + TX_COLS), to * TX_COLS);
  return { ...tx, rows: part, count: kept.length };
}
