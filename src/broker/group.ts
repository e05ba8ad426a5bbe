/**
 * The sockets of one UDP port that the host shares out: one SO_REUSEPORT group. Member 0 is the host's own; each program
 * of the host's user that binds the port gets another one, steered by the route in connection ids.
 *
 * Invariant: the host keeps a descriptor of each member, so that their numbers stay, whoever dies. A member whose program is
 * gone waits, emptied, for the next one. Packets of another program's connections cannot tell: their ids have another check.
 */

import type { Datapath } from "../runtime/choose.js";
import { type HostOwner, LoopHost } from "../runtime/loop.js";
import { drainMember, openMember, steerMembers } from "../runtime/native/udp-member.js";
import { adoptUdp, nativeUdp, udpDescriptor } from "../runtime/native/udp.js";
import { closeFd, duplicateFd } from "../runtime/native/unix-socket.js";
import type { UdpStats } from "../port/udp.js";
import { MAX_BROKER_MEMBERS } from "../proto/limits.js";
import type { Front } from "./front.js";
import { type Place, systemCode } from "./messages.js";

/** Who has a member: a program of the host's own user. */
export interface MemberHolder {
  readonly route: number;
}

export interface SharedSocket {
  /** Of the group; > 0. */
  readonly index: number;
  readonly fd: number;
  holder: MemberHolder | null;
}

export class Group {
  /** Without the first. */
  private readonly members: SharedSocket[] = [];

  private constructor(
    readonly place: Place,
    readonly front: Front,
    private readonly loop: LoopHost<never, Front>,
    /** Of the first member, to be passed on: its socket closes its own number also while a message with it waits. */
    private readonly firstFd: number,
  ) {
    front.place = place;
  }

  /**
   * Binds the port. `isShared`: this host has it at another address. Rejects with the system's error: SO_REUSEPORT would
   * let it in beside another host of this user, and half of each one's packets would go to the other.
   */
  static async open(
    place: Place,
    front: Front,
    datapath: Datapath,
    owner: HostOwner<never>,
    isShared: boolean,
  ): Promise<Group> {
    if (place.port !== 0 && !isShared) await refuseTaken(place, datapath);
    const loop = await LoopHost.open(front, datapath.udp, { ...place, reusePort: true }, owner);
    const group = new Group({ ...place, port: loop.socket.port }, front, loop, firstOf(loop));
    group.steer();
    return group;
  }

  /** Takes up the group of a host that went away, from descriptors that a program kept, by number. */
  static async adopt(
    place: Place,
    front: Front,
    kept: ReadonlyMap<number, number>,
    owner: HostOwner<never>,
  ): Promise<Group> {
    const first = kept.get(0) as number;
    const isIpv6 = place.address.includes(":");
    const provider = {
      ...nativeUdp,
      open: async (_options: unknown, handler: Parameters<typeof adoptUdp>[2]) => adoptUdp(first, isIpv6, handler),
    };
    let loop: LoopHost<never, Front>;
    let firstFd: number;
    try {
      loop = await LoopHost.open(front, provider, place, owner);
      firstFd = firstOf(loop);
    } catch (error) {
      for (const [at, fd] of kept) if (at > 0) closeFd(fd); // the first is its socket's
      throw error;
    }
    const group = new Group(place, front, loop, firstFd);
    let index = 1;
    for (; kept.has(index); index++) {
      group.members.push({ index, fd: kept.get(index) as number, holder: null });
    }
    // above a gap the kernel's numbers are not those of the host before
    for (const [at, fd] of kept) if (at > index) closeFd(fd);
    return group;
  }

  /** Of the host's own member. */
  get udpStats(): UdpStats {
    return this.loop.udpStats;
  }

  /** Descriptors by number, for those who keep them. */
  get descriptors(): [index: number, fd: number][] {
    return [[0, this.firstFd], ...this.members.map(({ index, fd }): [number, number] => [index, fd])];
  }

  /** A member for a program of the host's user; `isNew` when the group has grown by it. @throws the system's error. */
  take(holder: MemberHolder): { socket: SharedSocket; isNew: boolean } {
    const free = this.members.find((one) => one.holder === null);
    if (free !== undefined) {
      drainMember(free.fd);
      free.holder = holder;
      this.steer();
      return { socket: free, isNew: false };
    }
    if (this.members.length >= MAX_BROKER_MEMBERS) {
      throw systemCode("ENOBUFS", "this port has as many sockets as it may have");
    }
    const { fd } = openMember(this.place);
    const socket = { index: this.members.length + 1, fd, holder };
    this.members.push(socket);
    this.steer();
    return { socket, isNew: true };
  }

  /** A program that came back has this member already; null when it is another's. */
  resume(holder: MemberHolder, index: number): SharedSocket | null {
    const member = this.members[index - 1];
    if (member === undefined || member.holder !== null) return null;
    member.holder = holder;
    this.steer();
    return member;
  }

  /** The program is done with it. What still arrives is thrown away. */
  giveBack(socket: SharedSocket): void {
    socket.holder = null;
    this.steer();
    drainMember(socket.fd);
  }

  close(): void {
    this.loop.close();
    closeFd(this.firstFd);
    for (const { fd } of this.members) closeFd(fd);
    this.members.length = 0;
  }

  private steer(): void {
    const routes = new Map<number, number>();
    for (const { index, holder } of this.members) {
      if (holder !== null && !routes.has(holder.route)) routes.set(holder.route, index);
    }
    steerMembers(this.firstFd, routes);
  }
}

/** Rejects with EADDRINUSE when anybody has the port. */
async function refuseTaken(place: Place, { udp }: Datapath): Promise<void> {
  const handler = { onReadable() {}, onWritable() {}, onError() {} };
  (await udp.open({ ...place, reusePort: false }, handler)).close();
}

/** A descriptor of its socket. @throws the system's error; the socket is closed then. */
function firstOf(loop: LoopHost<never, Front>): number {
  try {
    return duplicateFd(udpDescriptor(loop.socket));
  } catch (error) {
    loop.close();
    throw error;
  }
}
