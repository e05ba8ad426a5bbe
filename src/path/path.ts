/**
 * One network path: the pair of peer and local address that datagrams of a connection take, and what may be sent on it
 * before the peer has shown that it owns its address (RFC 9000 §8.1).
 *
 * Invariant: while the address is not validated, bytesSent <= AMPLIFICATION_FACTOR * bytesReceived holds as long as no
 * datagram larger than `sendAllowance()` is sent. Bytes are UDP payload, of whole datagrams, dropped packets included.
 */

import { DOUBLE } from "../base/double.js";
import {
  ADDR_COLS,
  ADDR_IP0,
  ADDR_IP1,
  ADDR_IP2,
  ADDR_IP3,
  ADDR_LOCAL_IP0,
  ADDR_LOCAL_IP1,
  ADDR_LOCAL_IP2,
  ADDR_LOCAL_IP3,
  ADDR_PORT,
} from "../port/udp.js";
import { AMPLIFICATION_FACTOR } from "../proto/limits.js";
import { MtuDiscovery } from "./mtu-discovery.js";
import { PathResponses } from "./validation.js";

export class Path {
  /** Peer and local address, one row of the tables of port/udp. */
  readonly addr = new Int32Array(ADDR_COLS);
  /** The socket of the endpoint that it goes through, 0 = the first. */
  socket = 0;
  /** The peer answered from this address (RFC 9000 §8.1), or it is the server's, which a client need not validate. */
  validated = false;
  bytesReceived = DOUBLE;
  bytesSent = DOUBLE;
  mtu: MtuDiscovery;
  /** Among the paths of its connection; those that share `mtu` have one number. */
  number = 0;
  /** Largest UDP payload to send here: the owner takes it from `mtu`. */
  maxDatagramBytes: number;
  /** Congestion window that is kept free for a probe of the path MTU, bytes. */
  reservedBytes = 0;
  /** What the peer asked here, and is to be answered here (RFC 9000 §8.2.2). */
  readonly responses = new PathResponses();
  /** Of the peer's connection id that it has taken, while it is not the connection's path; -1: none of its own. */
  cidSeq = -1;
  /** The peer came here with the id of ours that it had used: the NAT's doing, and we may do the same (RFC 9000 §9.5). */
  sharesCid = false;
  /** When the peer was last heard here, microseconds; kept while it is not the connection's path. */
  heardMicros = 0;
  /** Our address to which the peer's packets came, while the kernel chooses it; a client's, zeros before the first. */
  private heardIp0 = 0;
  private heardIp1 = 0;
  private heardIp2 = 0;
  private heardIp3 = 0;
  /** First and last word of the connection id of ours to which the peer sent last, and a mix of those between them. */
  private dcidFirst = 0;
  private dcidMiddle = 0;
  private dcidLast = 0;

  /** @param boundBytes largest UDP payload to try, 1200 or more */
  constructor(boundBytes: number) {
    this.bytesReceived = this.bytesSent = 0;
    this.mtu = new MtuDiscovery(boundBytes);
    this.maxDatagramBytes = this.mtu.currentBytes;
  }

  /** Takes the address from row `row` of a table of addresses. */
  setAddress(addrs: Int32Array, row: number, socket: number): void {
    this.socket = socket;
    const at = row * ADDR_COLS;
    for (let i = 0; i < ADDR_COLS; i++) this.addr[i] = addrs[at + i];
  }

  /**
   * Whether a datagram with this source belongs to the path: the same socket and peer address, and the same local address
   * where both are known. The interface may change under a path, as routes do.
   */
  matches(sources: Int32Array, row: number, socket: number): boolean {
    if (socket !== this.socket) return false;
    const { addr } = this;
    const at = row * ADDR_COLS;
    if (
      addr[ADDR_IP3] !== sources[at + ADDR_IP3] ||
      addr[ADDR_PORT] !== sources[at + ADDR_PORT] ||
      addr[ADDR_IP0] !== sources[at + ADDR_IP0] ||
      addr[ADDR_IP1] !== sources[at + ADDR_IP1] ||
      addr[ADDR_IP2] !== sources[at + ADDR_IP2]
    ) {
      return false;
    }
    if (!hasLocal(addr, 0) || !hasLocal(sources, at)) return true;
    return (
      addr[ADDR_LOCAL_IP3] === sources[at + ADDR_LOCAL_IP3] &&
      addr[ADDR_LOCAL_IP0] === sources[at + ADDR_LOCAL_IP0] &&
      addr[ADDR_LOCAL_IP1] === sources[at + ADDR_LOCAL_IP1] &&
      addr[ADDR_LOCAL_IP2] === sources[at + ADDR_LOCAL_IP2]
    );
  }

  /** Whether our own address is known here: else the kernel chooses it, and may choose another at any time. */
  get knowsLocal(): boolean {
    return hasLocal(this.addr, 0);
  }

  /** A packet of the peer came here whose Destination Connection ID, of `cidBytes` (4 or more), is at `start`. */
  noteDcid(buf: Uint8Array, start: number, cidBytes: number): void {
    const last = start + cidBytes - 4;
    this.dcidFirst = word(buf, start);
    this.dcidLast = word(buf, last);
    let middle = 0;
    for (let at = start + 4; at < last; at += 4) middle = (Math.imul(middle, 31) + word(buf, at)) | 0;
    this.dcidMiddle = middle;
  }

  /** Whether the peer sends to the same id of ours here and on `other`. */
  hasSameDcid(other: Path): boolean {
    const { dcidFirst, dcidMiddle, dcidLast } = this;
    return dcidFirst === other.dcidFirst && dcidLast === other.dcidLast && dcidMiddle === other.dcidMiddle;
  }

  /** The route is that of `other`, only the port is another: what is known of its MTU holds here, too. */
  continueMtu(other: Path): void {
    this.mtu = other.mtu;
    this.number = other.number;
    this.maxDatagramBytes = other.maxDatagramBytes;
  }

  /**
   * While the kernel chooses our address: whether datagrams come to another one than those before, so that its choice has
   * changed; the first address is another one than none.
   */
  isNewLocal(sources: Int32Array, row: number): boolean {
    const at = row * ADDR_COLS;
    if (hasLocal(this.addr, 0) || !hasLocal(sources, at)) return false;
    const { heardIp0, heardIp1, heardIp2, heardIp3 } = this;
    return (
      heardIp3 !== sources[at + ADDR_LOCAL_IP3] ||
      heardIp0 !== sources[at + ADDR_LOCAL_IP0] ||
      heardIp1 !== sources[at + ADDR_LOCAL_IP1] ||
      heardIp2 !== sources[at + ADDR_LOCAL_IP2]
    );
  }

  /** A packet of the peer came to this address of ours. True = another one was known before. */
  noteLocal(sources: Int32Array, row: number): boolean {
    const at = row * ADDR_COLS;
    const wasKnown = (this.heardIp0 | this.heardIp1 | this.heardIp2 | this.heardIp3) !== 0;
    this.heardIp0 = sources[at + ADDR_LOCAL_IP0];
    this.heardIp1 = sources[at + ADDR_LOCAL_IP1];
    this.heardIp2 = sources[at + ADDR_LOCAL_IP2];
    this.heardIp3 = sources[at + ADDR_LOCAL_IP3];
    return wasKnown;
  }

  /** A datagram of `bytes` UDP payload came in on this path, whatever became of its packets. */
  onDatagramReceived(bytes: number): void {
    this.bytesReceived += bytes;
  }

  onDatagramSent(bytes: number): void {
    this.bytesSent += bytes;
  }

  /** UDP payload bytes that may be sent now: `Infinity` once the address is validated. */
  sendAllowance(): number {
    if (this.validated) return Infinity;
    return Math.max(0, AMPLIFICATION_FACTOR * this.bytesReceived - this.bytesSent);
  }
}

/** Whether nothing but the peer's port differs (RFC 9000 §9.4). */
export function hasSameIp(one: Path, other: Path): boolean {
  for (let i = ADDR_IP0; i <= ADDR_IP3; i++) if (one.addr[i] !== other.addr[i]) return false;
  for (let i = ADDR_LOCAL_IP0; i <= ADDR_LOCAL_IP3; i++) if (one.addr[i] !== other.addr[i]) return false;
  return true;
}

/** Whether both leave from the same address of ours, as far as that is known. */
export function hasSameLocal(one: Path, other: Path): boolean {
  if (one.socket !== other.socket) return false;
  if (!hasLocal(one.addr, 0) || !hasLocal(other.addr, 0)) return true;
  for (let i = ADDR_LOCAL_IP0; i <= ADDR_LOCAL_IP3; i++) if (one.addr[i] !== other.addr[i]) return false;
  return true;
}

function word(buf: Uint8Array, start: number): number {
  return (buf[start] << 24) | (buf[start + 1] << 16) | (buf[start + 2] << 8) | buf[start + 3];
}

function hasLocal(addrs: Int32Array, at: number): boolean {
  const words = addrs[at + ADDR_LOCAL_IP0] | addrs[at + ADDR_LOCAL_IP1] | addrs[at + ADDR_LOCAL_IP2];
  return (words | addrs[at + ADDR_LOCAL_IP3]) !== 0;
}
