/**
 * `npm run bench -- handshake`: handshakes over loopback for each CPU second of the server, whose process has a core of
 * its own and the load client another; the TLS library alone, in memory, runs in turn with it. `--warm-up` connections of a kind
 * come first: in the first thousands of a server that has just started the compiler takes a third of its time.
 */

import { type Bench, MAX_RUNS, newReport, note, type Report, type Runtime, Table } from "./bench.js";
import { Child, own, SERVER_CORE, withPair } from "./child.js";
import type { LibraryFigures } from "./handshake-library.js";
import type { Load, LoadResult } from "./handshake-program.js";
import type { Options } from "./options.js";
import { median, medianRatio, round, spread } from "./stats.js";

export interface HandshakeRow {
  /** For each CPU second of the server process, closing included. */
  fullPerSec: number;
  /** Null: nothing was resumed. */
  resumedPerSec: number | null;
  /** With 32 bytes in 0-RTT. Null: the server did not take it each time. */
  earlyPerSec: number | null;
  /** Both sides on one core, no QUIC. */
  libraryPerSec: number;
  spread: [number, number];
  /** The server's part of the library's work alone: the bound of fullPerSec. */
  libraryServerPerSec: number;
  /** The same of resumed ones, the bound of resumedPerSec. */
  libraryResumedPerSec: number;
  /** fullPerSec / libraryServerPerSec. */
  libraryServerRatio: number;
  /** By the clock: the client's core may be the slower one. */
  fullPerWallSec: number;
  serverCpuMicrosPerHandshake: number;
  inFlight: number;
}

interface Rate {
  perCpuSec: number;
  perWallSec: number;
  resumed: number;
  early: number;
}

interface Run {
  full: Rate;
  resumed: Rate;
  early: Rate;
  library: LibraryFigures;
  runtime: Runtime;
}

async function rate(server: Child, client: Child, load: Load): Promise<Rate> {
  const before = await server.ask<number>("cpuMicros");
  const { millis, resumed, early } = await client.ask<LoadResult>("load", load);
  const cpuMicros = (await server.ask<number>("cpuMicros")) - before;
  return { perCpuSec: (load.count * 1e6) / cpuMicros, perWallSec: (load.count * 1000) / millis, resumed, early };
}

async function library(count: number): Promise<LibraryFigures> {
  const child = new Child(own("handshake-library.js"), { count }, SERVER_CORE);
  try {
    return await child.message<LibraryFigures>();
  } finally {
    child.stop();
  }
}

async function measure(count: number, warmUp: number, inFlight: number): Promise<Run> {
  const quic = await withPair(own("handshake-program.js"), {}, async (server, client) => {
    const runtime = await client.message<Runtime>();
    const warm = async (kind: Load["kind"]): Promise<Rate> => {
      await rate(server, client, { count: warmUp, inFlight, kind });
      return rate(server, client, { count, inFlight, kind });
    };
    const full = await warm("full");
    const resumed = await warm("resumed");
    const early = await warm("early");
    if (full.resumed > 0) throw new Error(`${full.resumed} of ${count} full handshakes were resumed ones`);
    return { full, resumed, early, runtime };
  });
  return { ...quic, library: await library(count) };
}

async function runHandshake(options: Options, print: (line: string) => void): Promise<Report<HandshakeRow>> {
  const runs = options.count("runs", MAX_RUNS);
  const count = options.count("count", 1_000_000);
  const warmUp = options.count("warm-up", 1_000_000);
  const inFlight = options.count("in-flight", 256);
  const report = newReport<HandshakeRow>("handshake");
  const figures: Run[] = [];
  for (let run = 0; run < runs; run++) figures.push(await measure(count, warmUp, inFlight));
  const full = figures.map((run) => run.full.perCpuSec);
  const alone = figures.map((run) => run.library.serverPerSec);
  const isResumed = figures.every((run) => run.resumed.resumed === count);
  const isEarly = figures.every((run) => run.early.early === count);
  const [least, most] = spread(full);
  const row: HandshakeRow = {
    fullPerSec: round(median(full)),
    resumedPerSec: isResumed ? round(median(figures.map((run) => run.resumed.perCpuSec))) : null,
    earlyPerSec: isEarly ? round(median(figures.map((run) => run.early.perCpuSec))) : null,
    libraryPerSec: round(median(figures.map((run) => run.library.perSec))),
    spread: [round(least), round(most)],
    libraryServerPerSec: round(median(alone)),
    libraryResumedPerSec: round(median(figures.map((run) => run.library.serverResumedPerSec))),
    libraryServerRatio: round(medianRatio(full, alone)),
    fullPerWallSec: round(median(figures.map((run) => run.full.perWallSec))),
    serverCpuMicrosPerHandshake: round(1e6 / median(full)),
    inFlight,
  };
  report.rows.push(row);
  note(report, figures[0]?.runtime);
  show(row, print);
  return report;
}

function show(row: HandshakeRow, print: (line: string) => void): void {
  const table = new Table(
    [
      "full/s of server CPU [least..most]",
      "resumed/s",
      "0-RTT/s",
      "by the clock",
      "library, both sides/s",
      "its server part/s",
      "resumed",
      "ratio",
    ],
    print,
  );
  const {
    fullPerSec,
    resumedPerSec,
    earlyPerSec,
    fullPerWallSec,
    libraryPerSec,
    libraryServerPerSec,
    libraryResumedPerSec,
    libraryServerRatio,
  } = row;
  const rates = `${fullPerSec} [${row.spread.join("..")}]`;
  table.row(
    rates,
    resumedPerSec ?? "none",
    earlyPerSec ?? "none",
    fullPerWallSec,
    libraryPerSec,
    libraryServerPerSec,
    libraryResumedPerSec,
    libraryServerRatio,
  );
  if (resumedPerSec === null) print("no figure for resumed handshakes: not all with a ticket were resumed");
  if (earlyPerSec === null) print("no figure for 0-RTT: the server did not take it each time");
}

export const handshake: Bench = {
  help: "handshakes per second of server CPU, beside the TLS library alone",
  options: { runs: "5", count: "2000", "warm-up": "3000", "in-flight": "64" },
  run: runHandshake,
};
