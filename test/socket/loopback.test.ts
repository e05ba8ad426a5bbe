/** `netquic/socket` over real UDP and real TLS: the calls, waiting, one port for several programs' protocols. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as quic from "#src/api/socket/index.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { freeUdpPort } from "../support/ports.js";

const { promises, structs } = quic;
const { cert, key } = devCertificate({ hosts: ["localhost", "127.0.0.1", "::1"], days: 1 });
const HOST = "127.0.0.1";

/** A listening socket with this ALPN list. */
async function listener(
  alpn: string,
  port = 0,
  options: [level: number, name: number, value: number][] = [],
): Promise<number> {
  const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
  for (const [level, name, value] of options) quic.setsockopt(sd, level, name, value);
  quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, alpn);
  try {
    await quic.bind(sd, { address: HOST, port });
    await quic.listen(sd, 16);
  } catch (error) {
    quic.close(sd);
    throw error;
  }
  return sd;
}

async function connected(port: number, alpn: string): Promise<number> {
  const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
  quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, alpn);
  try {
    await quic.connect(sd, { address: HOST, port });
    await quic.quic_client_handshake(sd, { serverName: "localhost", ca: [cert] });
  } catch (error) {
    quic.close(sd);
    throw error;
  }
  return sd;
}

/** Accepts one connection and does its handshake. */
async function served(sd: number): Promise<number> {
  const child = await promises.accept(sd);
  await quic.quic_server_handshake(child, { cert, key });
  return child;
}

interface Both {
  listening: number;
  client: number;
  server: number;
}

async function withBoth(use: (both: Both) => Promise<void>, alpn = "sample"): Promise<void> {
  const listening = await listener(alpn);
  const [client, server] = await Promise.all([connected(quic.getsockname(listening).port, alpn), served(listening)]);
  try {
    await use({ listening, client, server });
  } finally {
    for (const sd of [client, server, listening]) quic.close(sd);
  }
}

function stream(stream_id: number, stream_flags: number): { stream_id: number; stream_flags: number } {
  return { stream_id, stream_flags };
}

const NEW = quic.MSG_QUIC_STREAM_NEW;
const FIN = quic.MSG_QUIC_STREAM_FIN;

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => (error as { code?: string }).code === code;
}

describe("a connection", () => {
  test("an echo: stream by cmsg, FIN, and the ALPN that was chosen", () =>
    withBoth(async ({ client, server }) => {
      assert.equal(
        await promises.sendmsg(client, { data: Buffer.from("hello"), flags: 0, stream: stream(0, NEW | FIN) }),
        5,
      );
      const request = await promises.recvmsg(server, 100);
      assert.deepEqual([String(Buffer.from(request.data)), request.stream], ["hello", stream(0, FIN)]);
      await promises.sendmsg(server, { data: request.data, flags: 0, stream: stream(0, FIN) });
      const answer = await promises.recvmsg(client, 100);
      assert.deepEqual([String(Buffer.from(answer.data)), answer.stream], ["hello", stream(0, FIN)]);
      const alpn = quic.getsockopt(server, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN);
      assert.equal(String(Buffer.from(alpn)), "sample");
      assert.equal(quic.getpeername(server).port, quic.getsockname(client).port);
    }));

  test("8 MiB in one awaited sendmsg arrive whole, whatever the reader's buffer", () =>
    withBoth(async ({ client, server }) => {
      const data = Buffer.alloc(8 * 2 ** 20, "netquic!");
      const sending = promises.sendmsg(client, { data, flags: 0, stream: stream(2, NEW | FIN) });
      const parts: Uint8Array[] = [];
      for (let fin = 0; fin === 0; ) {
        const message = await promises.recvmsg(server, 70_000);
        parts.push(message.data);
        fin = (message.stream?.stream_flags ?? 0) & FIN;
      }
      assert.equal(await sending, data.length);
      assert.ok(Buffer.concat(parts).equals(data));
    }));

  test("what would wait is EAGAIN; SO_RCVTIMEO and an AbortSignal end a wait", () =>
    withBoth(async ({ client, listening }) => {
      assert.throws(() => quic.recvmsg(client, 100), hasCode("EAGAIN"));
      assert.throws(() => quic.accept(listening), hasCode("EAGAIN"));
      quic.setsockopt(client, quic.SOL_SOCKET, quic.SO_RCVTIMEO, 20);
      await assert.rejects(promises.recvmsg(client, 100), hasCode("EAGAIN"));
      const controller = new AbortController();
      const waiting = promises.accept(listening, { signal: controller.signal });
      controller.abort();
      await assert.rejects(waiting, { name: "AbortError" });
    }));

  test("close says code and phrase, once what was queued has arrived", () =>
    withBoth(async ({ listening }) => {
      const [client, server] = await Promise.all([
        connected(quic.getsockname(listening).port, "sample"),
        served(listening),
      ]);
      quic.setsockopt(server, quic.SOL_QUIC, quic.QUIC_SOCKOPT_EVENT, structs.eventOption.encode({ type: 5, on: 1 }));
      const value = structs.connectionClose.encode({ errcode: 10, phrase: Buffer.from("this is app err") });
      quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONNECTION_CLOSE, value);
      quic.sendmsg(client, { data: Buffer.alloc(200_000, 1), flags: 0, stream: stream(0, NEW | FIN) });
      quic.close(client);
      assert.throws(() => quic.recvmsg(client, 1), hasCode("EBADF"));
      let bytes = 0;
      let errcode = -1;
      while (errcode < 0) {
        const { data, flags } = await promises.recvmsg(server, 65_536);
        if ((flags & quic.MSG_QUIC_NOTIFICATION) !== 0)
          errcode = structs.connectionClose.decode(data.subarray(1)).errcode;
        else bytes += data.length;
      }
      while ((quic.poll(server) & quic.POLLHUP) !== 0) {
        try {
          bytes += quic.recvmsg(server, 65_536).data.length;
        } catch (error) {
          assert.ok(hasCode("ENOTCONN")(error));
          break;
        }
      }
      assert.deepEqual([errcode, bytes], [10, 200_000]);
      assert.throws(() => quic.send(server, Buffer.from("x")), hasCode("EPIPE"));
      quic.close(server);
    }));

  test("a client moves to another port: both sides are told, and data goes on", () =>
    withBoth(async ({ client, server }) => {
      const want = structs.eventOption.encode({ type: quic.QUIC_EVENT_CONNECTION_MIGRATION, on: 1 });
      for (const sd of [client, server]) quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_EVENT, want);
      const before = quic.getsockname(client).port;
      const port = await freeUdpPort(HOST);
      // it may move when the server has confirmed the handshake: an answer from there says so
      await promises.sendmsg(server, { data: Buffer.from("hello"), flags: 0, stream: stream(3, NEW) });
      assert.equal((await promises.recvmsg(client, 10)).data.length, 5);
      const row = new Int32Array(10);
      row.set([0, 0, 0xffff, 0x7f000001, port]);
      const move = (): void =>
        quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONNECTION_MIGRATION, quic.sockaddrOfRow(row));
      move();
      assert.deepEqual([...(await promises.recvmsg(client, 10)).data], [quic.QUIC_EVENT_CONNECTION_MIGRATION, 1]);
      assert.equal(quic.getsockname(client).port, port);
      assert.notEqual(port, before);
      assert.throws(move, hasCode("EINVAL"));
      await promises.sendmsg(client, { data: Buffer.from("moved"), flags: 0, stream: stream(0, NEW) });
      const told = [await promises.recvmsg(server, 10), await promises.recvmsg(server, 10)];
      const events = told.filter(({ flags }) => (flags & quic.MSG_QUIC_NOTIFICATION) !== 0);
      assert.deepEqual(
        events.map(({ data }) => [...data]),
        [[quic.QUIC_EVENT_CONNECTION_MIGRATION, 0]],
      );
      assert.equal(quic.getpeername(server).port, port);
    }));
});

describe("one port, several listeners", () => {
  test("clients go by ALPN to smbd, h3 and ksmbd; an overlapping list is EADDRINUSE; a closed one frees its name", async () => {
    const smbd = await listener("smbd");
    const { port } = quic.getsockname(smbd);
    const h3 = await listener("h3", port);
    const ksmbd = await listener("ksmbd,smb", port);
    await assert.rejects(listener("smb,other", port), hasCode("EADDRINUSE"));
    const names = { smbd, h3, ksmbd };
    for (const [alpn, sd] of Object.entries(names)) {
      const [client, server] = await Promise.all([connected(port, alpn), served(sd)]);
      quic.close(client);
      quic.close(server);
      for (const other of Object.values(names)) assert.throws(() => quic.accept(other), hasCode("EAGAIN"));
    }
    await assert.rejects(connected(port, "nobody"), (error: unknown) => {
      assert.match(String(error), /no_application_protocol/);
      return true;
    });
    quic.close(h3);
    await assert.rejects(connected(port, "h3"), /no_application_protocol/);
    const again = await listener("h3", port);
    for (const sd of [smbd, ksmbd, again]) quic.close(sd);
  });

  test("REUSEPORT members share one list", async () => {
    const reuse: [number, number, number][] = [[quic.SOL_SOCKET, quic.SO_REUSEPORT, 1]];
    const one = await listener("a", 0, reuse);
    const { port } = quic.getsockname(one);
    const two = await listener("a", port, reuse);
    await assert.rejects(listener("a", port), hasCode("EADDRINUSE"));
    const counts = [0, 0];
    const serveAll = async (sd: number, which: number): Promise<void> => {
      for (;;) {
        quic.close(await served(sd));
        counts[which] = (counts[which] as number) + 1;
      }
    };
    const serving = [one, two].map((sd, which) => assert.rejects(serveAll(sd, which), hasCode("EBADF")));
    for (let i = 0; i < 12; i++) quic.close(await connected(port, "a"));
    for (const sd of [one, two]) quic.close(sd);
    await Promise.all(serving);
    assert.ok(Math.min(...counts) > 0, `${counts.join()}`);
    assert.equal(counts[0] + counts[1], 12);
  });
});

describe("calls that are wrong", () => {
  test("say so as Linux does", async () => {
    assert.throws(() => quic.socket(1, quic.SOCK_DGRAM), hasCode("EAFNOSUPPORT"));
    assert.throws(() => quic.socket(quic.AF_INET, quic.SOCK_DGRAM, 17), hasCode("EPROTONOSUPPORT"));
    assert.throws(() => quic.close(99), hasCode("EBADF"));
    const sd = quic.socket(quic.AF_INET, quic.SOCK_STREAM);
    await assert.rejects(quic.listen(sd, 0), hasCode("EINVAL"));
    await assert.rejects(quic.connect(sd, { address: HOST, port: 0 }), hasCode("EINVAL"));
    await assert.rejects(quic.bind(sd, { address: "::1", port: 0 }), hasCode("EINVAL"));
    assert.throws(() => quic.accept(sd), hasCode("EINVAL"));
    assert.throws(() => quic.send(sd, Buffer.from("x")), hasCode("EPIPE"));
    assert.throws(() => quic.recv(sd, 1), hasCode("ENOTCONN"));
    assert.throws(() => quic.getpeername(sd), hasCode("ENOTCONN"));
    assert.throws(() => quic.shutdown(sd, quic.SHUT_RDWR), hasCode("ENOTCONN"));
    assert.throws(() => quic.setsockopt(sd, quic.SOL_QUIC, 16, new Uint8Array(1)), hasCode("ENOPROTOOPT"));
    assert.throws(() => quic.getsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_KEY_UPDATE), hasCode("ENOPROTOOPT"));
    assert.throws(() => quic.setsockopt(sd, quic.SOL_QUIC, 8, new Uint8Array(4097)), hasCode("EINVAL"));
    await quic.bind(sd, { address: HOST, port: 0 });
    await assert.rejects(quic.bind(sd, { address: HOST, port: 0 }), hasCode("EINVAL"));
    quic.close(sd);
  });

  test("a server that never answers: the handshake ends with ETIMEDOUT", async () => {
    const listening = await listener("slow");
    const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "slow");
    await quic.connect(sd, { address: HOST, port: quic.getsockname(listening).port });
    const options = { serverName: "localhost", ca: [cert], timeoutMillis: 100 };
    await assert.rejects(quic.quic_client_handshake(sd, options), hasCode("ETIMEDOUT"));
    for (const each of [sd, listening]) quic.close(each);
  });
});
