/**
 * A download of a file over the public API; the server counts what it costs it: CPU time of all its threads, as reads of
 * files may happen on others. A first, uncounted part lets the compiler finish and the page cache fill.
 */

import { type FileHandle, open } from "node:fs/promises";
import type { QuicStream } from "#src/api/quic/index.js";
import { ownJob, tell } from "./child.js";
import type { FileFigures, FileJob } from "./file-job.js";
import { cpuMicros } from "./load.js";
import { dial, download, send, serveDownloads } from "./loopback.js";

/** As programs that serve files choose it; larger ones fall out of the cache before they are sent. */
const CHUNK_BYTES = 256 * 1024;
const job = ownJob<FileJob>();
const options = { maxPayloadSize: job.datagramBytes };

async function copy(file: FileHandle, stream: QuicStream, bytes: number): Promise<void> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let at = 0; at < bytes; at += CHUNK_BYTES) {
    const length = Math.min(CHUNK_BYTES, bytes - at);
    await file.read(chunk, 0, length, at);
    await stream.writer.write(chunk.subarray(0, length));
  }
}

async function sendMode(stream: QuicStream, bytes: number): Promise<void> {
  if (job.mode === "memory") return send(stream, bytes, CHUNK_BYTES);
  const file = await open(job.path);
  try {
    if (job.mode === "sendFile") await stream.ext.sendFile(file, { length: bytes });
    else await copy(file, stream, bytes);
    await stream.writer.end();
  } finally {
    await file.close();
  }
}

function listen(): Promise<void> {
  return serveDownloads(
    (stream) => sendMode(stream, job.warmUpBytes),
    async (stream, session) => {
      const startedMicros = cpuMicros();
      const started = performance.now();
      await sendMode(stream, job.bytes);
      await stream.closed;
      const millis = performance.now() - started;
      const cpuNanos = (cpuMicros() - startedMicros) * 1000;
      tell({ cpuNanos, millis, runtime: session.ext.runtime } satisfies FileFigures);
    },
    options,
  );
}

async function run(): Promise<void> {
  const session = await dial(job.server, options);
  for (const wanted of [job.warmUpBytes, job.bytes]) {
    const bytes = await download(session);
    if (bytes !== wanted) throw new Error(`${bytes} of ${wanted} bytes came`);
  }
}

await (job.role === "server" ? listen() : run());
