/** What a piece of the simulated network looks like, and what it may use of the simulation. */

import type { Datagram } from "./datagram.js";

/** Takes over datagrams. */
export interface NetSink {
  push(datagram: Datagram, nowMicros: number): void;
}

/** One effect (loss, delay, ...) on the datagrams of one direction. Nodes stand in a chain: each pushes to `next`. */
export interface NetNode extends NetSink {
  next: NetSink;
}

/** Woken by the event heap with what it scheduled. */
export interface NetTimer {
  onTimer(datagram: Datagram | null, nowMicros: number): void;
}

/** The services of the simulation to its nodes. */
export interface Net {
  /** Calls `target.onTimer(datagram, atMicros)`; fractions of a microsecond are rounded up. */
  schedule(atMicros: number, target: NetTimer, datagram: Datagram | null): void;
  /** Ends the way of a datagram and counts the cause. */
  drop(datagram: Datagram, cause: DropCause, nowMicros: number): void;
  clone(datagram: Datagram): Datagram;
}

/** Why the network did not deliver a datagram. */
export const DROP_CAUSES = [
  "loss",
  "burst",
  "exact",
  "blackout",
  "queue",
  "codel",
  "policer",
  "mtu",
  "nat",
  "unroutable",
  "gone",
] as const;
export type DropCause = (typeof DROP_CAUSES)[number];

/** The end of a chain that is not built yet; a datagram that reaches it shows a wrong topology. */
export const NOWHERE: NetSink = {
  push(): void {
    throw new Error("a network node has no successor");
  },
};
