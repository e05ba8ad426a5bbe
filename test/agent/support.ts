/** Agents for tests, in this process or in one of their own, on sockets in a temporary folder. */

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Agent, type AgentOptions, startAgent } from "#src/agent/agent.js";
import type { AgentSettings } from "#src/agent/settings.js";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { type Ended, type Running, startQuic, until } from "../cli/run-quic.js";

/** Nothing of its own. */
export const NO_SETTINGS: AgentSettings = {
  client: { identities: {} },
  server: { identities: {} },
  tags: [],
  handshakeMillis: 30_000,
};

export interface TestAgent {
  readonly agent: Agent;
  readonly path: string;
  readonly lines: string[];
  stop(): void;
}

export async function testAgent(
  settings: Partial<AgentSettings> = {},
  options: Partial<AgentOptions> = {},
): Promise<TestAgent> {
  const dir = mkdtempSync(join(tmpdir(), "agent-"));
  const lines: string[] = [];
  const agent = await startAgent({
    path: join(dir, "agent.sock"),
    gid: null,
    settings: { ...NO_SETTINGS, ...settings },
    provider: chooseTls(process.env),
    log: (_level, line) => lines.push(line),
    keylog: null,
    onError: (error) => {
      throw error;
    },
    ...options,
  });
  const stop = (): void => {
    agent.close();
    rmSync(dir, { recursive: true });
  };
  return { agent, path: agent.path, lines, stop };
}

export interface AgentProcess {
  readonly path: string;
  readonly pid: number;
  /** What it has printed. */
  output(): string;
  /** Reads its files again; resolves when it has said so. */
  reload(): Promise<string>;
  kill(signal: NodeJS.Signals): Promise<Ended>;
}

/** Files beside the configuration, by name. */
export type AgentFiles = Record<string, string>;

export class AgentFolder {
  readonly dir = mkdtempSync(join(tmpdir(), "agent-"));
  private readonly running: Running[] = [];
  private count = 0;

  constructor(files: AgentFiles = {}) {
    this.write(files);
  }

  write(files: AgentFiles): void {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.dir, name)), { recursive: true });
      writeFileSync(join(this.dir, name), text);
    }
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** `quic agent`, ready. NETQUIC_PEER_NODE runs it. */
  async start(config: string, env: Record<string, string> = {}, args: readonly string[] = []): Promise<AgentProcess> {
    const socket = this.path(`${++this.count}.sock`);
    this.write({ config });
    const flags = ["--config", this.path("config"), "--socket", socket, ...args];
    const running = startQuic(["agent", ...flags], env, process.env["NETQUIC_PEER_NODE"]);
    this.running.push(running);
    const { child, stdout, ended } = running;
    await Promise.race([until(() => stdout().includes("handshakes at")), ended]);
    assert.ok(stdout().includes("handshakes at"), (await Promise.race([ended, null]))?.stderr ?? stdout());
    return {
      path: socket,
      pid: child.pid as number,
      output: stdout,
      reload: async () => {
        const before = stdout().length;
        child.kill("SIGHUP");
        return until(() => /^(?:nothing changes: .*|.* is read again)$/m.exec(stdout().slice(before))?.[0]);
      },
      kill: (signal) => {
        child.kill(signal);
        return ended;
      },
    };
  }

  /** Ends what it started and removes the folder. */
  async remove(): Promise<void> {
    for (const { child } of this.running) child.kill("SIGKILL");
    await Promise.all(this.running.map(({ ended }) => ended));
    rmSync(this.dir, { recursive: true });
  }
}
