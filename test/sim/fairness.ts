/** How two flows share a bottleneck: the tables of docs/simulation.md, in virtual time. */

import { Bottleneck, type FlowPlan } from "./bottleneck.js";

const DEFAULT_BITS_PER_SEC = 20e6;
const PACKET_BITS = 1480 * 8;
const SECOND = 1e6;
/** The second flow comes when the first has the link to itself. */
const SECOND_START_MICROS = 5 * SECOND;
const FROM_MICROS = 40 * SECOND;
const UNTIL_MICROS = 160 * SECOND;

type Congestion = FlowPlan["congestion"];

export interface PairPlan {
  congestion: [Congestion, Congestion];
  /** Without queueing. */
  rttMillis: [number, number];
  /** Queue, as a share of what the link carries in the mean RTT. */
  bufferBdps: number;
  /** Default 20 Mbit/s. */
  bitsPerSec?: number;
}

export interface PairResult {
  /** Of what both got, 0..1. */
  firstShare: number;
  /** Jain's index: 1 when both got the same, 0.5 when one got all. */
  jain: number;
  /** Of the link, 0..1. */
  used: number;
}

const PAIRS: [Congestion, Congestion][] = [
  ["newreno", "newreno"],
  ["cubic", "cubic"],
  ["bbr", "bbr"],
  ["newreno", "cubic"],
  ["newreno", "bbr"],
  ["cubic", "bbr"],
];
const BUFFER_BDPS = [0.5, 1, 4];

/** What both flows got over the last two minutes of a long run. */
export function measurePair(plan: PairPlan): PairResult {
  const { congestion, rttMillis, bufferBdps, bitsPerSec = DEFAULT_BITS_PER_SEC } = plan;
  const bdpPackets = (bitsPerSec * (rttMillis[0] + rttMillis[1])) / 2 / 1000 / PACKET_BITS;
  const link = new Bottleneck({
    seed: 1,
    bitsPerSec,
    queuePackets: Math.round(bufferBdps * bdpPackets),
    flows: [0, 1].map((index) => ({
      congestion: congestion[index],
      rttMicros: rttMillis[index] * 1000,
      startMicros: index * SECOND_START_MICROS,
    })),
  });
  link.runUntil(FROM_MICROS);
  const before = link.received();
  link.runUntil(UNTIL_MICROS);
  const [first, second] = link.received().map((bytes, index) => bytes - before[index]);
  const sum = first + second;
  return {
    firstShare: first / sum,
    jain: sum ** 2 / (2 * (first ** 2 + second ** 2)),
    used: (sum * 8 * SECOND) / (UNTIL_MICROS - FROM_MICROS) / bitsPerSec,
  };
}

/** Both tables, one line for each pair. */
export function* fairnessTables(): Generator<string> {
  const head = BUFFER_BDPS.map((bdps) => `queue of ${bdps} BDP`).join(" | ");
  yield `| first, second: shares (Jain's index), % of the link | ${head} |`;
  yield `|---|${"---|".repeat(BUFFER_BDPS.length)}`;
  for (const congestion of PAIRS) yield line(congestion, [40, 40]);
  for (const congestion of PAIRS.slice(0, 3)) yield line(congestion, [20, 80]);
}

function line(congestion: [Congestion, Congestion], rttMillis: [number, number]): string {
  const cells = BUFFER_BDPS.map((bufferBdps) => {
    const { firstShare, jain, used } = measurePair({ congestion, rttMillis, bufferBdps });
    const shares = `${(100 * firstShare).toFixed(0)} : ${(100 - 100 * firstShare).toFixed(0)}`;
    return `${shares} (${jain.toFixed(2)}), ${(100 * used).toFixed(0)} %`;
  });
  const [a, b] = congestion.map((name, index) => `${name} ${rttMillis[index]} ms`);
  return `| ${a}, ${b} | ${cells.join(" | ")} |`;
}
