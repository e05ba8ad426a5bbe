/** `quic agent`: does the TLS handshakes of other programs, with keys that they cannot read. */

import { serveAgent } from "../api/agent/serve.js";
import { EXIT_OK, oneLine, usage } from "./failure.js";
import { pathFlag, readFlags } from "./flags.js";
import { counted } from "./format.js";
import { AGENT_HELP } from "./help.js";
import type { Surroundings } from "./transfer.js";

const FLAGS = {
  config: { type: "string", short: "c" },
  socket: { type: "string", short: "s" },
  group: { type: "string", short: "g" },
  help: { type: "boolean", short: "h" },
} as const;

/** Serves until a signal ends it, which is no failure. */
export async function agent(args: readonly string[], around: Surroundings): Promise<number> {
  const { values, positionals } = readFlags(FLAGS, args);
  if (values.help === true) {
    around.stdout.write(AGENT_HELP);
    return EXIT_OK;
  }
  if (positionals.length > 0) throw usage(`what is ${JSON.stringify(positionals[0])}? There are options only`);
  if (values.config === undefined || values.config === "") throw usage("--config FILE is missing");
  const say = (line: string): void => void around.stdout.write(`${oneLine(line)}\n`);
  const serving = await serveAgent({
    config: values.config,
    socket: pathFlag("--socket", values.socket),
    group: values.group,
    log: say,
    signal: around.signal,
  });
  around.onHangup(() => void serving.reload());
  say(`handshakes at ${serving.agent.path}`);
  await serving.ended;
  const { handshakes, failures } = serving.agent.counters;
  say(`ended after ${counted(handshakes, "handshake")}, and ${failures} that failed`);
  return EXIT_OK;
}
