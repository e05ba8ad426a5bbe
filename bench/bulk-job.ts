/** What the programs of a bulk transfer are told. */
export interface BulkJob {
  role: "server" | "client";
  /** `down`: the server sends. */
  dir: "down" | "up";
  streams: number;
  /** All streams together. */
  bytes: number;
  /** Moved the same way before, uncounted: until the compilers are done. */
  warmUpBytes: number;
  /** UDP payload; TCP programs ignore it. */
  datagramBytes: number;
  /** For a server that cannot make its own certificate. */
  identity?: { cert: string; key: string };
  /** For the client: from the server's first message. */
  server?: unknown;
}

/** Bytes of each stream of a transfer. */
function shareOf(job: BulkJob, bytes: number): number {
  return Math.floor(bytes / job.streams);
}

/** For a server: what the next stream is to send. The first transfer warms up. */
export function sharesOf(job: BulkJob): () => number {
  let opened = 0;
  const warmUps = job.warmUpBytes > 0 ? job.streams : 0;
  return () => shareOf(job, opened++ < warmUps ? job.warmUpBytes : job.bytes);
}

/** For a client: moves all bytes with `move(share)`, a promise of what one stream received, and returns Gbit/s. */
export async function measureBulk(job: BulkJob, move: (share: number) => Promise<number>): Promise<number> {
  const pass = async (bytes: number): Promise<number> => {
    const share = shareOf(job, bytes);
    const counts = await Promise.all(Array.from({ length: job.streams }, () => move(share)));
    return job.dir === "down" ? counts.reduce((sum, count) => sum + count, 0) : share * job.streams;
  };
  if (job.warmUpBytes > 0) await pass(job.warmUpBytes);
  const started = performance.now();
  const moved = await pass(job.bytes);
  const millis = performance.now() - started;
  return (moved * 8) / millis / 1e6;
}
