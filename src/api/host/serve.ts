/** `quic host` without its command line: configuration, paths, and the end of it. */

import { chmodSync } from "node:fs";
import { BrokerHost } from "../../broker/host.js";
import type { Place } from "../../broker/messages.js";
import { watchSharedPorts } from "../control/watch.js";
import { sharedDatapath } from "../datapath.js";
import { checkNamedSocket, makeRuntimeDir, socketPath } from "../runtime-dir.js";
import { hostConfig, policyOf, readHostConfig } from "./config.js";

export type { BrokerHost };

export interface ServeHostOptions {
  /** Path of the configuration; undefined: none. */
  config: string | undefined;
  /** Path of the Unix socket; undefined: `host.sock` in the runtime dir. Its state is in a file beside it. */
  socket: string | undefined;
  /** Ports to open beside those of the configuration. */
  ports: readonly Place[];
  /** Takes one line. */
  log(line: string): void;
}

const SOCKET_NAME = "host.sock";
/** Who connects is known by the kernel's word: with other users allowed, the file lets everybody ask. */
const MODE_OTHERS = 0o666;

/** Rejects when the configuration is wrong, another host runs, or a port cannot be bound. */
export async function serveHost(options: ServeHostOptions): Promise<{ host: BrokerHost; path: string }> {
  const config = options.config === undefined ? hostConfig({}) : readHostConfig(options.config);
  config.ports.push(...options.ports);
  const path = options.socket ?? socketPath(makeRuntimeDir(), SOCKET_NAME);
  checkNamedSocket(path);
  const datapath = sharedDatapath();
  if (datapath.udp.name !== "native") throw new Error("it needs the addon: sockets cannot be passed on without it");
  const ownUid = process.geteuid?.() ?? 0;
  const host = await BrokerHost.start({
    datapath,
    socketPath: path,
    statePath: `${path}.state`,
    places: config.ports,
    policy: policyOf(config, ownUid),
    ownUid,
    onNote: options.log,
    ...(config.limits !== null && { limits: config.limits }),
  });
  watchSharedPorts(() => host.ports());
  if (config.allow.length > 0) chmodSync(path, MODE_OTHERS);
  return { host, path };
}
