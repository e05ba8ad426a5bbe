/** Addresses as users write them: `host:port`, `[::1]:port` or a net.SocketAddress. Names are looked up here. */

import { lookup } from "node:dns/promises";
import { isIP, SocketAddress } from "node:net";
import { addressText, addressToWords, wordsToAddress } from "../runtime/address.js";
import { ADDR_LOCAL_IP0, ADDR_PORT } from "../port/udp.js";
import type { EndpointHost } from "../runtime/loop.js";
import { invalidType, invalidValue } from "./errors.js";

export { addressText };

const IP_WORDS = 4;

export interface HostPort {
  /** A literal address without brackets, or a name. */
  host: string;
  port: number;
}

export type Family = "IPv4" | "IPv6";

/** @throws with the name of the option for anything else. `defaultPort` -1: a port must be there. */
export function parseAddress(given: unknown, path: string, defaultPort = -1): HostPort {
  if (given instanceof SocketAddress) return { host: given.address, port: given.port };
  if (typeof given !== "string") throw invalidType(path, "'host:port' or a net.SocketAddress", given);
  if (isIP(given) === 6 && defaultPort >= 0) return { host: given, port: defaultPort };
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::([0-9]{1,5}))?$/.exec(given);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || (match?.[1] !== undefined && isIP(host) !== 6)) {
    throw invalidValue(path, "is no address like 'host:port' or '[::1]:port'", given);
  }
  if (port < 0 || port > 65535) throw invalidValue(path, "needs a port from 0 to 65535", given);
  return { host, port };
}

/** A literal address for `host`, of that family when one is asked for. Rejects with the system's error for a name unknown. */
export async function resolveHost(host: string, family: Family | null, signal?: AbortSignal): Promise<string> {
  signal?.throwIfAborted();
  if (isIP(host) !== 0) return host;
  const found = await lookup(host, { all: true, family: family === null ? 0 : family === "IPv4" ? 4 : 6 });
  signal?.throwIfAborted();
  // IPv4 first: a name whose IPv6 address leads nowhere would cost a whole handshake timeout
  const best = found.find((each) => each.family === 4) ?? found[0];
  if (best === undefined) throw invalidValue("address", "has no address", host);
  return best.address;
}

/** Whether the first socket is there already. */
export function isServed(host: EndpointHost, { host: address, port }: HostPort): boolean {
  const { address: bound, port: boundPort } = host.socket;
  if (port !== boundPort) return false;
  return bound === address || bound === (familyOf(address) === "IPv4" ? "0.0.0.0" : "::");
}

export function familyOf(literal: string): Family {
  return isIP(literal) === 4 ? "IPv4" : "IPv6";
}

export function isLoopback(literal: string): boolean {
  return literal === "::1" || (isIP(literal) === 4 && literal.startsWith("127."));
}

/** The peer's address in an address row (port/udp). */
export function remoteOf(row: Int32Array): SocketAddress {
  return socketAddress(wordsToAddress(row, 0), row[ADDR_PORT] as number);
}

/** The same as text, for messages: without an object, of which each costs as much as a stream. */
export function remoteText(row: Int32Array): string {
  return addressText(wordsToAddress(row, 0), row[ADDR_PORT] as number);
}

/** Thousands of sessions of a server have the same one, and a SocketAddress takes half a kilobyte. */
let latestLocal: SocketAddress | null = null;

/** The local address in an address row; `fallback` while the kernel has not told it. */
export function localOf(row: Int32Array, fallback: SocketAddress): SocketAddress {
  const known = row.subarray(ADDR_LOCAL_IP0, ADDR_LOCAL_IP0 + IP_WORDS).some((word) => word !== 0);
  if (!known) return fallback;
  const address = wordsToAddress(row, ADDR_LOCAL_IP0);
  if (latestLocal?.address !== address || latestLocal.port !== fallback.port) {
    latestLocal = socketAddress(address, fallback.port);
  }
  return latestLocal;
}

/** Writes the address that a socket is bound to as the local one of an address row; none for a wildcard. */
export function setLocal(row: Int32Array, address: string): void {
  addressToWords(address, row, ADDR_LOCAL_IP0);
  if (address === "0.0.0.0") row.fill(0, ADDR_LOCAL_IP0, ADDR_LOCAL_IP0 + IP_WORDS);
}

export function socketAddress(address: string, port: number): SocketAddress {
  const plain = address.split("%")[0] as string;
  return new SocketAddress({ address: plain, port, family: isIP(plain) === 6 ? "ipv6" : "ipv4" });
}
