/**
 * `npm run bench -- bulk`: one connection over loopback, one core a side; ours, the C limit, node:tls, plain TCP and, with
 * `--peers`, foreign stacks in turn, run by run, so that a drift of the machine's speed meets all of them.
 */

import { type Bench, newReport, note, type Report, type Runtime, Table, transfersOf } from "./bench.js";
import type { BulkJob } from "./bulk-job.js";
import { own, withPair } from "./child.js";
import { runLimit } from "./limit.js";
import type { Options } from "./options.js";
import { type BulkPeers, bulkPeers } from "./peers.js";
import { median, medianRatio, round, spread } from "./stats.js";

const LIMIT_MILLIS = 600;

export interface BulkRow {
  dir: BulkJob["dir"];
  streams: number;
  datagram: number;
  gbitPerSec: number;
  spread: [number, number];
  limitGbitPerSec: number;
  tlsGbitPerSec: number;
  tcpGbitPerSec: number;
  limitRatio: number;
  tlsRatio: number;
  tcpRatio: number;
  /** With `--peers`: quinn through deno, lsquic through bun, each at the datagram size that it chooses. */
  quinnGbitPerSec?: number;
  lsquicGbitPerSec?: number;
  quinnRatio?: number;
  lsquicRatio?: number;
}

type Transfer = Omit<BulkJob, "role">;

interface Result {
  gbitPerSec: number;
  runtime?: Runtime;
}

function transfer(command: readonly string[], job: Transfer): Promise<Result> {
  return withPair(command, job, (_, client) => client.message<Result>());
}

/** Results of the peers, run by run. */
interface PeerRuns {
  quinn: number[];
  lsquic: number[];
}

function peerFigures(ours: readonly number[], { quinn, lsquic }: PeerRuns): Partial<BulkRow> {
  return {
    quinnGbitPerSec: round(median(quinn)),
    lsquicGbitPerSec: round(median(lsquic)),
    quinnRatio: round(medianRatio(ours, quinn)),
    lsquicRatio: round(medianRatio(ours, lsquic)),
  };
}

async function measure(
  job: Transfer,
  runs: number,
  peers: BulkPeers | null,
): Promise<{ row: BulkRow; runtime: Runtime | undefined }> {
  const ours: number[] = [];
  const limit: number[] = [];
  const tls: number[] = [];
  const tcp: number[] = [];
  const others: PeerRuns = { quinn: [], lsquic: [] };
  let runtime: Runtime | undefined;
  for (let run = 0; run < runs; run++) {
    const result = await transfer(own("bulk-ours.js"), job);
    runtime = result.runtime;
    ours.push(result.gbitPerSec);
    limit.push(runLimit(job.datagramBytes, LIMIT_MILLIS).gbitPerSec);
    tls.push((await transfer(own("bulk-tcp.js", "tls"), job)).gbitPerSec);
    tcp.push((await transfer(own("bulk-tcp.js", "plain"), job)).gbitPerSec);
    if (peers === null) continue;
    const { identity } = peers;
    others.quinn.push((await transfer(peers.quinn, { ...job, identity })).gbitPerSec);
    others.lsquic.push((await transfer(peers.lsquic, { ...job, identity })).gbitPerSec);
  }
  const [least, most] = spread(ours);
  const row: BulkRow = {
    dir: job.dir,
    streams: job.streams,
    datagram: job.datagramBytes,
    gbitPerSec: round(median(ours)),
    spread: [round(least), round(most)],
    limitGbitPerSec: round(median(limit)),
    tlsGbitPerSec: round(median(tls)),
    tcpGbitPerSec: round(median(tcp)),
    limitRatio: round(medianRatio(ours, limit)),
    tlsRatio: round(medianRatio(ours, tls)),
    tcpRatio: round(medianRatio(ours, tcp)),
    ...(peers !== null && peerFigures(ours, others)),
  };
  return { row, runtime };
}

async function runBulk(options: Options, print: (line: string) => void): Promise<Report<BulkRow>> {
  const { runs, datagrams, ...size } = transfersOf(options, 0);
  const allStreams = options.counts("streams", 100);
  const dirs = options.choices("dirs", ["down", "up"]);
  const peers = options.flag("peers") ? await bulkPeers() : null;
  const plaintext = options.flag("plaintext");
  const report = newReport<BulkRow>("bulk");
  const titles = ["dir ", "streams", "datagram", "Gbit/s [least..most]", "C limit", "node:tls", "TCP  "];
  if (peers !== null) titles.push("quinn", "lsquic");
  titles.push("ratios to them");
  const table = new Table(titles, print);
  for (const dir of dirs) {
    for (const streams of allStreams) {
      for (const datagramBytes of datagrams) {
        const { row, runtime } = await measure({ ...size, dir, streams, datagramBytes, plaintext }, runs, peers);
        report.rows.push(row);
        note(report, runtime);
        table.row(dir, streams, datagramBytes, `${row.gbitPerSec} [${row.spread.join("..")}]`, ...cells(row));
      }
    }
  }
  return report;
}

/** The rates of the others, then all ratios. */
function cells(row: BulkRow): (string | number)[] {
  const rates = [row.limitGbitPerSec, row.tlsGbitPerSec, row.tcpGbitPerSec, row.quinnGbitPerSec, row.lsquicGbitPerSec];
  const ratios = [row.limitRatio, row.tlsRatio, row.tcpRatio, row.quinnRatio, row.lsquicRatio];
  const isThere = (value: number | undefined): value is number => value !== undefined;
  return [
    ...rates.filter(isThere),
    ratios
      .filter(isThere)
      .map((ratio) => ratio.toFixed(2))
      .join(" / "),
  ];
}

export const bulk: Bench = {
  help: "Gbit/s of one connection, beside the C limit, node:tls and TCP",
  options: {
    runs: "9",
    mebibytes: "512",
    "warm-up": "3072",
    streams: "1,8",
    datagrams: "1252,1452,8952",
    dirs: "down,up",
    peers: false,
    plaintext: false,
  },
  run: runBulk,
};
