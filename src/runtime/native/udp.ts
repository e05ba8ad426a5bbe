/**
 * The udp port on the addon (addon/udp_batch.cc): one call a batch, GSO and GRO where the kernel has them, ECN marks
 * and local addresses both ways. The kernel owns order; what it has no room for is kept in the addon and goes first.
 */

import { isIP } from "node:net";
import { ADDR_COLS, ADDR_PORT } from "../../port/udp.js";
import type {
  IcmpKind,
  RxBatch,
  TxBatch,
  UdpHandler,
  UdpOptions,
  UdpProvider,
  UdpSocket,
  UdpStats,
} from "../../port/udp.js";
import { SOCKET_BUFFER_BYTES } from "../../proto/limits.js";
import { addressText, isMappedIpv4, setAddressRow, wordsToAddress } from "../address.js";
import { systemError } from "../system-error.js";
import { loadAddon } from "./addon.js";
import { newNativeTimer } from "./timer.js";
import { allowedOffload } from "./udp-offload.js";

/** What addon/udp_batch.cc exports. */
interface UdpAddon {
  udpOpen(
    address: Int32Array,
    bound: Int32Array,
    flags: number,
    receiveBytes: number,
    sendBytes: number,
    stats: Float64Array,
    onEvent: (event: number) => void,
  ): number;
  udpAdopt(fd: number, bound: Int32Array, stats: Float64Array, onEvent: (event: number) => void): number;
  udpFd(handle: number): number;
  udpRecv(handle: number, buf: Uint8Array, rows: Int32Array, sources: Int32Array): number;
  udpSend(
    handle: number,
    buf: Uint8Array,
    rows: Int32Array,
    count: number,
    dests: Int32Array,
    destCount: number,
  ): boolean;
  udpClose(handle: number): void;
  udpKeepAlive(handle: number, keep: boolean): void;
  udpHints(handle: number, rows: Int32Array): number;
  udpFault(handle: number, errno: number, count: number): void;
}

const FLAG_IPV6 = 1;
const FLAG_IPV6_ONLY = 2;
const FLAG_REUSE_PORT = 4;
const FLAG_NO_GSO = 8;
const FLAG_NO_GRO = 16;
const FLAG_NO_MMSG = 32;

const EVENT_READABLE = 1;
const EVENT_WRITABLE = 2;
const EVENT_HINTS = 3;

/** Cells of the stats box (addon/udp_socket.h). */
const STAT_DATAGRAMS_RECEIVED = 0;
const STAT_BYTES_RECEIVED = 1;
const STAT_DATAGRAMS_SENT = 2;
const STAT_BYTES_SENT = 3;
const STAT_SEND_ERRORS = 4;
const STAT_SEND_BLOCKED = 5;
const STAT_RECEIVE_OVERFLOWS = 6;
const STAT_SOURCES = 7;
const STAT_GSO = 8;
const STAT_GRO = 9;
const STAT_MMSG = 11;
const STAT_HINTS = 12;
const STAT_COUNT = 16;

/** Columns of a hint behind those of an address up to its port, and the hint that is no ICMP message. */
const HINT_KIND = 5;
const HINT_BYTES = 6;
const HINT_QUOTED = 7;
const HINT_QUOTE = 8;
const HINT_COLS = 15;
const HINT_TOO_BIG_HERE = 0;
const HINTS_MAX = 16;

const EINVAL = 22;

/** Opens sockets in the addon; `open` rejects with ERR_NETQUIC_NO_ADDON where it is not built. */
export const nativeUdp: UdpProvider = {
  name: "native",
  async open(options: UdpOptions, handler: UdpHandler): Promise<UdpSocket> {
    return openNative(options, handler);
  },
  newTimer: newNativeTimer,
};

/**
 * Makes a socket of a descriptor that another process bound (udp-member.ts) and owns it from then on. @throws the system's
 * error; the descriptor is the caller's then.
 */
export function adoptUdp(fd: number, isIpv6: boolean, handler: UdpHandler): UdpSocket {
  const bound = new Int32Array(ADDR_COLS);
  return new NativeSocket(handler, isIpv6, bound, (addon, box, onEvent) => {
    const handle = addon.udpAdopt(fd, bound, box, onEvent);
    if (handle < 0) throw systemError(-handle, "getsockname");
    return handle;
  });
}

/** The descriptor of a socket of this provider, to be passed to another process; it stays the socket's. */
export function udpDescriptor(socket: UdpSocket): number {
  return (socket as NativeSocket).descriptor;
}

/**
 * For tests: the next `count` sends of this socket fail with `errno` (positive) instead of reaching the kernel; with 0 the
 * kernel is given no more than the first datagram or train of each.
 */
export function failNextSends(socket: UdpSocket, errno: number, count: number): void {
  (socket as NativeSocket).failNextSends(errno, count);
}

class NativeSocket implements UdpSocket {
  readonly address: string;
  readonly port: number;
  readonly family: "IPv4" | "IPv6";
  readonly ecn = true;
  private readonly addon: UdpAddon;
  private readonly handler: UdpHandler;
  private readonly box = new Float64Array(STAT_COUNT);
  /** -1 once closed. */
  private handle: number;
  /** `send` returned false and `onWritable` is due. */
  private blocked = false;
  private hintRows: Int32Array | null = null;

  /** `open` gives a handle of the addon, and the address in `bound`; it throws the system's error. */
  constructor(
    handler: UdpHandler,
    isIpv6: boolean,
    bound: Int32Array,
    open: (addon: UdpAddon, box: Float64Array, onEvent: (event: number) => void) => number,
  ) {
    this.addon = loadAddon<UdpAddon>();
    this.handler = handler;
    this.handle = open(this.addon, this.box, (event) => this.onEvent(event));
    this.family = isIpv6 ? "IPv6" : "IPv4";
    this.port = bound[ADDR_PORT];
    const text = wordsToAddress(bound, 0);
    this.address = isIpv6 && isMappedIpv4(bound, 0) ? `::ffff:${text}` : text;
  }

  get descriptor(): number {
    return this.addon.udpFd(this.handle);
  }

  get rung(): string {
    const calls = this.box[STAT_MMSG] === 1 ? ["sendmmsg", "recvmmsg"] : ["sendmsg", "recvmsg"];
    return `${this.box[STAT_GSO] === 1 ? "gso" : calls[0]}+${this.box[STAT_GRO] === 1 ? "gro" : calls[1]}`;
  }

  get stats(): UdpStats {
    const { box } = this;
    return {
      datagramsReceived: box[STAT_DATAGRAMS_RECEIVED],
      bytesReceived: box[STAT_BYTES_RECEIVED],
      datagramsSent: box[STAT_DATAGRAMS_SENT],
      bytesSent: box[STAT_BYTES_SENT],
      sendErrors: box[STAT_SEND_ERRORS],
      sendBlocked: box[STAT_SEND_BLOCKED],
      receiveOverflows: box[STAT_RECEIVE_OVERFLOWS],
    };
  }

  recv(rx: RxBatch): number {
    rx.count = 0;
    rx.sourceCount = 0;
    if (this.handle < 0) return 0;
    const count = this.addon.udpRecv(this.handle, rx.buf, rx.rows, rx.sources);
    if (count < 0) {
      queueMicrotask(() => this.fail(-count, "recvmmsg"));
      return 0;
    }
    rx.sourceCount = this.box[STAT_SOURCES];
    rx.count = count;
    return count;
  }

  send(tx: TxBatch): boolean {
    if (this.blocked) throw new Error("send before onWritable");
    if (this.handle < 0) {
      this.box[STAT_SEND_ERRORS] += tx.count;
      return true;
    }
    const done = this.addon.udpSend(this.handle, tx.buf, tx.rows, tx.count, tx.dests, tx.destCount);
    this.blocked = !done;
    if (this.box[STAT_HINTS] !== 0) this.takeHints();
    return done;
  }

  ref(): void {
    if (this.handle >= 0) this.addon.udpKeepAlive(this.handle, true);
  }

  unref(): void {
    if (this.handle >= 0) this.addon.udpKeepAlive(this.handle, false);
  }

  close(): void {
    if (this.handle < 0) return;
    this.addon.udpClose(this.handle);
    this.handle = -1;
    this.blocked = false;
  }

  failNextSends(errno: number, count: number): void {
    this.addon.udpFault(this.handle, errno, count);
  }

  private onEvent(event: number): void {
    if (this.handle < 0) return;
    if (event === EVENT_READABLE) this.handler.onReadable();
    else if (event === EVENT_WRITABLE) {
      this.blocked = false;
      if (this.box[STAT_HINTS] !== 0) this.takeHints();
      if (this.handle >= 0) this.handler.onWritable();
    } else if (event === EVENT_HINTS) this.takeHints();
    else this.fail(-event, "poll");
  }

  private takeHints(): void {
    const { handler } = this;
    const rows = (this.hintRows ??= new Int32Array(HINTS_MAX * HINT_COLS));
    const dest = new Int32Array(ADDR_COLS);
    const count = this.addon.udpHints(this.handle, rows);
    for (let i = 0; i < count && this.handle >= 0; i++) {
      const at = i * HINT_COLS;
      for (let column = 0; column <= ADDR_PORT; column++) dest[column] = rows[at + column];
      const kind = rows[at + HINT_KIND];
      if (kind === HINT_TOO_BIG_HERE) handler.onTooBig?.(dest, rows[at + HINT_BYTES]);
      else {
        const quoted = new Uint8Array(rows.buffer, 4 * (at + HINT_QUOTE), rows[at + HINT_QUOTED]);
        handler.onIcmp?.(dest, kind as IcmpKind, rows[at + HINT_BYTES], quoted);
      }
    }
  }

  private fail(errno: number, syscall: string): void {
    if (this.handle < 0) return;
    this.close();
    this.handler.onError(systemError(errno, syscall));
  }
}

function openNative(options: UdpOptions, handler: UdpHandler): UdpSocket {
  const row = new Int32Array(ADDR_COLS);
  if (!setAddressRow(row, 0, options.address, options.port)) throw bindError(EINVAL, options);
  const isIpv6 = isIP(options.address) === 6;
  const offload = allowedOffload(options.offload, process.env);
  const bound = new Int32Array(ADDR_COLS);
  const flags =
    (isIpv6 ? FLAG_IPV6 : 0) |
    (options.ipv6Only === true ? FLAG_IPV6_ONLY : 0) |
    (options.reusePort === true ? FLAG_REUSE_PORT : 0) |
    (offload.gso ? 0 : FLAG_NO_GSO) |
    (offload.gro ? 0 : FLAG_NO_GRO) |
    (offload.mmsg ? 0 : FLAG_NO_MMSG);
  const receiveBytes = options.receiveBufferBytes ?? SOCKET_BUFFER_BYTES;
  const sendBytes = options.sendBufferBytes ?? SOCKET_BUFFER_BYTES;
  return new NativeSocket(handler, isIpv6, bound, (addon, box, onEvent) => {
    const handle = addon.udpOpen(row, bound, flags, receiveBytes, sendBytes, box, onEvent);
    if (handle < 0) throw bindError(-handle, options);
    return handle;
  });
}

function bindError(errno: number, options: UdpOptions): Error {
  const { address, port } = options;
  return Object.assign(systemError(errno, "bind", ` ${addressText(address, port)}`), { address, port });
}
