/**
 * A download over the public API whose both ends count their own CPU time: of the thread, inside the addon, and what is
 * left, which is JavaScript with the event loop and garbage collection. A first, uncounted part lets the compiler finish.
 */

import { PerformanceObserver, constants } from "node:perf_hooks";
import { connect, listen, type QuicSession, type QuicStream } from "#src/api/quic/index.js";
import { sharedDatapath } from "#src/api/datapath.js";
import { type AeadPort, copyGathered, GATHER_COLS, GATHER_LEN } from "#src/port/aead.js";
import { type NativeTiming, readTiming, startTiming, type TimedCall } from "#src/runtime/native/timing.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { ownJob, tell } from "./child.js";

export interface JsJob {
  role: "server" | "client";
  warmUpBytes: number;
  bytes: number;
  datagramBytes: number;
  /** `separate`: the data of a batch is copied into its packets before it is sealed, not in the same pass. Absent: not watched. */
  copies?: "joined" | "separate";
  server?: unknown;
}

/** What one end counted during the second transfer. */
export interface JsFigures {
  packetsSent: number;
  packetsReceived: number;
  jsNanos: number;
  nativeNanos: Record<TimedCall, number>;
  nativeCalls: Record<TimedCall, number>;
  scavenges: number;
  otherCollections: number;
  bytes: number;
  /** Copied from send rings into packets. */
  gatheredBytes: number;
  runtime: { tls: string; udp: string };
}

const ALPN = "perf";
const CHUNK_BYTES = 1 << 20;
const READ_BYTES = 256 * 1024;
const job = ownJob<JsJob>();
const transport = { maxPayloadSize: job.datagramBytes, alpn: job.role === "server" ? [ALPN] : ALPN };

let gatheredBytes = 0;

/** Every batch that this process seals goes through here: counts the copies, and makes them apart where it is told to. */
function watchCopies(aead: AeadPort, isSeparate: boolean): void {
  const seal = aead.seal.bind(aead);
  aead.seal = (batch) => {
    const gather = batch.gather as { rows: Int32Array; count: number } | undefined;
    if (gather === undefined) return seal(batch);
    for (let i = 0; i < gather.count; i++) gatheredBytes += gather.rows[i * GATHER_COLS + GATHER_LEN] as number;
    if (isSeparate) {
      if (!copyGathered(batch)) throw new Error("a copy was refused");
      gather.count = 0;
    }
    return seal(batch);
  };
}

if (job.copies !== undefined) watchCopies(sharedDatapath().aead, job.copies === "separate");

let scavenges = 0;
let otherCollections = 0;
new PerformanceObserver((list) => {
  for (const { detail } of list.getEntries() as unknown as { detail: { kind: number } }[]) {
    if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) scavenges++;
    else otherCollections++;
  }
}).observe({ entryTypes: ["gc"] });

/** What was counted at the start of a part. */
class Meter {
  private readonly scavenges = scavenges;
  private readonly otherCollections = otherCollections;
  private readonly gatheredBytes = gatheredBytes;
  private readonly stats;
  private readonly timing: NativeTiming;

  constructor(private readonly session: QuicSession) {
    this.stats = session.ext.stats();
    startTiming();
    this.timing = readTiming();
  }

  read(bytes: number): JsFigures {
    const { threadNanos, clockNanos, calls, nanos } = readTiming();
    const { packetsSent, packetsReceived } = this.session.ext.stats();
    const sum = (counts: Record<TimedCall, number>): number => Object.values(counts).reduce((a, b) => a + b, 0);
    return {
      packetsSent: packetsSent - this.stats.packetsSent,
      packetsReceived: packetsReceived - this.stats.packetsReceived,
      // Of the two clock reads of a call, one is inside what the call counted.
      jsNanos: threadNanos - this.timing.threadNanos - sum(nanos) - clockNanos * sum(calls),
      nativeNanos: nanos,
      nativeCalls: calls,
      scavenges: scavenges - this.scavenges,
      otherCollections: otherCollections - this.otherCollections,
      bytes,
      gatheredBytes: gatheredBytes - this.gatheredBytes,
      runtime: this.session.ext.runtime,
    };
  }
}

/** Reads to the end and returns the bytes. */
async function drain(stream: QuicStream): Promise<number> {
  const into = new Uint8Array(READ_BYTES);
  for (let bytes = 0; ; ) {
    const got = await stream.ext.read({ into });
    if (got === null) return bytes;
    bytes += got.length;
  }
}

async function send(stream: QuicStream, bytes: number): Promise<void> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let left = bytes; left > 0; left -= CHUNK_BYTES) {
    await stream.writer.write(left < CHUNK_BYTES ? chunk.subarray(0, left) : chunk);
  }
  await stream.writer.end();
}

/** Observers of garbage collection are told at the end of the turn. */
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

async function serve(): Promise<void> {
  const { cert, key } = devCertificate({ hosts: ["localhost"] });
  let isWarm = false;
  const endpoint = await listen(
    (session) => {
      session.closed.catch(() => {});
      session.onstream = async (stream: QuicStream) => {
        await drain(stream);
        if (!isWarm) {
          isWarm = true;
          await send(stream, job.warmUpBytes);
          return;
        }
        const meter = new Meter(session);
        await send(stream, job.bytes);
        await stream.closed;
        await turn();
        tell(meter.read(job.bytes));
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
  const download = async (): Promise<number> => {
    const stream = await session.createBidirectionalStream();
    await stream.writer.end();
    return drain(stream);
  };
  await download();
  await turn();
  const meter = new Meter(session);
  const bytes = await download();
  await turn();
  tell(meter.read(bytes));
}

await (job.role === "server" ? serve() : run());
