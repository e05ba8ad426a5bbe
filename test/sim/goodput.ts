/**
 * Goodput of one long transfer over a clean link, against what the link and the windows allow: the grid of
 * docs/simulation.md, in virtual time.
 */

import { STREAM_SEND_BUFFER_BYTES, STREAM_WINDOW_MAX_BYTES } from "#src/proto/limits.js";
import { Bottleneck, type FlowPlan } from "./bottleneck.js";

/** UDP payload and headers of a full packet on the link. */
const PACKET_BYTES = 1480;
const SECOND = 1e6;
const LEAST_QUEUE_PACKETS = 20;
/** Windows are not raised further than this: MAX_SENT_PACKETS are in flight at most. */
const MOST_WINDOW_BYTES = 32 * 2 ** 20;
/** Nor does the measured part have more packets than this without need: the run has to end. */
const MOST_PACKETS = 150_000;
const SLOW_BITS_PER_SEC = 3e9;
const CYCLES_MICROS = 10 * SECOND;
const LONG_MICROS = 30 * SECOND;

export interface Cell {
  congestion: FlowPlan["congestion"];
  bitsPerSec: number;
  rttMicros: number;
  /** Receive window. Default: that of the engine where it is enough for the link, else what it needs. */
  windowBytes?: number;
}

export const RATES = [1e6, 10e6, 100e6, 1e9, 10e9];
export const RTTS_MILLIS = [1, 10, 50, 100, 300];
export const CONTROLLERS = ["newreno", "cubic", "bbr"] as const;

export interface Goodput {
  bitsPerSec: number;
  /** What link and windows allow. */
  mostBitsPerSec: number;
  /** Of it. */
  share: number;
}

/** Measures after slow start and a while of congestion avoidance, over many round trips. */
export function measureGoodput(cell: Cell): Goodput {
  const { congestion, bitsPerSec, rttMicros } = cell;
  const bdpBytes = (bitsPerSec * rttMicros) / SECOND / 8;
  const windowBytes = cell.windowBytes ?? windowFor(bdpBytes);
  const queuePackets = Math.max(LEAST_QUEUE_PACKETS, Math.ceil(bdpBytes / PACKET_BYTES));
  const flow = { congestion, rttMicros, startMicros: 0, ...(windowBytes !== undefined && { windowBytes }) };
  const most = Math.min(bitsPerSec, ((windowBytes ?? Infinity) * 8 * SECOND) / rttMicros);
  const measured = measuredMicros(cell, most);
  const from = 40 * rttMicros + Math.min(SECOND, measured);
  const link = new Bottleneck({ seed: 1, bitsPerSec, queuePackets, flows: [flow] });
  link.runUntil(from);
  const [before] = link.received();
  link.runUntil(from + measured);
  const [after] = link.received();
  const goodput = ((after - before) * 8 * SECOND) / measured;
  return { bitsPerSec: goodput, mostBitsPerSec: most, share: goodput / most };
}

/** Undefined: the limits of the engine are enough. */
function windowFor(bdpBytes: number): number | undefined {
  const limit = Math.min(STREAM_SEND_BUFFER_BYTES, STREAM_WINDOW_MAX_BYTES);
  return 3 * bdpBytes <= limit ? undefined : Math.min(4 * bdpBytes, MOST_WINDOW_BYTES);
}

function measuredMicros({ congestion, rttMicros }: Cell, mostBitsPerSec: number): number {
  const packetsPerMicro = mostBitsPerSec / 8 / PACKET_BYTES / SECOND;
  // BBR looks for its least RTT every five seconds; a shorter time would see that too often or never
  const cycles = congestion === "bbr" && mostBitsPerSec <= SLOW_BITS_PER_SEC ? CYCLES_MICROS : 0;
  const most = Math.max(20 * rttMicros, MOST_PACKETS / packetsPerMicro, cycles);
  return Math.min(Math.max(20 * rttMicros, LONG_MICROS), most);
}

/** The grid as a table, one line for each controller and rate. */
export function* goodputTable(): Generator<string> {
  yield `| goodput, % of min(link, window / RTT) | ${RTTS_MILLIS.map((rtt) => `${rtt} ms`).join(" | ")} |`;
  yield `|---|${"---|".repeat(RTTS_MILLIS.length)}`;
  for (const congestion of CONTROLLERS) {
    for (const bitsPerSec of RATES) {
      const shares = RTTS_MILLIS.map((rtt) => {
        const { share } = measureGoodput({ congestion, bitsPerSec, rttMicros: rtt * 1000 });
        return (100 * share).toFixed(1);
      });
      yield `| ${congestion}, ${bitsPerSec / 1e6} Mbit/s | ${shares.join(" | ")} |`;
    }
  }
}
