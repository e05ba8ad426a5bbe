/** One of the four processes of `npm run bench -- tunnel`: see RELAYS and the roles in tunnel-job.ts. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { listen } from "#src/api/quic/index.js";
import { TunnelClient, TunnelServer } from "#src/api/tunnel/index.js";
import type { TunnelEvent } from "#src/api/tunnel/service.js";
import { ownJob, tell } from "./child.js";
import type { Listening, TunnelJob } from "./tunnel-job.js";

const HOST = "127.0.0.1";
const chunk = new Uint8Array(1 << 20);
const FOREVER = new AbortController().signal;
const direct = { host: HOST, noDelay: true } as const;

/** Writes `bytes`, no faster than they leave. */
async function pour(socket: Socket, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; left -= chunk.length) {
    const piece = left < chunk.length ? chunk.subarray(0, left) : chunk;
    if (!socket.write(piece)) await once(socket, "drain");
  }
}

/** Resolves when `bytes` have come. */
async function drink(socket: Socket, bytes: number): Promise<void> {
  let left = bytes;
  await new Promise<void>((resolve) => {
    socket.on("data", (piece) => {
      left -= piece.length;
      if (left <= 0) resolve();
    });
  });
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, HOST);
  await once(server, "listening");
  return (server.address() as { port: number }).port;
}

/** One byte asks for a download, and one answers an upload: relays over TLS know no half of a connection. */
async function target({ dir, bytes }: TunnelJob): Promise<Listening> {
  const server = createServer({ noDelay: true }, async (socket) => {
    socket.on("error", () => {});
    await drink(socket, dir === "down" ? 1 : bytes);
    await pour(socket, dir === "down" ? bytes : 1);
  });
  return { port: await portOf(server) };
}

async function client({ dir, bytes, warmUpBytes, port }: TunnelJob): Promise<void> {
  const pass = async (): Promise<void> => {
    const socket = connect({ host: HOST, port, noDelay: true });
    const answered = drink(socket, dir === "down" ? bytes : 1);
    await pour(socket, dir === "down" ? 1 : bytes);
    await answered;
    socket.destroy();
  };
  for (let moved = 0; moved < warmUpBytes; moved += bytes) await pass();
  const started = performance.now();
  await pass();
  tell({ gbitPerSec: (bytes * 8) / (performance.now() - started) / 1e6 });
}

/** Resolves with the first event of that kind. */
function when<K extends TunnelEvent["type"]>(type: K) {
  let found: (event: Extract<TunnelEvent, { type: K }>) => void = () => {};
  const event = new Promise<Extract<TunnelEvent, { type: K }>>((resolve) => (found = resolve));
  const hear = (each: TunnelEvent): void => {
    if (each.type === type) found(each as Extract<TunnelEvent, { type: K }>);
  };
  return { event, hear };
}

async function far(job: TunnelJob): Promise<Listening> {
  const { relay, port, cert, key, certPath, keyPath } = job;
  if (relay === "tunnel") {
    const serving = when("serving");
    const service = { alpn: "bench", reverse: false, tcp: { host: HOST, port }, udp: null };
    const identity = { certs: cert, keys: key };
    const config = { address: `${HOST}:0`, services: [service], identity, clientCa: null, udpIdleMillis: 60_000 };
    void new TunnelServer(config, serving.hear).run(FOREVER);
    const rungs = await rungsHere();
    return { port: (await serving.event).port, ...rungs };
  }
  if (relay === "tls") {
    const server = createTlsServer({ cert, key, noDelay: true }, (socket) =>
      both(socket, connect({ ...direct, port })),
    );
    return { port: await portOf(server) };
  }
  const tls = `cert=${certPath},key=${keyPath},verify=0,reuseaddr,fork,bind=${HOST}`;
  return { port: await socat((own) => [`OPENSSL-LISTEN:${own},${tls}`, `TCP:${HOST}:${port},nodelay`]) };
}

async function near(job: TunnelJob): Promise<Listening> {
  const { relay, port, cert, certPath } = job;
  if (relay === "tunnel") {
    const accepting = when("accepting");
    const up = when("up");
    const service = { alpn: "bench", reverse: false, tcp: { host: HOST, port: 0 }, udp: null };
    const trust = { ca: cert, pin: null, serverName: "localhost", identity: null };
    const hear = (event: TunnelEvent): void => {
      accepting.hear(event);
      up.hear(event);
    };
    const config = { server: `${HOST}:${port}`, service, ...trust, udpIdleMillis: 60_000 };
    void new TunnelClient(config, hear).run(FOREVER);
    await up.event;
    return { port: (await accepting.event).port };
  }
  if (relay === "tls") {
    const server = createServer({ noDelay: true }, (socket) =>
      both(socket, connectTls({ ...direct, port, ca: cert, servername: "localhost" })),
    );
    return { port: await portOf(server) };
  }
  const tls = `cafile=${certPath},commonname=localhost`;
  return {
    port: await socat((own) => [`TCP-LISTEN:${own},reuseaddr,fork,bind=${HOST}`, `OPENSSL:${HOST}:${port},${tls}`]),
  };
}

function both(one: Socket, other: Socket): void {
  one.on("error", () => other.destroy());
  other.on("error", () => one.destroy());
  one.pipe(other).pipe(one);
}

/** Starts socat and waits until it listens; it ends with this process. */
async function socat(addresses: (port: number) => string[]): Promise<number> {
  const free = createServer();
  const port = await portOf(free);
  free.close();
  const child = spawn("socat", ["-b", "65536", "-t", "60", ...addresses(port)], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  process.once("exit", () => child.kill());
  process.once("SIGTERM", () => process.exit(0));
  await sleep(300);
  return port;
}

/** What an endpoint of this process runs on. */
async function rungsHere(): Promise<{ tls: string; udp: string }> {
  const { sharedTls } = await import("#src/api/environment.js");
  const endpoint = await listen(() => {}, { alpn: ["none"], ext: { devCertificate: true } });
  const { udp } = endpoint.ext.rungs;
  await endpoint.close();
  return { tls: sharedTls().name, udp };
}

const job = ownJob<TunnelJob>();
if (job.role === "client") await client(job);
else tell(await { target, far, near }[job.role](job));
