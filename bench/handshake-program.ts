/** Server and load client of the handshake benchmark: connections that are opened and closed, nothing else. */

import type { QuicSession } from "#src/api/quic/index.js";
import { ownJob, tell } from "./child.js";
import { cpuMicros, repeat } from "./load.js";
import { LoadClient } from "./load-client.js";
import { type AgentTarget, ALPN, serve, type Target } from "./loopback.js";

const MAX_TICKETS = 1000;

export interface HandshakeJob {
  role: "server" | "client";
  server?: Target;
  /** Does the server's handshakes; default: its own process. */
  agent?: AgentTarget;
}

export interface Load {
  count: number;
  inFlight: number;
  /** With the ticket of an earlier connection, and with data in 0-RTT. */
  kind: "full" | "resumed" | "early";
}

export interface LoadResult {
  millis: number;
  resumed: number;
  early: number;
}

let client: LoadClient | null = null;
/** The latest ones: each is good for 0-RTT once. */
let tickets: Uint8Array[] = [];

async function load({ count, inFlight, kind }: Load): Promise<LoadResult> {
  const open = client as LoadClient;
  let resumed = 0;
  let early = 0;
  const started = performance.now();
  await repeat(count, inFlight, async () => {
    const ticket = kind === "full" ? undefined : kind === "early" ? tickets.shift() : tickets[0];
    const connection = open.connect(ticket ?? null, kind === "early");
    await connection.opened;
    if (connection.isResumed) resumed++;
    if (connection.isEarly) early++;
    if (connection.ticket !== null) tickets.push(connection.ticket);
    void connection.close();
  });
  tickets = tickets.slice(-MAX_TICKETS);
  return { millis: performance.now() - started, resumed, early };
}

const job = ownJob<HandshakeJob>({
  load: (argument) => load(argument as Load),
  cpuMicros,
});

const onsession = (session: QuicSession): void => {
  session.closed.catch(() => {});
  session.onstream = (stream) => void stream.closed.catch(() => {});
};

if (job.role === "server") await serve(onsession, {}, job.agent ?? null);
else {
  client = await LoadClient.open(job.server as Target, ALPN);
  tell(client.runtime);
}
