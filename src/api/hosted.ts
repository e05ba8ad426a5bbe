/** UDP ports that a `quic host` on this machine owns, in place of own ones (docs/host.md). */

import { HostClient } from "../broker/host-client.js";
import type { HostUdpSocket } from "../broker/host-socket.js";
import type { Wanted } from "../broker/messages.js";
import type { Datapath } from "../runtime/choose.js";
import type { EndpointHost, EndpointHostOptions } from "../runtime/loop.js";
import { LOCAL_CID_BYTES } from "../proto/limits.js";
import { sharedDatapath } from "./datapath.js";
import { invalidValue } from "./errors.js";
import { hostedMemory } from "./hosted-memory.js";
import { OFF } from "./runtime-dir.js";

export type { HostClient };

/** The Unix socket of the host to use: `given`, else NETQUIC_HOST; null: none, the program owns its port. */
export function hostPath(given: string | undefined, env: NodeJS.ProcessEnv = process.env): string | null {
  const path = given ?? env["NETQUIC_HOST"] ?? "";
  return path === "" || path === OFF ? null : path;
}

/** Rejects with the system's error when no host answers there, and with EACCES when it does not want this user. */
export function connectHost(path: string): Promise<HostClient> {
  return HostClient.connect(path, hostedMemory);
}

/**
 * Options of an endpoint whose ports are the host's; with null as they are.
 *
 * @throws TypeError for connection ids of another length than those by which a host knows its programs
 */
export function hostedBy(
  client: HostClient | null,
  endpoint: NonNullable<EndpointHostOptions["endpoint"]>,
): { datapath: Datapath; endpoint: NonNullable<EndpointHostOptions["endpoint"]> } {
  const datapath = sharedDatapath();
  if (client === null) return { datapath, endpoint };
  const { cidBytes = LOCAL_CID_BYTES } = endpoint;
  if (cidBytes !== LOCAL_CID_BYTES) {
    throw invalidValue("connectionIdBytes", `must be ${LOCAL_CID_BYTES} where a quic host has the port`, cidBytes);
  }
  return { datapath: { ...datapath, udp: client.provider }, endpoint: { ...endpoint, cids: client.cids } };
}

/** Wants clients at the first socket of `host`. Rejects with EADDRINUSE when another program has one of the names there. */
export function listenAt(client: HostClient, host: EndpointHost, wanted: Wanted): Promise<number> {
  return client.listen(host.socket as HostUdpSocket, wanted);
}
