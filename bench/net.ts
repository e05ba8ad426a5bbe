/**
 * `npm run bench -- net`: one bulk transfer over a socket of netquic/net, beside the same over a stream of the main API, over
 * node:tls and over plain TCP, run by run. The programs of the sockets are one file: only the import differs.
 */

import { type Bench, newReport, note, type Report, type Runtime, Table, transfersOf } from "./bench.js";
import type { BulkJob } from "./bulk-job.js";
import { own, withPair } from "./child.js";
import type { Options } from "./options.js";
import { median, medianRatio, round, spread } from "./stats.js";

export interface NetRow {
  dir: BulkJob["dir"];
  datagram: number;
  gbitPerSec: number;
  spread: [number, number];
  streamGbitPerSec: number;
  tlsGbitPerSec: number;
  tcpGbitPerSec: number;
  /** Of `gbitPerSec` to each of them. */
  streamRatio: number;
  tlsRatio: number;
  tcpRatio: number;
}

interface Result {
  gbitPerSec: number;
  runtime?: Runtime;
}

const PROGRAMS = {
  net: own("bulk-tcp.js", "net"),
  stream: own("bulk-ours.js"),
  tls: own("bulk-tcp.js", "tls"),
  tcp: own("bulk-tcp.js", "plain"),
};

async function measure(
  job: Omit<BulkJob, "role">,
  runs: number,
): Promise<{ row: NetRow; runtime: Runtime | undefined }> {
  const rates: Record<keyof typeof PROGRAMS, number[]> = { net: [], stream: [], tls: [], tcp: [] };
  let runtime: Runtime | undefined;
  for (let run = 0; run < runs; run++) {
    for (const kind of Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[]) {
      const result = await withPair(PROGRAMS[kind], job, (_, client) => client.message<Result>());
      rates[kind].push(result.gbitPerSec);
      runtime = result.runtime ?? runtime;
    }
  }
  const [least, most] = spread(rates.net);
  const row: NetRow = {
    dir: job.dir,
    datagram: job.datagramBytes,
    gbitPerSec: round(median(rates.net)),
    spread: [round(least), round(most)],
    streamGbitPerSec: round(median(rates.stream)),
    tlsGbitPerSec: round(median(rates.tls)),
    tcpGbitPerSec: round(median(rates.tcp)),
    streamRatio: round(medianRatio(rates.net, rates.stream)),
    tlsRatio: round(medianRatio(rates.net, rates.tls)),
    tcpRatio: round(medianRatio(rates.net, rates.tcp)),
  };
  return { row, runtime };
}

async function runNet(options: Options, print: (line: string) => void): Promise<Report<NetRow>> {
  const { runs, datagrams, ...size } = transfersOf(options, 0);
  const dirs = options.choices("dirs", ["down", "up"]);
  const report = newReport<NetRow>("net");
  const table = new Table(
    ["dir ", "datagram", "Gbit/s [least..most]", "stream", "node:tls", "TCP  ", "ratios to them"],
    print,
  );
  for (const dir of dirs) {
    for (const datagramBytes of datagrams) {
      const { row, runtime } = await measure({ ...size, dir, streams: 1, datagramBytes, plaintext: false }, runs);
      report.rows.push(row);
      note(report, runtime);
      const ratios = [row.streamRatio, row.tlsRatio, row.tcpRatio].map((ratio) => ratio.toFixed(2)).join(" / ");
      const rates = [row.streamGbitPerSec, row.tlsGbitPerSec, row.tcpGbitPerSec];
      table.row(dir, datagramBytes, `${row.gbitPerSec} [${row.spread.join("..")}]`, ...rates, ratios);
    }
  }
  return report;
}

export const net: Bench = {
  help: "Gbit/s of a socket of netquic/net, beside a stream of the main API, node:tls and TCP",
  options: { runs: "5", mebibytes: "256", "warm-up": "512", datagrams: "1452", dirs: "down,up" },
  run: runNet,
};
