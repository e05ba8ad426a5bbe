/** Echo over new bidirectional streams of one connection: the server in each shape that the API has, the client in the fastest. */

import { connect, listen, type QuicSession, type QuicStream } from "#src/api/quic/index.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { ownJob, tell } from "./child.js";
import { cpuMicros, repeat } from "./load.js";
import type { RequestsJob } from "./requests-job.js";

const ALPN = "perf";
const payload = new Uint8Array((JSON.parse(process.argv.at(-1) ?? "{}") as RequestsJob).payloadBytes).fill(0x61);
let session: QuicSession | null = null;

/** One request; its answer is counted. */
async function request(): Promise<void> {
  const stream = await (session as QuicSession).createBidirectionalStream();
  stream.writer.writeSync(payload);
  stream.writer.endSync();
  let bytes = 0;
  for (let chunk = await stream.ext.read(); chunk !== null; chunk = await stream.ext.read()) bytes += chunk.length;
  if (bytes !== payload.length) throw new Error(`${bytes} bytes came back, not ${payload.length}`);
}

const job = ownJob<RequestsJob>({
  cpuMicros,
  load: async (count) => {
    const started = performance.now();
    await repeat(Number(count), job.inFlight, request);
    return { millis: performance.now() - started };
  },
});

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

async function serve(): Promise<void> {
  const { cert, key } = devCertificate({ hosts: ["localhost"] });
  const endpoint = await listen(
    (accepted) => {
      accepted.closed.catch(() => {});
      accepted.onstream = echoes[job.shape];
    },
    {
      alpn: [ALPN],
      endpoint: { address: "127.0.0.1:0" },
      sni: { "*": { keys: key, certs: cert } },
      transportParams: { initialMaxStreamsBidi: Math.max(100, 2 * job.inFlight) },
    },
  );
  tell({ port: endpoint.address?.port, ca: cert });
}

if (job.role === "server") await serve();
else {
  const { port, ca } = job.server as NonNullable<RequestsJob["server"]>;
  session = await connect(`127.0.0.1:${port}`, { alpn: ALPN, ca, servername: "localhost" });
  await session.opened;
  tell(session.ext.runtime);
}
