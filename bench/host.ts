/**
 * `npm run bench -- host`: what a `quic host` costs. One connection's transfer to a program that owns its port, that gets its
 * packets from the kernel by the route in connection ids, and that gets all of them by message; run by run in turn. Then many
 * connections over two programs of one host.
 */

import { rmSync } from "node:fs";
import { type Bench, newReport, note, type Report, type Runtime, Table, transfersOf } from "./bench.js";
import type { BulkJob } from "./bulk-job.js";
import { Child, CLIENT_CORE, own, SERVER_CORE, withPair } from "./child.js";
import type { CrowdJob } from "./host-crowd.js";
import type { HostFigures, HostJob } from "./host-program.js";
import type { Options } from "./options.js";
import { median, medianRatio, round, spread } from "./stats.js";

const MODES = ["own", "steered", "forwarded"] as const;
type Mode = (typeof MODES)[number];

export interface HostRow {
  mode: Mode;
  dir: BulkJob["dir"];
  gbitPerSec: number;
  spread: [number, number];
  /** To the program that owns its port, median of the runs' ratios. */
  ratio: number;
}

interface CrowdRow {
  mode: "crowd";
  connections: number;
  perProgram: number[];
  handshakesPerSec: number;
  wrong: number;
  retries: number;
  forwardedPerConnection: number;
  hostCpuMicrosPerConnection: number;
  hostRssMebibytes: number;
}

/** Runs `work` while a host runs that servers use, or none. */
async function withHost<T>(mode: Mode, work: (host: Child | null) => Promise<T>): Promise<T> {
  if (mode === "own") return work(null);
  const job: HostJob = { forwards: mode === "forwarded" };
  const host = new Child(own("host-program.js"), job, SERVER_CORE);
  let dir = "";
  try {
    const where = await host.message<{ dir: string; path: string }>();
    dir = where.dir;
    process.env["NETQUIC_HOST"] = where.path; // of the programs that are started now
    return await work(host);
  } finally {
    delete process.env["NETQUIC_HOST"];
    host.stop();
    if (dir !== "") rmSync(dir, { recursive: true, force: true });
  }
}

async function measure(
  job: Omit<BulkJob, "role">,
  runs: number,
): Promise<{ rows: HostRow[]; runtime: Runtime | undefined }> {
  const seen: Record<Mode, number[]> = { own: [], steered: [], forwarded: [] };
  let runtime: Runtime | undefined;
  for (let run = 0; run < runs; run++) {
    for (const mode of MODES) {
      const result = await withHost(mode, () =>
        withPair(own("bulk-ours.js"), job, (_, client) => client.message<{ gbitPerSec: number; runtime: Runtime }>()),
      );
      seen[mode].push(result.gbitPerSec);
      ({ runtime } = result);
    }
  }
  const rows = MODES.map((mode) => {
    const [least, most] = spread(seen[mode]);
    return {
      mode,
      dir: job.dir,
      gbitPerSec: round(median(seen[mode])),
      spread: [round(least), round(most)] as [number, number],
      ratio: round(medianRatio(seen[mode], seen.own)),
    };
  });
  return { rows, runtime };
}

/** Connections over two programs on one port of one host. */
function crowd(connections: number): Promise<CrowdRow> {
  return withHost("steered", async (host) => {
    const alpns = ["one", "two"];
    const servers: Child[] = [];
    let client: Child | null = null;
    try {
      let port = 0;
      for (const alpn of alpns) {
        const job: CrowdJob = { role: "server", alpn, address: `127.0.0.1:${port}` };
        const server = new Child(own("host-crowd.js"), job, SERVER_CORE);
        servers.push(server);
        ({ port } = await server.message<{ port: number }>());
      }
      client = new Child(own("host-crowd.js"), { role: "client", port, alpns, connections }, CLIENT_CORE);
      const { openMillis, wrong } = await client.message<{ openMillis: number; wrong: number }>();
      const perProgram: number[] = [];
      for (const server of servers) perProgram.push(await server.ask<number>("sessions"));
      const figures = await (host as Child).ask<HostFigures>("figures");
      return {
        mode: "crowd",
        connections,
        perProgram,
        handshakesPerSec: Math.round((connections * 1000) / openMillis),
        wrong,
        retries: figures.retriesSent,
        forwardedPerConnection: round(figures.forwarded / connections),
        hostCpuMicrosPerConnection: Math.round((figures.cpuMillis * 1000) / connections),
        hostRssMebibytes: Math.round(figures.rssMebibytes),
      };
    } finally {
      client?.stop();
      for (const server of servers) server.stop();
    }
  });
}

async function runHost(options: Options, print: (line: string) => void): Promise<Report<HostRow | CrowdRow>> {
  const { runs, datagrams, ...size } = transfersOf(options, 0);
  const [datagramBytes = 1452] = datagrams;
  const connections = options.count("connections", 100_000, 0);
  const report = newReport<HostRow | CrowdRow>("host");
  const table = new Table(["port      ", "dir ", "Gbit/s [least..most]    ", "ratio to own"], print);
  for (const dir of options.choices("dirs", ["down", "up"])) {
    const { rows, runtime } = await measure({ ...size, dir, streams: 1, datagramBytes, plaintext: false }, runs);
    note(report, runtime);
    for (const row of rows) {
      report.rows.push(row);
      table.row(row.mode, dir, `${row.gbitPerSec} [${row.spread.join("..")}]`, row.ratio);
    }
  }
  if (connections > 0) {
    const row = await crowd(connections);
    report.rows.push(row);
    print(
      `${connections} connections: ${row.perProgram.join(" and ")} at two programs, ${row.wrong} wrong, ${row.retries} Retries, ` +
        `${row.handshakesPerSec} a second; the host forwards ${row.forwardedPerConnection} datagrams and takes ` +
        `${row.hostCpuMicrosPerConnection} us for each, ${row.hostRssMebibytes} MiB`,
    );
  }
  return report;
}

export const host: Bench = {
  help: "a program behind a quic host, by steering and by message, beside one that owns its port; many connections over two",
  options: { runs: "5", mebibytes: "512", "warm-up": "256", datagrams: "1452", dirs: "down,up", connections: "10000" },
  run: runHost,
};
