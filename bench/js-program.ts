/**
 * A download over the public API whose both ends count their own CPU time: of the thread, inside the addon, and what is
 * left, which is JavaScript with the event loop and garbage collection. A first, uncounted part lets the compiler finish.
 */

import { PerformanceObserver, constants } from "node:perf_hooks";
import type { QuicSession } from "#src/api/quic/index.js";
import { sharedDatapath } from "#src/api/datapath.js";
import { type AeadPort, copyGathered, GATHER_COLS, GATHER_LEN } from "#src/port/aead.js";
import { type NativeTiming, readTiming, startTiming, type TimedCall } from "#src/runtime/native/timing.js";
import { ownJob, tell } from "./child.js";
import { dial, download, send, serveDownloads } from "./loopback.js";

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

const job = ownJob<JsJob>();
const options = { maxPayloadSize: job.datagramBytes };

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

/** Observers of garbage collection are told at the end of the turn. */
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

function listen(): Promise<void> {
  return serveDownloads(
    (stream) => send(stream, job.warmUpBytes),
    async (stream, session) => {
      const meter = new Meter(session);
      await send(stream, job.bytes);
      await stream.closed;
      await turn();
      tell(meter.read(job.bytes));
    },
    options,
  );
}

async function run(): Promise<void> {
  const session = await dial(job.server, options);
  await download(session);
  await turn();
  const meter = new Meter(session);
  const bytes = await download(session);
  await turn();
  tell(meter.read(bytes));
}

await (job.role === "server" ? listen() : run());
