/** The bulk transfer over lsquic through bun's own node:quic: `bun bun.mjs JOB`. Its datagram size is its own choice. */

import { createPrivateKey } from "node:crypto";
import { connect, listen } from "node:quic";
import { measureBulk, shareOf } from "../../dist-bench/bulk-job.js";
import { ownJob, tell } from "../../dist-bench/child.js";

const ALPN = "perf";
const CHUNK_BYTES = 64 * 1024;
const job = ownJob();
const share = shareOf(job);

/** The writer takes all of a chunk or says false, and has no event for room: it is asked again each turn. */
async function sendShare({ writer }) {
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let left = share; left > 0; left -= CHUNK_BYTES) {
    const part = left < CHUNK_BYTES ? chunk.subarray(0, left) : chunk;
    while (!writer.writeSync(part)) await new Promise((resolve) => setImmediate(resolve));
  }
  writer.endSync();
}

async function drain(stream) {
  let bytes = 0;
  for await (const batch of stream) {
    if (batch instanceof Uint8Array) bytes += batch.length;
    else for (const chunk of batch) bytes += chunk.length;
  }
  return bytes;
}

async function answer(stream) {
  stream.closed.catch(() => {});
  await drain(stream);
  if (job.dir === "down") await sendShare(stream);
  else stream.writer.endSync();
}

async function serve() {
  const { cert, key } = job.identity;
  const endpoint = await listen(
    (session) => {
      session.closed.catch(() => {});
      session.opened.catch(() => {});
      session.onstream = (stream) => answer(stream).catch(() => {});
    },
    {
      sni: { "*": { keys: [createPrivateKey(key)], certs: [Buffer.from(cert)] } },
      alpn: [ALPN],
      endpoint: { address: "127.0.0.1:0" },
    },
  );
  tell({ port: endpoint.address.port, ca: cert });
}

async function run() {
  // Its TLS takes no self-signed leaf as an authority, and this one is on loopback.
  const session = await connect(`127.0.0.1:${job.server.port}`, {
    servername: "localhost",
    alpn: ALPN,
    verifyPeer: "manual",
  });
  session.closed.catch(() => {});
  await session.opened;
  const gbitPerSec = await measureBulk(job, async () => {
    const stream = await session.createBidirectionalStream();
    stream.closed.catch(() => {});
    if (job.dir === "up") await sendShare(stream);
    else stream.writer.endSync();
    return drain(stream);
  });
  tell({ gbitPerSec });
}

await (job.role === "server" ? serve() : run());
