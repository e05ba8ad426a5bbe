/**
 * `npm run bench -- memory`: what an idle connection costs the server process, and what is left of one that was opened and
 * closed. The clients live in other processes; each of the three parts has a server process of its own, because memory that
 * an earlier part gave back would hide growth. node:tls over TCP runs in turn with ours.
 */

import { type Bench, MAX_RUNS, newReport, note, type Report, type Runtime, Table } from "./bench.js";
import { CLIENT_CORE, Child, own, SERVER_CORE } from "./child.js";
import type { MemoryJob, Sample } from "./memory-program.js";
import type { Options } from "./options.js";
import { median, round, slope, slopeError, spread } from "./stats.js";

const WARM_UP = 200;
const CONNECTIONS_PER_CLIENT = 5_000;
const STEPS = 10;
/** Of the steps: until here pools and the heap still grow to their size. */
const SETTLED_STEP = 2;

export interface MemoryRow {
  idle: number;
  closed: number;
  /** Bytes per idle connection. */
  rssPerIdle: number;
  heapPerIdle: number;
  externalPerIdle: number;
  spread: [number, number];
  /** Growth of the process for each connection that was opened and closed, bytes: line of least squares. */
  rssSlopePerClosed: number;
  heapSlopePerClosed: number;
  slopeSpread: [number, number];
  /** Half the width of the 95 % interval of each slope: below it, a slope is not told from 0. Largest of the runs. */
  rssSlopeError: number;
  heapSlopeError: number;
  /** Connections and sessions in the heap after all were closed. */
  objectsLeft: number;
  tlsRssPerIdle: number;
  tlsHeapPerIdle: number;
  /** rssPerIdle / tlsRssPerIdle. */
  tlsRatio: number;
}

/** A server and clients of its kind, stopped after `work`. */
async function withServer<T>(
  kind: MemoryJob["kind"],
  clientCount: number,
  work: (server: Child, clients: readonly Child[], runtime: Runtime | null) => Promise<T>,
): Promise<T> {
  const [node = "", ...program] = own("memory-program.js");
  const server = new Child(
    [node, "--expose-gc", "--disable-warning=ExperimentalWarning", ...program],
    { role: "server", kind },
    SERVER_CORE,
  );
  const clients: Child[] = [];
  try {
    const target = await server.message<unknown>();
    let runtime: Runtime | null = null;
    for (let i = 0; i < clientCount; i++) {
      const client = new Child([node, ...program], { role: "client", kind, server: target }, CLIENT_CORE);
      clients.push(client);
      runtime = await client.message<Runtime | null>();
    }
    return await work(server, clients, runtime);
  } finally {
    for (const client of clients) client.stop();
    server.stop();
  }
}

interface Growth {
  rss: number;
  heap: number;
  rssError: number;
  heapError: number;
  objects: number;
}

interface Idle extends Sample {
  runtime: Runtime | null;
}

/** Bytes of each of `count` idle connections. */
function measureIdle(kind: MemoryJob["kind"], count: number): Promise<Idle> {
  const clientCount = Math.ceil(count / CONNECTIONS_PER_CLIENT);
  return withServer(kind, clientCount, async (server, clients, runtime) => {
    await clients[0]?.ask("churn", WARM_UP);
    const before = await server.ask<Sample>("sample", 0);
    for (const [i, client] of clients.entries()) {
      await client.ask("open", Math.min(CONNECTIONS_PER_CLIENT, count - i * CONNECTIONS_PER_CLIENT));
    }
    const after = await server.ask<Sample>("sample", count);
    return {
      rss: (after.rss - before.rss) / count,
      heap: (after.heap - before.heap) / count,
      external: (after.external - before.external) / count,
      runtime,
    };
  });
}

/** Growth for each of `count` connections that are opened and closed. */
function measureClosed(count: number): Promise<Growth> {
  return withServer("quic", 1, async (server, [client]) => {
    await (client as Child).ask("churn", WARM_UP);
    const step = Math.ceil(count / STEPS);
    const at: number[] = [];
    const samples: Sample[] = [];
    for (let done = step; done <= step * STEPS; done += step) {
      await (client as Child).ask("churn", step);
      at.push(done);
      samples.push(await server.ask<Sample>("sample", 0));
    }
    const xs = at.slice(SETTLED_STEP);
    const rss = samples.slice(SETTLED_STEP).map((sample) => sample.rss);
    const heap = samples.slice(SETTLED_STEP).map((sample) => sample.heap);
    return {
      rss: slope(xs, rss),
      heap: slope(xs, heap),
      rssError: slopeError(xs, rss),
      heapError: slopeError(xs, heap),
      objects: await server.ask<number>("objects"),
    };
  });
}

async function runMemory(options: Options, print: (line: string) => void): Promise<Report<MemoryRow>> {
  const runs = options.count("runs", MAX_RUNS);
  const idle = options.count("idle", 100_000, 10);
  const closed = options.count("closed", 1_000_000, STEPS);
  const report = newReport<MemoryRow>("memory");
  const ours: Idle[] = [];
  const tls: Idle[] = [];
  const growth: Growth[] = [];
  for (let run = 0; run < runs; run++) {
    ours.push(await measureIdle("quic", idle));
    tls.push(await measureIdle("tls", Math.min(idle, 10_000)));
    growth.push(await measureClosed(closed));
    note(report, ours[run]?.runtime ?? undefined);
  }
  const middle = <T>(values: readonly T[], figure: (value: T) => number): number => round(median(values.map(figure)));
  const bounds = (values: readonly number[]): [number, number] => {
    const [least, most] = spread(values);
    return [round(least), round(most)];
  };
  const row: MemoryRow = {
    idle,
    closed,
    rssPerIdle: middle(ours, (sample) => sample.rss),
    heapPerIdle: middle(ours, (sample) => sample.heap),
    externalPerIdle: middle(ours, (sample) => sample.external),
    spread: bounds(ours.map((sample) => sample.rss)),
    rssSlopePerClosed: middle(growth, ({ rss }) => rss),
    heapSlopePerClosed: middle(growth, ({ heap }) => heap),
    slopeSpread: bounds(growth.map(({ rss }) => rss)),
    rssSlopeError: round(Math.max(...growth.map(({ rssError }) => rssError))),
    heapSlopeError: round(Math.max(...growth.map(({ heapError }) => heapError))),
    objectsLeft: Math.max(...growth.map(({ objects }) => objects)),
    tlsRssPerIdle: middle(tls, (sample) => sample.rss),
    tlsHeapPerIdle: middle(tls, (sample) => sample.heap),
    tlsRatio: round(median(ours.map((sample, run) => sample.rss / (tls[run]?.rss ?? Number.NaN)))),
  };
  report.rows.push(row);
  show(row, print);
  return report;
}

function show(row: MemoryRow, print: (line: string) => void): void {
  print(`${row.idle} idle connections, ${row.closed} opened and closed; bytes for each, of the server process`);
  const table = new Table(
    [
      "RSS idle [least..most]  ",
      "heap ",
      "external",
      "RSS growth closed",
      "heap growth      ",
      "left",
      "node:tls RSS",
      "heap ",
    ],
    print,
  );
  table.row(
    `${row.rssPerIdle} [${row.spread.join("..")}]`,
    row.heapPerIdle,
    row.externalPerIdle,
    `${row.rssSlopePerClosed} ± ${row.rssSlopeError}`,
    `${row.heapSlopePerClosed} ± ${row.heapSlopeError}`,
    row.objectsLeft,
    row.tlsRssPerIdle,
    row.tlsHeapPerIdle,
  );
}

export const memory: Bench = {
  help: "bytes per idle connection, and what is left of closed ones, beside node:tls",
  options: { runs: "1", idle: "10000", closed: "20000" },
  run: runMemory,
};
