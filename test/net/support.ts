/** Servers and sockets for the tests of netquic/net, over real UDP and TLS on the loopback; all is taken down after a test. */

import { once } from "node:events";
import {
  type ConnectOptions,
  connect,
  createServer,
  type QuicServer,
  type QuicSocket,
  type ServerOptions,
} from "#src/api/net/index.js";
import { testCa, testLeaf } from "../api/support.js";

export { content, pause, sha256, testCa, testLeaf, until } from "../api/support.js";

export type OnSocket = (socket: QuicSocket) => void;

export class NetBench {
  private readonly undo: (() => unknown)[] = [];

  async serve(onSocket: OnSocket, options: ServerOptions = {}): Promise<QuicServer> {
    const { cert, key } = testLeaf();
    const server = createServer({ cert, key, ...options }, onSocket);
    server.prependListener("connection", (socket: QuicSocket) => this.later(() => quietly(socket)));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.later(() => {
      server.close(); // nobody waits for the closing periods of its connections
      for (const session of server.sessions) session.destroy();
    });
    return server;
  }

  /** A socket on its way to `server`, which trusts the test CA. */
  connect(server: QuicServer, options: ConnectOptions = {}): QuicSocket {
    const socket = connect({ port: portOf(server), host: "127.0.0.1", ca: testCa().cert, ...options });
    this.later(() => quietly(socket));
    return socket;
  }

  /** Both ends of one socket. What the client has to say first is nothing. */
  async pair(
    server: ServerOptions = {},
    client: ConnectOptions = {},
  ): Promise<{ client: QuicSocket; server: QuicSocket }> {
    const listening = await this.serve(() => {}, server);
    const accepted = once(listening, "connection");
    const socket = this.connect(listening, client);
    await once(socket, "connect");
    return { client: socket, server: (await accepted)[0] as QuicSocket };
  }

  later(undo: () => unknown): void {
    this.undo.push(undo);
  }

  async dispose(): Promise<void> {
    for (const undo of this.undo.reverse()) await undo();
  }
}

function quietly(socket: QuicSocket): void {
  socket.on("error", () => {});
  socket.destroy();
}

export function withNet(body: (bench: NetBench) => Promise<void>): () => Promise<void> {
  return async () => {
    const bench = new NetBench();
    try {
      await body(bench);
    } finally {
      await bench.dispose();
    }
  };
}

export function portOf(server: QuicServer): number {
  return server.address()?.port ?? 0;
}

/** All up to the end. An iterator would destroy the socket behind it, which half-open ones survive. */
export function readAll(socket: QuicSocket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.once("end", () => resolve(Buffer.concat(chunks)));
    socket.once("error", reject);
    socket.resume();
  });
}

/** The error that the socket closes with. */
export async function closedBy(socket: QuicSocket): Promise<Error & { code?: string }> {
  let error: Error | undefined;
  socket.on("error", (given) => {
    error = given;
  });
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  if (error === undefined) throw new Error("it closed without an error");
  return error;
}

/** Sends everything back, and ends when the other end does. For servers with `allowHalfOpen`. */
export function echo(socket: QuicSocket): void {
  socket.on("error", () => {});
  socket.pipe(socket);
}
