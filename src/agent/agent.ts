/** The handshake agent: a Unix socket on which programs have their handshakes done with keys that only the agent has. */

import { chmodSync, chownSync } from "node:fs";
import type { Socket } from "node:net";
import type { TlsProvider } from "../port/tls.js";
import { MAX_AGENT_PROGRAMS } from "../proto/limits.js";
import { listenFramed } from "../runtime/framed-socket.js";
import { type AgentCore, type AgentCounters, type LogLevel, ProgramService } from "./service.js";
import type { AgentSettings } from "./settings.js";

export interface AgentOptions {
  /** Of the Unix socket. */
  path: string;
  /** Group whose members may use the agent, beside the user that it runs as; null: nobody else. */
  gid: number | null;
  settings: AgentSettings;
  provider: TlsProvider;
  log(level: LogLevel, line: string): void;
  /** Takes lines for SSLKEYLOGFILE; null: none are made. */
  keylog: ((line: string) => void) | null;
  /** The socket failed: no programs can come any more. */
  onError(error: Error): void;
}

export interface Agent {
  readonly path: string;
  readonly counters: Readonly<AgentCounters>;
  /** Handshakes that begin from now on have these; those that have begun end as they began. */
  use(settings: AgentSettings): void;
  /** Ends all connections, and with them the handshakes that are not complete. */
  close(): void;
}

const MODE_GROUP = 0o660;

/**
 * Sends the oldest program without a handshake away, so that nobody keeps others out by mere presence; an honest one comes
 * again by itself. False when all have one.
 */
function makeRoom(services: Set<ProgramService>): boolean {
  for (const service of services) {
    if (!service.isIdle) continue;
    services.delete(service);
    service.close();
    return true;
  }
  return false;
}

/** Rejects as `listenFramed`, and with the system's error when the group cannot be given. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { path, gid, settings, provider, keylog } = options;
  const counters: AgentCounters = { programs: 0, contexts: 0, sessions: 0, handshakes: 0, failures: 0 };
  const core: AgentCore = { provider, settings, counters, keylog, log: options.log };
  const services = new Set<ProgramService>();
  const admit = (socket: Socket): void => {
    if (services.size >= MAX_AGENT_PROGRAMS && !makeRoom(services)) socket.destroy();
    else services.add(new ProgramService(core, socket, (gone) => services.delete(gone)));
  };
  const server = await listenFramed({
    path,
    maxConnections: 2 * MAX_AGENT_PROGRAMS, // those that make room are there until their sockets have closed
    onConnection: admit,
    onError: options.onError,
  });
  const close = (): void => {
    server.close();
    for (const service of services) service.close();
  };
  try {
    if (gid !== null) {
      // in this order: the group that it is born with never gets in
      chownSync(path, -1, gid);
      chmodSync(path, MODE_GROUP);
    }
  } catch (error) {
    close();
    throw error;
  }
  return {
    path,
    counters,
    use: (next) => {
      core.settings = next;
    },
    close,
  };
}
