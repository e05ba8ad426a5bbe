/** An agent in this process, on a socket in a temporary folder, for tests. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Agent, type AgentOptions, startAgent } from "#src/agent/agent.js";
import type { AgentSettings } from "#src/agent/settings.js";
import { chooseTls } from "#src/runtime/choose-tls.js";

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
