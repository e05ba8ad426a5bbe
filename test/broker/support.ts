/** A host of UDP ports in this process, and programs that use it, for tests. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Place } from "#src/broker/messages.js";
import { BrokerHost, type HostOptions } from "#src/broker/host.js";
import type { QuicEndpoint, QuicSession } from "#src/api/quic/index.js";
import { chooseDatapath } from "#src/runtime/choose.js";
import { type Bench, readAll, testLeaf } from "../api/support.js";
import { untilWithin } from "../support/wait.js";

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
export const until = untilWithin(20_000);

/** A host with one port. */
export async function open(options: Partial<HostOptions> = {}): Promise<TestHost> {
  return new TestHost().start({ places: [{ address: "127.0.0.1", port: 0, ipv6Only: false }], ...options });
}

export interface ServerOptions {
  address?: string;
  serverNames?: string[];
  alpn?: string[];
  reusePort?: boolean;
  validateAddress?: boolean;
  ext?: { connectionIdBytes: number };
}

/** A server on the host's port that sends back what each stream brings, with its name before it. */
export function echoAt(bench: Bench, host: TestHost, name: string, options: ServerOptions = {}): Promise<QuicEndpoint> {
  const { address = `127.0.0.1:${host.port}`, serverNames = [], alpn = [name], ...endpoint } = options;
  const { cert, key } = testLeaf();
  const onSession = (session: QuicSession): void => {
    session.onstream = async (stream) => {
      const got = await readAll(stream);
      await stream.writer.write(Buffer.concat([Buffer.from(`${name}:`), got]));
      await stream.writer.end();
    };
  };
  return bench.serve(onSession, {
    alpn,
    sni: { "*": { keys: key, certs: cert } },
    endpoint: { address, ...endpoint },
    ext: { host: host.path, serverNames },
  });
}
