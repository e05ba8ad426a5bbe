/** Node's own programs of sockets over netquic/net, unchanged: http clients with their agent, http servers, upgrades, TLS. */

import assert from "node:assert/strict";
import { once } from "node:events";
import * as http from "node:http";
import type { Duplex } from "node:stream";
import { describe, test } from "node:test";
import * as tls from "node:tls";
import { type ConnectOptions, connect, openSession, type QuicServer, type QuicSocket } from "#src/api/net/index.js";
import { content, type NetBench, portOf, readAll, sha256, testCa, testLeaf, until, withNet } from "./support.js";

const BODY_BYTES = 1024 * 1024;

/** An http server on the sockets of a QUIC server. */
async function serveHttp(bench: NetBench, onRequest: http.RequestListener): Promise<QuicServer> {
  const server = http.createServer(onRequest);
  const sockets = await bench.serve((socket) => server.emit("connection", socket), { allowHalfOpen: true });
  bench.later(() => server.closeAllConnections());
  return sockets;
}

interface Answer {
  status: number | undefined;
  body: Buffer;
}

function ask(agent: http.Agent, port: number, path: string, body?: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ agent, host: "127.0.0.1", port, path, method: body === undefined ? "GET" : "POST" });
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve({ status: response.statusCode, body: Buffer.concat(chunks) }));
      response.on("error", reject);
    });
    request.end(body);
  });
}

function agentFor(bench: NetBench, options: http.AgentOptions, more: ConnectOptions = {}): http.Agent {
  const agent = new http.Agent(options);
  const made = { ca: testCa().cert, ...more };
  Object.assign(agent, { createConnection: (given: ConnectOptions) => connect({ ...given, ...made }) });
  bench.later(() => agent.destroy());
  return agent;
}

describe("http over a stream", () => {
  test(
    "a request and its response, bodies of a megabyte both ways",
    withNet(async (bench) => {
      const server = await serveHttp(bench, (request, response) => request.pipe(response));
      const agent = agentFor(bench, {});
      const sent = content(BODY_BYTES);
      const { status, body } = await ask(agent, portOf(server), "/", sent);
      assert.equal(status, 200);
      assert.equal(sha256(body), sha256(sent));
    }),
  );

  test(
    "an agent that keeps sockets alive uses one for many requests",
    withNet(async (bench) => {
      const ports = new Set<number | undefined>();
      const server = await serveHttp(bench, (request, response) => {
        ports.add(request.socket.remotePort);
        response.end(request.url);
      });
      let accepted = 0;
      server.on("connection", () => accepted++);
      const agent = agentFor(bench, { keepAlive: true, maxSockets: 1 });
      for (let i = 0; i < 5; i++) {
        assert.equal((await ask(agent, portOf(server), `/${i}`)).body.toString(), `/${i}`);
      }
      assert.equal(accepted, 1);
      assert.equal(ports.size, 1);
    }),
  );

  test(
    "fifty requests at once are fifty streams of one session",
    withNet(async (bench) => {
      const server = await serveHttp(bench, (request, response) => response.end(request.url));
      const session = await openSession({ port: portOf(server), host: "127.0.0.1", ca: testCa().cert });
      bench.later(() => session.destroy());
      const agent = agentFor(bench, {}, { session });
      const answers = await Promise.all(Array.from({ length: 50 }, (_, at) => ask(agent, portOf(server), `/${at}`)));
      assert.deepEqual(
        answers.map(({ body }) => body.toString()),
        Array.from({ length: 50 }, (_, at) => `/${at}`),
      );
      assert.equal(server.sessions.length, 1);
    }),
  );

  test(
    "a server that destroys its socket is a hang-up for the client",
    withNet(async (bench) => {
      const server = await serveHttp(bench, (request) => request.socket.destroy());
      await assert.rejects(ask(agentFor(bench, {}), portOf(server), "/"), { code: "ECONNRESET" });
    }),
  );

  test(
    "an upgraded connection goes on as a socket",
    withNet(async (bench) => {
      const server = http.createServer();
      server.on("upgrade", (_request, socket: Duplex) => {
        socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
        socket.pipe(socket);
      });
      const sockets = await bench.serve((socket) => server.emit("connection", socket), { allowHalfOpen: true });
      const headers = { connection: "upgrade", upgrade: "echo" };
      const agent = agentFor(bench, {});
      const request = http.get({ agent, host: "127.0.0.1", port: portOf(sockets), headers });
      const [, socket] = (await once(request, "upgrade")) as [http.IncomingMessage, QuicSocket];
      socket.end("after the upgrade");
      assert.equal((await readAll(socket)).toString(), "after the upgrade");
    }),
  );

  test(
    "a client that stops in mid-response is noticed by the server",
    withNet(async (bench) => {
      let closed = false;
      const server = await serveHttp(bench, (_request, response) => {
        response.on("close", () => {
          closed = true;
        });
        response.write("x");
      });
      const request = http.get({ agent: agentFor(bench, {}), host: "127.0.0.1", port: portOf(server) });
      const [response] = (await once(request, "response")) as [http.IncomingMessage];
      response.on("error", () => {});
      response.destroy();
      await until(() => closed);
    }),
  );
});

describe("TLS over a stream", () => {
  test(
    "tls.connect and tls.TLSSocket take a QUIC socket below them",
    withNet(async (bench) => {
      const { cert, key } = testLeaf();
      const server = await bench.serve(
        (socket) => {
          const secured = new tls.TLSSocket(socket as unknown as tls.TLSSocket, { isServer: true, cert, key });
          secured.on("error", () => {});
          secured.pipe(secured);
        },
        { allowHalfOpen: true },
      );
      const socket = bench.connect(server);
      const secured = tls.connect({ socket: socket as Duplex, servername: "localhost", ca: testCa().cert });
      await once(secured, "secureConnect");
      const sent = content(300_000);
      const echoed: Buffer[] = [];
      secured.on("data", (chunk: Buffer) => echoed.push(chunk));
      secured.write(sent);
      await until(() => echoed.reduce((sum, { length }) => sum + length, 0) === sent.length);
      assert.equal(sha256(Buffer.concat(echoed)), sha256(sent));
      secured.destroy();
    }),
  );
});
