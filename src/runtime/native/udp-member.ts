/**
 * A UDP port that several processes share (addon/udp_member.cc): sockets of one SO_REUSEPORT group, as descriptors that can
 * be passed on, the rule by which the kernel picks the one that gets a datagram, and sockets that can only send.
 *
 * Invariant: members are numbered in the order in which they were bound, as long as none of them is closed everywhere.
 */

import { ADDR_COLS, ADDR_PORT } from "../../port/udp.js";
import { SOCKET_BUFFER_BYTES } from "../../proto/limits.js";
import { addressText, isAnyAddress, isMappedIpv4, setAddressRow } from "../address.js";
import { systemError } from "../system-error.js";
import { loadAddon } from "./addon.js";
import { closeFd } from "./unix-socket.js";

interface MemberAddon {
  udpMember(address: Int32Array, bound: Int32Array, flags: number, receiveBytes: number, sendBytes: number): number;
  udpSteer(fd: number, routes: Int32Array): number;
  udpDrain(fd: number): number;
}

const FLAG_IPV6 = 1;
const FLAG_IPV6_ONLY = 2;
const FLAG_SEND_ONLY = 4;
const EINVAL = 22;

/** Addresses that nobody has, and that nothing is sent to: the IPv4 dummy address (RFC 7600), a discard prefix (RFC 6666). */
const NOWHERE_IPV4 = "192.0.0.8";
const NOWHERE_IPV6 = "100::1";

export interface MemberOptions {
  /** Literal address; `::` is dual-stack unless `ipv6Only`. */
  address: string;
  port: number;
  ipv6Only?: boolean;
}

/** A descriptor; `udp.ts` makes a socket of it, here or in another process. */
export interface Member {
  readonly fd: number;
  /** What the kernel chose, where the options have 0. */
  readonly port: number;
}

/** Binds one more member. @throws the system's error. */
export function openMember(options: MemberOptions): Member {
  const ipv6Only = options.ipv6Only === true ? FLAG_IPV6_ONLY : 0;
  return open(options, (options.address.includes(":") ? FLAG_IPV6 : 0) | ipv6Only);
}

/**
 * Sockets that send from the port of `options`, and from any address of this machine: one, or for a dual-stack port one for
 * IPv6 and one for IPv4. Nothing ever arrives at them, whatever their holder does: a filter takes nothing and is locked
 * before they are bound, and they are bound where nothing is sent to, outside of the group, so that connect(), its undoing and
 * SO_DETACH_REUSEPORT_BPF change nothing for anybody else. @throws the system's error.
 */
export function openSenders({ address, port, ipv6Only }: MemberOptions): number[] {
  const row = rowOf(address, port);
  const isIpv4 = isMappedIpv4(row, 0);
  const fds: number[] = [];
  try {
    if (!isIpv4) fds.push(open({ address: NOWHERE_IPV6, port }, FLAG_IPV6 | FLAG_SEND_ONLY).fd);
    if (isIpv4 || (isAnyAddress(row, 0) && ipv6Only !== true)) {
      fds.push(open({ address: NOWHERE_IPV4, port }, FLAG_SEND_ONLY).fd);
    }
  } catch (error) {
    fds.forEach(closeFd);
    throw error;
  }
  return fds;
}

function open({ address, port }: MemberOptions, flags: number): Member {
  const row = rowOf(address, port);
  const bound = new Int32Array(ADDR_COLS);
  const addon = loadAddon<MemberAddon>();
  const fd = addon.udpMember(row, bound, flags, SOCKET_BUFFER_BYTES, SOCKET_BUFFER_BYTES);
  if (fd < 0) throw Object.assign(systemError(-fd, "bind", ` ${addressText(address, port)}`), { address, port });
  return { fd, port: bound[ADDR_PORT] as number };
}

function rowOf(address: string, port: number): Int32Array {
  const row = new Int32Array(ADDR_COLS);
  if (!setAddressRow(row, 0, address, port)) throw systemError(EINVAL, "bind", ` ${addressText(address, port)}`);
  return row;
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
