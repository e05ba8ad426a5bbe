/**
 * A campaign on all cores: child processes run blocks of seeds, and what they found is put together in the order of the
 * seeds, so that the result does not depend on who ran what.
 */

import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type CampaignResult, emptyResult } from "./campaign.js";
import type { ModeName } from "./modes.js";

const WORKER = fileURLToPath(new URL("worker.js", import.meta.url));
/** Seeds of one block: a second of work or less. */
const BLOCK_SEEDS = 250;
/** A run leaves half a megabyte of garbage: rare collections without help of other threads cost 30 % less of a core. */
const HEAP_OPTIONS = ["--single-threaded-gc", "--max-semi-space-size=64"];

/** To a worker, which answers each with a `CampaignResult`. */
export interface Block {
  mode: ModeName;
  firstSeed: number;
  seeds: number;
  maxFailures: number;
}

export interface CrewOptions extends Block {
  workers: number;
}

/** Runs the seeds; no further block is begun once there are `maxFailures`. */
export async function runCrew(options: CrewOptions): Promise<CampaignResult> {
  const { firstSeed, seeds, workers, mode, maxFailures } = options;
  const start = process.hrtime.bigint();
  const blocks = Math.ceil(seeds / BLOCK_SEEDS);
  const results: CampaignResult[] = [];
  let next = 0;
  let failures = 0;
  const work = async (): Promise<void> => {
    const child = fork(WORKER, { serialization: "advanced", execArgv: HEAP_OPTIONS });
    try {
      while (next < blocks && failures < maxFailures) {
        const index = next++;
        const first = index * BLOCK_SEEDS;
        const count = Math.min(BLOCK_SEEDS, seeds - first);
        results[index] = await ask(child, { mode, firstSeed: firstSeed + first, seeds: count, maxFailures });
        failures += results[index].failed.length;
      }
    } finally {
      if (child.connected) child.disconnect();
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(workers, blocks)) }, work));
  const total = joinResults(results);
  total.seconds = Number(process.hrtime.bigint() - start) / 1e9;
  return total;
}

function ask(child: ChildProcess, block: Block): Promise<CampaignResult> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null, signal: string | null): void =>
      reject(new Error(`the worker with seeds from ${block.firstSeed} on ended with ${code ?? signal}`));
    child.once("exit", onExit);
    child.once("message", (result) => {
      child.off("exit", onExit);
      resolve(result as CampaignResult);
    });
    child.send(block);
  });
}

function joinResults(results: readonly CampaignResult[]): CampaignResult {
  const total = emptyResult();
  for (const { seeds, failed, marks, bytes, traces } of results) {
    total.seeds += seeds;
    total.bytes += bytes;
    total.failed.push(...failed);
    total.traces.push(...traces);
    for (const [mark, hits] of marks) total.marks.set(mark, (total.marks.get(mark) ?? 0) + hits);
  }
  return total;
}
