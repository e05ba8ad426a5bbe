/**
 * One endpoint under attack, in memory and virtual time: raw peers put datagrams in and read what comes out. Whatever a
 * test does, the arena watches the amplification limit (RFC 9000 §8.1) of every address that has not proved itself.
 */

import assert from "node:assert/strict";
import type { ConnectionConfig } from "#src/conn/config.js";
import type { Connection } from "#src/conn/connection.js";
import { Endpoint } from "#src/endpoint/endpoint.js";
import type { TlsContext } from "#src/port/tls.js";
import { ADDR_COLS, ADDR_PORT, ECN_NOT_ECT, TX_COLS, TX_DEST, TX_LEN, TX_OFF } from "#src/port/udp.js";
import { addToRx, newRxBatch, newTxBatch } from "#src/sim/batches.js";
import { Prng } from "#src/sim/prng.js";
import { NullAead } from "./null-aead.js";
import { NullTls, type NullTlsOptions } from "./null-tls.js";
import { Recorder } from "./pair.js";

/** The endpoint does not learn at which of its addresses a datagram arrived. */
const NO_ADDRESS = new Int32Array(ADDR_COLS);

export interface ArenaOptions {
  config?: Partial<ConnectionConfig>;
  tls?: Partial<NullTlsOptions>;
  retry?: "auto" | "always" | "never";
  maxConnections?: number;
  seed?: number;
  /** Contexts of a TLS library, in place of the null TLS. */
  contexts?: TlsContexts;
}

export interface TlsContexts {
  client: TlsContext;
  server: TlsContext;
}

/** What the arena needs of a peer at an address. */
export interface ArenaPeer {
  readonly address: Int32Array;
  /** The endpoint may send it more than three times what it got. */
  readonly validated: boolean;
  bytesSent: number;
  bytesReceived: number;
  receive(datagram: Uint8Array): void;
}

export interface Arrival {
  peer: ArenaPeer;
  datagram: Uint8Array;
  /** Code point of port/udp; not marked by default. */
  ecn?: number;
}

export class Arena {
  nowMicros = 1_000_000;
  readonly aead = new NullAead(true);
  readonly random: Prng;
  readonly endpoint: Endpoint;
  readonly tls: NullTls;
  /** Connections of the endpoint in the order in which the application saw them. */
  readonly conns: Connection[] = [];
  readonly events = new Map<Connection, Recorder>();
  /** Whether `pump` drains events. */
  drains = true;
  private held: Uint8Array[] | null = null;
  private readonly peers = new Map<number, ArenaPeer>();
  private readonly rx = newRxBatch(64, 256 * 1024);
  private readonly tx = newTxBatch();
  private readonly clientContext: TlsContext;

  constructor(options: ArenaOptions = {}) {
    const seed = options.seed ?? 1;
    this.random = new Prng(seed, "arena");
    this.endpoint = new Endpoint({
      aead: this.aead,
      random: new Prng(seed, "endpoint"),
      nowMicros: this.nowMicros,
      wallSeconds: () => Math.floor(this.nowMicros / 1e6),
    });
    this.tls = new NullTls({ random: new Prng(seed, "tls"), ...options.tls });
    this.endpoint.listen({
      tls: options.contexts?.server ?? this.tls.newServerContext({ alpn: ["test"], identities: {} }),
      config: options.config ?? {},
      retry: options.retry ?? "auto",
      maxConnections: options.maxConnections ?? 1e6,
    });
    const own = { alpn: ["test"], serverName: "localhost", verify: "strict" } as const;
    this.clientContext = options.contexts?.client ?? this.tls.newClientContext({ ...own, alpn: ["test"] });
  }

  add(peer: ArenaPeer): void {
    this.peers.set(peer.address[ADDR_PORT], peer);
  }

  /** The endpoint connects to `peer`. */
  connect(peer: ArenaPeer, config: Partial<ConnectionConfig> = {}, token?: Uint8Array): Connection {
    const options = { tls: this.clientContext, remote: peer.address, config };
    const conn = this.endpoint.connect(token === undefined ? options : { ...options, token }, this.nowMicros);
    this.note(conn);
    this.pump();
    return conn;
  }

  /** Datagrams from this peer's address in one receive batch; then everything that the endpoint says. */
  send(peer: ArenaPeer, ...datagrams: Uint8Array[]): void {
    if (this.held !== null) {
      this.held.push(...datagrams);
      return;
    }
    this.deliver(peer, datagrams);
    this.pump();
  }

  /** What peers send during `act`, which does not arrive. */
  hold(act: () => void): Uint8Array[] {
    const held: Uint8Array[] = [];
    this.held = held;
    act();
    this.held = null;
    return held;
  }

  /** As `send`, without letting the endpoint answer. */
  deliver(peer: ArenaPeer, datagrams: readonly Uint8Array[]): void {
    this.deliverMixed(datagrams.map((datagram) => ({ peer, datagram })));
  }

  /** Datagrams of several peers in one receive batch, or as few as they fit into. */
  deliverMixed(arrivals: readonly Arrival[]): void {
    const { rx } = this;
    for (let next = 0; next < arrivals.length; ) {
      rx.count = rx.sourceCount = 0;
      for (; next < arrivals.length; next++) {
        const { peer, datagram, ecn = ECN_NOT_ECT } = arrivals[next];
        const arrived = { bytes: datagram, length: datagram.length, source: peer.address, ecn };
        if (!addToRx(rx, arrived, NO_ADDRESS)) break;
        peer.bytesSent += datagram.length;
      }
      this.endpoint.receive(rx, this.nowMicros);
    }
  }

  /** Lets the application drain and the endpoint send until it has nothing more to say. Returns the datagrams sent. */
  pump(): number {
    let sent = 0;
    for (let rounds = 0; ; rounds++) {
      assert.ok(rounds < 10_000, "the endpoint never stops sending");
      if (this.drains) this.drain();
      const { tx } = this;
      tx.count = tx.destCount = tx.used = 0;
      const more = this.endpoint.transmit(tx, this.nowMicros);
      sent += tx.count;
      for (let i = 0; i < tx.count; i++) this.handOver(i);
      if (!more && tx.count === 0) return sent;
    }
  }

  /** Lets time pass, in steps of the endpoint's own deadlines. Returns how often it woke up. */
  advance(micros: number): number {
    const end = this.nowMicros + micros;
    this.pump();
    let wakeups = 0;
    for (let next = this.endpoint.nextDeadline(); next <= end; next = this.endpoint.nextDeadline()) {
      wakeups++;
      assert.ok(wakeups < 100_000, "the endpoint wakes up without end");
      this.nowMicros = Math.max(this.nowMicros, next);
      this.endpoint.timeout(this.nowMicros);
      this.pump();
    }
    this.nowMicros = end;
    return wakeups;
  }

  /** What all connections that the application saw hold. */
  heldBytes(): number {
    return this.conns.reduce((sum, conn) => sum + conn.heldBytes(), 0);
  }

  /** Closes what is left; after the drain period nothing may remain of anything. */
  assertCleanEnd(): void {
    this.drains = true;
    this.drain();
    this.endpoint.closeAll("application", 0n, "");
    this.advance(200_000_000);
    const { endpoint, aead, tls } = this;
    assert.equal(endpoint.connectionCount, 0, "connections left");
    assert.equal(endpoint.halfOpenCount, 0, "half-open handshakes left");
    assert.equal(this.heldBytes(), 0, "bytes held");
    assert.equal(aead.liveKeys, 0, "packet keys left");
    assert.equal(aead.liveHeaderKeys, 0, "header keys left");
    assert.equal(tls.liveSessions, 0, "TLS sessions left");
    assert.equal(endpoint.nextDeadline(), Infinity, "a deadline is left");
  }

  drain(): void {
    for (let conn = this.endpoint.accept(); conn !== null; conn = this.endpoint.accept()) this.note(conn);
    for (let conn = this.endpoint.takeEventful(); conn !== null; conn = this.endpoint.takeEventful()) {
      conn.drain(this.note(conn));
    }
  }

  private note(conn: Connection): Recorder {
    let recorder = this.events.get(conn);
    if (recorder === undefined) {
      recorder = new Recorder();
      this.events.set(conn, recorder);
      this.conns.push(conn);
    }
    return recorder;
  }

  private handOver(row: number): void {
    const { tx } = this;
    const base = row * TX_COLS;
    const off = tx.rows[base + TX_OFF];
    const datagram = tx.buf.slice(off, off + tx.rows[base + TX_LEN]);
    const peer = this.peers.get(tx.dests[tx.rows[base + TX_DEST] * ADDR_COLS + ADDR_PORT]);
    assert.ok(peer !== undefined, "a datagram to nobody");
    peer.bytesReceived += datagram.length;
    if (!peer.validated) {
      const limit = 3 * peer.bytesSent;
      assert.ok(peer.bytesReceived <= limit, `RFC 9000 §8.1: ${peer.bytesReceived} bytes out for ${peer.bytesSent} in`);
    }
    peer.receive(datagram);
  }
}
