/**
 * A program whose sockets `quic ss` shows, run by a test with an IPC channel. `server ALPN [ADDRESS]` echoes; `client PORT,PORT COUNT BYTES`
 * opens so many connections to each and transfers from `go` to `stop`. Both tell their own counters when asked.
 */

import { connect, listen, type QuicSession } from "#src/api/quic/index.js";
import { ALPN, content, echo, readAll } from "../api/support.js";

/** What a session counts itself. */
export interface OwnCounters {
  bytesSent: number;
  bytesReceived: number;
  bidiIn: number;
  bidiOut: number;
}

/** The connections rest while `quic ss` is run a dozen times, which takes long where the machine is busy. */
const IDLE_SECONDS = 600;

const sessions: QuicSession[] = [];

function ownCounters(): OwnCounters[] {
  return sessions.map(({ stats }) => ({
    bytesSent: Number(stats.bytesSent),
    bytesReceived: Number(stats.bytesReceived),
    bidiIn: Number(stats.bidiInStreamCount),
    bidiOut: Number(stats.bidiOutStreamCount),
  }));
}

async function serve(alpn: string, address: string): Promise<void> {
  const endpoint = await listen(
    (session) => {
      sessions.push(session);
      echo(session);
    },
    {
      alpn: [alpn],
      transportParams: { maxIdleTimeout: IDLE_SECONDS },
      ext: { devCertificate: true },
      endpoint: { address },
    },
  );
  tell({ port: endpoint.address?.port ?? 0, pin: endpoint.ext.devCertificate?.fingerprint256 ?? "" });
}

async function begin(targets: { port: number; pin: string; alpn: string }[], count: number): Promise<void> {
  for (const { port, pin, alpn } of targets) {
    for (let i = 0; i < count; i++) {
      const session = await connect(`127.0.0.1:${port}`, {
        alpn,
        transportParams: { maxIdleTimeout: IDLE_SECONDS },
        ext: { serverCertificateHashes: [{ value: pin }] },
      });
      await session.opened;
      sessions.push(session);
    }
  }
  tell({ opened: sessions.length });
}

let isStopped = false;

/** One stream after the other on each connection, the first and more of them until it is stopped. */
async function transfer(bytes: number): Promise<void> {
  const body = content(bytes);
  await Promise.all(
    sessions.map(async (session) => {
      for (let i = 0; i === 0 || !isStopped; i++) {
        const stream = await session.createBidirectionalStream({ body });
        if ((await readAll(stream)).length !== bytes) throw new Error("lost bytes");
      }
    }),
  );
  tell({ transferred: true });
}

function tell(message: object): void {
  process.send?.(message);
}

const [, , role, alpn = ALPN, address = "127.0.0.1:0"] = process.argv;
process.on("message", (asked: { ask: string; targets?: []; count?: number; bytes?: number }) => {
  if (asked.ask === "counters") tell({ counters: ownCounters() });
  else if (asked.ask === "begin") void begin(asked.targets ?? [], asked.count ?? 0);
  else if (asked.ask === "go") void transfer(asked.bytes ?? 0);
  else if (asked.ask === "stop") isStopped = true;
});
if (role === "server") await serve(alpn, address);
else tell({ ready: true });
