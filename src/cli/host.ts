/** `quic host`: owns UDP ports and gives their clients to programs, by ALPN and server name. */

import { once } from "node:events";
import { type Place, placeOf } from "../api/host/config.js";
import { serveHost } from "../api/host/serve.js";
import { EXIT_OK, messageOf, oneLine, usage } from "./failure.js";
import { pathFlag, readFlags } from "./flags.js";
import { counted } from "./format.js";
import { HOST_HELP } from "./help.js";
import type { Surroundings } from "./transfer.js";

const FLAGS = {
  config: { type: "string", short: "c" },
  socket: { type: "string", short: "s" },
  port: { type: "string", short: "p", multiple: true },
  verbose: { type: "boolean", short: "v" },
  help: { type: "boolean", short: "h" },
} as const;

/** Serves until a signal ends it, which is no failure. */
export async function host(args: readonly string[], around: Surroundings): Promise<number> {
  const { values, positionals } = readFlags(FLAGS, args);
  if (values.help === true) {
    around.stdout.write(HOST_HELP);
    return EXIT_OK;
  }
  if (positionals.length > 0) throw usage(`what is ${JSON.stringify(positionals[0])}? There are options only`);
  const say = (line: string): void => void around.stdout.write(`${oneLine(line)}\n`);
  const { config, socket, port: ports = [] } = values;
  const log = values.verbose === true ? say : () => {};
  const serving = await serveHost({ config, socket: pathFlag("--socket", socket), ports: ports.map(portFlag), log });
  for (const { address, port } of serving.host.places) say(`port ${port} of ${address}`);
  say(`programs at ${serving.path}`);
  if (!around.signal.aborted) await once(around.signal, "abort");
  const { handedOver, forwarded } = serving.host.counters;
  serving.host.close();
  say(`ended after ${counted(handedOver, "client")}, and ${counted(forwarded, "datagram")} forwarded`);
  return EXIT_OK;
}

/** @throws a Failure with exit code 2. */
function portFlag(given: string): Place {
  try {
    return placeOf(given);
  } catch (error) {
    throw usage(`--port ${messageOf(error)}`);
  }
}
