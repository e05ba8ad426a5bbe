/**
 * `npm run conformance -- [--group transport] [--row ID] [--transport memory|udp] [--version 1|2] [--json] [--missing] [--slow]`: every
 * row of must-checks.csv against the engine, with first flights of that version; a row is chosen by how its id begins. One line for each failed check, then totals.
 * Exit code 1 when one failed or when more are missing than expected-missing.json allows, 2 for bad arguments.
 */

import { readFileSync } from "node:fs";
import { readArguments, runCommand, UsageError } from "../support/arguments.js";
import { V1, V2 } from "../raw/protection.js";
import type { TransportName } from "./lab.js";
import { runChecks, selectRows } from "./runner.js";

const OPTIONS = {
  group: { type: "string" },
  row: { type: "string", multiple: true },
  transport: { type: "string", multiple: true },
  version: { type: "string" },
  json: { type: "boolean" },
  missing: { type: "boolean" },
  slow: { type: "boolean" },
} as const;

function known<T extends string>(option: string, names: readonly string[], allowed: readonly T[]): readonly T[] {
  const bad = names.find((name) => !(allowed as readonly string[]).includes(name));
  if (bad === undefined) return names as T[];
  throw new UsageError(`--${option} is ${JSON.stringify(bad)}; choose from: ${allowed.join(", ")}`);
}

/** How many checks may be missing: it only ever falls. */
function allowedMissing(): number {
  const file = new URL("../../test/conformance/expected-missing.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { missing: number }).missing;
}

async function main(): Promise<number> {
  const {
    group = "transport",
    row: rows = [],
    transport = ["memory,udp"],
    version = "1",
    ...flags
  } = readArguments("conformance", OPTIONS);
  known("group", [group], ["transport"]);
  known("version", [version], ["1", "2"]);
  const names = transport.flatMap((list) => list.split(","));
  const transports = known<TransportName>("transport", names, ["memory", "udp"]);
  for (const id of rows) {
    if (selectRows([id]).length === 0)
      throw new UsageError(`no row of must-checks.csv begins with ${JSON.stringify(id)}`);
  }
  const started = performance.now();
  const result = await runChecks({
    version: version === "2" ? V2 : V1,
    rows,
    transports,
    onFailure: ({ id, role, transport: over, message }) => {
      if (flags.json !== true) console.log(`FAILED ${id} ${role} ${over}: ${message}`);
    },
    onCheck: (id, role, over, millis) => {
      if (flags.slow === true && millis > 300) console.log(`slow: ${id} ${role} ${over} ${Math.round(millis)} ms`);
    },
  });
  const { checks, passed, failed, missing, memoryOnly } = result;
  const allowed = rows.length > 0 ? missing.length : allowedMissing();
  if (flags.json === true) {
    console.log(JSON.stringify({ ...result, missing: missing.length, missingChecks: missing }));
  } else {
    if (flags.missing === true) for (const id of missing) console.log(`missing ${id}`);
    if (flags.missing === true) for (const line of memoryOnly) console.log(`in memory only ${line}`);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(
      `${result.rows} rows, ${checks} checks over ${transports.join(" and ")}: ${passed} passed, ` +
        `${failed.length} failed, ${missing.length} missing (at most ${allowed}), ` +
        `${memoryOnly.length} in memory only, ${seconds} s`,
    );
  }
  return failed.length > 0 || missing.length > allowed ? 1 : 0;
}

await runCommand("conformance", main);
process.exit(); // what a failed check left open would keep the process
