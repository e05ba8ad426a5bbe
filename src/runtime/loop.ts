/**
 * Drives one endpoint over one UDP socket on Node's event loop: what arrives goes in, events go to the owner, datagrams
 * go out, one timer waits for the next deadline. The clock is read once a turn.
 *
 * A turn ends in bounded time: so many batches in, so many out, so many rounds of events; what is left comes with the
 * next turn. The owner is called between the endpoint's doors, never inside one, and may call anything, `close` too.
 */

import type { Connection } from "../conn/connection.js";
import { Endpoint, type EndpointOptions } from "../endpoint/endpoint.js";
import type { Clock, FineTimer } from "../port/clock.js";
import type { IcmpKind, RxBatch, TxBatch, UdpHandler, UdpOptions, UdpProvider, UdpSocket } from "../port/udp.js";
import { RX_BATCHES_PER_TURN, TX_BATCHES_PER_TURN } from "../proto/limits.js";
import { newRxBatch, newTxBatch } from "./batch.js";
import type { Datapath } from "./choose.js";
import { systemClock } from "./clock.js";
import { systemRandom } from "./random.js";
import { LoopTimer } from "./timer.js";

// The engine's types, for the api room, which knows the engine through this file only.
export type { ConnectionConfig } from "../conn/config.js";
export type { ConnectOptions } from "../endpoint/endpoint.js";
export type { ListenOptions } from "../endpoint/accept.js";
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
  onTooBig?(dest: Int32Array, bytes: number): void;
  onIcmp?(dest: Int32Array, kind: IcmpKind, mtuBytes: number): void;
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

/** One QUIC endpoint on one UDP socket of this process. */
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

export class LoopHost<C, E extends Driven<C>> implements UdpHandler {
  readonly endpoint: E;
  private readonly owner: HostOwner<C>;
  private readonly clock: Clock;
  private readonly rx: RxBatch;
  private readonly tx: TxBatch;
  private readonly timer: LoopTimer;
  private bound: UdpSocket | null = null;
  private kept = true; // the event loop is kept alive
  private closed = false;
  /** The socket took no more; `onWritable` follows. */
  private blocked = false;
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
    const host = new LoopHost<C, E>(endpoint, owner, clock, newTimer);
    host.bound = await provider.open(options, host);
    endpoint.onWork = () => host.flush();
    host.flush(); // what was started before there was a socket
    return host;
  }

  private constructor(
    endpoint: E,
    owner: HostOwner<C>,
    clock: Clock,
    newTimer: ((onTime: () => void) => FineTimer) | null,
  ) {
    this.endpoint = endpoint;
    this.owner = owner;
    this.clock = clock;
    this.rx = sharedRx ??= newRxBatch();
    this.tx = sharedTx ??= newTxBatch();
    this.timer = new LoopTimer(() => this.onTime(), newTimer);
  }

  get socket(): UdpSocket {
    return this.bound as UdpSocket;
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
    this.socket.close();
    this.endpoint.destroy();
    // Inside a turn, the turn goes on to hand the events out.
    if (!this.running) this.drain();
  }

  ref(): void {
    this.kept = true;
    this.socket.ref();
  }

  unref(): void {
    this.kept = false;
    this.socket.unref();
    this.timer.cancel(); // it may be turning, which would keep the process
    this.arm();
  }

  /** For the socket. */
  onReadable(): void {
    const nowMicros = this.now();
    for (let i = 0; i < RX_BATCHES_PER_TURN; i++) {
      if (this.socket.recv(this.rx) === 0) break;
      this.endpoint.receive(this.rx, nowMicros);
    }
    if (!this.closed) this.turn(nowMicros);
  }

  /** For the socket. */
  onWritable(): void {
    this.blocked = false;
    if (!this.closed) this.turn(this.now());
  }

  /** For the socket. */
  onError(error: Error): void {
    if (this.closed) return;
    this.shut();
    this.owner.onError(error);
  }

  /** For the socket. */
  onTooBig(dest: Int32Array, bytes: number): void {
    if (!this.closed) this.endpoint.onTooBig?.(dest, bytes);
  }

  /** For the socket. */
  onIcmp(dest: Int32Array, kind: IcmpKind, mtuBytes: number): void {
    if (!this.closed) this.endpoint.onIcmp?.(dest, kind, mtuBytes);
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
      if (this.closed || this.blocked) return true;
      tx.count = 0;
      tx.destCount = 0;
      tx.used = 0;
      const more = this.endpoint.transmit(tx, nowMicros);
      if (tx.count > 0) this.blocked = !this.socket.send(tx);
      if (!more) return true;
    }
    return false;
  }

  private arm(): void {
    if (!this.closed) this.timer.arm(this.endpoint.nextDeadline(), this.now(), this.kept);
  }

  private shut(): void {
    this.closed = true;
    this.endpoint.onWork = null;
    this.timer.close();
  }
}
