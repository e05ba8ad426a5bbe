/**
 * Where a script meets the engine: in memory and virtual time, or over UDP and the public API. The script is the same; a
 * lab gives it raw peers with wires, the application's side of each connection, time, and the four observers.
 */

import type { Connection } from "#src/conn/connection.js";
import type { ConnectionConfig } from "#src/conn/config.js";
import type { CloseType, StreamKind } from "#src/port/transport.js";
import type { QuicError } from "#src/api/errors.js";
import { makeRawCertificate, type RawCertificate } from "../raw/certificate.js";
import type { RawPeer } from "../raw/peer.js";

export type Role = "server" | "client";
export type TransportName = "memory" | "udp";
export const ALPN = "test";

/** How the engine is set up for one check. */
export interface Setup {
  config?: Partial<ConnectionConfig>;
  /** `echo` (default) sends everything back on bidirectional streams; `idle` reads nothing. */
  app?: "echo" | "idle";
  /** Server: every client proves its address. */
  retry?: boolean;
  maxConnections?: number;
  /** Server: clients must show a certificate. */
  clientCertificate?: boolean;
  /** Server: its certificate chain has about so many bytes. */
  chainBytes?: number;
  /** Client: what it trusts, in place of the raw authority. */
  ca?: string[];
  serverName?: string;
  alpn?: string;
  /** Tickets allow 0-RTT, and a server accepts it. */
  early?: boolean;
}

/** What a client is told for one connection. */
export interface DialOptions {
  token?: Uint8Array;
  /** Also for 0-RTT where the set-up says so. */
  ticket?: Uint8Array;
  /** The application's first act, before anything is sent. */
  onStart?: (app: App) => void;
}

/** The application's side of one connection. */
export interface App {
  /** The engine's connection, for what no observer shows. */
  readonly conn: Connection;
  readonly received: Map<number, Buffer>;
  readonly ended: Set<number>;
  readonly tickets: Uint8Array[];
  readonly tokens: Uint8Array[];
  /** Undefined while open, null for an end without error. */
  readonly error: QuicError | null | undefined;
  open(kind: StreamKind): Promise<number>;
  write(id: number, data: Uint8Array, fin: boolean): void;
  close(type: CloseType, code: bigint, reason: string): void;
}

export interface Lab {
  readonly role: Role;
  readonly transport: TransportName;
  readonly setup: Setup;
  /** Every connection that the application saw. */
  readonly apps: App[];
  nowMicros(): number;
  /** Gives the peer a wire; the engine, if it is a client, starts a connection to it. */
  attach(peer: RawPeer, dial: DialOptions): Promise<void>;
  /** One more address of the peer, at another host; its number. */
  addAddress(peer: RawPeer): Promise<number>;
  /** The same host with another port (RFC 9000 §9.4); its number. */
  addPort(peer: RawPeer): Promise<number>;
  /**
   * The engine's client opens another local address, at its host or at another one, and begins to move there; the
   * number of that address.
   */
  moveEngine(peer: RawPeer, where: "port" | "host"): Promise<number>;
  /** The application's side of the connection with this peer; null when it never saw one. */
  app(peer: RawPeer): App | null;
  /** Lets things happen until `condition` holds. False when it did not in time. */
  until(condition: () => boolean, millis?: number): Promise<boolean>;
  wait(millis: number): Promise<void>;
  drops(): Record<string, number>;
  /** The engine is told of an ICMP message: a datagram to one of the peer's addresses was larger than `mtuBytes`. */
  icmpTooBig(peer: RawPeer, address: number, mtuBytes: number): void;
  /** Ends everything and throws when anything is held still. */
  finish(): Promise<void>;
}

let authority: RawCertificate | undefined;
let leaf: RawCertificate | undefined;
const largeLeaves = new Map<number, RawCertificate>();

export function rawCa(): RawCertificate {
  authority ??= makeRawCertificate({ subject: "raw authority", isCa: true });
  return authority;
}

/** The certificate of raw servers and of the engine's. */
export function rawLeaf(): RawCertificate {
  leaf ??= makeRawCertificate({ subject: "localhost", hosts: ["localhost"], issuer: rawCa() });
  return leaf;
}

export function largeLeaf(fillBytes: number): RawCertificate {
  let made = largeLeaves.get(fillBytes);
  if (made === undefined) {
    made = makeRawCertificate({ subject: "localhost", hosts: ["localhost"], issuer: rawCa(), fillBytes });
    largeLeaves.set(fillBytes, made);
  }
  return made;
}

export function engineIdentity(setup: Setup): { cert: string; key: string } {
  const own = setup.chainBytes === undefined ? rawLeaf() : largeLeaf(setup.chainBytes);
  return { cert: own.pem + rawCa().pem, key: own.keyPem };
}
