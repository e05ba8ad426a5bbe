/** `npm run bench -- NAME [options]`: prints a table, and with `--json` one JSON object as the last line. */

import { parseArgs } from "node:util";
import { runBulk } from "./bulk.js";
import type { Job } from "./child.js";

const USAGE = `npm run bench -- bulk [--runs N] [--mebibytes N] [--streams 1,8] [--datagrams 1252,1452,8952] [--dirs down,up] [--json]`;

/** A list of whole numbers, or a complaint. */
function numbers(text: string, name: string): number[] {
  const values = text.split(",").map(Number);
  if (values.every((value) => Number.isInteger(value) && value > 0)) return values;
  throw new Error(`--${name} is ${text}; whole numbers above 0 are expected, joined by commas`);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: "string", default: "9" },
      mebibytes: { type: "string", default: "512" },
      streams: { type: "string", default: "1,8" },
      datagrams: { type: "string", default: "1252,1452,8952" },
      dirs: { type: "string", default: "down,up" },
      json: { type: "boolean", default: false },
    },
  });
  if (positionals.length !== 1 || positionals[0] !== "bulk") throw new Error(USAGE);
  const dirs = values.dirs.split(",");
  if (!dirs.every((dir) => dir === "down" || dir === "up"))
    throw new Error(`--dirs is ${values.dirs}; down, up or both`);
  const [runs = 0] = numbers(values.runs, "runs");
  const [mebibytes = 0] = numbers(values.mebibytes, "mebibytes");
  const report = await runBulk(
    {
      runs,
      mebibytes,
      streams: numbers(values.streams, "streams"),
      datagrams: numbers(values.datagrams, "datagrams"),
      dirs: dirs as Job["dir"][],
    },
    (line) => console.log(line),
  );
  console.log(`node ${report.node}, ${report.tls}, ${report.datapath}`);
  if (values.json) console.log(JSON.stringify(report));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
});
