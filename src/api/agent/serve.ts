/** `quic agent` without its command line: configuration, socket, reload, and the end of all. */

import { readFileSync } from "node:fs";
import { type Agent, startAgent } from "../../agent/agent.js";
import { readAgentConfig } from "../../agent/config-file.js";
import type { LogLevel } from "../../agent/service.js";
import { sharedTls, wantsKeylogFile, writeKeylogFile } from "../environment.js";
import { checkNamedSocket, makeRuntimeDir, socketPath } from "../runtime-dir.js";

export interface ServeAgentOptions {
  /** Path of the configuration. */
  config: string;
  /** Path of the Unix socket; undefined: `agent.sock` in the runtime dir. */
  socket: string | undefined;
  /** Name or number of the group that may use it; undefined: only this user. */
  group: string | undefined;
  /** Takes one line. */
  log(line: string): void;
  /** Ends the agent; `serveAgent` then resolves. */
  signal: AbortSignal;
}

export interface ServingAgent {
  readonly agent: Agent;
  /** Reads the files again; what is wrong with them is logged, and nothing changes then. */
  reload(): Promise<void>;
  /** Resolves when the agent has ended; rejects when its socket failed. */
  readonly ended: Promise<void>;
}

const RANK: Readonly<Record<LogLevel, number>> = { error: 0, info: 1, debug: 2 };
const SOCKET_NAME = "agent.sock";

/** Rejects when the configuration is wrong, the socket cannot be made, or there is no such group. */
export async function serveAgent(options: ServeAgentOptions): Promise<ServingAgent> {
  const { config, signal } = options;
  const provider = sharedTls();
  const path = options.socket ?? socketPath(makeRuntimeDir(), SOCKET_NAME);
  checkNamedSocket(path);
  const gid = options.group === undefined ? null : groupId(options.group);
  let { settings, logLevel } = await readAgentConfig(config, provider);
  const log = (level: LogLevel, line: string): void => {
    if (RANK[level] <= RANK[logLevel]) options.log(line);
  };
  let fail: (error: Error) => void = () => {};
  const agent = await startAgent({
    path,
    gid,
    settings,
    provider,
    log,
    keylog: wantsKeylogFile() ? writeKeylogFile : null,
    onError: (error) => fail(error),
  }).catch((error: NodeJS.ErrnoException) => {
    throw error.code === "EADDRINUSE"
      ? new Error(`EADDRINUSE: another agent runs at ${path}`, { cause: error })
      : error;
  });
  const ended = new Promise<void>((resolve, reject) => {
    fail = reject;
    signal.addEventListener("abort", () => resolve(), { once: true });
    if (signal.aborted) resolve();
  }).finally(() => agent.close());
  return {
    agent,
    ended,
    reload: oneByOne(async () => {
      try {
        ({ settings, logLevel } = await readAgentConfig(config, provider));
        agent.use(settings);
        options.log(`${config} is read again`);
      } catch (error) {
        options.log(`nothing changes: ${(error as Error).message}`);
      }
    }),
  };
}

/** Does `work`, which does not reject, once at a time: calls in the meantime are one more. Else what began first could end last. */
function oneByOne(work: () => Promise<void>): () => Promise<void> {
  let last = Promise.resolve();
  let waiting: Promise<void> | null = null;
  return () => {
    waiting ??= last.then(() => {
      waiting = null;
      return work();
    });
    last = waiting;
    return waiting;
  };
}

/** @throws Error when there is no such group */
function groupId(group: string): number {
  if (/^[0-9]{1,10}$/.test(group)) return Number(group);
  for (const line of readFileSync("/etc/group", "utf8").split("\n")) {
    const [name, , id] = line.split(":");
    if (name === group && id !== undefined) return Number(id);
  }
  throw new Error(`there is no group ${JSON.stringify(group)}`);
}
