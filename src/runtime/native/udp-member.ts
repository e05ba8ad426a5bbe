/**
 * A UDP port that several processes share (addon/udp_member.cc): sockets of one SO_REUSEPORT group, as descriptors that can
 * be passed on, and the rule by which the kernel picks the one that gets a datagram.
 *
 * Invariant: members are numbered in the order in which they were bound, as long as none of them is closed everywhere.
 */

import { ADDR_COLS, ADDR_PORT } from "../../port/udp.js";
import { SOCKET_BUFFER_BYTES } from "../../proto/limits.js";
import { addressText, setAddressRow } from "../address.js";
import { systemError } from "../system-error.js";
import { loadAddon } from "./addon.js";

interface MemberAddon {
  udpMember(address: Int32Array, bound: Int32Array, flags: number, receiveBytes: number, sendBytes: number): number;
  udpSteer(fd: number, routes: Int32Array): number;
  udpDrain(fd: number): number;
}

const FLAG_IPV6 = 1;
const FLAG_IPV6_ONLY = 2;
const FLAG_SEND_ONLY = 4;
const EINVAL = 22;

export interface MemberOptions {
  /** Literal address; `::` is dual-stack unless `ipv6Only`. */
  address: string;
  port: number;
  ipv6Only?: boolean;
  /** Nothing ever arrives at it, whatever its holder does: a filter that takes nothing, locked, before it is bound. */
  sendOnly?: boolean;
}

/** A descriptor; `udp.ts` makes a socket of it, here or in another process. */
export interface Member {
  readonly fd: number;
  /** What the kernel chose, where the options have 0. */
  readonly port: number;
}

/** Binds one more member. @throws the system's error. */
export function openMember(options: MemberOptions): Member {
  const { address, port } = options;
  const row = new Int32Array(ADDR_COLS);
  if (!setAddressRow(row, 0, address, port)) throw systemError(EINVAL, "bind", ` ${addressText(address, port)}`);
  const flags =
    (address.includes(":") ? FLAG_IPV6 : 0) |
    (options.ipv6Only === true ? FLAG_IPV6_ONLY : 0) |
    (options.sendOnly === true ? FLAG_SEND_ONLY : 0);
  const bound = new Int32Array(ADDR_COLS);
  const addon = loadAddon<MemberAddon>();
  const fd = addon.udpMember(row, bound, flags, SOCKET_BUFFER_BYTES, SOCKET_BUFFER_BYTES);
  if (fd < 0) throw Object.assign(systemError(-fd, "bind", ` ${addressText(address, port)}`), { address, port });
  return { fd, port: bound[ADDR_PORT] as number };
}

/**
 * Short headers whose connection id begins with a byte of `routes` go to the member of that number, everything else goes to
 * member 0. Holds for the whole group until the next call. @throws the system's error.
 */
export function steerMembers(fd: number, routes: ReadonlyMap<number, number>): void {
  const pairs = Int32Array.from([...routes].flat());
  const result = loadAddon<MemberAddon>().udpSteer(fd, pairs);
  if (result < 0) throw systemError(-result, "setsockopt");
}

/** Throws away what waits at a member that nobody reads; how many datagrams. */
export function drainMember(fd: number): number {
  return Math.max(0, loadAddon<MemberAddon>().udpDrain(fd));
}
