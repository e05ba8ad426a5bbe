/** One AbortSignal for everything that a program does, for as long as it runs: no call leaves anything on it. */

import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { getEventListeners, once } from "node:events";
import { afterEach, beforeEach, describe, test } from "node:test";
import { queryObjects } from "node:v8";
import { connect as connectNet, createServer, openSession, type QuicSocket } from "#src/api/net/index.js";
import type { QuicStream } from "#src/api/quic/index.js";
import * as quic from "#src/api/socket/index.js";
import { config, connecting, hasCode, HOST, listening, live } from "../socket/live.js";
import { Bench, echo, nextStream, readAll, testCa, testLeaf, until } from "./support.js";

const USES = 1000;
/** Of what needs a handshake; more than the 10 listeners that Node finds worth a warning. */
const HANDSHAKES = 20;
/** Of what opens a port, or a socket of netquic/net. */
const SOCKETS = 200;

describe("a signal that lives longer than what it is given to", () => {
  let bench: Bench;
  let warnings: string[];
  const { signal } = new AbortController();
  const onWarning = ({ name, message }: Error): void => {
    if (name === "MaxListenersExceededWarning") warnings.push(message);
  };
  const listeners = (): number => getEventListeners(signal, "abort").length;

  beforeEach(() => {
    bench = new Bench();
    warnings = [];
    process.on("warning", onWarning);
  });

  afterEach(async () => {
    await bench.dispose();
    await until(() => listeners() === 0);
    await new Promise(setImmediate); // warnings come with the next tick
    process.off("warning", onWarning);
    assert.deepEqual(warnings, []);
  });

  test("netquic: streams", async () => {
    const { client } = await bench.pair({}, {}, echo);
    for (let i = 0; i < USES; i++) {
      const stream = await client.createBidirectionalStream({ signal });
      await stream.writer.end();
      assert.equal((await readAll(stream)).length, 0);
      await stream.closed;
    }
  });

  test("netquic: streams that wait for the peer's limit", async () => {
    const { client } = await bench.pair({ transportParams: { initialMaxStreamsUni: 1 } }, {}, (session) => {
      session.onstream = (stream) => void readAll(stream);
    });
    const opened: Promise<QuicStream>[] = [];
    for (let i = 0; i < USES; i++) {
      const opening = client.createUnidirectionalStream({ signal, waitUntilAvailable: true });
      opened.push(opening.then(async (stream) => (await stream.writer.end(), stream)));
      if (i % 8 === 7) await Promise.all(opened.splice(0)); // fewer at once than Node warns of
    }
    await Promise.all(opened);
  });

  test("netquic: reads, writes and files", async () => {
    const { client, server } = await bench.pair();
    const incoming = nextStream(server);
    const stream = await client.createBidirectionalStream();
    await stream.writer.write("begin");
    const far = await incoming;
    const byte = new Uint8Array(1);
    await far.ext.read();
    const file = openSync("/dev/null", "r");
    for (let i = 0; i < USES; i++) {
      const reading = far.ext.read({ signal });
      await stream.writer.write(byte, { signal });
      assert.equal((await reading)?.length, 1);
      await stream.ext.sendFile(file, { signal });
    }
    closeSync(file);
    assert.equal(listeners(), 0);
    const large = stream.writer.write(new Uint8Array(4_000_000), { signal });
    while ((await Promise.race([large, far.ext.read({ signal })])) !== undefined);
    await assert.rejects(far.ext.read({ signal, maxBytes: 0 }));
  });

  test("netquic: sessions and moves", async () => {
    const endpoint = await bench.serve(() => {});
    for (let i = 0; i < HANDSHAKES; i++) {
      const session = await bench.connect(endpoint, { signal });
      await session.opened;
      await session.ext.migrate({ signal });
      session.destroy();
    }
    for (let i = 0; i < HANDSHAKES; i++) {
      const session = await bench.connect(endpoint, { signal, alpn: "no such" });
      await assert.rejects(session.opened);
      await session.closed.catch(() => {});
    }
  });

  test("netquic/net: servers, those that cannot listen among them", async () => {
    const { cert, key } = testLeaf();
    const taken = createServer({ cert, key }).listen(0, HOST);
    await once(taken, "listening");
    const { port } = taken.address() ?? assert.fail();
    for (let i = 0; i < SOCKETS; i++) {
      const isTaken = i % 2 === 1;
      const server = createServer({ cert, key });
      server.listen({ host: HOST, port: isTaken ? port : 0, signal });
      const error = await new Promise((resolve) =>
        server.once("error", resolve).once("listening", () => resolve(null)),
      );
      assert.equal(hasCode("EADDRINUSE")(error), isTaken);
      if (isTaken) continue;
      assert.equal(listeners(), 1);
      server.close();
      await once(server, "close");
    }
    taken.close();
    await once(taken, "close");
  });

  test("netquic/net: sockets and sessions", async () => {
    const { cert, key } = testLeaf();
    const server = createServer({ cert, key }, (socket: QuicSocket) => socket.end().resume()).listen(0, HOST);
    await once(server, "listening");
    const options = { host: HOST, port: server.address()?.port ?? 0, ca: testCa().cert };
    for (let i = 0; i < HANDSHAKES; i++) {
      const socket = connectNet({ ...options, signal }).resume();
      await once(socket, "close");
    }
    const session = await openSession(options, signal);
    for (let i = 0; i < SOCKETS; i++) await once(connectNet({ ...options, session, signal }).resume(), "close");
    session.close();
    server.close();
    await once(server, "close");
  });

  test("netquic/socket: calls that wait", () =>
    live({ client: [config({ stream_data_nodelay: 1 })] }, async ({ client, server }) => {
      const before = queryObjects(AbortSignal, { format: "count" });
      const stream = { stream_id: 0, stream_flags: quic.MSG_QUIC_STREAM_NEW };
      for (let i = 0; i < USES; i++) {
        const polling = quic.promises.poll(server, quic.POLLIN, 1e9, { signal });
        const reading = quic.promises.recvmsg(server, 1, 0, { signal });
        await quic.promises.sendmsg(client, { data: new Uint8Array(1), flags: 0, stream }, { signal });
        stream.stream_flags = 0;
        assert.equal(await polling, quic.POLLIN);
        assert.equal((await reading).data.length, 1);
      }
      const left = queryObjects(AbortSignal, { format: "count" }) - before;
      assert.ok(left < USES / 10, `${left} signals are left`);
      assert.equal(await quic.promises.poll(server, quic.POLLIN, 5, { signal }), 0, "past its time");
    }));

  test("netquic/socket: handshakes", async () => {
    const { cert, key } = testLeaf();
    const listener = await listening("sample");
    for (let i = 0; i < HANDSHAKES; i++) {
      const client = await connecting(quic.getsockname(listener).port, "sample");
      const serving = quic.promises.accept(listener, { signal }).then(async (sd) => {
        await quic.quic_server_handshake(sd, { cert, key, signal });
        return sd;
      });
      await quic.quic_client_handshake(client, { serverName: "localhost", ca: [testCa().cert], signal });
      quic.close(await serving);
      quic.close(client);
    }
    quic.close(listener);
  });
});
