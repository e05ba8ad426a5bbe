/** How the programs of a benchmark make load and see what it cost. */

/** Does `work` `count` times, `inFlight` of them at once. */
export async function repeat(count: number, inFlight: number, work: () => Promise<void>): Promise<void> {
  let left = count;
  const lane = async (): Promise<void> => {
    while (left-- > 0) await work();
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, count) }, lane));
}

/** CPU time of this process so far, all threads, microseconds. */
export function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
