/**
 * The address to which a server wants its clients to go after the handshake (RFC 9000 §9.6): read from the options, and
 * served by a socket of its own, or by the first one where that listens on every address of the port.
 */

import { ADDR_COLS } from "../../port/udp.js";
import { isAnyAddress, setAddressRow } from "../../runtime/address.js";
import type { EndpointHost, ListenOptions } from "../../runtime/loop.js";
import { invalidValue } from "../errors.js";
import { type Family, familyOf, type HostPort, isServed, parseAddress } from "../address.js";
import type { OptionReader } from "../option-reader.js";

export interface PreferredSetup {
  ipv4: HostPort | null;
  ipv6: HostPort | null;
}

/** Null when none is named. @throws for what is no address of the family. */
export function readPreferred(params: OptionReader): PreferredSetup | null {
  const ipv4 = readOne(params, "preferredAddressIpv4", "IPv4");
  const ipv6 = readOne(params, "preferredAddressIpv6", "IPv6");
  return ipv4 === null && ipv6 === null ? null : { ipv4, ipv6 };
}

/** Opens the sockets, which live as long as the host. Rejects with the system's error when one cannot be bound. */
export async function servePreferred(
  host: EndpointHost,
  open: (address: string, port: number) => Promise<number>,
  setup: PreferredSetup,
): Promise<NonNullable<ListenOptions["preferred"]>> {
  const opened: number[] = [];
  const serve = async (wanted: HostPort | null): Promise<Int32Array | null> => {
    if (wanted === null) return null;
    const socket = isServed(host, wanted) ? 0 : await open(wanted.host, wanted.port);
    opened.push(socket);
    return rowOf(wanted.host, host.socketOf(socket)?.port ?? 0);
  };
  try {
    const ipv4 = await serve(setup.ipv4);
    return { ipv4, ipv6: await serve(setup.ipv6) };
  } catch (error) {
    for (const socket of opened) host.releaseSocket(socket);
    throw error;
  }
}

function readOne(params: OptionReader, key: string, family: Family): HostPort | null {
  const given = params.raw(key);
  if (given === undefined) return null;
  const address = parseAddress(given, params.name(key), 0);
  const row = new Int32Array(ADDR_COLS);
  if (familyOf(address.host) !== family || !setAddressRow(row, 0, address.host, address.port)) {
    throw invalidValue(params.name(key), `is no literal ${family} address with a port`, given);
  }
  if (isAnyAddress(row, 0) || address.host === "0.0.0.0") {
    throw invalidValue(params.name(key), "must be an address that clients can go to", given);
  }
  return address;
}

function rowOf(address: string, port: number): Int32Array {
  const row = new Int32Array(ADDR_COLS);
  setAddressRow(row, 0, address, port);
  return row;
}
