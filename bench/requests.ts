/**
 * `npm run bench -- requests`: small echoes on new streams of one connection, for each second and each CPU second of the
 * server process, in every shape of the API; node:http2 with the same payload runs in turn with them.
 */

import { type Bench, MAX_RUNS, newReport, note, type Report, type Runtime, Table } from "./bench.js";
import { own, withPair } from "./child.js";
import type { Options } from "./options.js";
import { type RequestsResult, type Shape, SHAPES } from "./requests-job.js";
import { median, medianRatio, round, spread } from "./stats.js";

export interface RequestsRow {
  /** How the server reads and answers; `http2` is node:http2. */
  shape: Shape;
  perSec: number;
  perServerCpuSec: number;
  /** To node:http2, by server CPU second. */
  ratio: number;
  spread: [number, number];
  serverCpuMicrosPerRequest: number;
  payloadBytes: number;
  inFlight: number;
}

interface Settings {
  requests: number;
  warmUp: number;
  payloadBytes: number;
  inFlight: number;
}

interface Rate {
  perSec: number;
  perServerCpuSec: number;
  runtime: Runtime | null;
}

function measure(shape: Shape, settings: Settings): Promise<Rate> {
  const { payloadBytes, inFlight, warmUp, requests } = settings;
  const program = own(shape === "http2" ? "requests-http2.js" : "requests-ours.js");
  return withPair(program, { shape, payloadBytes, inFlight }, async (server, client) => {
    const runtime = await client.message<Runtime | null>();
    await client.ask("load", warmUp);
    const before = await server.ask<number>("cpuMicros");
    const { millis } = await client.ask<RequestsResult>("load", requests);
    const cpuMicros = (await server.ask<number>("cpuMicros")) - before;
    return { perSec: (requests * 1000) / millis, perServerCpuSec: (requests * 1e6) / cpuMicros, runtime };
  });
}

async function runRequests(options: Options, print: (line: string) => void): Promise<Report<RequestsRow>> {
  const runs = options.count("runs", MAX_RUNS);
  const settings: Settings = {
    requests: options.count("count", 10_000_000),
    warmUp: options.count("warm-up", 10_000_000),
    payloadBytes: options.count("bytes", 65_536),
    inFlight: options.count("in-flight", 10_000),
  };
  const report = newReport<RequestsRow>("requests");
  const rates = new Map<Shape, Rate[]>(SHAPES.map((shape) => [shape, []]));
  for (let run = 0; run < runs; run++) {
    for (const [shape, done] of rates) {
      const rate = await measure(shape, settings);
      done.push(rate);
      note(report, rate.runtime ?? undefined);
    }
  }
  const theirs = (rates.get("http2") ?? []).map((rate) => rate.perServerCpuSec);
  for (const [shape, done] of rates) {
    const perCpu = done.map((rate) => rate.perServerCpuSec);
    const [least, most] = spread(perCpu);
    report.rows.push({
      shape,
      perSec: round(median(done.map((rate) => rate.perSec))),
      perServerCpuSec: round(median(perCpu)),
      ratio: round(medianRatio(perCpu, theirs)),
      spread: [round(least), round(most)],
      serverCpuMicrosPerRequest: round(1e6 / median(perCpu)),
      payloadBytes: settings.payloadBytes,
      inFlight: settings.inFlight,
    });
  }
  // The fastest of ours first, the comparison last.
  const rank = (row: RequestsRow): number => (row.shape === "http2" ? Number.NEGATIVE_INFINITY : row.perServerCpuSec);
  report.rows.sort((a, b) => rank(b) - rank(a));
  const table = new Table(
    ["shape   ", "requests/s", "per server CPU second [least..most]", "ratio to node:http2"],
    print,
  );
  for (const { shape, perSec, perServerCpuSec, spread: bounds, ratio } of report.rows) {
    table.row(shape, perSec, `${perServerCpuSec} [${bounds.join("..")}]`, ratio.toFixed(2));
  }
  return report;
}

export const requests: Bench = {
  help: "small echoes on new streams, beside node:http2",
  options: { runs: "5", count: "20000", "warm-up": "5000", bytes: "1024", "in-flight": "64" },
  run: runRequests,
};
