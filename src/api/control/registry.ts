/** The endpoints of this process that its control socket shows, and what is left of those that are gone. */

import type { EndpointHost } from "../../runtime/loop.js";
import { CounterSums, type Counters, countersOf } from "./counters.js";
import { connectionRow, listenerRow, type SharedPlace, sharedRow, type SocketRow, type WatchedPort } from "./rows.js";

type OffloadStat = Record<"QuicCurrTxSw" | "QuicTxSw" | "QuicTxSwError", number>;

const ports = new Set<WatchedPort>();
/** Of endpoints that are closed. */
const gone = new CounterSums();
let sharedPlaces: () => Iterable<SharedPlace> = () => [];
let offloadStat: OffloadStat = { QuicCurrTxSw: 0, QuicTxSw: 0, QuicTxSwError: 0 };

export function addPort(port: WatchedPort): void {
  ports.add(port);
}

/** Memory of all connections' queues, bytes. */
export function heldBytes(): number {
  let sum = 0;
  for (const { host } of ports) {
    sum += host.endpoint.attemptBytes;
    for (const conn of host.endpoint.connections) sum += conn.heldBytes();
  }
  return sum;
}

/** The endpoint is closed. */
export function removePort(host: EndpointHost): void {
  for (const port of ports) {
    if (port.host !== host) continue;
    ports.delete(port);
    gone.add(host, true);
  }
}

/** The counters of the Tx offload, which is in use. */
export function setOffloadStat(stat: OffloadStat): void {
  offloadStat = stat;
}

/** This process is a host: its ports now, which come and go. */
export function setSharedPorts(places: () => Iterable<SharedPlace>): void {
  sharedPlaces = places;
}

/** What waits for clients: ports that are shared out, then listeners. */
export function* listenerRows(): Generator<SocketRow> {
  for (const place of sharedPlaces()) yield sharedRow(place);
  for (const port of ports) for (const listener of port.listeners()) yield listenerRow(port, listener);
}

/** All sockets of this process: listeners first, then connections in the order in which they came. */
export function* socketRows(wantsDetails: boolean): Generator<SocketRow> {
  yield* listenerRows();
  for (const port of ports) {
    for (const conn of port.host.endpoint.connections) yield connectionRow(port, conn, wantsDetails);
  }
}

export function processCounters(): { counters: Counters; heldBytes: number } {
  const sums = new CounterSums();
  sums.addGone(gone);
  for (const { host } of ports) sums.add(host, false);
  for (const place of sharedPlaces()) sums.add(place, false);
  return { counters: countersOf(sums, offloadStat), heldBytes: sums.tally.heldBytes };
}
