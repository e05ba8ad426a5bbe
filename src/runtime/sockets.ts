/**
 * The UDP sockets of one host. The first is the endpoint's own address and stays until the end; others come when a
 * connection moves or a second address is served, and go when nobody uses them any longer.
 *
 * Invariant: a number names one socket for good. Datagrams for one that is gone are lost, as on a path that broke.
 */

import type { IcmpKind, UdpHandler, UdpOptions, UdpProvider, UdpSocket, UdpStats } from "../port/udp.js";
import { newUdpStats } from "./udp-stats.js";

/** What the host does with what happens on a socket. */
export interface SocketOwner {
  onReadable(from: HostSocket): void;
  onWritable(from: HostSocket): void;
  /** The socket is closed. */
  onError(from: HostSocket, error: Error): void;
  onTooBig(from: HostSocket, dest: Int32Array, bytes: number): void;
  onIcmp(from: HostSocket, dest: Int32Array, kind: IcmpKind, mtuBytes: number, quoted: Uint8Array): void;
}

export class HostSocket implements UdpHandler {
  /** Stays although no connection uses it. */
  kept = true;
  private bound: UdpSocket | null = null;

  private constructor(
    private readonly owner: SocketOwner,
    /** 0 = the first. */
    readonly number: number,
  ) {}

  /** Rejects with the system's error when the socket cannot be bound. */
  static async open(
    owner: SocketOwner,
    number: number,
    provider: UdpProvider,
    options: UdpOptions,
  ): Promise<HostSocket> {
    const one = new HostSocket(owner, number);
    one.bound = await provider.open(options, one);
    return one;
  }

  get udp(): UdpSocket {
    return this.bound as UdpSocket;
  }

  onReadable(): void {
    this.owner.onReadable(this);
  }

  onWritable(): void {
    this.owner.onWritable(this);
  }

  onError(error: Error): void {
    this.owner.onError(this, error);
  }

  onTooBig(dest: Int32Array, bytes: number): void {
    this.owner.onTooBig(this, dest, bytes);
  }

  onIcmp(dest: Int32Array, kind: IcmpKind, mtuBytes: number, quoted: Uint8Array): void {
    this.owner.onIcmp(this, dest, kind, mtuBytes, quoted);
  }
}

export class Sockets {
  /** Set once it is open. */
  first!: HostSocket;
  private readonly others: HostSocket[] = [];
  private nextNumber = 0;
  /** Of those that are gone. */
  private readonly goneStats = newUdpStats();

  /** A number for the next socket. */
  takeNumber(): number {
    return this.nextNumber++;
  }

  add(one: HostSocket): void {
    if (one.number === 0) this.first = one;
    else this.others.push(one);
  }

  get(number: number): HostSocket | null {
    return number === 0 ? this.first : (this.others.find((one) => one.number === number) ?? null);
  }

  get hasOthers(): boolean {
    return this.others.length > 0;
  }

  /** Closes those that nobody keeps and `isUsed` is false for; returns them. */
  closeUnused(isUsed: (number: number) => boolean): HostSocket[] {
    const unused = this.others.filter(({ kept, number }) => !kept && !isUsed(number));
    for (const one of unused) this.remove(one);
    return unused;
  }

  remove(one: HostSocket): void {
    const at = this.others.indexOf(one);
    if (at < 0) return;
    this.others.splice(at, 1);
    addStats(this.goneStats, one.udp.stats);
    one.udp.close();
  }

  /** Of all that there ever were. */
  stats(): UdpStats {
    const sum = { ...this.goneStats };
    for (const { udp } of this.all()) addStats(sum, udp.stats);
    return sum;
  }

  ref(): void {
    for (const { udp } of this.all()) udp.ref();
  }

  unref(): void {
    for (const { udp } of this.all()) udp.unref();
  }

  close(): void {
    for (const one of [...this.others]) this.remove(one);
    this.first.udp.close();
  }

  private all(): HostSocket[] {
    return [this.first, ...this.others];
  }
}

function addStats(sum: UdpStats, more: UdpStats): void {
  for (const key of Object.keys(sum) as (keyof UdpStats)[]) sum[key] += more[key];
}
