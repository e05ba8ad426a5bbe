/**
 * The udp port on node:dgram: correct everywhere, 20 to 30 times slower than the addon. No GSO, GRO, ECN, local
 * addresses or don't-fragment bit. Received datagrams wait in a bounded queue until `recv` takes them; beyond the
 * bounds they are dropped and counted, as a kernel does.
 */

import { createSocket } from "node:dgram";
import type { RemoteInfo, Socket, SocketOptions } from "node:dgram";
import { isIP } from "node:net";
import {
  ADDR_COLS,
  ADDR_IFINDEX,
  ADDR_IP0,
  ADDR_LOCAL_IP0,
  ADDR_PORT,
  ECN_UNKNOWN,
  RX_COLS,
  RX_ECN,
  RX_LEN,
  RX_OFF,
  RX_SOURCE,
  TX_COLS,
  TX_DEST,
  TX_LEN,
  TX_OFF,
} from "../../port/udp.js";
import type { RxBatch, TxBatch, UdpHandler, UdpOptions, UdpProvider, UdpSocket, UdpStats } from "../../port/udp.js";
import { PORTABLE_QUEUE_BYTES, PORTABLE_QUEUE_DATAGRAMS, SOCKET_BUFFER_BYTES } from "../../proto/limits.js";
import { interfaceName, isAnyAddress, isLinkLocal, isMappedIpv4, setAddressRow, wordsToAddress } from "../address.js";
import { newUdpStats } from "../udp-stats.js";

/** `reusePort` came to node:dgram with 23.1 and is ignored before, which would look like success. */
const HAS_REUSE_PORT = atLeastNode(23, 1);
/** Errors that an ICMP answer to an earlier datagram may raise: not the socket's own. */
const ICMP_ERRORS = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN", "EPROTO"]);

export const portableUdp: UdpProvider = {
  name: "portable",
  open(options: UdpOptions, handler: UdpHandler): Promise<UdpSocket> {
    return new Promise((resolve, reject) => {
      const family = isIP(options.address.split("%")[0] ?? "");
      if (family === 0) {
        reject(systemError("EINVAL", `bind: ${JSON.stringify(options.address)} is no literal address`));
        return;
      }
      if (options.reusePort === true && !HAS_REUSE_PORT) {
        reject(systemError("ENOTSUP", "bind: reusePort wants the native datapath, or Node 23.1 and later"));
        return;
      }
      const socket = createSocket(socketOptions(options, family === 6));
      const onBindError = (error: Error): void => {
        socket.close();
        reject(error);
      };
      socket.once("error", onBindError);
      socket.bind({ port: options.port, address: options.address, exclusive: true }, () => {
        socket.removeListener("error", onBindError);
        resolve(new PortableSocket(socket, handler));
      });
    });
  },
};

class PortableSocket implements UdpSocket {
  readonly address: string;
  readonly port: number;
  readonly family: "IPv4" | "IPv6";
  readonly rung = "dgram";
  readonly ecn = false;
  readonly stats: UdpStats = newUdpStats();
  private readonly socket: Socket;
  private readonly handler: UdpHandler;
  private closed = false;
  /** `send` returned false and `onWritable` is due. */
  private blocked = false;
  private wakeScheduled = false;
  private kept = true; // the event loop is kept alive
  /** Ring of datagrams that arrived: payloads and, at the same index, who sent them. */
  private readonly queue: (Buffer | null)[] = new Array(PORTABLE_QUEUE_DATAGRAMS).fill(null);
  private readonly queueSources: (RemoteInfo | null)[] = new Array(PORTABLE_QUEUE_DATAGRAMS).fill(null);
  private queueHead = 0;
  private queueCount = 0;
  private queueBytes = 0;
  /** Local address of everything that arrives, unknown (zero) for a wildcard socket. */
  private readonly local = new Int32Array(ADDR_COLS);
  /** The source written last, and the destination made text last: neighbours are mostly equal. */
  private readonly source = new Int32Array(ADDR_COLS);
  private sourceAddress = "";
  private readonly dest = new Int32Array(ADDR_COLS);
  private destAddress = "";
  private readonly onSent = (error: Error | null, bytes: number): void => this.sent(error, bytes);

  constructor(socket: Socket, handler: UdpHandler) {
    this.socket = socket;
    this.handler = handler;
    const bound = socket.address();
    this.address = bound.address;
    this.port = bound.port;
    this.family = bound.family === "IPv6" ? "IPv6" : "IPv4";
    if (bound.address !== "0.0.0.0" && bound.address !== "::") setAddressRow(this.local, 0, bound.address, bound.port);
    socket.on("message", (payload, from) => this.received(payload, from));
    socket.on("error", (error) => this.failed(error));
  }

  recv(rx: RxBatch): number {
    rx.count = 0;
    rx.sourceCount = 0;
    const { buf, rows } = rx;
    const capacity = Math.floor(rows.length / RX_COLS);
    let used = 0;
    while (this.queueCount > 0 && rx.count < capacity) {
      const payload = this.queue[this.queueHead] as Buffer;
      const fits = used + payload.length <= buf.length;
      if (!fits && rx.count > 0) break;
      const source = this.sourceRow(rx, this.queueSources[this.queueHead] as RemoteInfo);
      if (source < 0) break;
      this.shift(payload.length);
      if (!fits) {
        this.stats.receiveOverflows++; // larger than the whole batch: it would never leave the queue
        continue;
      }
      buf.set(payload, used);
      const r = rx.count++ * RX_COLS;
      rows[r + RX_OFF] = used;
      rows[r + RX_LEN] = payload.length;
      rows[r + RX_SOURCE] = source;
      rows[r + RX_ECN] = ECN_UNKNOWN;
      used += payload.length;
    }
    this.stats.datagramsReceived += rx.count;
    this.stats.bytesReceived += used;
    return rx.count;
  }

  send(tx: TxBatch): boolean {
    if (this.blocked) throw new Error("send before onWritable");
    const { rows, dests } = tx;
    // libuv may keep the bytes for later, and the caller may reuse the batch now: one copy serves all rows.
    const bytes = tx.buf.slice(0, tx.used);
    for (let i = 0; i < tx.count; i++) {
      const off = rows[i * TX_COLS + TX_OFF];
      const length = rows[i * TX_COLS + TX_LEN];
      const dest = rows[i * TX_COLS + TX_DEST];
      const inside = off >= 0 && length >= 0 && off + length <= bytes.length;
      if (this.closed || !inside || dest < 0 || dest >= tx.destCount || !this.setDest(dests, dest * ADDR_COLS)) {
        this.stats.sendErrors++;
        continue;
      }
      this.socket.send(bytes, off, length, this.dest[ADDR_PORT], this.destAddress, this.onSent);
    }
    if (this.closed || this.socket.getSendQueueCount() === 0) return true;
    this.blocked = true;
    this.stats.sendBlocked++;
    return false;
  }

  ref(): void {
    if (this.closed) return;
    this.kept = true;
    this.socket.ref();
  }

  unref(): void {
    if (this.closed) return;
    this.kept = false;
    this.socket.unref();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.queue.fill(null);
    this.queueSources.fill(null);
    this.queueCount = 0;
    this.socket.close();
  }

  private received(payload: Buffer, from: RemoteInfo): void {
    if (this.closed) return;
    if (this.queueCount === PORTABLE_QUEUE_DATAGRAMS || this.queueBytes + payload.length > PORTABLE_QUEUE_BYTES) {
      this.stats.receiveOverflows++;
      return;
    }
    const at = (this.queueHead + this.queueCount++) % PORTABLE_QUEUE_DATAGRAMS;
    this.queue[at] = payload;
    this.queueSources[at] = from;
    this.queueBytes += payload.length;
    this.scheduleWake();
  }

  /** One wake-up for all datagrams of a poll; again while some are left, because readable stays armed. */
  private scheduleWake(): void {
    if (this.wakeScheduled) return;
    this.wakeScheduled = true;
    const wake = (): void => {
      this.wakeScheduled = false;
      if (this.closed || this.queueCount === 0) return;
      // Armed before the call: an owner that throws is still woken for what is left.
      this.scheduleWake();
      this.handler.onReadable();
    };
    // An unreferenced immediate would wait for the next poll to end; an unreferenced timer does not.
    if (this.kept) setImmediate(wake);
    else setTimeout(wake, 0).unref();
  }

  private shift(bytes: number): void {
    this.queue[this.queueHead] = null;
    this.queueSources[this.queueHead] = null;
    this.queueHead = (this.queueHead + 1) % PORTABLE_QUEUE_DATAGRAMS;
    this.queueCount--;
    this.queueBytes -= bytes;
  }

  /** The row of `sources` for this sender, a new one unless the last one serves; -1 when there is no room. */
  private sourceRow(rx: RxBatch, from: RemoteInfo): number {
    const { source } = this;
    const sameAsLast = this.sourceAddress === from.address && source[ADDR_PORT] === from.port;
    if (sameAsLast && rx.sourceCount > 0) return rx.sourceCount - 1;
    if ((rx.sourceCount + 1) * ADDR_COLS > rx.sources.length) return -1;
    if (!sameAsLast) {
      setAddressRow(source, 0, from.address, from.port);
      source.set(this.local.subarray(ADDR_IP0, ADDR_IP0 + 4), ADDR_LOCAL_IP0);
      this.sourceAddress = from.address;
    }
    rx.sources.set(source, rx.sourceCount * ADDR_COLS);
    return rx.sourceCount++;
  }

  /** Makes the row the current destination; false when this socket's family cannot reach it. */
  private setDest(dests: Int32Array, at: number): boolean {
    const { dest } = this;
    let same = this.destAddress !== "";
    for (let i = 0; i < ADDR_COLS; i++) {
      if (dest[i] === dests[at + i]) continue;
      dest[i] = dests[at + i];
      same = false;
    }
    if (same) return true;
    const isIpv4 = isMappedIpv4(dest, ADDR_IP0);
    this.destAddress = "";
    if (this.family === "IPv4" && !isIpv4) return false;
    if (dest[ADDR_PORT] < 1 || dest[ADDR_PORT] > 65535 || isAnyAddress(dest, ADDR_IP0)) return false;
    const text = wordsToAddress(dest, ADDR_IP0);
    if (this.family === "IPv6" && isIpv4) this.destAddress = `::ffff:${text}`;
    else if (isLinkLocal(dest, ADDR_IP0)) this.destAddress = `${text}%${interfaceName(dest[ADDR_IFINDEX])}`;
    else this.destAddress = text;
    return true;
  }

  private sent(error: Error | null, bytes: number): void {
    if (error !== null) this.stats.sendErrors++;
    else {
      this.stats.datagramsSent++;
      this.stats.bytesSent += bytes;
    }
    if (this.closed || !this.blocked || this.socket.getSendQueueCount() > 0) return;
    this.blocked = false;
    this.handler.onWritable();
  }

  private failed(error: Error): void {
    if (this.closed || ICMP_ERRORS.has((error as NodeJS.ErrnoException).code ?? "")) return;
    this.close();
    this.handler.onError(error);
  }
}

function socketOptions(options: UdpOptions, isIpv6: boolean): SocketOptions {
  return {
    type: isIpv6 ? "udp6" : "udp4",
    ipv6Only: options.ipv6Only ?? false,
    recvBufferSize: options.receiveBufferBytes ?? SOCKET_BUFFER_BYTES,
    sendBufferSize: options.sendBufferBytes ?? SOCKET_BUFFER_BYTES,
    // Addresses are literal here: answering at once keeps a send inside its call.
    lookup: (address, _options, callback) => callback(null, address, isIpv6 ? 6 : 4),
    ...(options.reusePort === true ? { reusePort: true } : {}),
  };
}

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}

function atLeastNode(major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = process.versions.node.split(".").map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}
