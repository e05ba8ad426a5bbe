/**
 * `npm run conformance -- [--group transport] [--row ID] [--transport memory|udp] [--json] [--slow]`: every row of
 * must-checks.csv against the engine. One line for each failed check, then totals. Exit code 1 when one failed or when
 * more are missing than expected-missing.json allows.
 */

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { TransportName } from "./lab.js";
import { runChecks } from "./runner.js";

const { values } = parseArgs({
  options: {
    group: { type: "string", default: "transport" },
    row: { type: "string", multiple: true, default: [] },
    transport: { type: "string", multiple: true, default: ["memory", "udp"] },
    json: { type: "boolean", default: false },
    missing: { type: "boolean", default: false },
    slow: { type: "boolean", default: false },
  },
});

const transports = values.transport.flatMap((name) => name.split(",")).filter((name) => name !== "both");
if (transports.some((name) => name !== "memory" && name !== "udp") || values.group !== "transport") {
  console.error("the group is transport; a transport is memory or udp");
  process.exit(2);
}

const started = performance.now();
const result = await runChecks({
  rows: values.row,
  transports: (transports.length === 0 ? ["memory", "udp"] : transports) as TransportName[],
  onFailure: ({ id, role, transport, message }) => {
    if (!values.json) console.log(`FAILED ${id} ${role} ${transport}: ${message}`);
  },
  onCheck: (id, role, transport, millis) => {
    if (values.slow && millis > 300) console.log(`slow: ${id} ${role} ${transport} ${Math.round(millis)} ms`);
  },
});
const allowed = values.row.length > 0 ? result.missing.length : allowedMissing();
if (values.json)
  console.log(JSON.stringify({ ...result, missing: result.missing.length, missingChecks: result.missing }));
else {
  if (values.missing) for (const id of result.missing) console.log(`missing ${id}`);
  if (values.missing) for (const line of result.memoryOnly) console.log(`in memory only ${line}`);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `${result.rows} rows, ${result.checks} checks over ${transports.join(" and ")}: ${result.passed} passed, ` +
      `${result.failed.length} failed, ${result.missing.length} missing (at most ${allowed}), ` +
      `${result.memoryOnly.length} in memory only, ${seconds} s`,
  );
}
process.exit(result.failed.length > 0 || result.missing.length > allowed ? 1 : 0);

/** How many checks may be missing: it only ever falls. */
function allowedMissing(): number {
  const file = new URL("../../test/conformance/expected-missing.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { missing: number }).missing;
}
