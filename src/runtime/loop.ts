/**
 * Drives one endpoint over its UDP sockets on Node's event loop: what arrives goes in, events go to the owner, datagrams
 * go out, one timer waits for the next deadline. The clock is read once a turn.
 *
 * A turn ends in bounded time: so many batches in, so many out, so many rounds of events; what is left comes with the
 * next turn. The owner is called between the endpoint's doors, never inside one, and may call anything, `close` too.
 */

import type { Connection } from "../conn/connection.js";
import { Endpoint, type EndpointOptions } from "../endpoint/endpoint.js";
import type { Clock, FineTimer } from "../port/clock.js";
import type { IcmpKind, RxBatch, TxBatch, UdpOptions, UdpProvider, UdpSocket, UdpStats } from "../port/udp.js";
import { RX_BATCHES_PER_TURN, TX_BATCHES_PER_TURN } from "../proto/limits.js";
import { newRxBatch, newTxBatch } from "./batch.js";
import type { Datapath } from "./choose.js";
import { systemClock } from "./clock.js";
import { systemRandom } from "./random.js";
import { HostSocket, type SocketOwner, Sockets } from "./sockets.js";
import { LoopTimer } from "./timer.js";

// The engine's types, for the api room, which knows the engine through this file only.
export type { ConnectionConfig } from "../conn/config.js";
export type { ConnectOptions } from "../endpoint/endpoint.js";
export { type Chooser, Listener, type ListenOptions, NO_APPLICATION_PROTOCOL } from "../endpoint/accept.js";
export { prefersOtherFamily } from "../conn/preferred.js";
export { restoreParams } from "../conn/early.js";
export { EarlyTickets } from "../crypto/early-tickets.js";
export { sealPeerToken } from "../conn/session-ticket.js";
export { ConnectionDetails } from "../conn/details.js";
export { briefOf, type ConnectionBrief, type ConnectionView, inspectConnection } from "../conn/inspect.js";
export { ConnectionTally } from "../conn/tally.js";
export { EndpointCounters } from "../endpoint/counters.js";
export type { Connection, Endpoint };

/** What the loop needs of an endpoint (endpoint/endpoint.ts); `C` is its connection. */
export interface Driven<C> {
  receive(rx: RxBatch, nowMicros: number): void;
  transmit(tx: TxBatch, nowMicros: number): boolean;
  timeout(nowMicros: number): void;
  nextDeadline(): number;
  accept(): C | null;
  takeEventful(): C | null;
  onWork: (() => void) | null;
  destroy(): void;
  /** What the socket found out about a destination (port/udp, UdpHandler); called between the doors. */
  onTooBig?(dest: Int32Array, bytes: number, socket: number): void;
  onIcmp?(dest: Int32Array, kind: IcmpKind, mtuBytes: number, quoted: Uint8Array, socket: number): void;
  /** Whether a connection left a socket since the last call. */
  takeLeftSocket?(): boolean;
  usesSocket?(socket: number): boolean;
}

export interface HostOwner<C = Connection> {
  /** A client's connection; its events follow. */
  onAccept(conn: C): void;
  /** The connection has events: call its `drain`. */
  onEvents(conn: C): void;
  /** The socket broke and is closed; the connections are still there, to be told. */
  onError(error: Error): void;
}

export interface EndpointHostOptions {
  udp: UdpOptions;
  datapath: Datapath;
  /** What is not the runtime's to give. */
  endpoint?: Omit<EndpointOptions, "aead" | "random" | "nowMicros" | "wallSeconds">;
}

/** One QUIC endpoint on UDP sockets of this process. */
export type EndpointHost = LoopHost<Connection, Endpoint>;
export const EndpointHost = { open: openEndpointHost };

/** Rejects with the system's error when the socket cannot be bound. */
function openEndpointHost(options: EndpointHostOptions, owner: HostOwner): Promise<EndpointHost> {
  const { udp, datapath } = options;
  const endpoint = new Endpoint({
    ...options.endpoint,
    aead: datapath.aead,
    random: systemRandom,
    nowMicros: systemClock.nowMicros(),
    wallSeconds: () => systemClock.wallSeconds(),
  });
  return LoopHost.open(endpoint, datapath.udp, udp, owner);
}

/** Rounds of events and datagrams in one turn: an owner that answers every event with work shares the loop. */
const ROUNDS_PER_TURN = 4;

/** Batches are in use inside one call only, so all hosts of a thread share them. */
let sharedRx: RxBatch | null = null;
let sharedTx: TxBatch | null = null;

export class LoopHost<C, E extends Driven<C>> implements SocketOwner {
  readonly endpoint: E;
  private readonly owner: HostOwner<C>;
  private readonly clock: Clock;
  private readonly rx: RxBatch;
  private readonly tx: TxBatch;
  private readonly timer: LoopTimer;
  private readonly sockets = new Sockets();
  private kept = true; // the event loop is kept alive
  private closed = false;
  /** The socket that took no more; its `onWritable` follows, and nothing is sent before. */
  private blocked: HostSocket | null = null;
  private running = false;
  private flushScheduled = false;
  /** The endpoint asked for a turn during this one. */
  private workPending = false;

  /** Opens the socket and drives `endpoint` from then on. Rejects as UdpProvider.open does. */
  static async open<C, E extends Driven<C>>(
    endpoint: E,
    provider: UdpProvider,
    options: UdpOptions,
    owner: HostOwner<C>,
    clock: Clock = systemClock,
  ): Promise<LoopHost<C, E>> {
    const newTimer = provider.newTimer?.bind(provider) ?? null;
    const host = new LoopHost<C, E>(endpoint, owner, clock, provider, newTimer);
    host.sockets.add(await host.openSocket(options));
    endpoint.onWork = () => host.flush();
    host.flush(); // what was started before there was a socket
    return host;
  }

  private constructor(
    endpoint: E,
    owner: HostOwner<C>,
    clock: Clock,
    private readonly provider: UdpProvider,
    newTimer: ((onTime: () => void) => FineTimer) | null,
  ) {
    this.endpoint = endpoint;
    this.owner = owner;
    this.clock = clock;
    this.rx = sharedRx ??= newRxBatch();
    this.tx = sharedTx ??= newTxBatch();
    this.timer = new LoopTimer(() => this.onTime(), newTimer);
  }

  /** The first one. */
  get socket(): UdpSocket {
    return this.sockets.first.udp;
  }

  /** Counters of all sockets, those included that are closed. */
  get udpStats(): UdpStats {
    return this.sockets.stats();
  }

  /** Null for one that is closed. */
  socketOf(number: number): UdpSocket | null {
    return this.sockets.get(number)?.udp ?? null;
  }

  /**
   * Opens one more socket and returns its number. It stays until `releaseSocket` at least. Rejects with the system's error
   * when it cannot be bound, and with ERR_INVALID_STATE when the host was closed meanwhile.
   */
  async addSocket(options: UdpOptions): Promise<number> {
    const one = await this.openSocket(options);
    if (this.closed) {
      one.udp.close();
      throw Object.assign(new Error("the host is closed"), { code: "ERR_INVALID_STATE" });
    }
    if (!this.kept) one.udp.unref();
    this.sockets.add(one);
    return one.number;
  }

  /** From now on it stays only as long as a connection uses it. */
  releaseSocket(number: number): void {
    const one = this.sockets.get(number);
    if (one === null || number === 0) return;
    one.kept = false;
    this.closeUnused();
  }

  /** The endpoint's time, in microseconds. */
  now(): number {
    return this.clock.nowMicros();
  }

  /** Asks for a turn soon; many asks before it are one turn. */
  flush(): void {
    this.workPending = true;
    if (this.closed || this.running || this.flushScheduled) return;
    this.flushScheduled = true;
    setImmediate(() => {
      this.flushScheduled = false;
      if (!this.closed) this.turn(this.now());
    });
  }

  /** Sends what is ready, forgets all connections (their owners are told) and closes the socket. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.transmit(this.now());
    this.shut();
    this.sockets.close();
    this.endpoint.destroy();
    // Inside a turn, the turn goes on to hand the events out.
    if (!this.running) this.drain();
  }

  ref(): void {
    this.kept = true;
    this.sockets.ref();
  }

  unref(): void {
    this.kept = false;
    this.sockets.unref();
    this.timer.cancel(); // it may be turning, which would keep the process
    this.arm();
  }

  /** For the sockets. */
  onReadable({ udp, number }: HostSocket): void {
    const nowMicros = this.now();
    const { rx } = this;
    for (let i = 0; i < RX_BATCHES_PER_TURN; i++) {
      if (udp.recv(rx) === 0) break;
      rx.socket = number; // set each time: all hosts of a thread share the batch
      this.endpoint.receive(rx, nowMicros);
    }
    if (!this.closed) this.turn(nowMicros);
  }

  /** For the sockets. */
  onWritable(from: HostSocket): void {
    if (this.blocked === from) this.blocked = null;
    if (!this.closed) this.turn(this.now());
  }

  /** For the sockets. Without the first the endpoint is over; a connection on another one finds a broken path. */
  onError(from: HostSocket, error: Error): void {
    if (this.closed) return;
    if (from.number !== 0) {
      this.forget(from);
      return;
    }
    this.shut();
    this.sockets.close();
    this.owner.onError(error);
  }

  /** For the sockets. */
  onTooBig(from: HostSocket, dest: Int32Array, bytes: number): void {
    if (!this.closed) this.endpoint.onTooBig?.(dest, bytes, from.number);
  }

  /** For the sockets. */
  onIcmp(from: HostSocket, dest: Int32Array, kind: IcmpKind, mtuBytes: number, quoted: Uint8Array): void {
    if (!this.closed) this.endpoint.onIcmp?.(dest, kind, mtuBytes, quoted, from.number);
  }

  private onTime(): void {
    const nowMicros = this.now();
    // Woken early: a later deadline took the place of the one it was armed for, or the delay was split.
    if (this.endpoint.nextDeadline() > nowMicros) this.arm();
    else this.turn(nowMicros);
  }

  private turn(nowMicros: number): void {
    this.running = true;
    let finished = false;
    try {
      if (this.endpoint.nextDeadline() <= nowMicros) this.endpoint.timeout(nowMicros);
      finished = this.rounds(nowMicros);
    } finally {
      // Also when the owner threw: the others are served by the next turn.
      this.running = false;
      if (!this.closed) {
        if (this.sockets.hasOthers && this.endpoint.takeLeftSocket?.() === true) this.closeUnused();
        this.arm();
        if (!finished) this.flush();
      }
    }
  }

  /** Hands out events and sends until neither makes the other; false when the rounds ran out first. */
  private rounds(nowMicros: number): boolean {
    this.workPending = true;
    for (let round = 0; round < ROUNDS_PER_TURN; round++) {
      const delivered = this.drain();
      if (delivered === 0 && !this.workPending) return true;
      this.workPending = false;
      if (!this.transmit(nowMicros)) {
        this.drain();
        return false;
      }
    }
    return this.drain() === 0 && !this.workPending;
  }

  /** Connections handed to the owner. */
  private drain(): number {
    let delivered = 0;
    for (let conn = this.endpoint.accept(); conn !== null; conn = this.endpoint.accept()) {
      this.owner.onAccept(conn);
      delivered++;
    }
    for (let conn = this.endpoint.takeEventful(); conn !== null; conn = this.endpoint.takeEventful()) {
      this.owner.onEvents(conn);
      delivered++;
    }
    return delivered;
  }

  /** Sends until nothing is ready or the socket is full; false when the turn's share ran out first. */
  private transmit(nowMicros: number): boolean {
    const { tx } = this;
    for (let batch = 0; batch < TX_BATCHES_PER_TURN; batch++) {
      if (this.closed || this.blocked !== null) return true;
      tx.count = 0;
      tx.destCount = 0;
      tx.used = 0;
      const more = this.endpoint.transmit(tx, nowMicros);
      const from = this.sockets.get(tx.socket);
      if (tx.count > 0 && from?.udp.send(tx) === false) this.blocked = from;
      if (!more) return true;
    }
    return false;
  }

  private arm(): void {
    if (!this.closed) this.timer.arm(this.endpoint.nextDeadline(), this.now(), this.kept);
  }

  private openSocket(options: UdpOptions): Promise<HostSocket> {
    return HostSocket.open(this, this.sockets.takeNumber(), this.provider, options);
  }

  private closeUnused(): void {
    for (const one of this.sockets.closeUnused((number) => this.endpoint.usesSocket?.(number) === true)) {
      if (this.blocked === one) this.blocked = null;
    }
  }

  private forget(one: HostSocket): void {
    this.sockets.remove(one);
    if (this.blocked !== one) return;
    this.blocked = null;
    this.flush();
  }

  private shut(): void {
    this.closed = true;
    this.endpoint.onWork = null;
    this.timer.close();
  }
}
