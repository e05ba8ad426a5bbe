/**
 * The bulk transfer over sockets: TCP, plain or under node:tls, which a QUIC of the same machine is measured against, and
 * those of netquic/net. The first argument is `plain`, `tls` or `net`.
 */

import { connect as connectTcp, createServer as createTcpServer, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { connect as connectQuic, createServer as createQuicServer, openSession } from "#src/api/net/index.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { type BulkJob, measureBulk, shareOf } from "./bulk-job.js";
import { ownJob, tell } from "./child.js";
import type { Target } from "./loopback.js";

const CHUNK_BYTES = 1 << 20;
const kind = process.argv[2];
const job = ownJob<BulkJob>();
const share = shareOf(job);
const chunk = new Uint8Array(CHUNK_BYTES);

function sendShare(socket: Socket): void {
  let left = share;
  const more = (): void => {
    while (left > 0) {
      const bytes = Math.min(left, CHUNK_BYTES);
      left -= bytes;
      if (!socket.write(bytes < CHUNK_BYTES ? chunk.subarray(0, bytes) : chunk)) return;
    }
    socket.removeListener("drain", more);
    socket.end();
  };
  socket.on("drain", more);
  more();
}

/** Reads to the end and calls `done` with the bytes. */
function drain(socket: Socket, done: (bytes: number) => void): void {
  let bytes = 0;
  socket.on("data", (data: Buffer) => {
    bytes += data.length;
  });
  socket.once("end", () => done(bytes));
}

function serve(): void {
  const onSocket = (socket: Socket): void => {
    socket.on("error", () => {});
    drain(socket, () => (job.dir === "down" ? sendShare(socket) : socket.end()));
  };
  const identity = devCertificate({ hosts: ["localhost"] });
  const options = { allowHalfOpen: true };
  const quic = { maxPayloadSize: job.datagramBytes };
  const server =
    kind === "tls"
      ? createTlsServer({ ...identity, ...options, minVersion: "TLSv1.3", ciphers: "TLS_AES_128_GCM_SHA256" }, onSocket)
      : kind === "net"
        ? createQuicServer({ ...identity, ...options, quic }, (socket) => onSocket(socket as unknown as Socket))
        : createTcpServer(options, onSocket);
  server.listen(0, "127.0.0.1", () => tell({ port: (server.address() as { port: number }).port, ca: identity.cert }));
}

/** Opens a socket; those of netquic/net share a connection, as streams do. */
async function opener({ port, ca }: Target): Promise<(onConnect: () => void) => Socket> {
  const options = { port, host: "127.0.0.1", allowHalfOpen: true };
  if (kind === "plain") return (onConnect) => connectTcp(options, onConnect);
  const secured = { ...options, ca, servername: "localhost" };
  if (kind === "tls") return (onConnect) => connectTls(secured, onConnect);
  const session = await openSession({ ...secured, quic: { maxPayloadSize: job.datagramBytes } });
  return (onConnect) => connectQuic({ ...options, session }, onConnect) as unknown as Socket;
}

async function run(): Promise<void> {
  const newSocket = await opener(job.server as Target);
  const open = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = newSocket(() => resolve(socket));
      socket.once("error", reject);
    });
  const move = (socket: Socket): Promise<number> =>
    new Promise((resolve) => {
      drain(socket, resolve);
      if (job.dir === "up") sendShare(socket);
      else socket.end();
    });
  tell({ gbitPerSec: await measureBulk(job, async () => move(await open())) });
}

if (job.role === "server") serve();
else await run();
