/**
 * Memory of this program as its host sees it (docs/host.md): the host's limits are this process's, one of the links tells it
 * what the queues hold, and what it says of all programs together counts here, too.
 */

import type { HostClient, MemoryOwner } from "../broker/host-client.js";
import type { MemoryLevel, MemoryLimits } from "../runtime/memory-level.js";
import { processMemory, setProcessLimits } from "./memory.js";

/** Links to hosts, in the order in which they came: the first one tells and is heard, so that nothing counts twice. */
const links = new Set<HostClient>();
/** What changes less is not told. */
const STEP_BYTES = 64 * 1024;
let toldBytes = 0;

export const hostedMemory: MemoryOwner = {
  onWelcome(client: HostClient, limits: MemoryLimits | null): void {
    links.add(client);
    if (limits !== null) setProcessLimits(limits);
    processMemory().onSum = report;
    if (client === teller()) toldBytes = 0; // a host that restarted knows nothing
  },

  onLevel(client: HostClient, level: MemoryLevel): void {
    if (client === teller()) processMemory().setOutside(level);
  },

  onClosed(client: HostClient): void {
    const wasTeller = client === teller();
    links.delete(client);
    if (!wasTeller) return;
    processMemory().setOutside("ok");
    toldBytes = 0;
  },
};

/** After each sum. */
function report(bytes: number): void {
  const isNews = Math.abs(bytes - toldBytes) >= STEP_BYTES || (bytes === 0 && toldBytes > 0);
  const client = teller();
  if (client === undefined || !isNews) return;
  toldBytes = bytes;
  client.reportHeld(bytes);
}

function teller(): HostClient | undefined {
  return links.values().next().value;
}
