import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "node:test";
import type { TunnelService } from "#src/api/tunnel/index.js";
import { WATCH_MILLIS } from "#src/api/tunnel/limits.js";
import { connect as connectNet } from "#src/api/net/index.js";
import { connect, QuicError } from "#src/api/quic/index.js";
import { content, issue, testCa, testLeaf } from "../api/support.js";
import { freeUdpPort } from "../support/ports.js";
import { endOf, type Rig, until, withRig } from "./rig.js";

const echo = (socket: Socket): unknown => socket.pipe(socket);
const FREE = { host: "127.0.0.1", port: 0 };
const ACCEPTS: TunnelService = { alpn: "test", reverse: false, tcp: FREE, udp: null };

async function ask(socket: Socket, said: string): Promise<string> {
  socket.write(said);
  const [chunk] = (await once(socket, "data")) as [Buffer];
  return chunk.toString();
}

async function refusal(ended: Promise<void>): Promise<QuicError> {
  const error = await ended.then(
    () => assert.fail("it did not fail"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof QuicError, String(error));
  return error;
}

/** A server with an echo behind it. */
async function serveEcho(rig: Rig, more: Parameters<Rig["serve"]>[1] = {}) {
  const tcp = await rig.tcp(echo);
  return await rig.serve([{ alpn: "test", reverse: false, tcp, udp: null }], more);
}

describe("who is let in", () => {
  test(
    "a client ends at once when the server's certificate, its name or the ALPN is wrong",
    withRig(async (rig) => {
      const { port } = await serveEcho(rig);
      const other = issue(["localhost"]).cert; // signs nothing
      const wrong = [
        [rig.join(port, ACCEPTS, { ca: other }), 48],
        [rig.join(port, ACCEPTS, { serverName: "elsewhere.example" }), 42],
        [rig.join(port, ACCEPTS, { ca: null, pin: "00".repeat(32) }), 42],
        [rig.join(port, { ...ACCEPTS, alpn: "other" }), 120],
        [rig.join(port, { ...ACCEPTS, reverse: true }), 120],
      ] as const;
      for (const [client, alert] of wrong) {
        const error = await refusal(client.ended);
        assert.deepEqual([error.code, error.alert], ["ERR_QUIC_HANDSHAKE", alert], error.message);
      }
    }),
  );

  test(
    "a certificate by its fingerprint, and the server's own one",
    withRig(async (rig) => {
      const server = await serveEcho(rig, { identity: null });
      const { pin } = await server.told("serving");
      const client = rig.join(server.port, ACCEPTS, { ca: null, pin });
      await client.told("up");
    }),
  );

  test(
    "RFC 8446 §4.4.2 with an authority for clients only those with its certificate come in",
    withRig(async (rig) => {
      const server = await serveEcho(rig, { clientCa: testCa().cert });
      const stranger = rig.join(server.port, ACCEPTS);
      const down = await stranger.told("down");
      assert.ok(down.error instanceof QuicError);
      assert.equal(server.events.filter(({ type }) => type === "up").length, 0);
      await stranger.stop();
      const { cert, key } = issue(["client"]);
      const client = rig.join(server.port, ACCEPTS, { identity: { certs: cert, keys: key } });
      await server.told("up");
      const { port } = await client.told("accepting");
      assert.equal(await ask(rig.dial(port), "hello"), "hello");
    }),
  );

  test(
    "what a client opens against the direction of a service is refused, and the connection stays",
    withRig(async (rig) => {
      const server = await rig.serve([{ alpn: "x", reverse: true, tcp: FREE, udp: null }]);
      const session = await connect(`127.0.0.1:${server.port}`, { alpn: "x/reverse", ca: testCa().cert });
      await session.opened;
      const stream = await session.createBidirectionalStream({ body: "let me in" });
      const error = await stream.closed.then(() => null, String);
      assert.match(error ?? "", /code 3/);
      assert.equal(session.destroyed, false);
      session.destroy();
    }),
  );
});

describe("what a stream of a tunnel holds", () => {
  test(
    "the bytes of one TCP connection and nothing else: netquic/net is an end of it",
    withRig(async (rig) => {
      const { port } = await serveEcho(rig);
      const socket = connectNet({ host: "127.0.0.1", port, alpn: "test", ca: testCa().cert, servername: "localhost" });
      socket.end("as it is");
      const chunks: Buffer[] = [];
      for await (const chunk of socket) chunks.push(chunk as Buffer);
      assert.equal(Buffer.concat(chunks).toString(), "as it is");
    }),
  );
});

const portOf = (address: string): string => address.slice(address.lastIndexOf(":") + 1);

describe("what a tunnel survives", () => {
  test(
    "RFC 9000 §9 the client moves to another port in the middle of a transfer",
    withRig(async (rig) => {
      const target = await rig.tcp(echo);
      const { client, server, port, near } = await rig.pair({ tcp: target });
      const bytes = content(8 << 20);
      const socket = rig.dial(port);
      let received = 0;
      socket.on("data", (chunk: Buffer) => {
        assert.ok(chunk.equals(bytes.subarray(received, received + chunk.length)), `at ${received}`);
        received += chunk.length;
      });
      const ended = once(socket, "end");
      socket.end(bytes);
      for (const part of [1, 2, 3]) {
        await until(() => received > (part * bytes.length) / 5);
        await client.tunnel.rebind();
        await client.told("moved", part);
      }
      await ended;
      assert.equal(received, bytes.length);
      // a move that follows another one soon leaves the server no time to ask there
      const { local } = await client.told("moved", 3);
      const newPort = portOf(local);
      await until(() => server.events.some((event) => event.type === "moved" && portOf(event.remote) === newPort));
      assert.deepEqual([near.connections, near.reset], [1, 0]);
      assert.equal(client.events.filter(({ type }) => type === "up").length, 1);
    }),
  );

  test(
    "another address of the client leads to the server: it moves by itself, once",
    withRig(async (rig) => {
      let source = "192.0.2.1";
      const target = await rig.tcp(echo);
      const { client, server, port } = await rig.pair({ tcp: target }, { sourceOf: async () => source });
      const socket = rig.dial(port);
      assert.equal(await ask(socket, "before"), "before");
      await sleep(20);
      source = "192.0.2.2";
      await client.told("moved");
      await server.told("moved");
      assert.equal(await ask(socket, "after"), "after");
      await sleep(2.5 * WATCH_MILLIS);
      assert.equal(client.events.filter(({ type }) => type === "moved").length, 1);
    }),
  );

  test(
    "a server that ends: connections are reset, the client comes back when it does, and new ones wait for that",
    withRig(async (rig) => {
      const target = await rig.tcp(echo);
      const address = `127.0.0.1:${await freeUdpPort()}`;
      const { server, client, port } = await rig.pair({ tcp: target }, { address });
      const socket = rig.dial(port);
      assert.equal(await ask(socket, "one"), "one");
      const ended = endOf(socket);
      await server.stop();
      assert.equal(await ended, "ECONNRESET");
      await client.told("down");
      const waiting = ask(rig.dial(port), "two");
      await sleep(50);
      await rig.serve([{ alpn: "test", reverse: false, tcp: target, udp: null }], { address });
      assert.equal(await waiting, "two");
      await client.told("up", 2);
    }),
  );

  test(
    "a client that ends says so at once; its listening port is free again",
    withRig(async (rig) => {
      const target = await rig.tcp(echo);
      const { server, client, port } = await rig.pair({ tcp: target });
      const socket = rig.dial(port);
      assert.equal(await ask(socket, "one"), "one");
      const ended = endOf(socket);
      await client.stop();
      assert.equal(await ended, "ECONNRESET");
      const { error } = await server.told("down");
      assert.equal(error, null);
      await rig.tcp(() => {}).then(({ server: other }) => other.close());
      assert.equal(await endOf(rig.dial(port)), "ECONNREFUSED");
    }),
  );

  test(
    "a port that is taken is an error of the start",
    withRig(async (rig) => {
      const taken = await rig.tcp(() => {});
      const server = await serveEcho(rig);
      const client = rig.join(server.port, { ...ACCEPTS, tcp: taken });
      await assert.rejects(client.ended, { code: "EADDRINUSE", port: taken.port });
    }),
  );

  test(
    "a server that is not there yet is waited for",
    withRig(async (rig) => {
      const address = `127.0.0.1:${await freeUdpPort()}`;
      const first = await serveEcho(rig, { address });
      await first.stop();
      const client = rig.join(first.port, ACCEPTS);
      await client.told("accepting");
      await serveEcho(rig, { address, identity: { certs: testLeaf().cert, keys: testLeaf().key } });
      await client.told("up");
    }),
  );
});
