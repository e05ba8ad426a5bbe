/** Many sockets on one session, peers that do not do their part, and sessions that are lost under all of them. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { openSession, type NetError, type NetSession, type QuicServer, type QuicSocket } from "#src/api/net/index.js";
import { NET_CONN_WINDOW_BYTES, NET_STREAM_WINDOW_BYTES, NET_STREAMS } from "#src/proto/limits.js";
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
  until,
  withNet,
} from "./support.js";

const SOCKETS = 1000;

async function sessionWith(bench: NetBench, server: QuicServer, quic = {}): Promise<NetSession> {
  const session = await openSession({ port: portOf(server), host: "127.0.0.1", ca: testCa().cert, quic });
  bench.later(() => session.destroy());
  return session;
}

/** All connected. */
async function socketsOn(bench: NetBench, session: NetSession, count: number): Promise<QuicSocket[]> {
  const sockets = Array.from({ length: count }, () => session.connect());
  for (const socket of sockets) {
    socket.on("error", () => {});
    bench.later(() => socket.destroy());
  }
  await Promise.all(sockets.map((socket) => once(socket, "connect")));
  return sockets;
}

describe("a thousand sockets on one session", () => {
  test(
    "each gets its own bytes back",
    withNet(async (bench) => {
      const server = await bench.serve(echo, { allowHalfOpen: true });
      const sockets = await socketsOn(bench, await sessionWith(bench, server), SOCKETS);
      sockets.forEach((socket, at) => socket.end(`${at}:`.repeat(50)));
      const texts = await Promise.all(sockets.map(async (socket) => (await readAll(socket)).toString()));
      texts.forEach((text, at) => assert.equal(text, `${at}:`.repeat(50)));
      assert.equal(server.sessions.length, 1);
      await until(() => server.sessions[0]?.sockets === 0);
    }),
  );

  test(
    "all of them close with ECONNRESET when the session is lost",
    withNet(async (bench) => {
      const server = await bench.serve((socket) => socket.on("error", () => {}));
      const session = await sessionWith(bench, server);
      const sockets = await socketsOn(bench, session, SOCKETS);
      await until(() => server.sessions[0]?.sockets === SOCKETS);
      const closed = sockets.map(closedBy);
      server.sessions[0]?.destroy(undefined, 5n);
      for (const error of await Promise.all(closed)) {
        assert.equal(error.code, "ECONNRESET");
        assert.equal((error as NetError).quicCode, 5n);
      }
      assert.equal(session.sockets, 0);
      assert.equal(session.destroyed, true);
    }),
  );

  test(
    "a peer that falls silent gives ETIMEDOUT to all of them, after the idle timeout",
    withNet(async (bench) => {
      const server = await bench.serve((socket) => socket.on("error", () => {}));
      const quic = { transportParams: { maxIdleTimeout: 1.5 }, keepAlive: 0 };
      const sockets = await socketsOn(bench, await sessionWith(bench, server, quic), 20);
      for (const error of await Promise.all(sockets.map(closedBy))) assert.equal(error.code, "ETIMEDOUT");
    }),
  );

  test(
    `the socket after the limit of ${NET_STREAMS} waits in connecting until one is closed`,
    withNet(async (bench) => {
      const server = await bench.serve((socket) => socket.resume());
      const session = await sessionWith(bench, server);
      const sockets = await socketsOn(bench, session, NET_STREAMS);
      const late = session.connect();
      bench.later(() => late.destroy());
      await pause(50);
      assert.equal(late.connecting, true);
      const connected = once(late, "connect");
      // streams are given back in batches (RFC 9000 §4.6)
      for (const socket of sockets.slice(0, NET_STREAMS / 2)) socket.destroy();
      await connected;
    }),
  );

  test(
    "one that gives up while it waits for a stream leaves its place to the next",
    withNet(async (bench) => {
      const quic = { transportParams: { initialMaxStreamsBidi: 1 } };
      const server = await bench.serve((socket) => socket.resume(), { quic });
      const session = await sessionWith(bench, server);
      const [first] = (await socketsOn(bench, session, 1)) as [QuicSocket];
      const [second, third] = [session.connect(), session.connect()];
      bench.later(() => third.destroy());
      await pause(20);
      second.destroy();
      const connected = once(third, "connect");
      first.destroy();
      await connected;
      assert.equal(second.destroyed, true);
    }),
  );
});

describe("a peer that never reads", () => {
  test(
    "holds its writer back: what is kept is bounded, and the others on the session go on",
    withNet(async (bench) => {
      const quic = { transportParams: { initialMaxStreamDataBidiRemote: 64 * 1024 } };
      const stuck: QuicSocket[] = [];
      const server = await bench.serve(
        (socket) => {
          if (stuck.length < 10) stuck.push(socket.pause());
          else echo(socket);
        },
        { quic, allowHalfOpen: true },
      );
      const small = { ext: { sendBufferBytes: 256 * 1024 } };
      const session = await sessionWith(bench, server, small);
      const sockets = await socketsOn(bench, session, 10);
      await until(() => stuck.length === 10);
      let called = 0;
      for (const socket of sockets) for (let i = 0; i < 100; i++) socket.write(content(64 * 1024), () => called++);
      await pause(100);
      assert.ok(called <= 10 * 7, `${called} of 1000 writes were taken`);
      const lively = session.connect();
      lively.end("not held up");
      assert.equal((await readAll(lively)).toString(), "not held up");
    }),
  );

  test(
    "31 of them hold up no other socket of the session, whose window has room for 32",
    withNet(async (bench) => {
      const unread = NET_CONN_WINDOW_BYTES / NET_STREAM_WINDOW_BYTES - 1;
      const stuck: QuicSocket[] = [];
      const server = await bench.serve(
        (socket) => {
          if (stuck.length < unread) stuck.push(socket.pause());
          else echo(socket);
        },
        { allowHalfOpen: true },
      );
      const session = await sessionWith(bench, server);
      const sockets = await socketsOn(bench, session, unread);
      await until(() => stuck.length === unread);
      for (const socket of sockets) socket.write(content(1024 * 1024));
      await until(() => session.stats().streamBytesSent >= unread * NET_STREAM_WINDOW_BYTES);
      const sent = content(2 * 1024 * 1024);
      const lively = session.connect();
      lively.end(sent);
      assert.equal(sha256(await readAll(lively)), sha256(sent));
    }),
  );

  test(
    "a timeout ends it, and destroy gives its memory back",
    withNet(async (bench) => {
      const server = await bench.serve((socket) => socket.pause().on("error", () => {}));
      const session = await sessionWith(bench, server);
      const [socket] = (await socketsOn(bench, session, 1)) as [QuicSocket];
      for (let i = 0; i < 200; i++) socket.write(content(64 * 1024));
      socket.setTimeout(100);
      await once(socket, "timeout");
      const closed = closedBy(socket);
      socket.destroy(new Error("it does not read"));
      assert.equal((await closed).message, "it does not read");
      await until(() => session.sockets === 0);
      await until(() => server.sessions[0]?.sockets === 0);
    }),
  );
});
