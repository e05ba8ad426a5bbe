/**
 * Tickets for runs that resume: handshakes between the two endpoints of a run before its clock starts, over no network.
 * They leave nothing behind but the tickets, and the counters begin at zero after them.
 */

import type { Connection } from "#src/conn/connection.js";
import { EndpointCounters } from "#src/endpoint/counters.js";
import type { ConnectOptions, Endpoint } from "#src/endpoint/endpoint.js";
import { NOBODY } from "#src/port/transport.js";
import { RX_COLS, RX_ECN, RX_LEN, RX_OFF, RX_SOURCE, TX_COLS, TX_LEN, TX_OFF } from "#src/port/udp.js";
import type { SimScratch } from "#src/sim/index.js";

/** Round trips that any handshake takes, at most. */
const ROUNDS = 200;

export interface Ends {
  client: Endpoint;
  server: Endpoint;
  clientAddress: Int32Array;
  nowMicros: number;
  scratch: SimScratch;
}

/** One ticket for each of `count` connections. */
export function collectTickets(ends: Ends, options: ConnectOptions, count: number): Uint8Array[] {
  const tickets: Uint8Array[] = [];
  for (let left = count; left > 0; left--) tickets.push(oneTicket(ends, options));
  for (const endpoint of [ends.client, ends.server]) Object.assign(endpoint.counters, new EndpointCounters());
  return tickets;
}

function oneTicket(ends: Ends, options: ConnectOptions): Uint8Array {
  const { client, server, nowMicros, scratch } = ends;
  const tickets: Uint8Array[] = [];
  const handler = { ...NOBODY, onTicket: (bytes: Uint8Array) => void tickets.push(bytes) };
  const conn = client.connect(options, nowMicros);
  const accepted: Connection[] = [];
  for (let round = 0; tickets.length === 0; round++) {
    if (round === ROUNDS) throw new Error("no ticket came");
    carry(client, server, ends.clientAddress, ends);
    carry(server, client, options.remote, ends);
    for (let other = server.accept(); other !== null; other = server.accept()) accepted.push(other);
    conn.drain(handler);
  }
  for (const each of [conn, ...accepted]) each.abandon();
  for (const endpoint of [client, server]) {
    scratch.tx.count = scratch.tx.destCount = scratch.tx.used = 0;
    endpoint.transmit(scratch.tx, nowMicros);
    for (let each = endpoint.takeEventful(); each !== null; each = endpoint.takeEventful()) each.drain(NOBODY);
  }
  return tickets[0];
}

/** Everything that `from` has to say now. */
function carry(from: Endpoint, to: Endpoint, source: Int32Array, { nowMicros, scratch }: Ends): void {
  const { rx, tx } = scratch;
  for (let more = true; more; ) {
    tx.count = tx.destCount = tx.used = 0;
    more = from.transmit(tx, nowMicros);
    if (tx.count === 0) return;
    rx.buf.set(tx.buf.subarray(0, tx.used));
    rx.sources.set(source, 0);
    rx.sourceCount = 1;
    rx.count = tx.count;
    rx.socket = 0;
    for (let i = 0; i < tx.count; i++) {
      const row = i * RX_COLS;
      rx.rows[row + RX_OFF] = tx.rows[i * TX_COLS + TX_OFF];
      rx.rows[row + RX_LEN] = tx.rows[i * TX_COLS + TX_LEN];
      rx.rows[row + RX_SOURCE] = 0;
      rx.rows[row + RX_ECN] = 0;
    }
    to.receive(rx, nowMicros);
  }
}
