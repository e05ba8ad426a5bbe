/** Rows about 0-RTT, of RFC 9000 and RFC 9001, and about the tickets that lead to it. */

import assert from "node:assert/strict";
import { STREAM_BIDI } from "#src/port/transport.js";
import { ack, bytes, crypto, ints, PING, stream, vi } from "../support/raw-frames.js";
import { P_MAX_DATA, P_STREAMS_BIDI, intParam, withParam } from "../raw/params.js";
import { APP, EARLY, type RawPeer, type RawPeerOptions } from "../raw/peer.js";
import { ENCRYPTED_EXTENSIONS, type RawTicket } from "../raw/tls-messages.js";
import { type Check, filled } from "./check.js";
import type { App } from "./lab.js";
import { row } from "./scripts.js";

export const EARLY_SETUP = { early: true };
const OPTIONS = { setup: EARLY_SETUP };
const HELLO = new TextEncoder().encode("hello, early server");

/** A raw client's ticket for 0-RTT, from a connection of its own. */
export async function ticketOf(check: Check): Promise<{ ticket: RawTicket; params: Map<number, Buffer> }> {
  const peer = await check.connect();
  const tickets = (): RawTicket[] => peer.tlsClient?.tickets ?? [];
  await check.until(() => tickets().length > 0, "a ticket");
  const [ticket] = tickets() as [RawTicket];
  assert.equal(ticket.maxEarlyData, 0xffffffff, "it allows 0-RTT");
  return { ticket, params: peer.peerParams };
}

/** A raw client that resumes with 0-RTT; its ClientHello is sent, its Finished waits. */
export async function resuming(check: Check, ticket: RawTicket, options: RawPeerOptions = {}): Promise<RawPeer> {
  const peer = await check.peer({ ticket, early: true, autoTls: false, ...options });
  peer.tlsClient?.start();
  peer.flushTls();
  return peer;
}

/** A raw client whose 0-RTT the engine accepts. (A busy machine makes tickets look older than TLS likes.) */
export async function accepted(
  check: Check,
): Promise<{ peer: RawPeer; ticket: RawTicket; params: Map<number, Buffer> }> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const { ticket, params } = await ticketOf(check);
    const peer = await resuming(check, ticket);
    await check.until(() => peer.tlsClient?.seen.includes(ENCRYPTED_EXTENSIONS) === true, "EncryptedExtensions");
    if (peer.tlsClient?.earlyAccepted === true) return { peer, ticket, params };
  }
  throw new Error("0-RTT is never accepted");
}

export async function finish(check: Check, peer: RawPeer): Promise<void> {
  peer.autoTls = true;
  peer.flushTls();
  await check.confirmed(peer);
  await check.usable(peer);
}

/** This packet in 0-RTT closes the connection. */
function closesEarly(
  id: string,
  frameType: number | undefined,
  frames: (params: Map<number, Buffer>) => Uint8Array,
  packet = {},
): void {
  row(
    id,
    async (check) => {
      const { peer, params } = await accepted(check);
      peer.sendRaw(peer.packet(EARLY, [frames(params)], packet));
      await check.closes(peer, frameType);
    },
    OPTIONS,
  );
}

closesEarly("9000-12.5-01", 0x02, () => ack([0, 0]));
row(
  "9000-12.5-02",
  async (check) => {
    for (const frame of [bytes(0x07, vi(4), filled(4)), Uint8Array.of(0x1e)]) {
      const { peer } = await accepted(check);
      peer.send(EARLY, frame);
      await check.closes(peer, frame[0]);
    }
  },
  OPTIONS,
);
closesEarly("9000-12.5-03", 0x1b, () => bytes(0x1b, filled(8)));
closesEarly("9000-12.5-04", 0x19, () => ints(0x19, 0));
closesEarly("9000-17.2-05", undefined, () => PING, { flip: 0x0c });
closesEarly("9001-8.3-02", 0x06, () => crypto(0, filled(4)));
closesEarly("9000-7.4.1-01", 0x0e, (params) => stream(4 * intParam(params, P_STREAMS_BIDI), 0, filled(1)));
closesEarly("9000-17.2.3-02", 0x0e, () => stream(0, 2 ** 30, filled(1)));

row(
  "9000-7.4.1-02",
  async (check) => {
    const { ticket } = await ticketOf(check);
    check.memory.relisten({ ...EARLY_SETUP, config: { initialMaxData: 10_000 } });
    const peer = await resuming(check, ticket);
    peer.send(EARLY, stream(0, 0, HELLO, true));
    await finish(check, peer);
    assert.equal(peer.tlsClient?.earlyAccepted, false);
    assert.equal(check.app(peer).received.get(0), undefined);
  },
  { ...OPTIONS, memoryOnly: "the API has no way to listen again with other limits and the same tickets" },
);

row(
  "9001-4.6.2-01",
  async (check) => {
    const { peer: first, ticket } = await accepted(check);
    const second = await resuming(check, ticket);
    for (const peer of [first, second]) {
      peer.send(EARLY, stream(0, 0, HELLO, true));
      await finish(check, peer);
    }
    assert.equal(second.tlsClient?.earlyAccepted, false, "a ticket is good for 0-RTT once");
    assert.deepEqual(check.app(first).received.get(0), Buffer.from(HELLO));
    assert.equal(check.app(second).received.get(0), undefined);
  },
  OPTIONS,
);

row(
  "9001-4.9.3-01",
  async (check) => {
    const { peer } = await accepted(check);
    peer.send(EARLY, PING);
    const late = peer.packet(EARLY, [stream(0, 0, HELLO, true)]);
    await finish(check, peer);
    await check.lab.wait(check.inMemory ? 5000 : 600);
    await check.dropped("keys-discarded", () => peer.sendRaw(late));
    assert.equal(check.app(peer).received.get(0), undefined);
    await check.usable(peer);
  },
  OPTIONS,
);

// --- the engine as the client

/** A ticket that a raw server gave to the engine. */
export async function engineTicket(check: Check, options: RawPeerOptions): Promise<Uint8Array> {
  const peer = await check.connect(options);
  peer.tlsServer?.sendTicket();
  peer.flushTls();
  const app = check.app(peer);
  await check.until(() => app.tickets.length > 0, "a ticket at the application");
  return app.tickets[0] as Uint8Array;
}

/** The engine resumes and writes a request before anything else. */
export async function request(check: Check, ticket: Uint8Array, options: RawPeerOptions): Promise<RawPeer> {
  const onStart = (app: App): void => {
    void app.open(STREAM_BIDI).then((id) => app.write(id, HELLO, true));
  };
  return check.begin(options, { ticket, onStart });
}

row(
  "9000-7.4.1-03",
  async (check) => {
    const tickets = new Map<string, Buffer>();
    const ticket = await engineTicket(check, { tickets });
    const lowered = (list: [number, Uint8Array][]): [number, Uint8Array][] => withParam(list, P_STREAMS_BIDI, vi(3));
    const peer = await request(check, ticket, { tickets, early: true, params: lowered });
    await check.closes(peer);
    assert.ok(peer.tlsServer?.earlyAccepted);
  },
  OPTIONS,
);

row(
  "9001-4.6.2-02",
  async (check) => {
    const tickets = new Map<string, Buffer>();
    const ticket = await engineTicket(check, { tickets });
    const narrow = (list: [number, Uint8Array][]): [number, Uint8Array][] => withParam(list, P_MAX_DATA, vi(1 << 20));
    const peer = await request(check, ticket, { tickets, params: narrow });
    await check.confirmed(peer);
    assert.ok(peer.tlsServer?.earlyOffered && !peer.tlsServer.earlyAccepted);
    await check.until(() => peer.streams.get(0)?.fin === true, "the request in 1-RTT");
    assert.deepEqual(peer.streams.get(0)?.data, Buffer.from(HELLO));
    await check.usable(peer);
  },
  OPTIONS,
);

row(
  "9001-4.6.2-03",
  async (check) => {
    const tickets = new Map<string, Buffer>();
    const ticket = await engineTicket(check, { tickets });
    const peer = await request(check, ticket, { tickets, autoAck: false, confirm: false, server: { peekEarly: true } });
    await check.until(() => peer.handshakeDone, "the handshake");
    await check.until(() => peer.packets.some(({ level }) => level === APP), "1-RTT packets");
    const early = Math.min(...peer.packets.filter(({ level }) => level === EARLY).map(({ pn }) => pn));
    peer.send(APP, ack([early, early]));
    await check.closes(peer, 0x02);
  },
  OPTIONS,
);
