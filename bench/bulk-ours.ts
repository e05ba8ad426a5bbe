/** The bulk transfer over QUIC streams through the public API. */

import { connect, listen, type QuicStream } from "#src/api/quic/index.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { type BulkJob, measureBulk, shareOf } from "./bulk-job.js";
import { ownJob, tell } from "./child.js";

const ALPN = "perf";
const CHUNK_BYTES = 1 << 20;
const READ_BYTES = 256 * 1024;
const job = ownJob<BulkJob>();
const share = shareOf(job);
const chunk = new Uint8Array(CHUNK_BYTES);
const transport = { maxPayloadSize: job.datagramBytes, alpn: job.role === "server" ? [ALPN] : ALPN };

async function sendShare(stream: QuicStream): Promise<void> {
  for (let left = share; left > 0; left -= CHUNK_BYTES) {
    await stream.writer.write(left < CHUNK_BYTES ? chunk.subarray(0, left) : chunk);
  }
  await stream.writer.end();
}

/** Reads to the end and returns the bytes. */
async function drain(stream: QuicStream): Promise<number> {
  const into = new Uint8Array(READ_BYTES);
  let bytes = 0;
  for (;;) {
    const got = await stream.ext.read({ into });
    if (got === null) return bytes;
    bytes += got.length;
  }
}

async function serve(): Promise<void> {
  const { cert, key } = devCertificate({ hosts: ["localhost"] });
  const endpoint = await listen(
    (session) => {
      session.onstream = async (stream: QuicStream) => {
        await drain(stream);
        if (job.dir === "down") await sendShare(stream);
        else await stream.writer.end();
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
  const gbitPerSec = await measureBulk(job, async () => {
    const stream = await session.createBidirectionalStream();
    if (job.dir === "up") await sendShare(stream);
    else await stream.writer.end();
    return drain(stream);
  });
  tell({ gbitPerSec, runtime: session.ext.runtime });
}

await (job.role === "server" ? serve() : run());
