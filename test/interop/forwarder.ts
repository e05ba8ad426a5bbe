/**
 * A UDP forwarder between client and server: it watches the wire, whatever the peer's API says, and impairs it with the nodes
 * of the simulator, which run here by the real clock. It counts Retry packets of the server and Initial packets of the
 * client that carry a token (RFC 9000 §17.2.2, §17.2.5), and how many bytes a server sends for each byte of a client that
 * has not shown its address (RFC 9000 §8.1). Codepoints of ECN do not pass: Node's sockets cannot carry them.
 */

import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type DropCause, type NetSink, Simulation } from "#src/sim/index.js";
import { buildDirection } from "../sim/network.js";
import type { DirectionPlan } from "../sim/scenario.js";

const VERSION_1 = 1;
const TYPE_INITIAL = 0;
const TYPE_HANDSHAKE = 2;
const TYPE_RETRY = 3;
const LONG_TYPES = ["Initial", "0-RTT", "Handshake", "Retry"];
/** Bytes of a connection id that the log shows; those of short headers have no length on the wire. */
const SHOWN_DCID_BYTES = 4;
/** Size of the sockets' buffers: the kernel must lose nothing that the path does not. */
const SOCKET_BUFFER_BYTES = 1024 * 1024;
const MICROS_PER_MILLI = 1000;

export interface ForwarderCounts {
  retries: number;
  initialsWithToken: number;
  /** Most bytes sent for each byte received before the client's first Handshake packet, over all connections. */
  amplification: number;
}

export interface Forwarder {
  /** Where the client connects to. */
  port: number;
  counts: ForwarderCounts;
  /** Datagrams that the path lost, by cause. */
  dropped(): Readonly<Record<DropCause, number>>;
  /** Datagrams that the path changed. */
  damaged(): number;
  close(): void;
}

/** The simulation's nodes in real time: a datagram that enters leaves when the clock says so. */
class RealTimePath {
  readonly sim = new Simulation();
  private readonly startMicros = this.sim.nowMicros - performance.now() * MICROS_PER_MILLI;
  private readonly corrupts: { damaged: number }[] = [];
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly plan: DirectionPlan) {}

  get damaged(): number {
    return this.corrupts.reduce((sum, { damaged }) => sum + damaged, 0);
  }

  /** One direction; `name` gives it draws of its own. */
  direction(name: string, deliver: (bytes: Uint8Array) => void): (bytes: Uint8Array) => void {
    this.advance();
    const { nodes, corrupt } = buildDirection(this.sim, this.plan, 1, name);
    if (corrupt !== null) this.corrupts.push(corrupt);
    const end: NetSink = {
      push: (datagram) => {
        deliver(datagram.bytes.slice(0, datagram.length));
        this.sim.scratch.pool.give(datagram);
      },
    };
    nodes.forEach((node, at) => (node.next = nodes[at + 1] ?? end));
    const first = nodes[0] ?? end;
    return (bytes) => {
      this.advance();
      const datagram = this.sim.newDatagram();
      datagram.set(bytes, 0, bytes.length);
      first.push(datagram, this.sim.nowMicros);
      this.advance();
    };
  }

  close(): void {
    if (this.timer !== null) clearTimeout(this.timer);
  }

  /** Moves the simulation's clock to now, and comes back while something is on its way. */
  private advance(): void {
    const now = Math.floor(this.startMicros + performance.now() * MICROS_PER_MILLI);
    this.sim.run(now);
    this.sim.nowMicros = now; // an idle simulation stands still
    if (this.timer !== null || this.sim.scratch.pool.outstanding === 0) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.advance();
    }, 1);
  }
}

const NO_EFFECT: DirectionPlan = { delay: { baseMicros: 0, jitterMicros: 0, jitter: "uniform", fifo: true } };

/** Where a datagram was seen: `up`/`down`, entering the path or leaving it. */
export type WireLog = (line: string) => void;

export async function openForwarder(
  host: string,
  serverPort: number,
  plan = NO_EFFECT,
  log: WireLog | null = null,
): Promise<Forwarder> {
  const counts: ForwarderCounts = { retries: 0, initialsWithToken: 0, amplification: 0 };
  const type = host.includes(":") ? "udp6" : "udp4";
  const bufferOptions = { recvBufferSize: SOCKET_BUFFER_BYTES, sendBufferSize: SOCKET_BUFFER_BYTES };
  const path = new RealTimePath(plan);
  const front = createSocket({ type, ...bufferOptions });
  const backs: Socket[] = [];
  const ways = new Map<number, (datagram: Uint8Array) => void>(); // to the server, by the client's port

  const openWay = (port: number, address: string): ((datagram: Uint8Array) => void) => {
    const account = new Amplification();
    const back = createSocket({ type, ...bufferOptions });
    const note = (what: string, bytes: Uint8Array) =>
      log?.(`${performance.now().toFixed(1)} ${port} ${what} ${bytes.length} ${describeDatagram(bytes)}`);
    const up = path.direction(`up ${backs.length}`, (bytes) => {
      note("up out", bytes);
      back.send(bytes, serverPort, host, ignore);
    });
    const down = path.direction(`down ${backs.length}`, (bytes) => {
      note("down out", bytes);
      front.send(bytes, port, address, ignore);
    });
    backs.push(back);
    back.on("message", (answer) => {
      note("down in", answer);
      if (longType(answer) === TYPE_RETRY) counts.retries++;
      counts.amplification = Math.max(counts.amplification, account.sent(answer.length));
      down(answer);
    });
    back.on("error", ignore);
    return (datagram) => {
      account.received(datagram);
      note("up in", datagram);
      up(datagram);
    };
  };

  front.on("message", (datagram, { port, address }) => {
    if (longType(datagram) === TYPE_INITIAL && hasToken(datagram)) counts.initialsWithToken++;
    let way = ways.get(port);
    if (way === undefined) ways.set(port, (way = openWay(port, address)));
    way(datagram);
  });
  front.bind(0, host);
  await once(front, "listening");
  return {
    port: (front.address() as AddressInfo).port,
    counts,
    dropped: () => path.sim.dropped,
    damaged: () => path.damaged,
    close() {
      path.close();
      front.close();
      for (const back of backs) back.close();
    },
  };
}

/** A datagram that could not be sent is a lost one. */
function ignore(): void {}

/** What a server sends to one client before the client has shown its address. */
class Amplification {
  private receivedBytes = 0;
  private sentBytes = 0;
  private validated = false;

  received(datagram: Uint8Array): void {
    this.receivedBytes += datagram.length;
    this.validated ||= hasHandshakePacket(datagram) || (longType(datagram) === TYPE_INITIAL && hasToken(datagram));
  }

  /** The ratio so far, 0 once it does not matter any more. */
  sent(bytes: number): number {
    if (this.validated) return 0;
    this.sentBytes += bytes;
    return this.sentBytes / this.receivedBytes;
  }
}

/** Long packet type of the first packet, -1 for anything but a long header of version 1. */
export function longType(datagram: Uint8Array): number {
  if (datagram.length < 7 || (datagram[0]! & 0x80) === 0) return -1;
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  return view.getUint32(1) === VERSION_1 ? (datagram[0]! & 0x30) >> 4 : -1;
}

/** Whether the token of an Initial packet has a length other than 0. */
export function hasToken(initial: Uint8Array): boolean {
  return (initial[idsEnd(initial)] ?? 0) !== 0;
}

/** Whether one of the coalesced packets is a Handshake packet (RFC 9000 §12.2). */
export function hasHandshakePacket(datagram: Uint8Array): boolean {
  let rest = datagram;
  for (;;) {
    const type = longType(rest);
    if (type === TYPE_HANDSHAKE) return true;
    if (type === -1 || type === TYPE_RETRY) return false;
    const { start, length } = payloadOf(rest);
    rest = rest.subarray(start + length);
  }
}

/** Types and connection ids of the packets, as far as they are in the clear. */
export function describeDatagram(datagram: Uint8Array): string {
  const packets: string[] = [];
  let rest = datagram;
  while (rest.length > 0) {
    const type = longType(rest);
    if (type === -1) {
      packets.push((rest[0]! & 0x80) === 0 ? `1-RTT ${hex(rest, 1, 1 + SHOWN_DCID_BYTES)}` : "other");
      break;
    }
    const dcidEnd = 6 + rest[5]!;
    const shown = (start: number, end: number) => hex(rest, start, Math.min(end, start + SHOWN_DCID_BYTES));
    packets.push(`${LONG_TYPES[type]} ${shown(6, dcidEnd)} from ${shown(dcidEnd + 1, idsEnd(rest))}`);
    if (type === TYPE_RETRY) break;
    const { start, length } = payloadOf(rest);
    rest = rest.subarray(start + length);
  }
  return packets.join(" + ");
}

function hex(bytes: Uint8Array, start: number, end: number): string {
  return Array.from(bytes.subarray(start, end), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The part of a packet with a long header that its Length field covers (RFC 9000 §17.2). */
function payloadOf(packet: Uint8Array): { start: number; length: number } {
  let pos = idsEnd(packet);
  if (longType(packet) === TYPE_INITIAL) {
    const token = readVarint(packet, pos);
    pos = token.end + token.value;
  }
  const length = readVarint(packet, pos);
  return { start: length.end, length: length.value };
}

/** Where the connection ids of a long header end. */
function idsEnd(packet: Uint8Array): number {
  const dcidEnd = 6 + packet[5]!;
  return dcidEnd + 1 + (packet[dcidEnd] ?? 0);
}

/** What is cut reads as more than there is. */
function readVarint(bytes: Uint8Array, pos: number): { value: number; end: number } {
  const first = bytes[pos] ?? 0;
  const end = pos + (1 << (first >> 6));
  let value = first & 0x3f;
  for (let at = pos + 1; at < end; at++) value = value * 256 + (bytes[at] ?? 0);
  return { value, end };
}
