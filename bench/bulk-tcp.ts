/** The bulk transfer over TCP, plain or under node:tls: what a QUIC of the same machine is measured against. */

import { connect as connectTcp, createServer as createTcpServer, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { devCertificate } from "#src/runtime/native/x509.js";
import { type BulkJob, measureBulk, shareOf } from "./bulk-job.js";
import { ownJob, tell } from "./child.js";
import type { Target } from "./loopback.js";

const CHUNK_BYTES = 1 << 20;
const isTls = process.argv[2] === "tls";
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
  const server = isTls
    ? createTlsServer({ ...identity, ...options, minVersion: "TLSv1.3", ciphers: "TLS_AES_128_GCM_SHA256" }, onSocket)
    : createTcpServer(options, onSocket);
  server.listen(0, "127.0.0.1", () => tell({ port: (server.address() as { port: number }).port, ca: identity.cert }));
}

function run(): void {
  const { port, ca } = job.server as Target;
  const open = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const options = { port, host: "127.0.0.1", allowHalfOpen: true };
      const socket: Socket = isTls
        ? connectTls({ ...options, ca, servername: "localhost" }, () => resolve(socket))
        : connectTcp(options, () => resolve(socket));
      socket.once("error", reject);
    });
  const move = (socket: Socket): Promise<number> =>
    new Promise((resolve) => {
      drain(socket, resolve);
      if (job.dir === "up") sendShare(socket);
      else socket.end();
    });
  const main = async (): Promise<void> => {
    tell({ gbitPerSec: await measureBulk(job, async () => move(await open())) });
  };
  void main();
}

if (job.role === "server") serve();
else run();
