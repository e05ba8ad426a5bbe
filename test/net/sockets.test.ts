/** netquic/net: a socket is a stream, with the ends, errors and back-pressure that programs know of node:net. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { connect, createServer, type NetError, openSession, QuicError, type QuicSocket } from "#src/api/net/index.js";
import { makeList } from "#src/runtime/native/crl-make.contract.js";
import {
  closedBy,
  content,
  echo,
  type NetBench,
  pause,
  portOf,
  readAll,
  sha256,
  testCa,
  testLeaf,
  until,
  withNet,
} from "./support.js";
import { freeUdpPort } from "../support/ports.js";

const LARGE_BYTES = 8 * 1024 * 1024;

describe("data", () => {
  test(
    "what one end writes the other reads, both ways at once, to the last byte",
    withNet(async (bench) => {
      const server = await bench.serve(echo, { allowHalfOpen: true });
      const socket = bench.connect(server);
      const sent = content(LARGE_BYTES);
      socket.end(sent);
      const got = await readAll(socket);
      assert.equal(sha256(got), sha256(sent));
      assert.equal(socket.bytesRead, LARGE_BYTES);
      assert.equal(socket.bytesWritten, LARGE_BYTES);
    }),
  );

  test(
    "a server may speak first: the stream is known to it before the client writes",
    withNet(async (bench) => {
      const server = await bench.serve((socket) => socket.end("220 ready\r\n"));
      const socket = bench.connect(server);
      assert.equal((await readAll(socket)).toString(), "220 ready\r\n");
    }),
  );

  test(
    "text keeps its encoding, and corked writes arrive in order",
    withNet(async (bench) => {
      const { client, server } = await bench.pair();
      client.setEncoding("latin1");
      server.cork();
      server.write("c3a9", "hex");
      server.write("é", "latin1");
      server.write(Uint8Array.of(0x21));
      server.end();
      let text = "";
      for await (const part of client) text += part;
      assert.equal(text, "\u00c3\u00a9\u00e9!");
    }),
  );

  test(
    "a reader that pauses holds the writer back, within bounds",
    withNet(async (bench) => {
      const { client, server } = await bench.pair({ quic: { ext: { sendBufferBytes: 64 * 1024 } } });
      client.pause();
      let called = 0;
      const chunk = content(64 * 1024);
      for (let i = 0; i < 256; i++) server.write(chunk, () => called++);
      await pause(200);
      assert.ok(called < 200, `${called} of 256 writes were taken`);
      server.end();
      assert.equal((await readAll(client)).length, 256 * chunk.length);
      assert.equal(called, 256);
    }),
  );

  test(
    "drain comes when there is room again",
    withNet(async (bench) => {
      const { client, server } = await bench.pair();
      while (client.write(content(64 * 1024)));
      server.resume();
      await once(client, "drain");
      assert.equal(client.writableLength, 0);
    }),
  );
});

describe("ends", () => {
  test(
    "without allowHalfOpen a socket ends when its peer does",
    withNet(async (bench) => {
      const { client, server } = await bench.pair();
      client.resume();
      client.end();
      server.resume();
      const [[clientFailed], [serverFailed]] = await Promise.all([once(client, "close"), once(server, "close")]);
      assert.equal(clientFailed, false);
      assert.equal(serverFailed, false);
    }),
  );

  test(
    "with allowHalfOpen one end goes on writing after the other has ended",
    withNet(async (bench) => {
      const { client, server } = await bench.pair({ allowHalfOpen: true });
      client.end("question");
      assert.equal((await readAll(server)).toString(), "question");
      assert.equal(server.readyState, "writeOnly");
      await pause(20);
      server.end("answer");
      assert.equal((await readAll(client)).toString(), "answer");
    }),
  );

  test(
    "what was written before destroy is delivered, then comes the end",
    withNet(async (bench) => {
      const { client, server } = await bench.pair();
      const bytes = content(300_000);
      client.write(bytes, () => client.destroy());
      assert.equal(sha256(await readAll(server)), sha256(bytes));
    }),
  );

  test(
    "destroy with an error resets: the peer gets ECONNRESET with the code",
    withNet(async (bench) => {
      const { client, server } = await bench.pair();
      const closed = closedBy(client);
      const own = closedBy(server);
      server.destroy(new Error("enough"));
      const error = await closed;
      assert.equal(error.code, "ECONNRESET");
      assert.equal((error as NetError).syscall, "read");
      assert.equal((error as NetError).quicCode, 1n);
      assert.equal((await own).message, "enough");
    }),
  );

  test(
    "the errorCode of a QuicError is the code that the peer gets, from the last socket of a session, too",
    withNet(async (bench) => {
      const { client, server } = await bench.pair();
      const closed = closedBy(server);
      client.on("error", () => {});
      client.destroy(new QuicError("not today", { errorCode: 77n }));
      assert.equal(((await closed) as NetError).quicCode, 77n);
    }),
  );

  test(
    "resetAndDestroy closes without an error here, with ECONNRESET there",
    withNet(async (bench) => {
      const { client, server } = await bench.pair();
      const closed = closedBy(server);
      client.resetAndDestroy();
      const [failed] = await once(client, "close");
      assert.equal(failed, false);
      assert.equal((await closed).code, "ECONNRESET");
    }),
  );

  test(
    "bytes that destroy drops are no clean end for the peer",
    withNet(async (bench) => {
      const { client, server } = await bench.pair({}, { quic: { ext: { sendBufferBytes: 16 * 1024 } } });
      client.write(content(4 * 1024 * 1024));
      await once(server, "readable");
      client.destroy();
      await assert.rejects(readAll(server), { code: "ECONNRESET" });
    }),
  );

  test(
    "a write to a peer that is gone fails with EPIPE",
    withNet(async (bench) => {
      const { client, server } = await bench.pair({}, { allowHalfOpen: true });
      server.destroy();
      assert.equal((await readAll(client)).length, 0);
      assert.equal(client.writable, true);
      const closed = closedBy(client);
      client.write("too late");
      assert.equal((await closed).code, "EPIPE");
    }),
  );

  test(
    "a session that is lost closes all of its sockets with ECONNRESET",
    withNet(async (bench) => {
      const ends: string[] = [];
      const server = await bench.serve((socket) => socket.on("error", ({ code }: NetError) => ends.push(code)));
      const client = bench.connect(server);
      await once(client, "connect");
      const session = client.session ?? assert.fail();
      const other = bench.connect(server, { session });
      await once(other, "connect");
      await until(() => server.sessions[0]?.sockets === 2);
      const closed = [closedBy(client), closedBy(other)];
      server.sessions[0]?.destroy(undefined, 7n);
      for (const error of await Promise.all(closed)) {
        assert.equal(error.code, "ECONNRESET");
        assert.equal((error as NetError).quicCode, 7n);
      }
      assert.deepEqual(ends, ["ECONNRESET", "ECONNRESET"]);
      assert.equal(session.destroyed, true);
    }),
  );
});

describe("connecting", () => {
  test(
    "what was written before connect is sent after it",
    withNet(async (bench) => {
      const server = await bench.serve(echo, { allowHalfOpen: true });
      const socket = bench.connect(server);
      assert.equal(socket.connecting, true);
      assert.equal(socket.readyState, "opening");
      assert.equal(socket.pending, true);
      socket.write("early ");
      socket.end("bird");
      assert.equal((await readAll(socket)).toString(), "early bird");
    }),
  );

  test(
    "a name is looked up, and told by lookup",
    withNet(async (bench) => {
      const server = await bench.serve((socket) => socket.end());
      const socket = bench.connect(server, { host: "localhost", family: 4 });
      const [error, address, family, host] = await once(socket, "lookup");
      assert.deepEqual([error, address, family, host], [null, "127.0.0.1", 4, "localhost"]);
      await once(socket, "connect");
    }),
  );

  test(
    "a name that nobody knows gives the resolver's error",
    withNet(async (bench) => {
      const lookup = (
        _host: string,
        _options: object,
        done: (error: Error, address: string, family: number) => void,
      ): void => done(Object.assign(new Error("getaddrinfo ENOTFOUND nowhere"), { code: "ENOTFOUND" }), "", 0);
      const socket = connect({ port: 1, host: "nowhere", lookup: lookup as never });
      bench.later(() => socket.destroy());
      assert.equal((await closedBy(socket)).code, "ENOTFOUND");
    }),
  );

  test(
    "a certificate that does not verify fails the connect, and is reported when that is asked for",
    withNet(async (bench) => {
      const server = await bench.serve((socket) => socket.resume());
      const strict = connect({ port: portOf(server), host: "127.0.0.1" });
      assert.equal((await closedBy(strict)).code, "ERR_QUIC_HANDSHAKE");
      const lax = bench.connect(server, { ca: undefined, rejectUnauthorized: false });
      await once(lax, "secureConnect");
      assert.equal(lax.authorized, false);
      assert.match(lax.authorizationError ?? "", /[A-Z_]+/);
      const crl = makeList({ issued: testLeaf().cert, key: testCa().key, revoked: [testLeaf().cert] });
      assert.match((await closedBy(bench.connect(server, { crl }))).message, /CERT_REVOKED/);
    }),
  );

  test(
    "nobody there: ETIMEDOUT with address and port after the handshake timeout",
    withNet(async (bench) => {
      const socket = connect({ port: 9, host: "127.0.0.1", quic: { handshakeTimeout: 200 } });
      bench.later(() => socket.destroy());
      const error = (await closedBy(socket)) as Error & { address?: string; port?: number; syscall?: string };
      assert.match((error as { code?: string }).code ?? "", /ETIMEDOUT|ECONNREFUSED/);
      assert.deepEqual([error.syscall, error.address, error.port], ["connect", "127.0.0.1", 9]);
    }),
  );

  test(
    "destroy while connecting leaves nothing behind, and no error",
    withNet(async (bench) => {
      const server = await bench.serve(() => assert.fail("no socket was wanted"));
      const socket = bench.connect(server);
      await pause(1);
      socket.destroy();
      const [failed] = await once(socket, "close");
      assert.equal(failed, false);
      await pause(50);
      await until(() => server.sessions.length === 0);
    }),
  );

  test(
    "one that is destroyed while the UDP port of all is opened takes it from nobody",
    withNet(async (bench) => {
      const { cert, key } = testLeaf();
      const server = createServer({ cert, key }, (socket) => socket.end("here")).listen(0, "::1");
      await once(server, "listening");
      bench.later(() => server.close());
      // nothing else in this file connects by IPv6, so that there is no port yet
      const options = { port: portOf(server), host: "::1", ca: testCa().cert };
      const first = connect(options);
      connect(options).destroy();
      assert.equal((await readAll(first)).toString(), "here");
    }),
  );

  test(
    "an AbortSignal ends it with AbortError",
    withNet(async (bench) => {
      const server = await bench.serve((socket) => socket.resume());
      const abort = new AbortController();
      const socket = bench.connect(server, { signal: abort.signal });
      await once(socket, "connect");
      const closed = closedBy(socket);
      abort.abort();
      assert.equal((await closed).name, "AbortError");
    }),
  );

  test(
    "what is known of the handshake is told as by tls.TLSSocket",
    withNet(async (bench) => {
      const { client, server } = await bench.pair({ alpn: ["b", "a"] }, { ALPNProtocols: ["a"] });
      assert.equal(client.encrypted, true);
      assert.equal(client.authorized, true);
      assert.equal(client.authorizationError, null);
      assert.equal(client.alpnProtocol, "a");
      assert.equal(server.alpnProtocol, "a");
      assert.equal(server.servername, "localhost");
      assert.equal(client.getProtocol(), "TLSv1.3");
      assert.match(client.getCipher()?.name ?? "", /^TLS_/);
      const certificate = client.getPeerCertificate(true) as { fingerprint256?: string };
      assert.match(certificate.fingerprint256 ?? "", /^([0-9A-F]{2}:){31}/);
      assert.equal(client.getPeerX509Certificate()?.fingerprint256, certificate.fingerprint256);
      assert.deepEqual(server.getPeerCertificate(), {});
      assert.equal(server.authorized, false);
      assert.equal(server.remoteAddress, "127.0.0.1");
      assert.equal(server.remotePort, client.localPort);
      assert.equal(client.remotePort, server.localPort);
      assert.equal(client.remoteFamily, "IPv4");
    }),
  );
});

describe("sessions", () => {
  test(
    "many sockets share one session, which ends with the last of them",
    withNet(async (bench) => {
      const server = await bench.serve(echo, { allowHalfOpen: true });
      const first = bench.connect(server);
      await once(first, "connect");
      const session = first.session ?? assert.fail();
      const others = Array.from({ length: 20 }, () => bench.connect(server, { session }));
      others.forEach((socket, at) => socket.end(`socket ${at}`));
      const texts = await Promise.all(others.map(async (socket) => (await readAll(socket)).toString()));
      assert.deepEqual(
        texts,
        Array.from({ length: 20 }, (_, at) => `socket ${at}`),
      );
      assert.equal(server.sessions.length, 1);
      assert.equal(session.destroyed, false);
      first.end();
      await session.closed;
    }),
  );

  test(
    "a session that was opened stays without sockets, and both ends open sockets on it",
    withNet(async (bench) => {
      const server = await bench.serve((socket) => socket.end("from the server's handler"));
      const accepted = once(server, "session");
      const session = await openSession({ port: portOf(server), host: "127.0.0.1", ca: testCa().cert });
      const [other] = (await accepted) as [typeof session];
      session.on("connection", (socket: QuicSocket) => socket.end("from the client's handler"));
      assert.equal((await readAll(session.connect())).toString(), "from the server's handler");
      assert.equal((await readAll(other.connect())).toString(), "from the client's handler");
      await session.close();
      await other.closed;
    }),
  );

  test(
    "a stream of the peer that nobody takes is refused",
    withNet(async (bench) => {
      const { client, server } = await bench.pair();
      const socket = server.session?.connect() ?? assert.fail();
      bench.later(() => client.destroy());
      assert.equal((await closedBy(socket)).code, "ECONNRESET");
    }),
  );

  test(
    "a ticket of one session resumes the next",
    withNet(async (bench) => {
      const server = await bench.serve((socket) => socket.end());
      const first = bench.connect(server);
      await once(first, "connect");
      const tickets: Buffer[] = [];
      first.session?.on("session", (ticket: Buffer) => tickets.push(ticket));
      await once(first.session ?? assert.fail(), "session");
      const ticket = first.getSession();
      assert.deepEqual(ticket, tickets.at(-1));
      const second = bench.connect(server, { session: ticket });
      await once(second, "connect");
      assert.equal(second.isSessionReused(), true);
      assert.equal(first.isSessionReused(), false);
    }),
  );
});

describe("servers", () => {
  test("a server without a certificate is refused, and says which option", () => {
    assert.throws(() => createServer({}), { code: "ERR_INVALID_ARG_TYPE", message: /options\.cert/ });
    assert.throws(() => createServer({ cert: testLeaf().cert }), {
      code: "ERR_INVALID_ARG_TYPE",
      message: /options\.key/,
    });
    assert.throws(
      () => createServer({ devCertificate: true, quic: { nonsense: 1 } as never }),
      /options\.quic\.nonsense/,
    );
  });

  test(
    "a port that is taken gives EADDRINUSE as an error event",
    withNet(async (bench) => {
      const server = await bench.serve(() => {});
      const { cert, key } = testLeaf();
      const second = createServer({ cert, key }).listen(portOf(server), "127.0.0.1");
      const [error] = await once(second, "error").catch((thrown) => [thrown]);
      assert.equal((error as { code?: string }).code, "EADDRINUSE");
    }),
  );

  test(
    "what TLS does not take is an error event, and leaves no port bound",
    withNet(async () => {
      const { cert, key } = testLeaf();
      const broken = createServer({ cert, key, ciphers: "NO_SUCH_CIPHER" });
      const port = await freeUdpPort();
      const [error] = (await Promise.race([
        once(broken.listen(port, "127.0.0.1"), "error"),
        once(broken, "listening").then(() => assert.fail("it listens")),
      ]).catch((thrown: unknown) => [thrown])) as [Error];
      assert.match(error.message, /NO_SUCH_CIPHER|cipher/i);
      assert.equal(broken.address(), null);
      const server = createServer({ cert, key }).listen(port, "127.0.0.1");
      await once(server, "listening");
      await server[Symbol.asyncDispose]();
      const socket = connect({ port, host: "127.0.0.1", localPort: port, ciphers: "NO_SUCH_CIPHER" });
      assert.match((await closedBy(socket)).message, /NO_SUCH_CIPHER|cipher/i);
      const again = createServer({ cert, key }).listen(port, "127.0.0.1");
      await once(again, "listening");
      await again[Symbol.asyncDispose]();
    }),
  );

  test(
    "close waits for the sockets, refuses new ones, and frees the port",
    withNet(async (bench) => {
      const server = await bench.serve(echo, { allowHalfOpen: true });
      const port = portOf(server);
      const socket = bench.connect(server);
      await once(socket, "connect");
      socket.write("still ");
      const closed = once(server, "close");
      await pause(30);
      server.close();
      assert.equal(server.listening, false);
      const late = connect({ port, host: "127.0.0.1", ca: testCa().cert });
      assert.equal((await closedBy(late)).code, "ECONNREFUSED");
      socket.end("here");
      assert.equal((await readAll(socket)).toString(), "still here");
      await closed;
      const again = createServer({ cert: testLeaf().cert, key: testLeaf().key }).listen(port, "127.0.0.1");
      await once(again, "listening");
      await again[Symbol.asyncDispose]();
    }),
  );

  test(
    "a signal that is aborted before listen closes the server",
    withNet(async () => {
      const { cert, key } = testLeaf();
      const server = createServer({ cert, key }, () => {});
      server.on("listening", () => assert.fail("it listens"));
      server.listen({ port: 0, host: "127.0.0.1", signal: AbortSignal.abort() });
      await once(server, "close");
      assert.equal(server.address(), null);
    }),
  );

  test(
    "maxConnections refuses what is above it and says so",
    withNet(async (bench) => {
      const server = await bench.serve((socket) => socket.resume());
      server.maxConnections = 1;
      const first = bench.connect(server);
      await once(server, "connection");
      const dropped = once(server, "drop");
      const second = bench.connect(server);
      assert.equal((await closedBy(second)).code, "ECONNRESET");
      const [addresses] = await dropped;
      assert.equal((addresses as { remotePort?: number }).remotePort, first.localPort);
      const count = await new Promise((resolve) => server.getConnections((_error, number) => resolve(number)));
      assert.equal(count, 1);
    }),
  );

  test(
    "a client that speaks another protocol gets no socket, and the server hears of it",
    withNet(async (bench: NetBench) => {
      const server = await bench.serve(() => assert.fail("no socket"));
      const failed = bench.connect(server, { alpn: "something-else" });
      const error = await closedBy(failed);
      assert.equal(error.code, "ERR_QUIC_HANDSHAKE");
      assert.match(error.message, /no_application_protocol/);
    }),
  );

  test(
    "a socket's idle timeout is told and closes nothing",
    withNet(async (bench) => {
      const { client, server } = await bench.pair();
      client.setTimeout(50);
      const [millis] = await Promise.all([client.timeout, once(client, "timeout")]);
      assert.equal(millis, 50);
      assert.equal(client.destroyed, false);
      server.end("after");
      assert.equal((await readAll(client)).toString(), "after");
    }),
  );

  test(
    "setTimeout takes what a timer can wait at most, and refuses what is no time",
    withNet(async (bench) => {
      const { client } = await bench.pair();
      client.on("timeout", () => assert.fail("no time has passed"));
      client.setTimeout(2 ** 31);
      assert.equal(client.timeout, 2 ** 31 - 1);
      await pause(20);
      for (const millis of [Infinity, Number.NaN, -1]) {
        assert.throws(() => client.setTimeout(millis), { code: "ERR_INVALID_ARG_TYPE" });
      }
    }),
  );
});
