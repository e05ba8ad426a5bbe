/** The bulk transfer over QUIC streams through the public API. */

import { type BulkJob, measureBulk, shareOf } from "./bulk-job.js";
import { ownJob, tell } from "./child.js";
import { dial, drain, send, serve } from "./loopback.js";

const job = ownJob<BulkJob>();
const share = shareOf(job);
const options = { maxPayloadSize: job.datagramBytes, ext: { disable1RttEncryption: job.plaintext } };

async function run(): Promise<void> {
  const session = await dial(job.server, options);
  if (session.ext.stats().plaintext !== job.plaintext) throw new Error("the packets are not as they were asked for");
  const gbitPerSec = await measureBulk(job, async () => {
    const stream = await session.createBidirectionalStream();
    await send(stream, job.dir === "up" ? share : 0);
    return drain(stream);
  });
  tell({ gbitPerSec, runtime: session.ext.runtime });
}

function listen(): Promise<void> {
  return serve((session) => {
    session.onstream = async (stream) => {
      await drain(stream);
      await send(stream, job.dir === "down" ? share : 0);
    };
  }, options);
}

await (job.role === "server" ? listen() : run());
