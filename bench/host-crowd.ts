/** Many connections over the programs of one host: a server is one program, the client opens them in turn and keeps them. */

import { connect, listen, type QuicSession } from "#src/api/quic/index.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { ownJob, tell } from "./child.js";
import { repeat } from "./load.js";
import { drain } from "./loopback.js";

export interface CrowdJob {
  role: "server" | "client";
  /** Of the server: its protocol, and where. */
  alpn?: string;
  address?: string;
  /** Of the client. */
  port?: number;
  alpns?: readonly string[];
  connections?: number;
}

const IN_FLIGHT = 32;
const job = ownJob<CrowdJob>({ sessions: () => served });
let served = 0;

async function serve({ alpn = "", address = "" }: CrowdJob): Promise<void> {
  const { cert, key } = devCertificate({ hosts: ["localhost"] });
  const endpoint = await listen(
    (session) => {
      served++;
      session.closed.catch(() => {});
      session.onstream = async (stream) => {
        await drain(stream);
        await stream.writer.write(alpn);
        await stream.writer.end();
      };
    },
    {
      alpn: [alpn],
      endpoint: { address },
      sni: { "*": { keys: key, certs: cert } },
      transportParams: { maxIdleTimeout: 600 },
    },
  );
  tell({ port: endpoint.address?.port });
}

async function crowd({ port = 0, alpns = [], connections = 0 }: CrowdJob): Promise<void> {
  const sessions: QuicSession[] = [];
  const started = performance.now();
  let next = 0;
  await repeat(connections, IN_FLIGHT, async () => {
    const alpn = alpns[next++ % alpns.length] as string;
    const options = {
      alpn,
      servername: "localhost",
      rejectUnauthorized: false,
      transportParams: { maxIdleTimeout: 600 },
    } as const;
    const session = await connect(`127.0.0.1:${port}`, options);
    await session.opened;
    sessions.push(session);
  });
  const openMillis = performance.now() - started;
  let wrong = 0;
  next = 0;
  await repeat(connections, IN_FLIGHT, async () => {
    const session = sessions[next++] as QuicSession;
    const stream = await session.createBidirectionalStream({ body: "?" });
    const into = new Uint8Array(64);
    const got = await stream.ext.read({ into });
    if (got === null || Buffer.from(got).toString() !== session.alpnProtocol) wrong++;
  });
  tell({ openMillis, askMillis: performance.now() - started - openMillis, wrong });
}

await (job.role === "server" ? serve(job) : crowd(job));
