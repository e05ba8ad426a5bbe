/** What a socket holds unread is bounded, and nothing is lost by that but datagrams. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connectionConfig } from "#src/api/socket/connection-config.js";
import { fileOf } from "#src/api/socket/descriptors.js";
import * as quic from "#src/api/socket/index.js";
import { MAX_SOCKET_EVENTS, MAX_SOCKET_HANDSHAKE_BYTES } from "#src/proto/limits.js";
import { CRYPTO_BUFFER_EXCEEDED } from "#src/proto/transport-error.js";
import * as n from "#src/socket/numbers.js";
import { QuicSock } from "#src/socket/sock.js";
import { eventOption, streamUpdate } from "#src/socket/structs.js";
import { CLIENT, connecting, hasCode, HOST, listening, live, params, SERVER } from "./live.js";
import { receive, receiveAll, send, sendPlain, setOption, SocketPair } from "./support.js";

const NEW_FIN = n.MSG_QUIC_STREAM_NEW | n.MSG_QUIC_STREAM_FIN;

describe("events", () => {
  test("section 0, row 12: beyond MAX_SOCKET_EVENTS the peer gets no more streams, and no event is lost", () => {
    const sockets = new SocketPair();
    const { client, server } = sockets;
    setOption(server, n.QUIC_SOCKOPT_EVENT, eventOption.encode({ type: n.QUIC_EVENT_STREAM_UPDATE, on: 1 }));
    let opened = 0;
    const openAll = (): void => {
      for (let before = -1; before !== opened; sockets.settle()) {
        before = opened;
        while (opened < 4000 && send(client, "x", 4 * opened + 2, NEW_FIN) === 1) opened++;
        // the data is read, so that its streams end; events are not
        sockets.settle();
        const transport = server.attached?.transport;
        for (let item = server.list.data[0]; item !== undefined; item = server.list.data[0]) {
          if (item.kind === "stream") {
            transport?.read(item.id, new Uint8Array(1), 0, 1);
            transport?.atEnd(item.id);
          }
          server.list.dropData();
        }
      }
    };
    openAll();
    const perStream = 2; // RECV and RECVD
    assert.ok(opened >= MAX_SOCKET_EVENTS / perStream, `${opened} streams`);
    assert.ok(opened <= MAX_SOCKET_EVENTS / perStream + 100, `${opened} streams: those that it had may still come`);
    assert.equal(send(client, "x", 4 * opened + 2, NEW_FIN), "EAGAIN");
    const seen = new Set<number>();
    while (server.list.firstEvent() !== null) seen.add(streamUpdate.decode(receive(server).data.subarray(1)).id);
    assert.equal(seen.size, opened);
    sockets.settle();
    assert.equal(send(client, "x", 4 * opened + 2, NEW_FIN), 1, "who reads its events gets streams again");
  });
});

describe("datagrams", () => {
  test("what SO_RCVBUF does not hold is dropped, the newest first; reading makes room", () => {
    const sockets = new SocketPair();
    const { client, server } = sockets;
    server.receiveBufferBytes = 3 * (1000 + 256);
    const datagram = (fill: number): unknown =>
      sendPlain(client, { data: new Uint8Array(1000).fill(fill), flags: n.MSG_QUIC_DATAGRAM });
    for (const fill of [97, 98, 99, 100]) {
      datagram(fill);
      sockets.settle();
    }
    const fills = (): string[] => receiveAll(server).map((one) => one.at(-1) ?? "");
    assert.deepEqual(fills(), ["a", "b", "c"]);
    datagram(101);
    sockets.settle();
    assert.deepEqual(fills(), ["e"]);
  });
});

describe("TLS messages", () => {
  test("more than MAX_SOCKET_HANDSHAKE_BYTES that nobody reads end the connection", () => {
    const { client } = new SocketPair();
    const code = (): bigint | undefined => client.attached?.transport.closeInfo?.code;
    client.onHandshakeMessage(n.QUIC_CRYPTO_HANDSHAKE, new Uint8Array(MAX_SOCKET_HANDSHAKE_BYTES - 1));
    client.onHandshakeMessage(n.QUIC_CRYPTO_HANDSHAKE, new Uint8Array(1));
    assert.equal(code(), undefined);
    assert.equal(receive(client, MAX_SOCKET_HANDSHAKE_BYTES).data.length, MAX_SOCKET_HANDSHAKE_BYTES - 1);
    client.onHandshakeMessage(n.QUIC_CRYPTO_HANDSHAKE, new Uint8Array(MAX_SOCKET_HANDSHAKE_BYTES - 1));
    assert.equal(code(), undefined);
    client.onHandshakeMessage(n.QUIC_CRYPTO_HANDSHAKE, new Uint8Array(1));
    assert.equal(code(), BigInt(CRYPTO_BUFFER_EXCEEDED));
  });
});

describe("SO_RCVBUF and SO_SNDBUF", () => {
  const number = (sd: number, name: number): number =>
    Buffer.from(quic.getsockopt(sd, quic.SOL_SOCKET, name)).readInt32LE();

  test("are four times max_data, and 1 MiB at least, until they are set; accepted sockets inherit them", () =>
    live(
      {
        server: [params({ max_data: 400_000 })],
        serverHandshake: (sd) => {
          assert.deepEqual([number(sd, quic.SO_RCVBUF), number(sd, quic.SO_SNDBUF)], [1_600_000, 2 ** 20]);
          return quic.quic_server_handshake(sd, SERVER);
        },
      },
      () => {},
    ));

  test("what is set on a listener holds on what it accepts, with timeouts, events and ALPN", async () => {
    const listener = await listening("one,two");
    const set = [
      [quic.SO_RCVBUF, 300_000],
      [quic.SO_SNDBUF, 50_000],
      [quic.SO_RCVTIMEO, 70],
      [quic.SO_SNDTIMEO, 80],
    ] as const;
    for (const [name, value] of set) quic.setsockopt(listener, quic.SOL_SOCKET, name, value);
    const event = quic.structs.eventOption.encode({ type: quic.QUIC_EVENT_KEY_UPDATE, on: 1 });
    quic.setsockopt(listener, quic.SOL_QUIC, quic.QUIC_SOCKOPT_EVENT, event);
    const client = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "two");
    await quic.connect(client, { address: HOST, port: quic.getsockname(listener).port });
    const connecting = quic.quic_client_handshake(client, CLIENT);
    quic.setsockopt(listener, quic.SOL_SOCKET, quic.SO_RCVTIMEO, 0);
    const child = await quic.promises.accept(listener);
    assert.deepEqual(
      set.map(([name]) => number(child, name)),
      [300_000, 50_000, 0, 80],
    );
    assert.deepEqual(quic.getsockopt(child, quic.SOL_QUIC, quic.QUIC_SOCKOPT_EVENT, event), event);
    assert.equal(String(Buffer.from(quic.getsockopt(child, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN))), "one,two");
    await Promise.all([connecting, quic.quic_server_handshake(child, SERVER)]);
    const stream = { stream_id: 1, stream_flags: quic.MSG_QUIC_STREAM_NEW };
    assert.equal(quic.sendmsg(child, { data: Buffer.alloc(80_000), flags: 0, stream }), 50_000);
    for (const sd of [client, child, listener]) quic.close(sd);
  });

  test("SO_RCVBUF bounds how far receive windows grow with use, one stream's to half of it", () => {
    const sock = new QuicSock();
    assert.equal(connectionConfig(sock).connWindowMaxBytes, undefined);
    sock.receiveBufferBytes = 500_000;
    const { connWindowMaxBytes, streamWindowMaxBytes } = connectionConfig(sock);
    assert.deepEqual([connWindowMaxBytes, streamWindowMaxBytes], [500_000, 250_000]);
  });

  test("SO_RCVBUF and windows of a socket that has a connection already count until its handshake begins", async () => {
    const furthest = (sd: number, id?: number): number | undefined => {
      const streams = fileOf(sd, "test").conn?.streams;
      const credit = id === undefined ? streams?.recvCredit : streams?.get(id)?.recv?.credit;
      credit?.widen(2 ** 40);
      return credit?.windowBytes;
    };
    const begin = (sd: number, bytes: number): void => {
      const [name, value] = params({ max_data: 50_000, max_stream_data_uni: 5000 });
      quic.setsockopt(sd, quic.SOL_QUIC, name, value);
      quic.setsockopt(sd, quic.SOL_SOCKET, quic.SO_RCVBUF, bytes);
      assert.equal(furthest(sd), bytes);
    };
    const handshakes = {
      clientHandshake: (sd: number) => {
        begin(sd, 2 ** 26);
        begin(sd, 400_000);
        return quic.quic_client_handshake(sd, CLIENT);
      },
      serverHandshake: (sd: number) => {
        begin(sd, 300_000);
        return quic.quic_server_handshake(sd, SERVER);
      },
    };
    await live(handshakes, async ({ client, server }) => {
      const stream = { stream_id: 2, stream_flags: quic.MSG_QUIC_STREAM_NEW };
      await quic.promises.sendmsg(client, { data: Buffer.alloc(1000), flags: 0, stream });
      await quic.promises.poll(server, quic.POLLIN);
      assert.equal(furthest(server, 2), 150_000);
      quic.setsockopt(server, quic.SOL_SOCKET, quic.SO_RCVBUF, 100_000);
      assert.deepEqual([furthest(client), furthest(server)], [400_000, 300_000]);
    });
  });

  test("negative, fractional and unknown ones are refused", () => {
    const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    for (const value of [-1, 0.5, Number.NaN]) {
      assert.throws(() => quic.setsockopt(sd, quic.SOL_SOCKET, quic.SO_RCVBUF, value), hasCode("EINVAL"));
    }
    assert.throws(() => quic.setsockopt(sd, quic.SOL_SOCKET, 99, 1), hasCode("ENOPROTOOPT"));
    quic.close(sd);
  });
});

describe("options of levels other than SOL_QUIC", () => {
  const read = (sd: number, name: number): number =>
    Buffer.from(quic.getsockopt(sd, quic.SOL_SOCKET, name)).readInt32LE();

  test("say what a socket is, and cannot be set", () =>
    live({}, ({ listener, client, server }) => {
      for (const sd of [listener, client, server]) {
        const names = [quic.SO_DOMAIN, quic.SO_TYPE, quic.SO_PROTOCOL, quic.SO_ACCEPTCONN];
        const expected = [quic.AF_INET, quic.SOCK_DGRAM, quic.IPPROTO_QUIC, Number(sd === listener)];
        assert.deepEqual(
          names.map((name) => read(sd, name)),
          expected,
        );
        for (const name of names) {
          assert.throws(() => quic.setsockopt(sd, quic.SOL_SOCKET, name, 1), hasCode("ENOPROTOOPT"));
        }
      }
      const stream = quic.socket(quic.AF_INET6, quic.SOCK_STREAM);
      assert.deepEqual([read(stream, quic.SO_DOMAIN), read(stream, quic.SO_TYPE)], [quic.AF_INET6, quic.SOCK_STREAM]);
      quic.close(stream);
    }));

  test("SO_REUSEADDR is kept, and inherited", async () => {
    await live({ server: [] }, async ({ listener, server }) => {
      assert.equal(read(server, quic.SO_REUSEADDR), 0);
      quic.setsockopt(listener, quic.SOL_SOCKET, quic.SO_REUSEADDR, 1);
      const client = await connecting(quic.getsockname(listener).port, "sample");
      const handshake = quic.quic_client_handshake(client, CLIENT);
      const child = await quic.promises.accept(listener);
      await Promise.all([handshake, quic.quic_server_handshake(child, SERVER)]);
      assert.equal(read(child, quic.SO_REUSEADDR), 1);
      for (const sd of [client, child]) quic.close(sd);
    });
  });

  test("those that are elsewhere, or not there: ENOPROTOOPT for each", () => {
    const sd = quic.socket(quic.AF_INET6, quic.SOCK_DGRAM);
    const [ip, soBindToDevice, ipTos, ipTtl, ipv6Tclass, ipv6UnicastHops] = [0, 25, 1, 2, 67, 16];
    for (const [level, name] of [
      [quic.SOL_SOCKET, soBindToDevice],
      [ip, ipTos],
      [ip, ipTtl],
      [quic.IPPROTO_IPV6, ipv6Tclass],
      [quic.IPPROTO_IPV6, ipv6UnicastHops],
      [17, 1],
    ] as const) {
      assert.throws(() => quic.setsockopt(sd, level, name, "lo"), hasCode("ENOPROTOOPT"), `${level} ${name}`);
      assert.throws(() => quic.setsockopt(sd, level, name, 1), hasCode("ENOPROTOOPT"), `${level} ${name}`);
      assert.throws(() => quic.getsockopt(sd, level, name), hasCode("ENOPROTOOPT"), `${level} ${name}`);
    }
    quic.close(sd);
  });
});

describe("values of options", () => {
  test("shorter structs keep what they do not reach, longer ones are cut, and 4096 bytes are the most", () => {
    const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    const config = quic.structs.config.encode({ congestion_control_algo: 1, keepalive_probe_interval: 2_000_000 });
    const setConfig = (value: Uint8Array): void => quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONFIG, value);
    const read = (): ReturnType<typeof quic.structs.config.decode> =>
      quic.structs.config.decode(quic.getsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONFIG));
    setConfig(config.subarray(0, 17)); // up to congestion_control_algo
    assert.deepEqual([read().congestion_control_algo, read().keepalive_probe_interval], [1, 0]);
    const longer = new Uint8Array(4096).fill(0xff);
    longer.set(config);
    setConfig(longer);
    assert.equal(read().keepalive_probe_interval, 2_000_000);
    assert.throws(() => setConfig(new Uint8Array(4097)), hasCode("EINVAL"));
    assert.throws(
      () => quic.getsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONFIG, new Uint8Array(4097)),
      hasCode("EINVAL"),
    );
    quic.close(sd);
  });
});
