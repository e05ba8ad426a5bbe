/** Targets: what sessions leave behind and what begins them: tickets, tokens kept by clients, ClientHello, messages with tickets. */

import assert from "node:assert/strict";
import { openKept, openSessionTicket, sealPeerToken, sealSessionTicket } from "#src/conn/session-ticket.js";
import { EarlyTickets } from "#src/crypto/early-tickets.js";
import { earlyTicketsIn, isHelloRetryRequest, readClientHello } from "#src/crypto/hello.js";
import { MAX_ALPN_READ } from "#src/proto/limits.js";
import { defaultParams } from "#src/proto/params.js";
import { VERSION_1, VERSION_2 } from "#src/proto/version.js";
import { bytes, padding } from "../support/raw-frames.js";
import type { Target } from "./loop.js";

const TLS = padding(60);

/** What is taken for a ticket is sealed to one that means the same. */
const sessionTicket: Target = {
  name: "session-ticket",
  maxBytes: 400,
  seeds: () =>
    [VERSION_1, VERSION_2].map((version) =>
      sealSessionTicket({ allowsEarlyData: true, version, alpn: "h3", params: defaultParams(), tls: TLS }),
    ),
  run(input) {
    const opened = openSessionTicket(input);
    if (opened === null) return;
    assert.deepEqual(openSessionTicket(sealSessionTicket(opened)), opened);
    assert.ok(opened.tls.length <= input.length);
  },
};

/** RFC 9000 §8.1.3: as above, for a token with its version. */
const keptToken: Target = {
  name: "kept-token",
  maxBytes: 1000,
  seeds: () => [sealPeerToken(VERSION_1, TLS), sealPeerToken(VERSION_2, padding(1))],
  run(input) {
    const { token, tokenVersion } = openKept({ token: input });
    if (token === null) return;
    assert.deepEqual(sealPeerToken(tokenVersion, token), input);
  },
};

function extension(id: number, body: Uint8Array): Uint8Array {
  return bytes(0, id, body.length >> 8, body.length & 255, body);
}

function clientHello(): Uint8Array {
  const name = bytes(0, 9, 0, 0, 6, [97, 46, 116, 101, 115, 116]);
  const alpn = bytes(0, 3, 2, [104, 51]);
  const identity = bytes(0, 46, 0, 40, padding(40).fill(5), 0, 0, 0, 0);
  const psk = bytes(identity, 0, 33, 32, padding(32));
  const list = bytes(extension(0, name), extension(16, alpn), extension(42, padding(0)), extension(41, psk));
  const head = bytes(3, 3, padding(32), 0, 0, 2, 0x13, 1, 1, 0, list.length >> 8, list.length & 255);
  const body = bytes(head, list);
  return bytes(1, 0, body.length >> 8, body.length & 255, body);
}

/** RFC 8446 §4.1.2, read before TLS reads it: whatever is said is within the message, and within bounds. */
const hello: Target = {
  name: "client-hello",
  maxBytes: 600,
  seeds: () => [clientHello()],
  run(input) {
    const read = readClientHello(input, input.length);
    assert.ok(read.alpn.length <= MAX_ALPN_READ);
    assert.ok((read.ticket?.length ?? 0) <= input.length && read.serverName.length <= input.length);
    isHelloRetryRequest(input, input.length);
    const tickets = new EarlyTickets(8, 1000);
    if (read.ticket !== null) tickets.issue(read.ticket, read.serverName, read.alpn[0] ?? "", VERSION_1, 0);
    const first = tickets.take(read, VERSION_1, 0);
    if (first !== null) assert.equal(tickets.take(read, VERSION_1, 0), null, "a ticket is taken once");
  },
};

/** RFC 8446 §4.6.1: messages of a server after the handshake. */
const newTickets: Target = {
  name: "new-session-tickets",
  maxBytes: 400,
  seeds() {
    const early = extension(42, Uint8Array.of(255, 255, 255, 255));
    const body = bytes(padding(8), 8, padding(8), 0, 20, padding(20), 0, early.length, early);
    const message = bytes(4, 0, 0, body.length, body);
    return [message, bytes(message, message)];
  },
  run(input) {
    let total = 0;
    for (const ticket of earlyTicketsIn(input)) total += ticket.length;
    assert.ok(total <= input.length);
  },
};

export const sessionTargets: readonly Target[] = [sessionTicket, keptToken, hello, newTickets];
