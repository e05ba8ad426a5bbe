/** Server and load client of the handshake benchmark: connections that are opened and closed, nothing else. */

import { listen } from "#src/api/quic/index.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { ownJob, tell } from "./child.js";
import { cpuMicros, repeat } from "./load.js";
import { LoadClient, type Target } from "./load-client.js";

const ALPN = "perf";

export interface HandshakeJob {
  role: "server" | "client";
  server?: Target;
}

export interface Load {
  count: number;
  inFlight: number;
  /** With the ticket of an earlier connection. */
  resume: boolean;
}

export interface LoadResult {
  millis: number;
  resumed: number;
}

let client: LoadClient | null = null;
let ticket: Uint8Array | null = null;

async function load({ count, inFlight, resume }: Load): Promise<LoadResult> {
  const open = client as LoadClient;
  let resumed = 0;
  const started = performance.now();
  await repeat(count, inFlight, async () => {
    const connection = open.connect(resume ? ticket : null);
    await connection.opened;
    if (connection.isResumed) resumed++;
    ticket = connection.ticket ?? ticket;
    void connection.close();
  });
  return { millis: performance.now() - started, resumed };
}

const job = ownJob<HandshakeJob>({
  load: (argument) => load(argument as Load),
  cpuMicros,
});

async function serve(): Promise<void> {
  const { cert, key } = devCertificate({ hosts: ["localhost"] });
  const endpoint = await listen((session) => void session.closed.catch(() => {}), {
    alpn: [ALPN],
    endpoint: { address: "127.0.0.1:0" },
    sni: { "*": { keys: key, certs: cert } },
  });
  tell({ port: endpoint.address?.port, ca: cert });
}

if (job.role === "server") await serve();
else {
  client = await LoadClient.open(job.server as Target, ALPN);
  tell(client.runtime);
}
