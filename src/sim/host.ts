/**
 * A host of the simulation: one endpoint with its application behind an address, or several. It does what an event loop does:
 * gathers arrivals into batches, tells the time, sends what the endpoint has, and sleeps until the next deadline.
 *
 * Guards: no more than 100 wakeups or rounds at one instant, and after the last round nothing is overdue
 * (I7 of docs/simulation.md).
 */

import { ADDR_COLS, type RxBatch, TX_COLS, TX_DEST, TX_ECN, TX_LEN, TX_OFF, type TxBatch } from "../port/udp.js";
import { addToRx } from "./batches.js";
import { ADDRESS_WORDS, type Datagram, sameAddress } from "./datagram.js";
import type { NetSink, NetTimer } from "./node.js";
import type { Prng } from "./prng.js";
import type { Simulation } from "./simulation.js";

/** What the simulation asks of an endpoint; `endpoint/endpoint` has this shape. */
export interface SimEndpoint {
  receive(rx: RxBatch, nowMicros: number): void;
  timeout(nowMicros: number): void;
  /** Appends datagrams; true = more is waiting. */
  transmit(tx: TxBatch, nowMicros: number): boolean;
  nextDeadline(): number;
  onWork: (() => void) | null;
}

/** The program that uses the endpoint. */
export interface SimApp {
  /** Drains what happened and acts on it. True when it did something. */
  run(nowMicros: number): boolean;
}

export interface HostOptions {
  /** Most datagrams of one receive batch, 1..64. */
  batchPackets: number;
  /** Arrivals are gathered for up to this long. */
  gatherMicros: number;
  /** Timers fire up to this late. */
  timerLateMicros: number;
  /** It wakes only at multiples of this time, as a coarse clock makes it; 1 = at any time. */
  tickMicros: number;
  /** Chance that a wakeup also calls `timeout` although nothing is due, 0..1. */
  spuriousTimeouts: number;
  /** Chance that a socket takes a part of a batch only (EAGAIN, ENOBUFS), 0..1: the rest waits, and nothing else is sent. */
  sendFaults: number;
  /** It waits for up to this long. */
  sendFaultMicros: number;
}

export const PROMPT_HOST: HostOptions = {
  batchPackets: 64,
  gatherMicros: 0,
  timerLateMicros: 0,
  tickMicros: 1,
  spuriousTimeouts: 0,
  sendFaults: 0,
  sendFaultMicros: 0,
};

export interface HostSetup {
  /** For messages. */
  name: string;
  /** ADDR_COLS words (port/udp); the local ones do not matter. */
  address: Int32Array;
  endpoint: SimEndpoint;
  app: SimApp;
  /** Default: prompt in everything. */
  options?: HostOptions;
  /** For what the options leave to chance. */
  prng: Prng;
}

/** Rounds and wakeups that one instant may have. */
const MAX_PER_INSTANT = 100;

export class Host implements NetSink, NetTimer {
  /** Set by `Simulation.addHost`. */
  id = -1;
  alive = true;
  datagramsSent = 0;
  bytesSent = 0;
  datagramsReceived = 0;
  bytesReceived = 0;
  wakeups = 0;
  /** How often a socket refused a part of a batch, and how often the first one got another address. */
  sendsRefused = 0;
  rerouted = 0;
  private readonly inbox: Datagram[] = [];
  private armedMicros = Infinity;
  private appMicros = Infinity;
  private stalledUntilMicros = 0;
  /** What a socket refused, and until when it does. */
  private readonly refused: Datagram[] = [];
  private refusesUntilMicros = 0;
  private running = false;
  private workNoted = false;
  private instantMicros = -1;
  private wakeupsAtInstant = 0;

  readonly name: string;
  readonly address: Int32Array;
  readonly endpoint: SimEndpoint;
  readonly app: SimApp;
  /** Numbers of the sockets whose addresses lead nowhere: what is sent from there arrives, and nothing comes back. */
  readonly unanswered = new Set<number>();
  /** Addresses by the number of the socket (port/udp), and which of them are gone. */
  private readonly sockets: Int32Array[];
  private readonly gone = new Set<number>();
  private readonly options: HostOptions;
  private readonly prng: Prng;

  constructor(
    private readonly sim: Simulation,
    setup: HostSetup,
  ) {
    this.name = setup.name;
    this.address = setup.address;
    this.sockets = [setup.address];
    this.endpoint = setup.endpoint;
    this.app = setup.app;
    this.options = setup.options ?? PROMPT_HOST;
    this.prng = setup.prng;
    this.endpoint.onWork = () => {
      this.workNoted = true;
      if (!this.running) this.wakeAt(this.sim.nowMicros);
    };
  }

  push(datagram: Datagram, nowMicros: number): void {
    if (!this.alive) {
      this.sim.drop(datagram, "gone", nowMicros);
      return;
    }
    this.inbox.push(datagram);
    const { gatherMicros } = this.options;
    this.wakeAt(nowMicros + (gatherMicros === 0 ? 0 : Math.floor(this.prng.float() * gatherMicros)));
  }

  onTimer(_datagram: Datagram | null, nowMicros: number): void {
    // Events are never taken back: one that was overtaken by an earlier wakeup finds nothing armed for its time.
    if (!this.alive || nowMicros < this.armedMicros) return;
    this.armedMicros = Infinity;
    if (nowMicros < this.stalledUntilMicros) this.wakeAt(nowMicros);
    else this.run(nowMicros);
  }

  /** The host does nothing until then, as a process that is stopped; what arrives waits for it. */
  stall(untilMicros: number): void {
    this.stalledUntilMicros = untilMicros;
  }

  /** Runs the application at that time at the latest, and then no more by itself. */
  wakeAppAt(atMicros: number): void {
    this.appMicros = Math.min(this.appMicros, atMicros);
    this.wakeAt(atMicros);
  }

  /** Runs the host at that time, or earlier: then it finds its own next time. */
  wakeAt(atMicros: number): void {
    const { tickMicros } = this.options;
    const at = Math.ceil(Math.max(atMicros, this.stalledUntilMicros) / tickMicros) * tickMicros;
    if (at >= this.armedMicros) return;
    this.armedMicros = at;
    this.sim.schedule(at, this, null);
  }

  /** One more socket of the endpoint's; `isReachable` false: what is sent from it is never answered. Returns its number. */
  addSocket(address: Int32Array, isReachable = true): number {
    if (isReachable) this.sim.network.addAlias(address, this.id);
    else this.unanswered.add(this.sockets.length);
    return this.sockets.push(address) - 1;
  }

  /** The first socket has no address of its own, and the system chooses another one for it: the one before is gone. */
  reroute(address: Int32Array): void {
    this.sim.network.removeAlias(this.sockets[0]);
    this.sim.network.addAlias(address, this.id);
    this.sockets[0] = address;
    this.rerouted++;
  }

  /** What comes to that socket, or is sent from it, is lost from now on. */
  removeSocket(socket: number): void {
    this.sim.network.removeAlias(this.sockets[socket]);
    this.gone.add(socket);
  }

  /** The host vanishes: no farewell, nothing received any more. */
  kill(): void {
    this.alive = false;
    for (const list of [this.inbox, this.refused]) {
      for (const datagram of list) this.sim.drop(datagram, "gone", this.sim.nowMicros);
      list.length = 0;
    }
  }

  private run(nowMicros: number): void {
    this.armedMicros = Infinity;
    if (nowMicros >= this.appMicros) this.appMicros = Infinity;
    this.wakeups++;
    this.countInstant(nowMicros);
    this.running = true;
    if (!this.isRefused(nowMicros)) this.sendRefused(nowMicros);
    this.deliver(nowMicros);
    const { endpoint, options } = this;
    const spurious = options.spuriousTimeouts > 0 && this.prng.chance(options.spuriousTimeouts);
    if (spurious || endpoint.nextDeadline() <= nowMicros) endpoint.timeout(nowMicros);
    this.settle(nowMicros);
    this.running = false;
    this.arm(nowMicros);
  }

  private deliver(nowMicros: number): void {
    const { inbox, sim } = this;
    for (let next = 0; next < inbox.length; ) {
      const { rx } = sim.scratch;
      const most = this.options.batchPackets;
      rx.count = 0;
      rx.sourceCount = 0;
      rx.socket = this.socketOf(inbox[next]);
      const local = this.sockets[rx.socket];
      if (this.gone.has(rx.socket)) {
        sim.drop(inbox[next++], "gone", nowMicros);
        continue;
      }
      while (next < inbox.length && rx.count < most && this.socketOf(inbox[next]) === rx.socket) {
        if (!addToRx(rx, inbox[next], local)) break;
        const datagram = inbox[next++];
        this.datagramsReceived++;
        this.bytesReceived += datagram.length;
        sim.tap?.onDelivered(this, datagram, nowMicros);
        sim.scratch.pool.give(datagram);
      }
      this.endpoint.receive(rx, nowMicros);
    }
    inbox.length = 0;
  }

  /** What came to the public side of a NAT is for the first socket. */
  private socketOf({ dest }: Datagram): number {
    for (let socket = this.sockets.length - 1; socket > 0; socket--) {
      if (sameAddress(this.sockets[socket], 0, dest, 0)) return socket;
    }
    return 0;
  }

  /** Application and endpoint take turns until neither has anything left to do now. */
  private settle(nowMicros: number): void {
    let due = true;
    for (let round = 0; round < MAX_PER_INSTANT; round++) {
      this.workNoted = false;
      const acted = this.app.run(nowMicros);
      if (!due && !acted && !this.workNoted) return;
      this.transmit(nowMicros);
      if (this.isRefused(nowMicros)) return; // what is due then, and needs the socket, is so when it takes datagrams again
      due = this.endpoint.nextDeadline() <= nowMicros;
      if (due) this.endpoint.timeout(nowMicros);
    }
    throw new Error(
      `I7: ${this.name} does not settle at ${nowMicros}: next deadline ${this.endpoint.nextDeadline()}, ` +
        `work noted: ${this.workNoted}`,
    );
  }

  private transmit(nowMicros: number): void {
    const { sim, endpoint } = this;
    const { tx } = sim.scratch;
    for (let calls = 0; calls < MAX_PER_INSTANT; calls++) {
      if (this.isRefused(nowMicros)) return;
      tx.count = 0;
      tx.destCount = 0;
      tx.used = 0;
      const more = endpoint.transmit(tx, nowMicros);
      if (tx.count === 0 && more) throw new Error(`I7: ${this.name} has more to send, but sends nothing`);
      const taken = this.taken(tx.count, nowMicros);
      for (let row = 0; row < tx.count; row++) this.send(tx, row * TX_COLS, row < taken, nowMicros);
      sim.tap?.afterTransmit(this, nowMicros);
      if (!more) return;
    }
    throw new Error(`I7: ${this.name} sends without end at ${nowMicros}`);
  }

  /** How many of a batch the socket takes. */
  private taken(count: number, nowMicros: number): number {
    const { sendFaults, sendFaultMicros } = this.options;
    if (sendFaults === 0 || count === 0 || !this.prng.chance(sendFaults)) return count;
    this.refusesUntilMicros = nowMicros + 1 + Math.floor(this.prng.float() * sendFaultMicros);
    this.sendsRefused++;
    return this.prng.below(count);
  }

  private isRefused(nowMicros: number): boolean {
    return nowMicros < this.refusesUntilMicros;
  }

  private sendRefused(nowMicros: number): void {
    for (const datagram of this.refused.splice(0)) this.sim.network.send(this.id, datagram, nowMicros);
  }

  private send(tx: TxBatch, row: number, isTaken: boolean, nowMicros: number): void {
    const { sim } = this;
    const source = this.sockets[tx.socket];
    const off = tx.rows[row + TX_OFF];
    const datagram = sim.newDatagram();
    datagram.set(tx.buf, off, off + tx.rows[row + TX_LEN]);
    datagram.ecn = tx.rows[row + TX_ECN];
    const dest = tx.rows[row + TX_DEST] * ADDR_COLS;
    for (let i = 0; i < ADDRESS_WORDS; i++) {
      datagram.source[i] = source[i];
      datagram.dest[i] = tx.dests[dest + i];
    }
    this.datagramsSent++;
    this.bytesSent += datagram.length;
    sim.tap?.onSent(this, datagram, nowMicros);
    if (this.gone.has(tx.socket)) sim.drop(datagram, "gone", nowMicros);
    else if (!isTaken) this.refused.push(datagram);
    else sim.network.send(this.id, datagram, nowMicros);
  }

  private arm(nowMicros: number): void {
    const deadline = this.endpoint.nextDeadline();
    if (Number.isNaN(deadline)) throw new Error(`I7: ${this.name} has a deadline that is no number`);
    if (this.appMicros !== Infinity) this.wakeAt(Math.max(this.appMicros, nowMicros));
    if (this.isRefused(nowMicros)) this.wakeAt(this.refusesUntilMicros);
    if (deadline === Infinity || (deadline <= nowMicros && this.isRefused(nowMicros))) return;
    const { timerLateMicros } = this.options;
    const late = timerLateMicros === 0 ? 0 : Math.floor(this.prng.float() * timerLateMicros);
    this.wakeAt(Math.max(deadline, nowMicros) + late);
  }

  private countInstant(nowMicros: number): void {
    if (nowMicros !== this.instantMicros) {
      this.instantMicros = nowMicros;
      this.wakeupsAtInstant = 0;
    }
    if (++this.wakeupsAtInstant > MAX_PER_INSTANT)
      throw new Error(`I7: ${this.name} wakes without end at ${nowMicros}`);
  }
}
