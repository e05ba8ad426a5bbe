/** The connection cases 1 to 27 of the Linux QUIC functional tests, and the options they are about. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileOf } from "#src/api/socket/descriptors.js";
import * as quic from "#src/api/socket/index.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import * as n from "#src/socket/numbers.js";
import type { QuicSock } from "#src/socket/sock.js";
import { connectionIdInfo, eventOption } from "#src/socket/structs.js";
import { CLIENT, config, connecting, echoes, listening, type Option, portOf, SERVER } from "./live.js";
import { getOption, NO_OPS, receive, receiveAll, send, sendPlain, setOption, SocketPair, text } from "./support.js";
import { freeUdpPort } from "../support/ports.js";

const NEW = n.MSG_QUIC_STREAM_NEW;
const NONE = new Uint8Array(0);
/** Linux's active_connection_id_limit: ids 0 to 6 at first. */
const MAX = 7;

interface Ids {
  active: number;
  prior_to: number;
}

function ids(sock: QuicSock, dest: number): Ids {
  const value = getOption(sock, n.QUIC_SOCKOPT_CONNECTION_ID, connectionIdInfo.encode({ dest })) as Uint8Array;
  const { active, prior_to } = connectionIdInfo.decode(value);
  return { active, prior_to };
}

function setIds(sock: QuicSock, info: { dest: number } & Partial<Ids>): number | string {
  return setOption(sock, n.QUIC_SOCKOPT_CONNECTION_ID, connectionIdInfo.encode(info));
}

/** Both sides still hear each other, on new streams. */
function assertTalking(sockets: SocketPair): void {
  const { client, server } = sockets;
  assert.equal(send(client, "there", -1, NEW | n.MSG_QUIC_STREAM_UNI | n.MSG_QUIC_STREAM_FIN), 5);
  assert.equal(send(server, "back", -1, NEW | n.MSG_QUIC_STREAM_UNI | n.MSG_QUIC_STREAM_FIN), 4);
  sockets.settle();
  assert.match(receiveAll(server).join(), /fin: there/);
  assert.match(receiveAll(client).join(), /fin: back/);
}

describe("connection cases 1-14: connection ids", () => {
  for (const [dest, first] of [
    [0, 1],
    [1, 7],
  ] as const) {
    const whose = dest === 0 ? "source" : "destination";

    test(`${first} ${whose} ids 0, 1, several, and all but the last are retired, one set after the other`, () => {
      const sockets = new SocketPair();
      const { client } = sockets;
      assert.deepEqual(ids(client, dest), { active: 0, prior_to: 0 });
      for (const prior_to of [1, 2, 5, MAX - 1]) {
        assert.equal(setIds(client, { dest, prior_to }), 0);
        sockets.settle();
        assert.deepEqual(ids(client, dest), { active: prior_to, prior_to });
        assertTalking(sockets);
      }
    });

    test(`${first + 1} ${whose} ids up to the last at once`, () => {
      const sockets = new SocketPair();
      assert.equal(setIds(sockets.client, { dest, prior_to: MAX - 1 }), 0);
      sockets.settle();
      assert.deepEqual(ids(sockets.client, dest), { active: MAX - 1, prior_to: MAX - 1 });
      assertTalking(sockets);
    });

    test(`${first + 2} ${whose} ids that are retired already, or none of them: EINVAL`, () => {
      const sockets = new SocketPair();
      const { client } = sockets;
      assert.equal(setIds(client, { dest, prior_to: 2 }), 0);
      for (const prior_to of [0, 1, 2]) assert.equal(setIds(client, { dest, prior_to }), "EINVAL");
      sockets.settle();
      for (const prior_to of [0, 1, 2]) assert.equal(setIds(client, { dest, prior_to }), "EINVAL");
      assert.deepEqual(ids(client, dest), { active: 2, prior_to: 2 });
    });

    test(`${first + 3} not all ${whose} ids: EINVAL, and nothing changes`, () => {
      const sockets = new SocketPair();
      const { client } = sockets;
      for (const prior_to of [MAX, MAX + 1, 0xffffffff]) assert.equal(setIds(client, { dest, prior_to }), "EINVAL");
      sockets.settle();
      assert.deepEqual(ids(client, dest), { active: 0, prior_to: 0 });
      assertTalking(sockets);
    });

    test(`${first + 4} another ${whose} id becomes the active one; those before it stay`, () => {
      const sockets = new SocketPair();
      const { client } = sockets;
      assert.equal(setIds(client, { dest, active: 3 }), 0);
      assert.deepEqual(ids(client, dest), { active: 3, prior_to: 0 });
      assertTalking(sockets);
      assert.equal(setIds(client, { dest, active: 5, prior_to: 2 }), 0);
      sockets.settle();
      assert.deepEqual(ids(client, dest), { active: 5, prior_to: 2 });
      assertTalking(sockets);
    });

    test(`${first + 5} an active ${whose} id that is not there, or not newer: EINVAL, and nothing changes`, () => {
      const sockets = new SocketPair();
      const { client } = sockets;
      assert.equal(setIds(client, { dest, active: 2 }), 0);
      for (const active of [1, 2, MAX, 0xffffffff]) assert.equal(setIds(client, { dest, active }), "EINVAL");
      assert.equal(setIds(client, { dest, active: MAX, prior_to: 1 }), "EINVAL");
      assert.equal(setIds(client, { dest, active: 3, prior_to: MAX }), "EINVAL");
      assert.deepEqual(ids(client, dest), { active: 2, prior_to: 0 });
    });
  }

  test("13 both sides tell of what is gone: prior_to is the lowest that is left", () => {
    const sockets = new SocketPair();
    const { client, server } = sockets;
    for (const sock of [client, server]) {
      setOption(sock, n.QUIC_SOCKOPT_EVENT, eventOption.encode({ type: n.QUIC_EVENT_CONNECTION_ID, on: 1 }));
    }
    assert.equal(setIds(client, { dest: 0, prior_to: 3 }), 0);
    sockets.settle();
    const event = (sock: QuicSock): unknown => connectionIdInfo.decode(receive(sock).data.subarray(1));
    assert.deepEqual(event(client), { dest: 0, active: 3, prior_to: 3 });
    assert.deepEqual(event(server), { dest: 1, active: 3, prior_to: 3 });
    assert.equal(setIds(client, { dest: 1, prior_to: 4 }), 0);
    sockets.settle();
    assert.deepEqual(event(client), { dest: 1, active: 4, prior_to: 4 });
    assert.deepEqual(event(server), { dest: 0, active: 4, prior_to: 4 });
  });

  test("14 source ids that the peer does not give back: EAGAIN once it owes too many", () => {
    const sockets = new SocketPair();
    sockets.pair.filter = (fromClient) => fromClient;
    const results = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((prior_to) => setIds(sockets.client, { dest: 0, prior_to }));
    assert.deepEqual(results, [0, 0, 0, 0, 0, 0, 0, 0, "EAGAIN"]);
  });

  test("a set before the handshake is EINVAL; a get reads zeros", () => {
    const { client } = new SocketPair();
    client.state = n.QUIC_SS_ESTABLISHING;
    assert.equal(setIds(client, { dest: 0, prior_to: 1 }), "EINVAL");
    assert.deepEqual(ids(new SocketPair().client, 0), { active: 0, prior_to: 0 });
  });
});

describe("connection cases 15-19: migration", () => {
  const { cert, key } = devCertificate({ hosts: ["127.0.0.1"], days: 1 });
  const { promises, structs } = quic;
  const HOST = "127.0.0.1";
  const MIGRATION = quic.QUIC_EVENT_CONNECTION_MIGRATION;

  interface Both {
    client: number;
    server: number;
  }

  async function withBoth(use: (both: Both) => Promise<void>): Promise<void> {
    const [listening, client] = [0, 0].map(() => quic.socket(quic.AF_INET, quic.SOCK_DGRAM)) as [number, number];
    for (const sd of [listening, client]) quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "sample");
    await quic.bind(listening, { address: HOST, port: 0 });
    await quic.listen(listening, 1);
    await quic.connect(client, { address: HOST, port: quic.getsockname(listening).port });
    const accepting = promises.accept(listening);
    const connecting = quic.quic_client_handshake(client, { serverName: HOST, ca: [cert] });
    const server = await accepting;
    await Promise.all([connecting, quic.quic_server_handshake(server, { cert, key })]);
    for (const sd of [client, server]) {
      quic.setsockopt(
        sd,
        quic.SOL_QUIC,
        quic.QUIC_SOCKOPT_EVENT,
        structs.eventOption.encode({ type: MIGRATION, on: 1 }),
      );
    }
    await untilTold(client, server);
    try {
      await use({ client, server });
    } finally {
      for (const sd of [client, server, listening]) quic.close(sd);
    }
  }

  /** The client may move once the server has confirmed the handshake: an answer from there says so. */
  async function untilTold(client: number, server: number): Promise<void> {
    const stream = { stream_id: 3, stream_flags: quic.MSG_QUIC_STREAM_NEW | quic.MSG_QUIC_STREAM_FIN };
    await promises.sendmsg(server, { data: Buffer.from("hello"), flags: 0, stream });
    assert.equal((await promises.recvmsg(client, 100)).data.length, 5);
  }

  function sockaddr(port: number, address = [0, 0, 0xffff, 0x7f000001]): Uint8Array {
    const row = new Int32Array(10);
    row.set([...address, port]);
    return quic.sockaddrOfRow(row);
  }

  function move(sd: number, to: Uint8Array): string {
    try {
      quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONNECTION_MIGRATION, to);
      return "0";
    } catch (error) {
      return (error as { code: string }).code;
    }
  }

  function destIds(sd: number): Ids {
    const question = structs.connectionIdInfo.encode({ dest: 1 });
    return structs.connectionIdInfo.decode(
      quic.getsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONNECTION_ID, question),
    );
  }

  test("15 a client moves: events 1 and 0, the peer sees the port, ids change; 19 a second move meanwhile is EAGAIN", () =>
    withBoth(async ({ client, server }) => {
      const before = { ...destIds(client), port: quic.getpeername(server).port };
      const [port, other] = [await freeUdpPort(), await freeUdpPort()];
      assert.equal(move(client, sockaddr(port)), "0");
      assert.equal(move(client, sockaddr(other)), "EAGAIN");
      assert.deepEqual([...(await promises.recvmsg(client, 10)).data], [MIGRATION, 1]);
      assert.equal(quic.getsockname(client).port, port);
      assert.deepEqual([...(await promises.recvmsg(server, 10)).data], [MIGRATION, 0]);
      assert.equal(quic.getpeername(server).port, port);
      assert.notEqual(port, before.port);
      assert.ok(destIds(client).active > before.active);
      assert.equal(move(client, sockaddr(other)), "0", "once it is over, another one may begin");
      assert.deepEqual([...(await promises.recvmsg(client, 10)).data], [MIGRATION, 1]);
    }));

  test("16 a server's request is EINVAL (RFC 9000 §9), and it stays where it is", () =>
    withBoth(async ({ client, server }) => {
      const { port } = quic.getpeername(client);
      assert.equal(move(server, sockaddr(await freeUdpPort())), "EINVAL");
      assert.equal(quic.getpeername(client).port, port);
    }));

  test("17, 18 the same address, port 0, another family, a short sockaddr: EINVAL", () =>
    withBoth(async ({ client }) => {
      const { port } = quic.getsockname(client);
      const free = await freeUdpPort();
      assert.equal(move(client, sockaddr(port)), "EINVAL");
      assert.equal(move(client, sockaddr(0)), "EINVAL");
      assert.equal(move(client, sockaddr(free, [0, 0, 0, 1])), "EINVAL");
      for (const length of [0, 1, 15]) assert.equal(move(client, sockaddr(free).subarray(0, length)), "EINVAL");
      assert.equal(quic.getsockname(client).port, port);
    }));

  test("a port that another has: `promises.setsockopt` rejects, the connection stays, and may go elsewhere", () =>
    withBoth(async ({ client }) => {
      const taken = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
      await quic.bind(taken, { address: HOST, port: 0 });
      const { port } = quic.getsockname(client);
      const to = (where: number): Promise<void> =>
        promises.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONNECTION_MIGRATION, sockaddr(where));
      await assert.rejects(to(quic.getsockname(taken).port), { code: "EADDRINUSE" });
      assert.equal(quic.getsockname(client).port, port);
      await to(await freeUdpPort());
      assert.deepEqual([...(await promises.recvmsg(client, 10)).data], [MIGRATION, 1]);
      quic.close(taken);
    }));

  test("destination ids may not change while a path is asked: EAGAIN", () => {
    const { client, pair } = new SocketPair();
    const target = { socket: 1, local: new Int32Array(10), isIpv4: true, force: false };
    assert.equal(pair.clientConn.migrate(target, pair.nowMicros), null);
    assert.equal(setIds(client, { dest: 1, prior_to: 1 }), "EAGAIN");
    assert.equal(setIds(client, { dest: 0, prior_to: 1 }), 0);
  });

  test("a socket that is closed or listens: EPIPE", async () => {
    const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    assert.equal(move(sd, sockaddr(1)), "EPIPE");
    quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "sample");
    await quic.listen(sd, 1);
    assert.equal(move(sd, sockaddr(1)), "EPIPE");
    quic.close(sd);
  });
});

describe("connection cases 20-27: keys, tokens, tickets, datagrams", () => {
  test("20, 21 either side updates keys; 22 a second update before the first is over is EINVAL", () => {
    const sockets = new SocketPair();
    for (const sock of [sockets.client, sockets.server]) {
      assert.equal(setOption(sock, n.QUIC_SOCKOPT_KEY_UPDATE, NONE), 0);
      assert.equal(setOption(sock, n.QUIC_SOCKOPT_KEY_UPDATE, NONE), "EINVAL");
      assertTalking(sockets);
      sockets.pair.advance(10_000_000);
    }
    sockets.client.state = n.QUIC_SS_ESTABLISHING;
    assert.equal(setOption(sockets.client, n.QUIC_SOCKOPT_KEY_UPDATE, NONE), "EPIPE");
  });

  test("23 a server's token arrives at the client; 24 a client's is 1 to 120 bytes, a server's has no value", () => {
    const { client, server } = new SocketPair();
    const token = n.QUIC_SOCKOPT_TOKEN;
    assert.ok(getOption(client, token).length > 0, "the server gave one with the handshake");
    assert.equal(getOption(server, token), "EINVAL");
    assert.equal(setOption(server, token, NONE), 0);
    assert.equal(setOption(server, token, Uint8Array.of(1)), "EINVAL");
    assert.equal(setOption(client, token, NONE), "EINVAL");
    assert.equal(setOption(client, token, new Uint8Array(121)), "EINVAL");
    for (const length of [1, 120]) {
      assert.equal(setOption(client, token, new Uint8Array(length).fill(9)), 0);
      assert.deepEqual(getOption(client, token), new Uint8Array(length).fill(9));
    }
    server.state = n.QUIC_SS_ESTABLISHING;
    assert.equal(setOption(server, token, NONE), "EINVAL");
  });

  test("23 a token of before, as Linux gives it, spares a client the Retry", async () => {
    const listener = await listening("sample", [config({ validate_peer_address: 1 })]);
    const once = async (token: Uint8Array | null): Promise<{ token: Uint8Array; wasAsked: boolean }> => {
      const options: Option[] = token === null ? [] : [[n.QUIC_SOCKOPT_TOKEN, token]];
      const client = await connecting(portOf(listener), "sample", options);
      const accepting = quic.promises.accept(listener);
      const handshake = quic.quic_client_handshake(client, CLIENT);
      const server = await accepting;
      await Promise.all([handshake, quic.quic_server_handshake(server, SERVER)]);
      await echoes({ listener, client, server }, "the token has come by now");
      const wasAsked = fileOf(client, "test").conn?.retryScid != null;
      const given = quic.getsockopt(client, quic.SOL_QUIC, n.QUIC_SOCKOPT_TOKEN);
      for (const sd of [client, server]) quic.close(sd);
      return { token: given, wasAsked };
    };
    const first = await once(null);
    const second = await once(first.token);
    assert.deepEqual([first.wasAsked, second.wasAsked], [true, false]);
    quic.close(listener);
  });

  test("25 a ticket of 63 or 4097 bytes is EINVAL; a server has a key of 64 bytes, and the one that it sets", () => {
    const { client, server } = new SocketPair();
    const ticket = n.QUIC_SOCKOPT_SESSION_TICKET;
    for (const sock of [client, server]) {
      for (const length of [0, 63, 4097]) assert.equal(setOption(sock, ticket, new Uint8Array(length)), "EINVAL");
    }
    assert.deepEqual(getOption(server, ticket), NO_OPS.ticketKey());
    for (const length of [64, 4096]) {
      assert.equal(setOption(server, ticket, new Uint8Array(length).fill(5)), 0);
      assert.deepEqual(getOption(server, ticket), new Uint8Array(length).fill(5));
    }
    assert.equal(getOption(server, ticket, new Uint8Array(4095)), "EINVAL", "the buffer is too small");
    for (const state of [n.QUIC_SS_LISTENING, n.QUIC_SS_CLOSED] as const) {
      server.state = state;
      assert.equal(getOption(server, ticket), "EPIPE");
    }
    assert.deepEqual(getOption(client, ticket), NONE, "none came yet");
    assert.equal(setOption(client, ticket, new Uint8Array(64)), 0);
    assert.deepEqual(getOption(client, ticket), NONE, "the handshake is over");
    client.onTicket(text("from the server"));
    client.onTicket(text("the second"));
    assert.deepEqual(getOption(client, ticket), text("from the server"));
  });

  test("26 a datagram arrives; 27 one of 4096 bytes is EMSGSIZE", () => {
    const sockets = new SocketPair();
    const { client, server } = sockets;
    const flags = n.MSG_QUIC_DATAGRAM;
    assert.equal(sendPlain(client, { data: text("datagram"), flags }), 8);
    assert.equal(sendPlain(client, { data: new Uint8Array(4096), flags }), "EMSGSIZE");
    sockets.settle();
    assert.deepEqual(receiveAll(server), ["datagram datagram"]);
  });
});
