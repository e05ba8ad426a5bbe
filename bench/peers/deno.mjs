/** The bulk transfer over quinn through Deno: `deno run -A --unstable-net deno.mjs JOB`. Its datagram size is its own choice. */

import { measureBulk, shareOf } from "../../dist-bench/bulk-job.js";
import { ownJob, tell } from "../../dist-bench/child.js";

const ALPN = "perf";
const CHUNK_BYTES = 1 << 20;
const job = ownJob();
const share = shareOf(job);

async function sendShare(writable) {
  const writer = writable.getWriter();
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let left = share; left > 0; left -= CHUNK_BYTES) {
    await writer.write(left < CHUNK_BYTES ? chunk.subarray(0, left) : chunk);
  }
  await writer.close();
}

async function drain(readable) {
  let bytes = 0;
  for await (const chunk of readable) bytes += chunk.length;
  return bytes;
}

async function answer({ readable, writable }) {
  await drain(readable);
  if (job.dir === "down") await sendShare(writable);
  else await writable.close();
}

async function accept(incoming) {
  const conn = await incoming.accept();
  try {
    for await (const stream of conn.incomingBidirectionalStreams) answer(stream).catch(() => {});
  } catch {
    // the client is done
  }
}

async function serve() {
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  const listener = endpoint.listen({ ...job.identity, alpnProtocols: [ALPN] });
  tell({ port: endpoint.addr.port, ca: job.identity.cert });
  for await (const incoming of listener) accept(incoming).catch(() => {});
}

async function run() {
  const conn = await Deno.connectQuic({
    hostname: "127.0.0.1",
    port: job.server.port,
    serverName: "localhost",
    caCerts: [job.server.ca],
    alpnProtocols: [ALPN],
  });
  const gbitPerSec = await measureBulk(job, async () => {
    const { readable, writable } = await conn.createBidirectionalStream();
    if (job.dir === "up") await sendShare(writable);
    else await writable.close();
    return drain(readable);
  });
  tell({ gbitPerSec });
}

await (job.role === "server" ? serve() : run());
