/** `connect`, `listen` and `listEndpoints` of `node:quic`. */

import type { SocketAddress } from "node:net";
import { invalidType } from "../errors.js";
import { familyOf, type HostPort, isLoopback, parseAddress, resolveHost } from "../address.js";
import { coreOf, QuicEndpoint } from "./endpoint.js";
import { EndpointCore, liveEndpoints, type OnSession } from "./endpoint-core.js";
import { type EndpointOptions, readEndpointOptions } from "./endpoint-options.js";
import { OptionReader } from "../option-reader.js";
import type { ConnectOptions, ListenOptions } from "./public-options.js";
import type { QuicSession } from "./session.js";
import "./session.js";
import "./stream.js";
import { type ClientSetup, readClientOptions, readServerOptions } from "./session-options.js";

/** Endpoints that `connect` shares, by family. */
const shared = new Map<string, EndpointCore>();

/**
 * Starts a session with the server at `host:port`, `[::1]:port` or a net.SocketAddress. Resolves when the handshake has begun;
 * `session.opened` says how it ended.
 */
export async function connect(address: string | SocketAddress, options?: ConnectOptions): Promise<QuicSession> {
  const setup = readClientOptions(options);
  const target = parseAddress(address, "address");
  const given = setup.endpoint === undefined ? null : endpointFrom(setup.endpoint, true);
  const serverName = serverNameOf(setup, target);
  if (given === null) target.host = await resolveHost(target.host, null, setup.signal);
  const endpoint = given ?? clientEndpoint(target.host, setup.reuseEndpoint);
  const session = await endpoint.connect(setup, target, serverName);
  const { signal } = setup;
  if (signal !== undefined) {
    const onAbort = (): void => {
      if (session.info === null) session.destroy(signal.reason);
    };
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    session.opened.promise.catch(() => {}).finally(() => signal.removeEventListener("abort", onAbort));
  }
  return session.face;
}

/** Accepts sessions; `onsession` is called with each one when its ClientHello was processed. */
export async function listen(onsession: OnSession, options?: ListenOptions): Promise<QuicEndpoint> {
  if (typeof onsession !== "function") throw invalidType("onsession", "a function", onsession);
  const setup = readServerOptions(options);
  const endpoint = endpointFrom(setup.endpoint ?? {}, false);
  try {
    await endpoint.listen(setup, onsession);
  } catch (error) {
    if (!(setup.endpoint instanceof QuicEndpoint)) endpoint.destroy(undefined);
    throw error;
  }
  return endpoint.face;
}

/** The endpoints that are not destroyed; with `active` (default) only those that take new sessions. */
export function listEndpoints(options?: { active?: boolean }): QuicEndpoint[] {
  const reader = new OptionReader(options, "options");
  const active = reader.boolean("active") ?? true;
  reader.finish();
  const all = [...liveEndpoints].filter((core) => !active || (core.isUsable && !core.busy));
  return all.map((core) => core.face);
}

/** `isAuto`: one that is made of options goes with its last session. */
function endpointFrom(given: unknown, isAuto: boolean): EndpointCore {
  if (given instanceof QuicEndpoint) return coreOf(given);
  return new EndpointCore(readEndpointOptions(given as EndpointOptions, "options.endpoint"), null, isAuto);
}

/** The shared endpoint of that family, or a new one; either goes by itself after its last session. */
function clientEndpoint(remote: string, reuse: boolean): EndpointCore {
  const family = familyOf(remote);
  const existing = shared.get(family);
  if (reuse && existing?.isUsable === true) return existing;
  const made = new EndpointCore(readEndpointOptions({}, "options.endpoint"), null, true);
  if (reuse) shared.set(family, made);
  return made;
}

/** The name to ask for: by default the host that was connected to, `localhost` for loopback addresses. */
function serverNameOf(setup: ClientSetup, target: HostPort): string {
  return setup.serverName ?? (isLoopback(target.host) ? "localhost" : target.host);
}
