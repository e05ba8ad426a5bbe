/**
 * One end of a tunnel in a namespace. The server has an echo behind it; the client sends pieces through one TCP connection, each
 * when the one before has come back whole, until it is told to stop.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { TunnelClient, TunnelServer } from "#src/api/tunnel/index.js";
import type { TunnelEvent } from "#src/api/tunnel/service.js";
import { devCertificate } from "#src/runtime/native/x509.js";

export interface ServeOrder {
  /** `ADDRESS:PORT` for QUIC. */
  serve: string;
}

export interface Served {
  port: number;
  ca: string;
}

export interface JoinOrder {
  join: { server: string; ca: string };
}

export interface ReportOrder {
  report: true;
}

/** What a client has seen so far. */
export interface TunnelReport {
  pieces: number;
  /** Why the TCP connection ended, null while it is open. */
  ended: string | null;
  /** Kinds of what the tunnel has told. */
  events: string[];
  /** Where it is since the last move. */
  local: string;
}

const PIECE_BYTES = 64 * 1024;
const FOREVER = new AbortController().signal;
const LOCAL = { host: "127.0.0.1", port: 0 };

const send = process.send?.bind(process) as (message: object) => boolean;
const report: TunnelReport = { pieces: 0, ended: null, events: [], local: "" };

/** Resolves with the first event of that kind. */
function start<K extends TunnelEvent["type"]>(run: (tell: (event: TunnelEvent) => void) => Promise<void>, type: K) {
  return new Promise<Extract<TunnelEvent, { type: K }>>((resolve, reject) => {
    run((event) => {
      report.events.push(event.type);
      if (event.type === "moved") report.local = event.local;
      if (event.type === type) resolve(event as Extract<TunnelEvent, { type: K }>);
    }).catch(reject);
  });
}

async function serve(address: string): Promise<Served> {
  const echo = createServer((socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  echo.listen(0, LOCAL.host);
  await once(echo, "listening");
  const { port: target } = echo.address() as { port: number };
  const { cert, key } = devCertificate({ hosts: ["tunnel"] });
  const services = [{ alpn: "echo", reverse: false, tcp: { host: LOCAL.host, port: target }, udp: null }];
  const identity = { certs: cert, keys: key };
  const config = { address, services, identity, clientCa: null, udpIdleMillis: 60_000 };
  const { port } = await start((tell) => new TunnelServer(config, tell).run(FOREVER), "serving");
  return { port, ca: cert };
}

async function join({ server, ca }: JoinOrder["join"]): Promise<void> {
  const service = { alpn: "echo", reverse: false, tcp: LOCAL, udp: null };
  const config = { server, service, ca, pin: null, serverName: "tunnel", identity: null, udpIdleMillis: 60_000 };
  const { port } = await start((tell) => new TunnelClient(config, tell).run(FOREVER), "accepting");
  const socket = connect(port, LOCAL.host);
  socket.once("close", () => (report.ended ??= "closed"));
  socket.on("error", (error) => (report.ended ??= error.message));
  pump(socket).catch((error) => (report.ended ??= String(error)));
}

async function pump(socket: Socket): Promise<void> {
  for (;;) {
    const piece = Buffer.alloc(PIECE_BYTES, report.pieces & 255);
    socket.write(piece);
    const back: Buffer[] = [];
    for (let left = PIECE_BYTES; left > 0; ) {
      const [chunk] = (await once(socket, "data")) as [Buffer];
      back.push(chunk);
      left -= chunk.length;
    }
    assert.ok(Buffer.concat(back).equals(piece));
    report.pieces++;
  }
}

process.on("message", async (order: ServeOrder | JoinOrder | ReportOrder) => {
  if ("serve" in order) send(await serve(order.serve));
  else if ("join" in order) send(await join(order.join).then(() => ({})));
  else send(report);
});
