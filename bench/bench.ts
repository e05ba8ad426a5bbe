/** What every benchmark is: a name, a table of options, and a run that ends in a report of the shape that `--json` prints. */

import type { Options, OptionTable } from "./options.js";

export const MEBIBYTE = 1 << 20;
export const MAX_RUNS = 999;

/** One JSON object, the last line of stdout with `--json`. */
export interface Report<Row> {
  bench: string;
  node: string;
  tls: string;
  datapath: string;
  rows: Row[];
}

/** What every benchmark that moves bytes is asked for. */
export interface Transfers {
  runs: number;
  bytes: number;
  warmUpBytes: number;
  /** Sizes of UDP payloads. */
  datagrams: number[];
}

export function transfersOf(options: Options, leastWarmUp = 1): Transfers {
  return {
    runs: options.count("runs", MAX_RUNS),
    bytes: options.count("mebibytes", 65_536) * MEBIBYTE,
    warmUpBytes: options.count("warm-up", 65_536, leastWarmUp) * MEBIBYTE,
    datagrams: options.counts("datagrams", 65_000, 1200),
  };
}

/** What a program of ours ran on. */
export interface Runtime {
  tls: string;
  udp: string;
}

export interface Bench {
  /** One line for the usage. */
  readonly help: string;
  readonly options: OptionTable;
  /** Reads all options before it measures anything. `print` takes lines for people. */
  run(options: Options, print: (line: string) => void): Promise<Report<object>>;
}

export function newReport<Row>(bench: string): Report<Row> {
  return { bench, node: process.version, tls: "", datapath: "", rows: [] };
}

export function note(report: Report<unknown>, runtime: Runtime | undefined): void {
  report.tls = runtime?.tls ?? report.tls;
  report.datapath = runtime?.udp ?? report.datapath;
}

/** Columns of a table for people: each cell is padded to the width of its title. */
export class Table {
  private readonly widths: number[];

  constructor(
    titles: readonly string[],
    private readonly print: (line: string) => void,
  ) {
    this.widths = titles.map((title) => title.length);
    print(titles.join("  "));
  }

  row(...cells: readonly (string | number)[]): void {
    this.print(cells.map((cell, i) => String(cell).padEnd(this.widths[i] ?? 0)).join("  "));
  }
}
