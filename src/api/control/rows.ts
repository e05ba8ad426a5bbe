/**
 * What a control socket says of one socket: a connection or a listener. States have the names of `ss` and the numbers of TCP,
 * as those of Linux QUIC; units are in the names. Nothing here may hold a secret.
 */

import { addressText, wordsToAddress } from "../../runtime/address.js";
import {
  briefOf,
  type Connection,
  type ConnectionView,
  type Endpoint,
  type EndpointHost,
  inspectConnection,
} from "../../runtime/loop.js";
import { ADDR_PORT, type UdpStats } from "../../port/udp.js";
import { localOf, socketAddress } from "../address.js";

/** TCP's numbers (LINUX-QUIC: states map onto them), by the names that `ss` gives them. */
export const STATES = {
  ESTAB: 1,
  "SYN-RECV": 3,
  "TIME-WAIT": 6,
  /** A port that `quic host` has: bound, and connections on it are other programs'. */
  UNCONN: 7,
  LISTEN: 10,
  CLOSING: 11,
} as const;

export type StateName = keyof typeof STATES;

export type PathRow = {
  local: string;
  remote: string;
  role: "active" | "previous" | "probed";
  validated: boolean;
  maxDatagramBytes: number;
};

export interface SocketDetails extends Omit<ConnectionView, "paths" | "stats"> {
  stats: Omit<ConnectionView["stats"], "ssthreshBytes"> & {
    /** Null before the first loss. */
    ssthreshBytes: number | null;
  };
  paths: PathRow[];
}

export interface SocketRow {
  /** One number for each socket on the host. */
  inode: number;
  /** Through which of the package's doors it came. */
  api: string;
  state: StateName;
  role: "client" | "server" | "listener" | "host";
  /** `address:port`, IPv6 in brackets; `remote` is "" for what has no peer. */
  local: string;
  remote: string;
  /** What the UDP socket is bound to. */
  udp: string;
  alpn: string[];
  /** Of a listener: names it has certificates for, or is chosen by. */
  serverNames: string[];
  /** Of a listener: connections that wait for `accept`, and how many may. */
  waiting: number;
  backlog: number;
  /** Memory of what was received and not read, and of what was sent and not acknowledged or not sent, bytes. */
  recvQueueBytes: number;
  sendQueueBytes: number;
  recvBufferBytes: number;
  sendBufferBytes: number;
  heldBytes: number;
  cwndBytes: number;
  /** Largest UDP payload that is sent now. */
  mssBytes: number;
  inFlightBytes: number;
  uid: number;
  details?: SocketDetails;
}

export interface ListenerFacts {
  /** What the program holds for it: it has the same number as long as it has the same object. */
  identity: object;
  /** `address:port` */
  local: string;
  alpn: readonly string[];
  serverNames: readonly string[];
  waiting: number;
  backlog: number;
}

/** What the façade of a connection knows better than the engine. */
export interface SocketFacts {
  alpn?: readonly string[];
  recvBufferBytes?: number;
  sendBufferBytes?: number;
  /** The program closed it, whatever the connection below still does (LINUX-QUIC section 0). */
  isClosed?: boolean;
}

/** One endpoint of this process, with what its façade knows. */
export interface WatchedPort {
  readonly api: string;
  readonly host: EndpointHost;
  listeners(): ListenerFacts[];
  facts(conn: Connection): SocketFacts;
}

/** A port of `quic host`. */
export interface SharedPlace {
  readonly place: { readonly address: string; readonly port: number };
  readonly endpoint: Endpoint;
  readonly udpStats: UdpStats;
}

/** Numbers of sockets start with those of processes, so that they differ on the host. */
const INODES_PER_PROCESS = 2 ** 20;
const serials = new WeakMap<object, number>();
let lastSerial = 0;

export function listenerRow(port: WatchedPort, listener: ListenerFacts): SocketRow {
  const { socket } = port.host;
  return {
    ...bareRow(listener.identity, port.api, listener.local),
    state: "LISTEN",
    role: "listener",
    udp: addressText(socket.address, socket.port),
    alpn: [...listener.alpn],
    serverNames: [...listener.serverNames],
    waiting: listener.waiting,
    backlog: listener.backlog,
  };
}

/** A port that is shared out to other programs. */
export function sharedRow({ place, endpoint }: SharedPlace): SocketRow {
  return bareRow(endpoint, "host", addressText(place.address, place.port));
}

function bareRow(identity: object, api: string, local: string): SocketRow {
  return {
    inode: inodeOf(identity),
    api,
    state: "UNCONN",
    role: "host",
    local,
    remote: "",
    udp: local,
    alpn: [],
    serverNames: [],
    waiting: 0,
    backlog: 0,
    recvQueueBytes: 0,
    sendQueueBytes: 0,
    recvBufferBytes: 0,
    sendBufferBytes: 0,
    heldBytes: 0,
    cwndBytes: 0,
    mssBytes: 0,
    inFlightBytes: 0,
    uid: uid(),
  };
}

export function connectionRow(port: WatchedPort, conn: Connection, wantsDetails: boolean): SocketRow {
  const brief = briefOf(conn);
  const facts = port.facts(conn);
  const alpn = brief.alpn === "" ? (facts.alpn ?? []) : [brief.alpn];
  return {
    inode: inodeOf(conn),
    api: port.api,
    state: stateOf(brief.phase, brief.isEstablished, facts.isClosed === true),
    role: brief.isServer ? "server" : "client",
    local: localText(port.host, conn.path.addr, conn.path.socket),
    remote: remoteText(conn.path.addr),
    udp: udpText(port.host, conn.path.socket),
    alpn: [...alpn],
    serverNames: [],
    waiting: 0,
    backlog: 0,
    recvQueueBytes: brief.recvHeldBytes,
    sendQueueBytes: brief.sendHeldBytes,
    recvBufferBytes: facts.recvBufferBytes ?? brief.recvWindowBytes,
    sendBufferBytes: facts.sendBufferBytes ?? brief.sendBufferBytes,
    heldBytes: brief.heldBytes,
    cwndBytes: brief.cwndBytes,
    mssBytes: brief.maxDatagramBytes,
    inFlightBytes: brief.bytesInFlight,
    uid: uid(),
    ...(wantsDetails && { details: detailsOf(port, conn) }),
  };
}

function detailsOf(port: WatchedPort, conn: Connection): SocketDetails {
  const view = inspectConnection(conn);
  const { ssthreshBytes } = view.stats;
  return {
    ...view,
    stats: { ...view.stats, ssthreshBytes: Number.isFinite(ssthreshBytes) ? ssthreshBytes : null },
    paths: view.paths.map(({ addr, socket, role, validated, maxDatagramBytes }) => ({
      local: localText(port.host, addr, socket),
      remote: remoteText(addr),
      role,
      validated,
      maxDatagramBytes,
    })),
  };
}

function stateOf(phase: string, isEstablished: boolean, isClosed: boolean): StateName {
  if (phase === "draining") return "TIME-WAIT";
  if (phase === "closing" || isClosed) return "CLOSING";
  return isEstablished ? "ESTAB" : "SYN-RECV";
}

function inodeOf(identity: object): number {
  let serial = serials.get(identity);
  if (serial === undefined) {
    serial = ++lastSerial % INODES_PER_PROCESS;
    serials.set(identity, serial);
  }
  return process.pid * INODES_PER_PROCESS + serial;
}

function remoteText(row: Int32Array): string {
  return addressText(wordsToAddress(row, 0), row[ADDR_PORT] as number);
}

function localText(host: EndpointHost, row: Int32Array, socket: number): string {
  const udp = host.socketOf(socket) ?? host.socket;
  const { address, port } = localOf(row, socketAddress(udp.address, udp.port));
  return addressText(address, port);
}

function udpText(host: EndpointHost, socket: number): string {
  const udp = host.socketOf(socket) ?? host.socket;
  return addressText(udp.address, udp.port);
}

function uid(): number {
  return process.geteuid?.() ?? 0;
}
