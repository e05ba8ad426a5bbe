/**
 * For the façades: what this process has to show and to account for, from the first endpoint on. Nothing here costs a packet
 * anything.
 */

import type { EndpointHost } from "../../runtime/loop.js";
import { processMemory } from "../memory.js";
import { openControlSocket } from "./control-socket.js";
import { addPort, removePort, setOffloadStat, setSharedPorts } from "./registry.js";
import type { SharedPlace, WatchedPort } from "./rows.js";

export type { ListenerFacts, SocketFacts, WatchedPort } from "./rows.js";

/** An endpoint has its UDP socket, and no connections yet. */
export function watchPort(port: WatchedPort): void {
  addPort(port);
  port.host.endpoint.pressure = processMemory().pressure;
  void openControlSocket();
}

/** It is closed. */
export function unwatchPort(host: EndpointHost): void {
  removePort(host);
}

/** This process is a host; `places` are its ports now. */
export function watchSharedPorts(places: () => Iterable<SharedPlace>): void {
  setSharedPorts(places);
  void openControlSocket();
}

/** The Tx offload is in use; its counters are read when somebody asks. */
export function watchOffload(stat: Parameters<typeof setOffloadStat>[0]): void {
  setOffloadStat(stat);
  void openControlSocket();
}
