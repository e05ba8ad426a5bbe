/**
 * A simulation: a virtual clock, the future as a heap of events, hosts and the network between them. A run is a function
 * of its seed: nothing in here reads a clock or draws randomness that was not handed in.
 */

import { SimScratch } from "./batches.js";
import type { Datagram } from "./datagram.js";
import { EventHeap } from "./event-heap.js";
import { Host, type HostSetup } from "./host.js";
import { Network } from "./network.js";
import { DROP_CAUSES, type DropCause, type Net, type NetNode, type NetTimer } from "./node.js";

const MICROS_PER_SECOND = 1e6;

export interface SimulationOptions {
  /** The monotonic clock starts here; default 1 s, so that a forgotten 0 shows. */
  startMicros?: number;
  /** The wall clock starts here, seconds since 1970. */
  wallSeconds?: number;
  scratch?: SimScratch;
}

/** Sees what passes; must not change or keep the datagram. */
export interface WireTap {
  onSent(host: Host, datagram: Datagram, nowMicros: number): void;
  onDelivered(host: Host, datagram: Datagram, nowMicros: number): void;
  onDropped(datagram: Datagram, cause: DropCause, nowMicros: number): void;
  /** After each call of `transmit`. */
  afterTransmit(host: Host, nowMicros: number): void;
}

/** Why `run` came back. */
export type RunEnd = "done" | "time" | "idle" | "events";

export class Simulation implements Net {
  nowMicros: number;
  readonly scratch: SimScratch;
  readonly network: Network;
  readonly hosts: Host[] = [];
  /** Datagrams by what became of them in the network. */
  readonly dropped: Record<DropCause, number>;
  events = 0;
  /** Added to the wall clock: somebody set it. */
  wallOffsetSeconds = 0;
  tap: WireTap | null = null;
  private readonly heap = new EventHeap();
  private readonly startMicros: number;
  private readonly wallStartSeconds: number;
  private datagrams = 0;

  constructor(options: SimulationOptions = {}) {
    this.startMicros = options.startMicros ?? MICROS_PER_SECOND;
    this.wallStartSeconds = options.wallSeconds ?? 1_800_000_000;
    this.nowMicros = this.startMicros;
    this.scratch = options.scratch ?? new SimScratch();
    this.network = new Network(this);
    this.dropped = Object.fromEntries(DROP_CAUSES.map((cause) => [cause, 0])) as Record<DropCause, number>;
  }

  /** Virtual seconds since 1970. */
  wallSeconds(): number {
    const startSeconds = this.wallStartSeconds + this.wallOffsetSeconds;
    return startSeconds + Math.floor((this.nowMicros - this.startMicros) / MICROS_PER_SECOND);
  }

  /** Adds a host; it runs for the first time at once, when `run` is called. Two hosts of one address throw. */
  addHost(setup: HostSetup): Host {
    const host = new Host(this, setup);
    host.id = this.network.attach(setup.address, host);
    this.hosts.push(host);
    host.wakeAt(this.nowMicros);
    return host;
  }

  /** Kills a host and starts another one at its address, as after a crash of its process. */
  replaceHost(old: Host, setup: Omit<HostSetup, "address">): Host {
    old.kill();
    const host = new Host(this, { ...setup, address: old.address });
    host.id = old.id;
    this.network.replace(old.id, host);
    this.hosts[this.hosts.indexOf(old)] = host;
    host.wakeAt(this.nowMicros);
    return host;
  }

  /** Joins two hosts by the nodes of each direction. */
  join(a: Host, b: Host, forward: readonly NetNode[], backward: readonly NetNode[]): void {
    this.network.join(a.id, b.id, forward);
    this.network.join(b.id, a.id, backward);
  }

  schedule(atMicros: number, target: NetTimer, datagram: Datagram | null): void {
    if (!(atMicros >= this.nowMicros)) throw new Error(`an event at ${atMicros} is in the past of ${this.nowMicros}`);
    this.heap.add(atMicros, target, datagram);
  }

  /** Calls `action` after `delayMicros`. */
  after(delayMicros: number, action: () => void): void {
    this.schedule(this.nowMicros + delayMicros, { onTimer: action }, null);
  }

  drop(datagram: Datagram, cause: DropCause, nowMicros: number): void {
    this.dropped[cause]++;
    this.tap?.onDropped(datagram, cause, nowMicros);
    this.scratch.pool.give(datagram);
  }

  clone(datagram: Datagram): Datagram {
    return this.scratch.pool.clone(datagram);
  }

  newDatagram(): Datagram {
    const datagram = this.scratch.pool.take();
    datagram.id = this.datagrams++;
    datagram.sentMicros = this.nowMicros;
    return datagram;
  }

  /**
   * Runs until `isDone` says so, until the clock would pass `untilMicros`, until nothing is left to happen, or until
   * `maxEvents` more events have happened. The clock stands at `untilMicros` after "time".
   */
  run(untilMicros: number, isDone: () => boolean = never, maxEvents = Infinity): RunEnd {
    for (let left = maxEvents; left > 0; left--) {
      if (isDone()) return "done";
      const next = this.heap.nextMicros;
      if (next === Infinity) return "idle";
      if (next > untilMicros) {
        this.nowMicros = Math.max(this.nowMicros, untilMicros);
        return "time";
      }
      this.nowMicros = next;
      this.events++;
      this.heap.fire();
    }
    return "events";
  }
}

function never(): boolean {
  return false;
}
