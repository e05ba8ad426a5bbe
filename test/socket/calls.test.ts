/** Rules of the calls, by section 1.3 and 1.6 of the Linux API, over real UDP where they need it. */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { describe, test } from "node:test";
import { fileOf } from "#src/api/socket/descriptors.js";
import * as quic from "#src/api/socket/index.js";
import * as n from "#src/socket/numbers.js";
import { cryptoSecret, errInfo, eventOption, streamInfo } from "#src/socket/structs.js";
import { CLIENT, config, echoes, hasCode, HOST, listening, live, params, SERVER } from "./live.js";
import { getOption, sendPlain, setOption, SocketPair } from "./support.js";

const { promises } = quic;
const NONE = new Uint8Array(0);

/** Linux's table of options: what can be set and got. */
const OPTIONS: [name: string, number: number, sets: boolean, gets: boolean][] = [
  ["EVENT", 0, true, true],
  ["STREAM_OPEN", 1, false, true],
  ["STREAM_RESET", 2, true, false],
  ["STREAM_STOP_SENDING", 3, true, false],
  ["CONNECTION_ID", 4, true, true],
  ["CONNECTION_CLOSE", 5, true, true],
  ["CONNECTION_MIGRATION", 6, true, false],
  ["KEY_UPDATE", 7, true, false],
  ["TRANSPORT_PARAM", 8, true, true],
  ["CONFIG", 9, true, true],
  ["TOKEN", 10, true, true],
  ["ALPN", 11, true, true],
  ["SESSION_TICKET", 12, true, true],
  ["CRYPTO_SECRET", 13, true, false],
  ["TRANSPORT_PARAM_EXT", 14, true, true],
  ["STREAM_PEELOFF", 15, false, true],
];

describe("options", () => {
  for (const [name, number, sets, gets] of OPTIONS) {
    test(`${number} is ${name}: ${[sets && "set", gets && "get"].filter(Boolean).join(" and ")}`, () => {
      assert.equal((quic as unknown as Record<string, number>)[`QUIC_SOCKOPT_${name}`], number);
      const { client } = new SocketPair();
      assert.equal(setOption(client, number, NONE) === "ENOPROTOOPT", !sets);
      assert.equal(getOption(client, number) === "ENOPROTOOPT", !gets);
    });
  }

  test("a number that is none is ENOPROTOOPT", () => {
    const { client } = new SocketPair();
    for (const number of [16, -1, 255]) {
      assert.deepEqual([setOption(client, number, NONE), getOption(client, number)], ["ENOPROTOOPT", "ENOPROTOOPT"]);
    }
  });

  test("on a socket that is closed: STREAM_OPEN and KEY_UPDATE are EPIPE, what needs ESTABLISHED is EINVAL", () => {
    const sockets = new SocketPair();
    const { client } = sockets;
    client.markClosed();
    const stream = streamInfo.encode({ stream_id: -1 });
    const errors = errInfo.encode({ stream_id: 0 });
    assert.equal(getOption(client, n.QUIC_SOCKOPT_STREAM_OPEN, stream), "EPIPE");
    assert.equal(setOption(client, n.QUIC_SOCKOPT_KEY_UPDATE, NONE), "EPIPE");
    assert.equal(setOption(client, n.QUIC_SOCKOPT_STREAM_RESET, errors), "EINVAL");
    assert.equal(setOption(client, n.QUIC_SOCKOPT_STREAM_STOP_SENDING, errors), "EINVAL");
    assert.equal(setOption(client, n.QUIC_SOCKOPT_CRYPTO_SECRET, cryptoSecret.encode({ type: 51 })), "EINVAL");
    assert.equal(setOption(client, n.QUIC_SOCKOPT_TRANSPORT_PARAM_EXT, NONE), "EINVAL");
    assert.equal(getOption(client, n.QUIC_SOCKOPT_TRANSPORT_PARAM_EXT), "EINVAL");
    assert.equal(setOption(client, n.QUIC_SOCKOPT_EVENT, eventOption.encode({ type: 1, on: 1 })), 0);
  });

  test("ALPN is 1 to 128 bytes, set before `listen`, and comes back as it was given", async () => {
    const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    const set = (list: string): void => quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, list);
    for (const wrong of ["", "a".repeat(129)]) assert.throws(() => set(wrong), hasCode("EINVAL"));
    set("a".repeat(128));
    set("smbd, h3,ksmbd");
    const read = (): string => String(Buffer.from(quic.getsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN)));
    assert.equal(read(), "smbd,h3,ksmbd");
    await quic.bind(sd, { address: HOST, port: 0 });
    await quic.listen(sd, 1);
    assert.throws(() => set("other"), hasCode("EINVAL"));
    assert.equal(read(), "smbd,h3,ksmbd");
    quic.close(sd);
  });

  test("CONFIG 0 keeps, and congestion control, first RTT and keep-alive reach the connection", () =>
    live({ client: [config({ congestion_control_algo: 1 }), config({ initial_smoothed_rtt: 5000 })] }, async (both) => {
      const bytes = quic.getsockopt(both.client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONFIG);
      const { congestion_control_algo, initial_smoothed_rtt } = quic.structs.config.decode(bytes);
      assert.deepEqual([congestion_control_algo, initial_smoothed_rtt], [1, 5000]);
      assert.ok(await echoes(both, "cubic"));
    }));
});

describe("addresses", () => {
  test("bind to a multicast address, of the other family or to none is EINVAL", async () => {
    const four = quic.socket(quic.AF_INET, quic.SOCK_STREAM);
    for (const address of ["224.0.0.1", "::1", "example.org", ""]) {
      await assert.rejects(quic.bind(four, { address, port: 0 }), hasCode("EINVAL"), address);
    }
    const six = quic.socket(quic.AF_INET6, quic.SOCK_DGRAM);
    await assert.rejects(quic.bind(six, { address: "ff02::1", port: 0 }), hasCode("EINVAL"));
    for (const sd of [four, six]) quic.close(sd);
  });

  test("connect to any address, multicast, port 0, or another family is EINVAL", async () => {
    const four = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    for (const [address, port] of [
      ["0.0.0.0", 1],
      ["224.0.0.1", 1],
      [HOST, 0],
      ["::1", 1],
    ] as const) {
      await assert.rejects(quic.connect(four, { address, port }), hasCode("EINVAL"), address);
    }
    const six = quic.socket(quic.AF_INET6, quic.SOCK_DGRAM);
    quic.setsockopt(six, quic.IPPROTO_IPV6, quic.IPV6_V6ONLY, 1);
    for (const address of ["::", HOST])
      await assert.rejects(quic.connect(six, { address, port: 1 }), hasCode("EINVAL"));
    for (const sd of [four, six]) quic.close(sd);
  });

  test("an IPv6 socket speaks IPv4, too, and its names are plain IPv4 then", async () => {
    const listener = quic.socket(quic.AF_INET6, quic.SOCK_DGRAM);
    quic.setsockopt(listener, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "sample");
    await quic.bind(listener, { address: "::", port: 0 });
    await quic.listen(listener, 1);
    const { port } = quic.getsockname(listener);
    const client = quic.socket(quic.AF_INET6, quic.SOCK_DGRAM);
    quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "sample");
    await quic.connect(client, { address: HOST, port });
    const handshake = quic.quic_client_handshake(client, CLIENT);
    const server = await promises.accept(listener);
    await Promise.all([handshake, quic.quic_server_handshake(server, SERVER)]);
    const names = [
      quic.getsockname(client),
      quic.getpeername(client),
      quic.getsockname(server),
      quic.getpeername(server),
    ];
    assert.deepEqual(
      names.map(({ family }) => family),
      Array(4).fill("ipv4"),
    );
    assert.equal(quic.getpeername(client).address, HOST);
    assert.equal(quic.getsockname(client).port, quic.getpeername(server).port);
    for (const sd of [client, server, listener]) quic.close(sd);
  });
});

describe("listen and close", () => {
  test("listen(0) ends it, and is EINVAL where nothing listens; the backlog may change", async () => {
    const sd = await listening("one");
    await quic.listen(sd, 1);
    await quic.listen(sd, 0);
    await assert.rejects(quic.listen(sd, 0), hasCode("EINVAL"));
    assert.throws(() => quic.accept(sd), hasCode("EINVAL"));
    await quic.listen(sd, 2);
    assert.equal(quic.poll(sd), 0);
    quic.close(sd);
  });

  test("a full backlog refuses: the client's handshake is ECONNREFUSED", async () => {
    const listener = await listening("one");
    await quic.listen(listener, 1);
    const { port } = quic.getsockname(listener);
    const clients: number[] = [];
    const attempts = [0, 1].map(async () => {
      const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
      clients.push(sd);
      quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "one");
      await quic.connect(sd, { address: HOST, port });
      return quic.quic_client_handshake(sd, { ...CLIENT, timeoutMillis: 1000 }).then(
        () => "",
        (error: { code: string }) => error.code,
      );
    });
    assert.ok((await Promise.all(attempts)).includes("ECONNREFUSED"));
    for (const sd of [...clients, listener]) quic.close(sd);
  });

  test("shutdown: a how that is none is EINVAL, SHUT_WR may be repeated, SHUT_RD ends in silence", () =>
    live({}, async ({ client, server }) => {
      assert.throws(() => quic.shutdown(client, 3), hasCode("EINVAL"));
      const waiting = promises.recvmsg(client, 10);
      quic.shutdown(client, quic.SHUT_WR);
      await assert.rejects(waiting, hasCode("ENOTCONN"), "a blocked call wakes");
      quic.shutdown(client, quic.SHUT_WR);
      quic.shutdown(client, quic.SHUT_RDWR);
      assert.throws(() => quic.shutdown(client, quic.SHUT_RD), hasCode("ENOTCONN"));
      await assert.rejects(promises.recvmsg(server, 10), hasCode("ENOTCONN"));
      assert.throws(() => quic.shutdown(server, quic.SHUT_WR), hasCode("ENOTCONN"));
    }));

  test("a datagram that is larger than SO_SNDBUF is EMSGSIZE", () => {
    const { client } = new SocketPair();
    client.sendBufferBytes = 500;
    const flags = n.MSG_QUIC_DATAGRAM;
    assert.equal(sendPlain(client, { data: new Uint8Array(501), flags }), "EMSGSIZE");
    assert.equal(sendPlain(client, { data: new Uint8Array(500), flags }), 500);
  });

  test("max_idle_timeout is the smaller of both sides'", () =>
    live({ server: [params({ max_idle_timeout: 1_000_000 })] }, async ({ client, server }) => {
      const event = eventOption.encode({ type: quic.QUIC_EVENT_CONNECTION_CLOSE, on: 1 });
      quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_EVENT, event);
      const before = performance.now();
      const { data } = await promises.recvmsg(client, 100);
      assert.ok(performance.now() - before > 500);
      assert.deepEqual([data[0], data.subarray(1).some((byte) => byte !== 0)], [5, false]);
      await assert.rejects(promises.recvmsg(server, 1), hasCode("ENOTCONN"));
      assert.equal(quic.poll(server) & quic.POLLHUP, quic.POLLHUP);
    }));

  test("connectionIdBytes is of the port: 4 to 20, and the same for all that name it; a quic host wants 8", async () => {
    const bind = (options: object): Promise<number> => {
      const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
      return quic.bind(sd, { address: HOST, port: 0, ...options }).then(
        () => sd,
        (error: unknown) => {
          quic.close(sd);
          throw error;
        },
      );
    };
    for (const connectionIdBytes of [3, 21, 4.5]) {
      await assert.rejects(bind({ connectionIdBytes }), hasCode("EINVAL"), `${connectionIdBytes}`);
    }
    await assert.rejects(bind({ connectionIdBytes: 4, host: "/nonexistent/host.sock" }), hasCode("EINVAL"));
    await assert.rejects(bind({ connectionIdBytes: 8, host: "/nonexistent/host.sock" }), hasCode("ENOENT"));
    const first = await bind({ connectionIdBytes: 20 });
    const { port } = quic.getsockname(first);
    await assert.rejects(bind({ port, connectionIdBytes: 8 }), hasCode("EINVAL"));
    const others = [await bind({ port, connectionIdBytes: 20 }), await bind({ port })];
    assert.equal(fileOf(first, "test").port?.host?.endpoint.newCid().length, 20);
    for (const sd of [first, ...others]) quic.close(sd);
    const again = await bind({ port, connectionIdBytes: 4 });
    assert.equal(fileOf(again, "test").port?.host?.endpoint.newCid().length, 4);
    quic.close(again);
  });

  test("a socket that is closed while its port is opened is EBADF, and gives the port back", async () => {
    const probe = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    await quic.bind(probe, { address: HOST, port: 0 });
    const { port } = quic.getsockname(probe);
    quic.close(probe);
    const calls = [
      (sd: number) => quic.bind(sd, { address: HOST, port }),
      (sd: number) => quic.listen(sd, 1),
      (sd: number) => quic.connect(sd, { address: HOST, port }),
    ];
    for (const call of calls) {
      const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
      const pending = call(sd);
      quic.close(sd);
      await assert.rejects(pending, hasCode("EBADF"));
    }
    const other = createSocket("udp4").bind(port, HOST);
    await once(other, "listening");
    other.close();
  });

  test("when the UDP socket of a port breaks, calls that wait there end", async () => {
    await live({}, async ({ listener, client, server }) => {
      const accepting = assert.rejects(promises.accept(listener), hasCode("EINVAL"));
      const receiving = assert.rejects(promises.recvmsg(server, 10), hasCode("ENOTCONN"));
      const { port } = fileOf(listener, "test");
      port?.onError();
      await Promise.all([accepting, receiving]);
      assert.equal(quic.poll(server) & quic.POLLHUP, quic.POLLHUP);
      assert.equal(quic.poll(client), quic.POLLOUT);
      port?.host?.close();
    });
  });

  test("values of level SOL_SOCKET are Linux's int: 2^31 is EINVAL", () => {
    const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    for (const name of [quic.SO_RCVTIMEO, quic.SO_SNDTIMEO, quic.SO_RCVBUF, quic.SO_SNDBUF]) {
      assert.throws(() => quic.setsockopt(sd, quic.SOL_SOCKET, name, 2 ** 31), hasCode("EINVAL"));
      quic.setsockopt(sd, quic.SOL_SOCKET, name, 2 ** 31 - 1);
    }
    quic.close(sd);
  });

  test("an odd SO_RCVBUF makes no window of half a byte", async () => {
    const listener = await listening("sample");
    const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    quic.setsockopt(sd, quic.SOL_SOCKET, quic.SO_RCVBUF, 300_001);
    await quic.connect(sd, { address: HOST, port: quic.getsockname(listener).port });
    assert.equal(fileOf(sd, "test").conn?.config.streamWindowMaxBytes, 150_000);
    for (const each of [sd, listener]) quic.close(each);
  });
});
