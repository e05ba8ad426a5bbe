/** The C limit (bench/limit/limit.cc), run in a process of its own, because it takes both cores and blocks. */

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CORES } from "./cores.js";

const ADDON = fileURLToPath(new URL("../bench/limit/build/Release/limit.node", import.meta.url));

export interface LimitFigures {
  gbitPerSec: number;
  nsPerPacketSent: number;
  nsPerPacketReceived: number;
  sentPackets: number;
  receivedPackets: number;
  forgedPackets: number;
}

/** Runs for `millis`. Throws when the addon is not built (`npm run build:limit`). */
export function runLimit(datagramBytes: number, millis: number): LimitFigures {
  if (!existsSync(ADDON)) throw new Error("the C limit is not built; run: npm run build:limit");
  const code = "console.log(JSON.stringify(require(process.argv[1]).run(...process.argv.slice(2).map(Number))))";
  const numbers = [datagramBytes, millis, ...CORES].map(String);
  const out = execFileSync(process.execPath, ["-e", code, ADDON, ...numbers], { encoding: "utf8" });
  const figures = JSON.parse(out) as LimitFigures;
  if (figures.forgedPackets > 0) throw new Error(`the C limit opened ${figures.forgedPackets} packets wrongly`);
  return figures;
}
