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
