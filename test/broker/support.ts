/** A host of UDP ports in this process, and programs that use it, for tests. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Place } from "#src/broker/messages.js";
import { BrokerHost, type HostOptions } from "#src/broker/host.js";
import { chooseDatapath } from "#src/runtime/choose.js";

/** Everyone may do everything. */
const OPEN_POLICY = { admits: () => true, mayBind: () => true, mayListen: () => true };

/** A folder with the host's socket and state, and the host in it. */
export class TestHost {
  readonly dir = mkdtempSync(join(tmpdir(), "nq-"));
  readonly path = join(this.dir, "host.sock");
  readonly notes: string[] = [];
  private running: BrokerHost | null = null;

  get host(): BrokerHost {
    if (this.running === null) throw new Error("the host is not started");
    return this.running;
  }

  async start(options: Partial<HostOptions> = {}): Promise<this> {
    this.running = await BrokerHost.start({
      datapath: chooseDatapath(),
      socketPath: this.path,
      statePath: join(this.dir, "host.json"),
      places: [],
      policy: OPEN_POLICY,
      ownUid: process.getuid?.() ?? 0,
      onNote: (line) => this.notes.push(line),
      ...options,
    });
    return this;
  }

  /** The port of its first place. */
  get port(): number {
    return (this.host.places[0] as Place).port;
  }

  stop(): void {
    this.running?.close();
    this.running = null;
  }

  [Symbol.dispose](): void {
    this.stop();
    rmSync(this.dir, { recursive: true });
  }
}

/** Waits until it holds; throws when it does not within the time. */
export async function until(what: () => boolean, millis = 2000): Promise<void> {
  for (const end = performance.now() + millis; !what(); await sleep(2)) {
    if (performance.now() > end) throw new Error(`not within ${millis} ms: ${what.toString()}`);
  }
}
