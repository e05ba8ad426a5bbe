/** What the programs of a bulk transfer are told. */
export interface BulkJob {
  role: "server" | "client";
  /** `down`: the server sends. */
  dir: "down" | "up";
  streams: number;
  /** All streams together. */
  bytes: number;
  /** At least so many are moved the same way before, uncounted: until the compilers are done. */
  warmUpBytes: number;
  /** QUIC of ours without encryption of 1-RTT packets. */
  plaintext: boolean;
  /** UDP payload; TCP programs ignore it. */
  datagramBytes: number;
  /** For a server that cannot make its own certificate. */
  identity?: { cert: string; key: string };
  /** For the client: from the server's first message. */
  server?: unknown;
}

/** Bytes of each stream of a transfer. */
export function shareOf(job: BulkJob): number {
  return Math.floor(job.bytes / job.streams);
}

/**
 * For a client: moves all bytes with `move`, a promise of what one stream received, and returns Gbit/s. The same transfer
 * is made before it, as often as the warm-up asks for: one long stream would leave other code compiled.
 */
export async function measureBulk(job: BulkJob, move: () => Promise<number>): Promise<number> {
  const pass = async (): Promise<number> => {
    const counts = await Promise.all(Array.from({ length: job.streams }, move));
    return job.dir === "down" ? counts.reduce((sum, count) => sum + count, 0) : shareOf(job) * job.streams;
  };
  for (let moved = 0; moved < job.warmUpBytes; moved += job.bytes) await pass();
  const started = performance.now();
  const moved = await pass();
  const millis = performance.now() - started;
  return (moved * 8) / millis / 1e6;
}
