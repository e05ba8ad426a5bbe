/** A `quic host` for a benchmark. It tells its path, and answers `figures`. */

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BrokerHost } from "#src/broker/host.js";
import { chooseDatapath } from "#src/runtime/choose.js";
import { cpuMicros } from "./load.js";
import { ownJob, tell } from "./child.js";

export interface HostJob {
  /** Programs are taken for another user's: all of their packets go by message. */
  forwards: boolean;
}

export interface HostFigures {
  forwarded: number;
  handedOver: number;
  dropped: number;
  /** Clients that had to prove their address first. */
  retriesSent: number;
  cpuMillis: number;
  rssMebibytes: number;
}

const { forwards } = ownJob<HostJob>({ figures: (): HostFigures => figures() });
const dir = mkdtempSync(join(tmpdir(), "netquic-bench-"));
const socketPath = join(dir, "host.sock");

const host = await BrokerHost.start({
  datapath: chooseDatapath(),
  socketPath,
  statePath: `${socketPath}.state`,
  places: [],
  policy: { admits: () => true, mayBind: () => true, mayListen: () => true },
  ownUid: (process.getuid?.() ?? 0) + (forwards ? 1 : 0),
});
tell({ dir, path: socketPath });

function figures(): HostFigures {
  const { forwarded, handedOver, dropped, retriesSent } = host.counters;
  const rssMebibytes = process.memoryUsage.rss() / 2 ** 20;
  return { forwarded, handedOver, dropped, retriesSent, cpuMillis: cpuMicros() / 1000, rssMebibytes };
}
