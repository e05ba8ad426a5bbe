/**
 * A download of a file over the public API; the server counts what it costs it: CPU time of all its threads, as reads of
 * files may happen on others. A first, uncounted part lets the compiler finish and the page cache fill.
 */

import { open } from "node:fs/promises";
import { connect, listen, type QuicStream } from "#src/api/quic/index.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { ownJob, tell } from "./child.js";
import type { FileFigures, FileJob } from "./file-job.js";
import { cpuMicros } from "./load.js";

const ALPN = "perf";
/** As programs that serve files choose it; larger ones fall out of the cache before they are sent. */
const CHUNK_BYTES = 256 * 1024;
const READ_BYTES = 256 * 1024;
const job = ownJob<FileJob>();
const transport = { maxPayloadSize: job.datagramBytes, alpn: job.role === "server" ? [ALPN] : ALPN };

async function drain(stream: QuicStream): Promise<number> {
  const into = new Uint8Array(READ_BYTES);
  for (let bytes = 0; ; ) {
    const got = await stream.ext.read({ into });
    if (got === null) return bytes;
    bytes += got.length;
  }
}

async function send(stream: QuicStream, bytes: number): Promise<void> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  const file = await open(job.path);
  try {
    if (job.mode === "sendFile") await stream.ext.sendFile(file, { length: bytes });
    for (let at = 0; job.mode !== "sendFile" && at < bytes; at += CHUNK_BYTES) {
      const length = Math.min(CHUNK_BYTES, bytes - at);
      if (job.mode === "readWrite") await file.read(chunk, 0, length, at);
      await stream.writer.write(chunk.subarray(0, length));
    }
    await stream.writer.end();
  } finally {
    await file.close();
  }
}

async function serve(): Promise<void> {
  const { cert, key } = devCertificate({ hosts: ["localhost"] });
  let isWarm = false;
  const endpoint = await listen(
    (session) => {
      session.closed.catch(() => {});
      session.onstream = async (stream: QuicStream) => {
        await drain(stream);
        if (!isWarm) {
          isWarm = true;
          await send(stream, job.warmUpBytes);
          return;
        }
        const startedMicros = cpuMicros();
        const started = performance.now();
        await send(stream, job.bytes);
        await stream.closed;
        const millis = performance.now() - started;
        const cpuNanos = (cpuMicros() - startedMicros) * 1000;
        tell({ cpuNanos, millis, runtime: session.ext.runtime } satisfies FileFigures);
      };
    },
    { ...transport, endpoint: { address: "127.0.0.1:0" }, sni: { "*": { keys: key, certs: cert } } },
  );
  tell({ port: endpoint.address?.port, ca: cert });
}

async function run(): Promise<void> {
  const { port, ca } = job.server as { port: number; ca: string };
  const session = await connect(`127.0.0.1:${port}`, { ...transport, ca, servername: "localhost" });
  await session.opened;
  for (const wanted of [job.warmUpBytes, job.bytes]) {
    const stream = await session.createBidirectionalStream();
    await stream.writer.end();
    const bytes = await drain(stream);
    if (bytes !== wanted) throw new Error(`${bytes} of ${wanted} bytes came`);
  }
}

await (job.role === "server" ? serve() : run());
