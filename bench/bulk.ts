/**
 * `npm run bench -- bulk`: one connection over loopback, one core a side; ours, the C limit, node:tls and plain TCP in
 * turn, run by run, so that a drift of the machine's speed meets all of them.
 */

import { CLIENT_CORE, Child, type Job, SERVER_CORE } from "./child.js";
import { runLimit } from "./limit.js";
import { median, medianRatio, round, spread } from "./stats.js";

const LIMIT_MILLIS = 600;
const MEBIBYTE = 1 << 20;

export interface BulkOptions {
  runs: number;
  mebibytes: number;
  streams: number[];
  datagrams: number[];
  dirs: Job["dir"][];
}

export interface BulkRow {
  dir: Job["dir"];
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
}

export interface BulkReport {
  bench: "bulk";
  node: string;
  tls: string;
  datapath: string;
  rows: BulkRow[];
}

interface Runtime {
  tls: string;
  udp: string;
}

interface Result {
  gbitPerSec: number;
  runtime?: Runtime;
}

async function transfer(program: string, job: Omit<Job, "role">): Promise<Result> {
  const server = new Child(program, { ...job, role: "server" }, SERVER_CORE);
  let client: Child | null = null;
  try {
    const where = await server.message<unknown>();
    client = new Child(program, { ...job, role: "client", server: where }, CLIENT_CORE);
    return await client.message<Result>();
  } finally {
    client?.stop();
    server.stop();
  }
}

async function measure(job: Omit<Job, "role">, runs: number): Promise<{ row: BulkRow; runtime: Runtime | undefined }> {
  const ours: number[] = [];
  const limit: number[] = [];
  const tls: number[] = [];
  const tcp: number[] = [];
  let runtime: Runtime | undefined;
  for (let run = 0; run < runs; run++) {
    const result = await transfer("bulk-ours.js", job);
    runtime = result.runtime;
    ours.push(result.gbitPerSec);
    limit.push(runLimit(job.datagramBytes, LIMIT_MILLIS).gbitPerSec);
    tls.push((await transfer("bulk-tcp.js tls", job)).gbitPerSec);
    tcp.push((await transfer("bulk-tcp.js plain", job)).gbitPerSec);
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
  };
  return { row, runtime };
}

export async function runBulk(options: BulkOptions, print: (line: string) => void): Promise<BulkReport> {
  const report: BulkReport = { bench: "bulk", node: process.version, tls: "", datapath: "", rows: [] };
  print("dir  streams  datagram  Gbit/s [least..most]   C limit  node:tls  TCP    ratios to them");
  for (const dir of options.dirs) {
    for (const streams of options.streams) {
      for (const datagramBytes of options.datagrams) {
        const job = { dir, streams, datagramBytes, bytes: options.mebibytes * MEBIBYTE };
        const { row, runtime } = await measure(job, options.runs);
        report.rows.push(row);
        report.tls = runtime?.tls ?? "";
        report.datapath = runtime?.udp ?? "";
        print(formatRow(row));
      }
    }
  }
  return report;
}

function formatRow(row: BulkRow): string {
  const rate = `${row.gbitPerSec} [${row.spread.join("..")}]`;
  const others = [row.limitGbitPerSec, row.tlsGbitPerSec, row.tcpGbitPerSec].map((value) => String(value).padEnd(8));
  const ratios = [row.limitRatio, row.tlsRatio, row.tcpRatio].map((value) => value.toFixed(2)).join(" / ");
  const head = `${row.dir.padEnd(5)}${String(row.streams).padEnd(9)}${String(row.datagram).padEnd(10)}${rate.padEnd(23)}`;
  return `${head}${others.join(" ")} ${ratios}`;
}
