/** The ticket group: resumption and 0-RTT, by libraries and by programs with a TLS of their own. */

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileOf } from "#src/api/socket/descriptors.js";
import * as quic from "#src/api/socket/index.js";
import type { HandshakeInfo } from "#src/port/transport.js";
import { CLIENT, closeLeftovers, config, connecting, echoes, listening, type Option, portOf, SERVER } from "./live.js";

afterEach(closeLeftovers);

const { MSG_QUIC_STREAM_FIN: FIN, MSG_QUIC_STREAM_NEW: NEW } = quic;

function infoOf(sd: number): HandshakeInfo {
  const info = fileOf(sd, "test").conn?.handshake ?? null;
  assert.ok(info !== null);
  return info;
}

function ticketOf(sd: number): Uint8Array {
  return quic.getsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_SESSION_TICKET);
}

async function served(listener: number): Promise<number> {
  const child = await quic.promises.accept(listener);
  await quic.quic_server_handshake(child, SERVER);
  return child;
}

/** A first connection to `listener`, and the ticket that it gave. */
async function firstTicket(listener: number, options: readonly Option[] = []): Promise<Uint8Array> {
  const client = await connecting(portOf(listener), "ticket", [config({ receive_session_ticket: 5 }), ...options]);
  const [server] = await Promise.all([served(listener), quic.quic_client_handshake(client, CLIENT)]);
  const ticket = ticketOf(client);
  assert.ok(ticket.length >= 64 && ticket.length <= 4096, `${ticket.length} bytes`);
  await sleep(10);
  for (const sd of [client, server]) quic.close(sd);
  return ticket;
}

function withTicket(ticket: Uint8Array): Option {
  return [quic.QUIC_SOCKOPT_SESSION_TICKET, ticket];
}

/** A connection with that ticket on which the client sends before its handshake; what became of it. */
async function early(listener: number, ticket: Uint8Array, isOffered = true) {
  const client = await connecting(portOf(listener), "ticket", [withTicket(ticket)], { earlyData: isOffered });
  const handshake = quic.quic_client_handshake(client, CLIENT);
  const message = { data: Buffer.from("early"), flags: 0, stream: { stream_id: 0, stream_flags: NEW | FIN } };
  let sentEarly: number | string;
  try {
    sentEarly = quic.sendmsg(client, message);
  } catch (error) {
    sentEarly = (error as { code: string }).code;
  }
  const server = await quic.promises.accept(listener);
  const serving = quic.quic_server_handshake(server, SERVER);
  await handshake;
  if (typeof sentEarly === "string") quic.sendmsg(client, message);
  const got = await quic.promises.recvmsg(server, 100);
  await serving;
  const { resumed, earlyDataAccepted: accepted } = infoOf(server);
  const result = { sentEarly, data: String(Buffer.from(got.data)), resumed, accepted };
  assert.equal(infoOf(client).earlyDataAccepted, accepted);
  for (const sd of [client, server]) quic.close(sd);
  return result;
}

describe("resumption", () => {
  test("receive_session_ticket waits for the ticket; SESSION_TICKET set before connect resumes with it", async () => {
    const listener = await listening("ticket");
    const ticket = await firstTicket(listener);
    const client = await connecting(portOf(listener), "ticket", [withTicket(ticket)]);
    assert.deepEqual(ticketOf(client), ticket, "what was set, until the handshake is complete");
    const [server] = await Promise.all([served(listener), quic.quic_client_handshake(client, CLIENT)]);
    for (const sd of [client, server])
      assert.deepEqual([infoOf(sd).resumed, infoOf(sd).earlyDataAccepted], [true, false]);
    assert.ok(await echoes({ listener, client, server }, "resumed"));
    for (const sd of [client, server, listener]) quic.close(sd);
  });

  test("a server's key of SESSION_TICKET decides which tickets open", async () => {
    const [one, other] = [1, 2].map((fill) => withTicket(new Uint8Array(64).fill(fill)));
    const listener = await listening("ticket");
    const shake = async (key: Option, ticket: Uint8Array | null): Promise<[resumed: boolean, ticket: Uint8Array]> => {
      const options = [config({ receive_session_ticket: 5 }), ...(ticket === null ? [] : [withTicket(ticket)])];
      const client = await connecting(portOf(listener), "ticket", options);
      const handshake = quic.quic_client_handshake(client, CLIENT);
      const server = await quic.promises.accept(listener);
      quic.setsockopt(server, quic.SOL_QUIC, ...key);
      await Promise.all([handshake, quic.quic_server_handshake(server, SERVER)]);
      const result: [boolean, Uint8Array] = [infoOf(client).resumed, ticketOf(client)];
      for (const sd of [client, server]) quic.close(sd);
      return result;
    };
    const [, ticket] = await shake(one as Option, null);
    assert.equal((await shake(other as Option, ticket))[0], false);
    assert.equal((await shake(one as Option, ticket))[0], true);
    quic.close(listener);
  });

  test("a server with pre-shared keys gives tickets, too, and they resume for the same key", async () => {
    const psk = [{ identity: "a", key: new Uint8Array(32).fill(1) }];
    const listener = await listening("ticket");
    let ticket: Uint8Array | null = null;
    for (const resumed of [false, true]) {
      const options = [config({ receive_session_ticket: 5 }), ...(ticket === null ? [] : [withTicket(ticket)])];
      const client = await connecting(portOf(listener), "ticket", options);
      const handshake = quic.quic_client_handshake(client, { serverName: "", psk });
      const server = await quic.promises.accept(listener);
      await Promise.all([handshake, quic.quic_server_handshake(server, { psk })]);
      assert.deepEqual([infoOf(client).resumed, infoOf(server).pskIdentity], [resumed, resumed ? "" : "a"]);
      ticket = ticketOf(client);
      for (const sd of [client, server]) quic.close(sd);
    }
    quic.close(listener);
  });

  test("quic_session_get_data and _set_data carry a session of the library's from one handshake to the next", async () => {
    const listener = await listening("ticket");
    let data = new Uint8Array(0);
    for (const resumed of [false, true]) {
      const client = await connecting(portOf(listener), "ticket", [config({ receive_session_ticket: 5 })]);
      const session = quic.quic_client_session(CLIENT);
      if (resumed) quic.quic_session_set_data(session, data);
      const [server] = await Promise.all([served(listener), quic.quic_handshake(client, session)]);
      assert.equal(infoOf(server).resumed, resumed);
      data = new Uint8Array(quic.quic_session_get_data(session));
      assert.ok(data.length > 0);
      for (const sd of [client, server]) quic.close(sd);
    }
    quic.close(listener);
  });

  test("bytes that are no session mean a full handshake", async () => {
    const listener = await listening("ticket");
    const client = await connecting(portOf(listener), "ticket", [withTicket(new Uint8Array(100).fill(0xd1))]);
    const [server] = await Promise.all([served(listener), quic.quic_client_handshake(client, CLIENT)]);
    assert.equal(infoOf(client).resumed, false);
    for (const sd of [client, server, listener]) quic.close(sd);
  });
});

describe("0-RTT", () => {
  test("data sent while ESTABLISHING is there before the handshake is complete, once for each ticket", async () => {
    const listener = await listening("ticket", [], 0, { earlyData: true });
    const ticket = await firstTicket(listener);
    assert.deepEqual(await early(listener, ticket), { sentEarly: 5, data: "early", resumed: true, accepted: true });
    const again = await early(listener, ticket);
    assert.deepEqual([again.data, again.accepted], ["early", false], "sent again in 1-RTT");
    quic.close(listener);
  });

  test("off unless asked for: at the client a stream cannot be opened, at the server the data comes in 1-RTT", async () => {
    const asking = await listening("ticket", [], 0, { earlyData: true });
    const notOffered = await early(asking, await firstTicket(asking), false);
    assert.deepEqual(notOffered, { sentEarly: "EINVAL", data: "early", resumed: true, accepted: false });
    quic.close(asking);
    const plain = await listening("ticket");
    const result = await early(plain, await firstTicket(plain));
    assert.deepEqual([result.data, result.accepted], ["early", false]);
    quic.close(plain);
  });

  test("a server reads early data before its client's handshake is complete", async () => {
    const listener = await listening("ticket", [], 0, { earlyData: true });
    const ticket = await firstTicket(listener);
    const client = await connecting(portOf(listener), "ticket", [withTicket(ticket)], { earlyData: true });
    void quic.quic_client_handshake(client, CLIENT).catch(() => {});
    const stream = { stream_id: 2, stream_flags: NEW | FIN };
    assert.equal(quic.sendmsg(client, { data: Buffer.from("0-RTT"), flags: 0, stream }), 5);
    const server = await quic.promises.accept(listener);
    const serving = quic.quic_server_handshake(server, SERVER);
    const { data } = await quic.promises.recvmsg(server, 10);
    assert.equal(String(Buffer.from(data)), "0-RTT");
    await serving;
    for (const sd of [client, server, listener]) quic.close(sd);
  });
});
