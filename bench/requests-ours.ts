/** Echo over new bidirectional streams of one connection: the server in each shape that the API has, the client in the fastest. */

import type { QuicSession, QuicStream } from "#src/api/quic/index.js";
import { tell } from "./child.js";
import { dial, serve } from "./loopback.js";
import { ownRequestsJob } from "./requests-job.js";

const job = ownRequestsJob(request);
const payload = new Uint8Array(job.payloadBytes).fill(0x61);
let session: QuicSession | null = null;

/** One request; its answer is counted. */
async function request(): Promise<number> {
  const stream = await (session as QuicSession).createBidirectionalStream();
  stream.writer.writeSync(payload);
  stream.writer.endSync();
  let bytes = 0;
  for (let chunk = await stream.ext.read(); chunk !== null; chunk = await stream.ext.read()) bytes += chunk.length;
  return bytes;
}

const echoes: Record<string, (stream: QuicStream) => Promise<void>> = {
  async read(stream) {
    for (let chunk = await stream.ext.read(); chunk !== null; chunk = await stream.ext.read()) {
      if (!stream.writer.writeSync(chunk)) await stream.writer.write(chunk);
    }
    stream.writer.endSync();
  },
  async iterator(stream) {
    for await (const chunks of stream) await stream.writer.writev(chunks);
    await stream.writer.end();
  },
  async duplex(stream) {
    const duplex = stream.ext.toDuplex();
    duplex.on("error", () => {});
    duplex.pipe(duplex);
  },
};

function listen(): Promise<void> {
  const onsession = (accepted: QuicSession): void => {
    accepted.closed.catch(() => {});
    accepted.onstream = echoes[job.shape];
  };
  return serve(onsession, { transportParams: { initialMaxStreamsBidi: Math.max(100, 2 * job.inFlight) } });
}

if (job.role === "server") await listen();
else {
  session = await dial(job.server);
  tell(session.ext.runtime);
}
