/** A tunnel in this process: a server, clients, and what they tell; real QUIC, TCP and UDP on the loopback. */

import assert from "node:assert/strict";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { TunnelClient, type TunnelClientConfig, TunnelServer, type TunnelServerConfig } from "#src/api/tunnel/index.js";
import type { Place, TunnelEvent, TunnelService } from "#src/api/tunnel/service.js";
import { testCa, testLeaf } from "../api/support.js";
import { untilWithin } from "../support/wait.js";

const LIMIT_MILLIS = 60_000;
/** No name, which no name server has to be asked for. */
export const NOWHERE = "x".repeat(64);

type Kind = TunnelEvent["type"];
type Of<K extends Kind> = Extract<TunnelEvent, { type: K }>;

/** One side that runs, and what it has told. */
export class Side<T extends { run(signal: AbortSignal): Promise<void> }> {
  readonly events: TunnelEvent[] = [];
  readonly ended: Promise<void>;
  readonly tunnel: T;
  private readonly controller = new AbortController();

  constructor(make: (tell: (event: TunnelEvent) => void) => T) {
    this.tunnel = make((event) => this.events.push(event));
    this.ended = this.tunnel.run(this.controller.signal);
    this.ended.catch(() => {});
  }

  /** The `count`th event of that kind, as soon as it is there; rejects when the side fails before. */
  async told<K extends Kind>(type: K, count = 1): Promise<Of<K>> {
    const found = () => this.events.filter((event) => event.type === type)[count - 1] as Of<K> | undefined;
    const failed = this.ended.then(() => assert.fail(`ended before "${type}"`));
    failed.catch(() => {});
    return await Promise.race([until(found), failed]);
  }

  async stop(): Promise<void> {
    this.controller.abort();
    await this.ended.catch(() => {});
  }
}

/** Waits until `look` finds something. */
export const until = untilWithin(LIMIT_MILLIS);

export class Rig {
  private readonly undo: (() => unknown)[] = [];

  async serve(
    services: readonly TunnelService[],
    more: Partial<TunnelServerConfig> = {},
  ): Promise<Side<TunnelServer> & { port: number }> {
    const { cert, key } = testLeaf();
    const config: TunnelServerConfig = {
      address: "127.0.0.1:0",
      services,
      identity: { certs: cert, keys: key },
      clientCa: null,
      udpIdleMillis: 60_000,
      ...more,
    };
    const side = new Side((tell) => new TunnelServer(config, tell));
    this.undo.push(() => side.stop());
    const { port } = await side.told("serving");
    return Object.assign(side, { port });
  }

  join(port: number, service: TunnelService, more: Partial<TunnelClientConfig> = {}): Side<TunnelClient> {
    const config: TunnelClientConfig = {
      server: `127.0.0.1:${port}`,
      service,
      ca: testCa().cert,
      pin: null,
      serverName: null,
      identity: null,
      udpIdleMillis: 60_000,
      ...more,
    };
    const side = new Side((tell) => new TunnelClient(config, tell));
    this.undo.push(() => side.stop());
    return side;
  }

  /** A server that dials `to`, and a client that accepts at a free port; both are connected. */
  async pair(to: { tcp?: Place; udp?: Place }, more: Partial<TunnelServerConfig & TunnelClientConfig> = {}) {
    const server = await this.serve([{ alpn: "test", reverse: false, tcp: null, udp: null, ...to }], more);
    const free = { host: "127.0.0.1", port: 0 };
    const service = { alpn: "test", reverse: false, tcp: to.tcp ? free : null, udp: to.udp ? free : null };
    const client = this.join(server.port, service, more);
    await client.told("up");
    await server.told("up");
    const accepting = await client.told("accepting");
    const [[, farTraffic]] = [...server.tunnel.traffic()] as [[string, TunnelClient["traffic"]]];
    return { server, client, port: accepting.port, near: client.tunnel.traffic, far: farTraffic };
  }

  /** A TCP server; its place. */
  async tcp(onSocket: (socket: Socket) => void): Promise<Place & { server: Server }> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      socket.on("error", () => {});
      this.undo.push(() => socket.destroy());
      onSocket(socket);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.undo.push(() => server.close());
    return { host: "127.0.0.1", port: (server.address() as { port: number }).port, server };
  }

  async udp(onMessage: (this: UdpSocket, payload: Buffer, from: { address: string; port: number }) => void) {
    const socket = createSocket("udp4");
    socket.on("message", onMessage);
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    this.undo.push(() => socket.close());
    return { host: "127.0.0.1", port: socket.address().port, socket };
  }

  dial(port: number, options: { allowHalfOpen?: boolean } = {}): Socket {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true, ...options });
    socket.on("error", () => {});
    this.undo.push(() => socket.destroy());
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const undo of this.undo.reverse()) await undo();
  }
}

/** A test with a rig of its own. */
export function withRig(run: (rig: Rig) => Promise<void>): () => Promise<void> {
  return async () => {
    await using rig = new Rig();
    await run(rig);
  };
}

/** All that comes until the FIN; unlike the consumers of node:stream it leaves the other direction open. */
export async function heard(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(socket, "end");
  return Buffer.concat(chunks).toString();
}

/** How a socket ends: its error's code, or `end` for a FIN. */
export async function endOf(socket: Socket): Promise<string> {
  socket.resume();
  return await new Promise((resolve) => {
    socket.once("error", (error) => resolve((error as { code?: string }).code ?? error.message));
    socket.once("end", () => resolve("end"));
  });
}
