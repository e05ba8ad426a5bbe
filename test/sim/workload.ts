/** What the two programs of a simulated connection do: which streams, how many bytes each way, and how each half ends. */

import { type CloseType, STREAM_BIDI, STREAM_UNI, type StreamKind } from "#src/port/transport.js";
import type { Prng } from "#src/sim/prng.js";

/** One direction of one stream. */
export interface HalfPlan {
  bytes: number;
  /** The writer resets after this many bytes instead of ending with FIN; Infinity = never. */
  resetAtBytes: number;
  resetCode: bigint;
  /** The reader sends STOP_SENDING after this many bytes; Infinity = never. */
  stopAtBytes: number;
  stopCode: bigint;
}

export interface StreamPlan {
  forward: HalfPlan;
  /** Null for a unidirectional stream. */
  backward: HalfPlan | null;
}

/** How a program reads, writes and closes. */
export interface Manners {
  /** Largest single write, bytes. */
  chunkBytes: number;
  /** Pause between two writes of a stream; 0 = as fast as it goes. */
  writePauseMicros: number;
  /** A slow reader takes at most this many bytes of each stream each `readPauseMicros`; 0 = reads at once. */
  readPauseMicros: number;
  readBytes: number;
  /** Acts inside the callbacks of `drain`, not after it. */
  inline: boolean;
  priorities: boolean;
  /** Datagrams that it sends once the handshake is complete. */
  datagrams: number;
}

export interface ClosePlan {
  by: "client" | "server" | "both";
  /** Time after start at which it closes whatever has happened; Infinity = when all is done. */
  atMicros: number;
  type: CloseType;
  code: bigint;
}

export interface Workload {
  /** By initiator (0 client, 1 server) and kind, then by index. */
  streams: StreamPlan[][][];
  client: Manners;
  server: Manners;
  close: ClosePlan;
}

/** Number of a stream (RFC 9000 §2.1). */
export function streamId(index: number, byServer: boolean, kind: StreamKind): number {
  return index * 4 + (kind === STREAM_UNI ? 2 : 0) + (byServer ? 1 : 0);
}

/** The plan of a stream by its id; undefined for one that nobody planned. */
export function planOf(workload: Workload, id: number): StreamPlan | undefined {
  return workload.streams[id & 1][(id & 2) === 0 ? STREAM_BIDI : STREAM_UNI][Math.floor(id / 4)];
}

export function totalBytes(workload: Workload): number {
  let total = 0;
  for (const plan of workload.streams.flat(2)) total += plan.forward.bytes + (plan.backward?.bytes ?? 0);
  return total;
}

export const PLAIN_MANNERS: Manners = {
  chunkBytes: 65_536,
  writePauseMicros: 0,
  readPauseMicros: 0,
  readBytes: 65_536,
  inline: true,
  priorities: false,
  datagrams: 0,
};

/** `count` bidirectional streams of the client with `bytes` each way, closed by the client when all is done. */
export function plainWorkload(count: number, bytes: number): Workload {
  const half = (): HalfPlan => plainHalf(bytes);
  const bidi = Array.from({ length: count }, () => ({ forward: half(), backward: half() }));
  return {
    streams: [
      [bidi, []],
      [[], []],
    ],
    client: PLAIN_MANNERS,
    server: PLAIN_MANNERS,
    close: { by: "client", atMicros: Infinity, type: "application", code: 0n },
  };
}

function plainHalf(bytes: number): HalfPlan {
  return { bytes, resetAtBytes: Infinity, resetCode: 0n, stopAtBytes: Infinity, stopCode: 0n };
}

export interface WorkloadSwitches {
  resets: boolean;
  stops: boolean;
  slowReader: boolean;
  trickle: boolean;
  manyStreams: boolean;
  big: boolean;
  randomClose: boolean;
}

/** Sizes are heavy-tailed: half of all runs carry less than 20 KB. */
export function drawWorkload(prng: Prng, on: WorkloadSwitches): Workload {
  const count = on.manyStreams ? Math.floor(prng.logUniform(4, 150)) : prng.range(1, 5);
  const streams: StreamPlan[][][] = [
    [[], []],
    [[], []],
  ];
  const maxBytes = on.big ? 400_000 : 20_000;
  for (let left = count; left > 0; left--) {
    const kind = prng.chance(0.6) ? STREAM_BIDI : STREAM_UNI;
    const forward = drawHalf(prng, on, maxBytes / (on.manyStreams ? 10 : 1));
    const backward = kind === STREAM_BIDI ? drawHalf(prng, on, maxBytes / (on.manyStreams ? 10 : 1)) : null;
    streams[prng.below(2)][kind].push({ forward, backward });
  }
  const client = drawManners(prng, on);
  const server = drawManners(prng, on);
  return { streams, client, server, close: drawClose(prng, on) };
}

function drawHalf(prng: Prng, on: WorkloadSwitches, maxBytes: number): HalfPlan {
  const half = plainHalf(prng.chance(0.08) ? 0 : Math.floor(prng.pareto(20, 0.45, maxBytes)));
  if (on.resets && prng.chance(0.25)) {
    half.resetAtBytes = prng.range(0, half.bytes);
    half.resetCode = drawCode(prng);
  }
  if (on.stops && prng.chance(0.25)) {
    half.stopAtBytes = prng.range(0, half.bytes);
    half.stopCode = drawCode(prng);
  }
  return half;
}

/** Application error codes have 62 bits (RFC 9000 §20.2). */
function drawCode(prng: Prng): bigint {
  if (prng.chance(0.1)) return 2n ** 62n - 1n;
  return BigInt(Math.floor(prng.logUniform(1, 2 ** 50))) - 1n;
}

function drawManners(prng: Prng, on: WorkloadSwitches): Manners {
  return {
    chunkBytes: Math.floor(prng.logUniform(200, 65_536)),
    writePauseMicros: on.trickle && prng.chance(0.7) ? Math.floor(prng.logUniform(100, 200_000)) : 0,
    readPauseMicros: on.slowReader && prng.chance(0.7) ? Math.floor(prng.logUniform(1000, 300_000)) : 0,
    readBytes: Math.floor(prng.logUniform(2000, 60_000)),
    inline: prng.chance(0.5),
    priorities: prng.chance(0.3),
    datagrams: 0,
  };
}

function drawClose(prng: Prng, on: WorkloadSwitches): ClosePlan {
  return {
    by: prng.pick(["client", "server", "client", "server", "both"] as const),
    atMicros: on.randomClose ? Math.floor(prng.logUniform(1000, 5_000_000)) : Infinity,
    type: prng.chance(0.8) ? "application" : "transport",
    code: prng.chance(0.3) ? 0n : drawCode(prng),
  };
}
