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

/**
 * Of all draws, which are the same in every run. With this one no connection of the handshake cases loses four of its first
 * five datagrams in a direction: a peer that sends one datagram for each probe timeout needs more than a minute then.
 */
const SEED = 7131;
const VERSION_1 = 1;
const VERSION_2 = 0x6b3343cf;
const TYPE_INITIAL = 0;
const TYPE_HANDSHAKE = 2;
const TYPE_RETRY = 3;
const LONG_TYPES = ["Initial", "0-RTT", "Handshake", "Retry"];
/** Bytes of a connection id that the log shows; those of short headers have no length on the wire. */
const SHOWN_DCID_BYTES = 4;
/** Size of the sockets' buffers: the kernel must lose nothing that the path does not. */
const SOCKET_BUFFER_BYTES = 1024 * 1024;
const MICROS_PER_MILLI = 1000;

/** What a NAT between client and server does in mid-transfer: the client has another port, or another address, for the server. */
export interface RebindPlan {
  /** The new local address of the forwarder's server side. */
  address: string;
  /**
   * When the server has sent so many bytes to one client. Not the client's: those may run ahead of its last handshake packet,
   * and nobody has to follow before the handshake is confirmed (RFC 9000 §9).
   */
  afterBytes: readonly number[];
}

export interface ForwarderCounts {
  retries: number;
  initialsWithToken: number;
  /** Most bytes sent for each byte received before the client's first Handshake packet, over all connections. */
  amplification: number;
  rebindings: number;
  /** Bytes that the server sent to where a client was moved. */
  bytesToRebound: number;
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
    const { nodes, corrupt } = buildDirection(this.sim, this.plan, SEED, name);
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

/** Takes a line for each datagram that enters the path or leaves it. */
export type WireLog = (line: string) => void;

export interface ForwarderPlan {
  path: DirectionPlan | null;
  rebind?: RebindPlan | null;
  log?: WireLog | null;
}

export async function openForwarder(host: string, serverPort: number, plan: ForwarderPlan): Promise<Forwarder> {
  const path = new RealTimePath(plan.path ?? NO_EFFECT);
  const shared: Shared = {
    host,
    serverPort,
    path,
    rebind: plan.rebind ?? null,
    log: plan.log ?? null,
    counts: { retries: 0, initialsWithToken: 0, amplification: 0, rebindings: 0, bytesToRebound: 0 },
    front: createSocket(socketOptions(host)),
  };
  const { front, counts } = shared;
  const ways = new Map<string, Way>();
  front.on("message", (datagram, { port, address }) => {
    if (longType(datagram) === TYPE_INITIAL && hasToken(datagram)) counts.initialsWithToken++;
    const client = `${address} ${port}`;
    let way = ways.get(client);
    if (way === undefined) ways.set(client, (way = new Way(shared, ways.size, address, port)));
    way.fromClient(datagram);
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
      for (const way of ways.values()) way.close();
    },
  };
}

function socketOptions(host: string) {
  const type = host.includes(":") ? "udp6" : "udp4";
  return { type, recvBufferSize: SOCKET_BUFFER_BYTES, sendBufferSize: SOCKET_BUFFER_BYTES } as const;
}

interface Shared {
  host: string;
  serverPort: number;
  path: RealTimePath;
  rebind: RebindPlan | null;
  log: WireLog | null;
  counts: ForwarderCounts;
  front: Socket;
}

/** The way of one client: a socket of its own towards the server. */
class Way {
  private readonly account = new Amplification();
  private readonly up: (bytes: Uint8Array) => void;
  private readonly down: (bytes: Uint8Array) => void;
  private readonly rebindings: number[];
  private bytesOfServer = 0;
  private back: Socket;

  constructor(
    private readonly shared: Shared,
    index: number,
    address: string,
    private readonly port: number,
  ) {
    const { path, front, serverPort, host, rebind } = shared;
    this.rebindings = [...(rebind?.afterBytes ?? [])];
    this.up = path.direction(`up ${index}`, (bytes) => {
      this.note("up out", bytes);
      this.back.send(bytes, serverPort, host, ignore);
    });
    this.down = path.direction(`down ${index}`, (bytes) => {
      this.note("down out", bytes);
      front.send(bytes, port, address, ignore);
    });
    this.back = this.openBack(host, false);
  }

  fromClient(datagram: Uint8Array): void {
    this.note("up in", datagram);
    this.account.received(datagram);
    if (this.bytesOfServer >= (this.rebindings[0] ?? Infinity)) this.rebind();
    this.up(datagram);
  }

  close(): void {
    this.back.close();
  }

  /** Answers to where the client was are lost, as in a NAT. */
  private rebind(): void {
    const { rebind, counts } = this.shared;
    this.rebindings.shift();
    this.back.close();
    this.back = this.openBack(rebind?.address ?? "", true);
    counts.rebindings++;
  }

  private openBack(address: string, rebound: boolean): Socket {
    const { host, counts } = this.shared;
    const back = createSocket(socketOptions(host));
    back.on("error", ignore);
    back.on("message", (answer) => {
      this.note("down in", answer);
      if (longType(answer) === TYPE_RETRY) counts.retries++;
      counts.amplification = Math.max(counts.amplification, this.account.sent(answer.length));
      if (rebound) counts.bytesToRebound += answer.length;
      this.bytesOfServer += answer.length;
      this.down(answer);
    });
    if (rebound) back.bind(0, address);
    return back;
  }

  private note(what: string, bytes: Uint8Array): void {
    const { log } = this.shared;
    if (log === null) return;
    log(`${performance.now().toFixed(1)} ${this.port} ${what} ${bytes.length} ${describeDatagram(bytes)}`);
  }
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

/** Long packet type of the first packet in the numbers of version 1, -1 for anything but a long header of version 1 or 2. */
export function longType(datagram: Uint8Array): number {
  if (datagram.length < 7 || (datagram[0]! & 0x80) === 0) return -1;
  const type = (datagram[0]! & 0x30) >> 4;
  switch (new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength).getUint32(1)) {
    case VERSION_1:
      return type;
    case VERSION_2:
      return (type + 3) & 3; // RFC 9369 §3.2
    default:
      return -1;
  }
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
