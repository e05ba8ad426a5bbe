/**
 * One end of a transfer in a namespace: serves, or connects and moves bytes both ways at once on one stream. Each side
 * hashes what it sent and what it received; the parent compares.
 */

import { createHash, randomFillSync } from "node:crypto";
import { connect, listen, type QuicSession, type QuicStream } from "#src/api/quic/index.js";
import type { TransportStats } from "#src/port/transport.js";
import { devCertificate } from "#src/runtime/native/x509.js";

export interface ServeOrder {
  serve: { address: string; maxPayloadSize?: number };
}

export interface Served {
  port: number;
  ca: string;
}

export interface TransferOrder {
  transfer: {
    address: string;
    port: number;
    ca: string;
    upBytes: number;
    downBytes: number;
    maxPayloadSize?: number;
  };
}

/** What one side saw of the transfer; a server is asked for it. */
export interface TransferReport {
  sent: string;
  received: string;
  stats: TransportStats;
  /** How its socket sends and receives. */
  rung: string;
}

export interface ReportOrder {
  report: true;
}

const ALPN = "transfer";
const CHUNK_BYTES = 1 << 18;
const HEAD_BYTES = 8;

const send = process.send?.bind(process) as (message: object) => boolean;

async function sendBytes(stream: QuicStream, head: Uint8Array, bytes: number): Promise<string> {
  const hash = createHash("sha256");
  const chunk = randomFillSync(new Uint8Array(CHUNK_BYTES));
  if (head.length > 0) await stream.writer.write(head);
  for (let left = bytes; left > 0; left -= chunk.length) {
    randomFillSync(chunk, 0, 16); // no two chunks alike
    const piece = chunk.subarray(0, Math.min(left, chunk.length));
    hash.update(piece);
    await stream.writer.write(piece);
  }
  await stream.writer.end();
  return hash.digest("hex");
}

/** Reads to the end; the first `headBytes` go to `onHead` and are not hashed. */
async function receiveBytes(stream: QuicStream, headBytes: number, onHead: (head: Buffer) => void): Promise<string> {
  const hash = createHash("sha256");
  const into = new Uint8Array(CHUNK_BYTES);
  let head = Buffer.alloc(0);
  for (;;) {
    const got = await stream.ext.read({ into });
    if (got === null) return hash.digest("hex");
    let from = 0;
    if (head.length < headBytes) {
      from = Math.min(headBytes - head.length, got.length);
      head = Buffer.concat([head, got.subarray(0, from)]);
      if (head.length === headBytes) onHead(head);
    }
    hash.update(got.subarray(from));
  }
}

async function reportOf(
  session: QuicSession,
  sent: Promise<string>,
  received: Promise<string>,
): Promise<TransferReport> {
  return { sent: await sent, received: await received, stats: session.ext.stats(), rung: session.ext.runtime.udp };
}

/** What the server says when it is asked: after the client, so that it has seen all that the client was told of. */
let report: (() => Promise<TransferReport>) | null = null;

async function serve({ serve: { address, ...limits } }: ServeOrder): Promise<void> {
  const { cert, key } = devCertificate({ hosts: ["localhost"] });
  const endpoint = await listen(
    (session) => {
      session.onstream = (stream: QuicStream) => {
        let begin: (head: Buffer) => void;
        const head = new Promise<Buffer>((resolve) => (begin = resolve));
        const received = receiveBytes(stream, HEAD_BYTES, (bytes) => begin(bytes));
        const sent = head.then((bytes) => sendBytes(stream, new Uint8Array(0), Number(bytes.readBigUInt64BE())));
        report = () => reportOf(session, sent, received);
      };
    },
    { ...limits, alpn: [ALPN], endpoint: { address }, sni: { "*": { keys: key, certs: cert } } },
  );
  send({ port: endpoint.address?.port, ca: cert });
}

async function transfer({ transfer: order }: TransferOrder): Promise<void> {
  const { address, port, ca, upBytes, downBytes, ...limits } = order;
  const host = address.includes(":") ? `[${address}]` : address;
  const session = await connect(`${host}:${port}`, { ...limits, alpn: ALPN, ca, servername: "localhost" });
  await session.opened;
  const stream = await session.createBidirectionalStream();
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeBigUInt64BE(BigInt(downBytes));
  const sent = sendBytes(stream, head, upBytes);
  const received = receiveBytes(stream, 0, () => {});
  send(await reportOf(session, sent, received));
}

process.on("message", async (order: ServeOrder | TransferOrder | ReportOrder) => {
  if ("serve" in order) await serve(order);
  else if ("transfer" in order) await transfer(order);
  else if (report !== null) send(await report());
});
