/** The command line of `quic ss`: the letters are those of `ss`. */

import { usage } from "../failure.js";
import { readFlags } from "../flags.js";
import { type Filter, parseFilter } from "./filter.js";

export const TABLES = ["conns", "eps", "snmp"] as const;
export type TableName = (typeof TABLES)[number];

export interface SsOptions {
  help: boolean;
  /** A table of procfs in place of the list. */
  proc: TableName | null;
  all: boolean;
  listening: boolean;
  /** Ports as numbers. */
  numeric: boolean;
  processes: boolean;
  info: boolean;
  memory: boolean;
  extended: boolean;
  summary: boolean;
  json: boolean;
  header: boolean;
  families: { ipv4: boolean; ipv6: boolean };
  filter: Filter;
}

const FLAGS = {
  all: { type: "boolean", short: "a" },
  listening: { type: "boolean", short: "l" },
  numeric: { type: "boolean", short: "n" },
  processes: { type: "boolean", short: "p" },
  info: { type: "boolean", short: "i" },
  memory: { type: "boolean", short: "m" },
  extended: { type: "boolean", short: "e" },
  summary: { type: "boolean", short: "s" },
  json: { type: "boolean", short: "j" },
  "no-header": { type: "boolean", short: "H" },
  ipv4: { type: "boolean", short: "4" },
  ipv6: { type: "boolean", short: "6" },
  proc: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;

/** @throws a Failure with exit code 2 that names what is wrong. */
export function parseSs(args: readonly string[]): SsOptions {
  const { values, positionals } = readFlags(FLAGS, args);
  const { proc, ipv4 = false, ipv6 = false } = values;
  if (proc !== undefined) {
    if (!(TABLES as readonly string[]).includes(proc))
      throw usage(`--proc ${JSON.stringify(proc)}: ${TABLES.join(", ")}`);
    if (positionals.length > 0 || values.json === true)
      throw usage("--proc prints a whole table, without filter or --json");
  }
  return {
    help: values.help ?? false,
    proc: (proc as TableName | undefined) ?? null,
    all: values.all ?? false,
    listening: values.listening ?? false,
    numeric: values.numeric ?? false,
    processes: values.processes ?? false,
    info: values.info ?? false,
    memory: values.memory ?? false,
    extended: values.extended ?? false,
    summary: values.summary ?? false,
    json: values.json ?? false,
    header: values["no-header"] !== true,
    families: ipv4 || ipv6 ? { ipv4, ipv6 } : { ipv4: true, ipv6: true },
    filter: parseFilter(positionals),
  };
}
