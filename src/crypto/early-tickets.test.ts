/** Tickets are taken once, for what they were made for, and the memory of them is bounded. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EARLY_TICKET_SECONDS, MAX_EARLY_TICKETS } from "../proto/limits.js";
import { EarlyTickets } from "./early-tickets.js";
import type { ClientHello } from "./hello.js";

const SECOND = 1e6;

function ticket(n: number): Uint8Array {
  const bytes = new Uint8Array(40);
  new DataView(bytes.buffer).setUint32(36, n * 2654435761);
  new DataView(bytes.buffer).setUint32(32, n * 40503);
  return bytes;
}

function hello(bytes: Uint8Array | null, given: Partial<ClientHello> = {}): ClientHello {
  return { serverName: "a.test", alpn: ["h3"], offersEarlyData: true, ticket: bytes, isWhole: true, ...given };
}

describe("tickets for 0-RTT", () => {
  test("RFC 8446 §8.1 a ticket is taken once", () => {
    const tickets = new EarlyTickets();
    tickets.issue(ticket(1), "a.test", "h3", 1, 0);
    assert.equal(tickets.take(hello(ticket(1), { alpn: ["x", "h3"] }), 1, 0), "h3");
    assert.equal(tickets.take(hello(ticket(1)), 1, 0), null);
    tickets.issue(ticket(1), "a.test", "h3", 1, 0);
    assert.equal(tickets.take(hello(ticket(1)), 1, 0), null, "not even when the same is made again");
  });

  test("only for the server name, protocol and version that it was made with, and only when 0-RTT is offered", () => {
    const tickets = new EarlyTickets();
    tickets.issue(ticket(1), "a.test", "h3", 1, 0);
    for (const wrong of [
      hello(ticket(1), { serverName: "b.test" }),
      hello(ticket(1), { alpn: ["h2"] }),
      hello(ticket(1), { alpn: [] }),
      hello(ticket(1), { offersEarlyData: false }),
      hello(ticket(2)),
      hello(null),
      hello(new Uint8Array(7)),
    ]) {
      assert.equal(tickets.take(wrong, 1, 0), null);
    }
    assert.equal(tickets.take(hello(ticket(1)), 2, 0), null);
    assert.equal(tickets.take(hello(ticket(1)), 1, 0), "h3");
  });

  test("of more than the bound the oldest half is forgotten, and time does the same", () => {
    const tickets = new EarlyTickets(1000, 10 * SECOND);
    for (let n = 1; n <= 1001; n++) tickets.issue(ticket(n), "", "h3", 1, 0);
    const from = (n: number, at = 0) => tickets.take(hello(ticket(n), { serverName: "" }), 1, at);
    assert.equal(from(500), null);
    assert.equal(from(501), "h3");
    tickets.issue(ticket(1002), "", "h3", 1, 0);
    assert.equal(from(1000, 9 * SECOND), "h3");
    assert.equal(from(999, 10 * SECOND), null);
    assert.equal(from(1001, 10 * SECOND), "h3", "the younger half has one more life");
    assert.equal(from(1002, 20 * SECOND), null);
  });

  test("MAX_EARLY_TICKETS are remembered, in generations of EARLY_TICKET_SECONDS", () => {
    const tickets = new EarlyTickets();
    const from = (n: number, at: number) => tickets.take(hello(ticket(n), { serverName: "" }), 1, at);
    for (let n = 1; n <= MAX_EARLY_TICKETS + 1; n++) tickets.issue(ticket(n), "", "h3", 1, 0);
    assert.equal(from(MAX_EARLY_TICKETS / 2, 0), null);
    assert.equal(from(MAX_EARLY_TICKETS, 0), "h3");
    const later = EARLY_TICKET_SECONDS * SECOND;
    assert.equal(from(MAX_EARLY_TICKETS - 1, later), null);
    assert.equal(from(MAX_EARLY_TICKETS + 1, later), "h3");
  });

  test("after a rest of two lives nothing is left", () => {
    const tickets = new EarlyTickets(1000, 10 * SECOND);
    tickets.issue(ticket(1), "", "h3", 1, 0);
    assert.equal(tickets.take(hello(ticket(1), { serverName: "" }), 1, 20 * SECOND), null);
  });
});
