/**
 * Server and clients of the memory benchmark, over QUIC or node:tls. The server is run with `--expose-gc`: what it shows
 * is what is left after a full collection.
 */

import { queryObjects } from "node:v8";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls, createSecureContext, createServer, type TLSSocket } from "node:tls";
import type { QuicSession } from "#src/api/quic/index.js";
import { SessionCore } from "#src/api/quic/session-core.js";
import { Connection } from "#src/conn/connection.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { ownJob, tell } from "./child.js";
import { repeat } from "./load.js";
import { LoadClient } from "./load-client.js";
import { ALPN, serve, type Target } from "./loopback.js";

export interface MemoryJob {
  role: "server" | "client";
  kind: "quic" | "tls";
  server?: Target;
}

/** Bytes of the server process. */
export interface Sample {
  rss: number;
  heap: number;
  /** Array buffers and what the addon and OpenSSL told V8 about. */
  external: number;
}

/** Below the number of half-open handshakes at which the server asks for Retry. */
const IN_FLIGHT = 64;
const PATIENCE_MILLIS = 60_000;
/** A closed connection is forgotten three probe timeouts later (RFC 9000 §10.2), and under load those are long. */
const SETTLE_MILLIS = 1_000;
/** The heap has settled when it shrinks by less than this share in that time. */
const SETTLED_SHARE = 0.003;

let openNow = 0;
const held: (() => Promise<void>)[] = [];
let openOne: () => Promise<() => Promise<void>> = () => Promise.reject(new Error("a server opens nothing"));

/** Of the server: its memory when exactly `wanted` connections are open. */
async function sample(wanted: number): Promise<Sample> {
  for (const deadline = Date.now() + PATIENCE_MILLIS; openNow !== wanted; await sleep(10)) {
    if (Date.now() > deadline) throw new Error(`${openNow} connections are open at the server, not ${wanted}`);
  }
  for (let before = Number.POSITIVE_INFINITY; ; ) {
    await sleep(SETTLE_MILLIS);
    for (let i = 0; i < 2; i++) {
      (globalThis as unknown as { gc(): void }).gc();
      await sleep(20);
    }
    const { rss, heapUsed, external } = process.memoryUsage();
    if (heapUsed > before * (1 - SETTLED_SHARE)) return { rss, heap: heapUsed, external };
    before = heapUsed;
  }
}

/** Connections and sessions that the heap holds, counted one by one; the count takes memory, so it comes last. */
function countObjects(): number {
  let count = 0;
  for (const kind of [Connection, SessionCore]) count += queryObjects(kind, { format: "count" });
  return count;
}

const job = ownJob<MemoryJob>({
  sample: (wanted) => sample(Number(wanted)),
  objects: countObjects,
  open: (count) => repeat(Number(count), IN_FLIGHT, async () => void held.push(await openOne())),
  close: () => repeat(held.length, IN_FLIGHT, async () => held.pop()?.()),
  churn: (count) => repeat(Number(count), IN_FLIGHT, async () => (await openOne())()),
});

function serveQuic(): Promise<void> {
  const onsession = (session: QuicSession): void => {
    session.opened.then(
      () => openNow++,
      () => {},
    );
    const gone = (): void => {
      if (session.ext.stats().handshakeCompletedAtMicros > 0) openNow--;
    };
    session.closed.then(gone, gone);
  };
  return serve(onsession, { transportParams: { maxIdleTimeout: 0 } });
}

function serveTls(): void {
  const { cert, key } = devCertificate({ hosts: ["localhost"] });
  const server = createServer({ cert, key, minVersion: "TLSv1.3", ciphers: "TLS_AES_128_GCM_SHA256" }, (socket) => {
    openNow++;
    socket.on("error", () => {});
    socket.on("close", () => openNow--);
    socket.resume();
  });
  server.listen(0, "127.0.0.1", 4096, () => tell({ port: (server.address() as { port: number }).port, ca: cert }));
}

async function quicOpener(target: Target): Promise<typeof openOne> {
  const client = await LoadClient.open(target, ALPN);
  tell(client.runtime);
  return async () => {
    const connection = client.connect();
    await connection.opened;
    return () => connection.close();
  };
}

function tlsOpener({ port, ca }: Target): typeof openOne {
  const secureContext = createSecureContext({ ca });
  tell(null);
  return async () => {
    const socket = await new Promise<TLSSocket>((resolve, reject) => {
      const made = connectTls({ host: "127.0.0.1", port, secureContext, servername: "localhost" }, () => resolve(made));
      made.once("error", reject);
    });
    socket.on("error", () => {});
    socket.resume();
    return () =>
      new Promise((resolve) => {
        socket.once("close", () => resolve());
        socket.end();
      });
  };
}

if (job.role === "client") {
  const target = job.server as Target;
  openOne = job.kind === "quic" ? await quicOpener(target) : tlsOpener(target);
} else if (job.kind === "quic") await serveQuic();
else serveTls();
