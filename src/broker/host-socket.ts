/**
 * A UDP port of a host, as a program has it: packets come through a member of the group and by message, and leave through the
 * member. To everything above it is a UDP socket like any other (port/udp).
 *
 * Invariant: what came by message goes first, each message in a batch of its own; it never stands in front of a member that is
 * still open for longer than one batch.
 */

import { Fifo } from "../base/fifo.js";
import type { IcmpKind, RxBatch, TxBatch, UdpHandler, UdpSocket, UdpStats } from "../port/udp.js";
import { adoptUdp, udpDescriptor } from "../runtime/native/udp.js";
import { newUdpStats } from "../runtime/udp-stats.js";
import { unpack } from "./datagrams.js";
import type { Place } from "./messages.js";

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

export class HostUdpSocket implements UdpSocket, UdpHandler {
  kept = true;
  /** Of the member in its group; -1 without. */
  index = -1;
  /** The last batch came through the member, not by message. */
  direct = false;
  group: Place | null = null;
  private member: UdpSocket | null = null;
  private readonly messages = new Fifo<Uint8Array>();
  private told = false;
  private closed = false;
  private blocked = false;
  private readonly own = newUdpStats();

  constructor(
    readonly bind: number,
    private readonly link: HostLink,
    private readonly handler: UdpHandler,
    /** The address that the program asked for, and its port. */
    public place: Place,
  ) {}

  /** Its member, or another one; the one before is closed. @throws the system's error. */
  attach(fd: number, place: Place, group: Place, index: number): void {
    const member = adoptUdp(fd, group.address.includes(":"), this);
    this.detach();
    this.member = member;
    this.place = place;
    this.group = group;
    this.index = index;
    if (!this.kept) member.unref();
    this.unblock();
  }

  /** The member goes: nothing leaves until there is another one. */
  detach(): void {
    if (this.member === null) return;
    const { stats } = this.member;
    for (const key of Object.keys(stats) as (keyof UdpStats)[]) this.own[key] += stats[key];
    this.member.close();
    this.member = null;
    this.unblock();
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** Of the member; -1 without. */
  get descriptor(): number {
    return this.member === null ? -1 : udpDescriptor(this.member);
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
    return `${this.member?.rung ?? "none"}+host`;
  }

  get ecn(): boolean {
    return true;
  }

  get stats(): UdpStats {
    const sum = { ...this.own };
    const { member } = this;
    if (member === null) return sum;
    for (const key of Object.keys(sum) as (keyof UdpStats)[]) sum[key] += member.stats[key];
    return sum;
  }

  recv(rx: RxBatch): number {
    this.link.current = this;
    this.link.answerId = null;
    const message = this.messages.take();
    this.direct = message === null;
    if (message === null) {
      rx.proof = null;
      return this.member?.recv(rx) ?? 0;
    }
    // not an empty batch, which would mean that nothing waits
    const unpacked = unpack(message, rx);
    if (unpacked === null || rx.count === 0) return this.recv(rx);
    this.link.answerId = unpacked.attempt?.answerId ?? null;
    this.own.datagramsReceived += rx.count;
    return rx.count;
  }

  send(tx: TxBatch): boolean {
    if (this.member === null) {
      this.own.sendErrors += tx.count;
      return true;
    }
    this.blocked = !this.member.send(tx);
    return !this.blocked;
  }

  ref(): void {
    this.kept = true;
    this.member?.ref();
    this.link.onKept();
  }

  unref(): void {
    this.kept = false;
    this.member?.unref();
    this.link.onKept();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.member?.close();
    this.messages.clear();
    this.link.unbind(this);
  }

  // --- the member's handler ----------------------------------------------------------------------------------------------

  onReadable(): void {
    this.handler.onReadable();
  }

  onWritable(): void {
    this.blocked = false;
    this.handler.onWritable();
  }

  onError(error: Error): void {
    this.closed = true;
    this.link.unbind(this);
    this.handler.onError(error);
  }

  onTooBig(dest: Int32Array, bytes: number): void {
    this.handler.onTooBig?.(dest, bytes);
  }

  onIcmp(dest: Int32Array, kind: IcmpKind, mtuBytes: number, quoted: Uint8Array): void {
    this.handler.onIcmp?.(dest, kind, mtuBytes, quoted);
  }

  // --- inside ------------------------------------------------------------------------------------------------------------

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
    if (!this.blocked) return;
    this.blocked = false;
    setImmediate(() => {
      if (!this.closed) this.handler.onWritable();
    });
  }
}
