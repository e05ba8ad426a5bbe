/**
 * `npm run bench -- agent`: full handshakes of a server by a handshake agent, a process on the server's core, beside the
 * same of a server that has its key itself. Each kind has `--warm-up` connections first.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bench, MAX_RUNS, newReport, note, type Report, type Runtime, Table } from "./bench.js";
import { Child, own, SERVER_CORE, withPair } from "./child.js";
import type { Load, LoadResult } from "./handshake-program.js";
import type { AgentTarget } from "./loopback.js";
import type { Options } from "./options.js";
import { median, medianRatio, round, spread } from "./stats.js";

export interface AgentRow {
  /** For each CPU second of server and agent together. */
  agentPerSec: number;
  spread: [number, number];
  /** For each CPU second of the server alone, whose handshakes the agent does. */
  serverPerSec: number;
  agentPerWallSec: number;
  /** The key in the server's process, for each CPU second of it. */
  inProcessPerSec: number;
  inProcessPerWallSec: number;
  /** agentPerSec / inProcessPerSec. */
  ratio: number;
  inFlight: number;
}

interface Rate {
  /** Of all processes on the server's side. */
  perCpuSec: number;
  perServerCpuSec: number;
  perWallSec: number;
  runtime: Runtime;
}

async function measure(agent: Child | null, warmUp: number, load: Load): Promise<Rate> {
  const job = agent === null ? {} : { agent: await agent.message<AgentTarget>() };
  return withPair(own("handshake-program.js"), job, async (server, client) => {
    const runtime = await client.message<Runtime>();
    await client.ask<LoadResult>("load", { ...load, count: warmUp });
    const used = async (): Promise<[number, number]> => [
      await server.ask<number>("cpuMicros"),
      agent === null ? 0 : await agent.ask<number>("cpuMicros"),
    ];
    const [server0, agent0] = await used();
    const { millis } = await client.ask<LoadResult>("load", load);
    const [server1, agent1] = await used();
    const serverMicros = server1 - server0;
    return {
      perCpuSec: (load.count * 1e6) / (serverMicros + agent1 - agent0),
      perServerCpuSec: (load.count * 1e6) / serverMicros,
      perWallSec: (load.count * 1000) / millis,
      runtime,
    };
  });
}

async function byAgent(warmUp: number, load: Load): Promise<Rate> {
  const dir = mkdtempSync(join(tmpdir(), "bench-agent-"));
  const agent = new Child(own("agent-program.js"), { path: join(dir, "agent.sock") }, SERVER_CORE);
  try {
    return await measure(agent, warmUp, load);
  } finally {
    agent.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function runAgent(options: Options, print: (line: string) => void): Promise<Report<AgentRow>> {
  const runs = options.count("runs", MAX_RUNS);
  const count = options.count("count", 1_000_000);
  const warmUp = options.count("warm-up", 1_000_000);
  const inFlight = options.count("in-flight", 256);
  const load: Load = { count, inFlight, kind: "full" };
  const report = newReport<AgentRow>("agent");
  const agents: Rate[] = [];
  const without: Rate[] = [];
  for (let run = 0; run < runs; run++) {
    agents.push(await byAgent(warmUp, load));
    without.push(await measure(null, warmUp, load));
  }
  const cpu = agents.map((rate) => rate.perCpuSec);
  const inProcess = without.map((rate) => rate.perCpuSec);
  const [least, most] = spread(cpu);
  const row: AgentRow = {
    agentPerSec: round(median(cpu)),
    spread: [round(least), round(most)],
    serverPerSec: round(median(agents.map((rate) => rate.perServerCpuSec))),
    agentPerWallSec: round(median(agents.map((rate) => rate.perWallSec))),
    inProcessPerSec: round(median(inProcess)),
    inProcessPerWallSec: round(median(without.map((rate) => rate.perWallSec))),
    ratio: round(medianRatio(cpu, inProcess)),
    inFlight,
  };
  report.rows.push(row);
  note(report, agents[0]?.runtime);
  const titles = [
    "by agent/s of CPU [least..most]",
    "of server CPU",
    "by the clock",
    "in process/s of CPU",
    "by the clock",
    "ratio",
  ];
  const rates = `${row.agentPerSec} [${row.spread.join("..")}]`;
  const { serverPerSec, agentPerWallSec, inProcessPerSec, inProcessPerWallSec, ratio } = row;
  new Table(titles, print).row(rates, serverPerSec, agentPerWallSec, inProcessPerSec, inProcessPerWallSec, ratio);
  return report;
}

export const agent: Bench = {
  help: "handshakes per second by the handshake agent, beside the same in the server's process",
  options: { runs: "5", count: "2000", "warm-up": "3000", "in-flight": "64" },
  run: runAgent,
};
