/**
 * The configuration of `quic host`: which ports it opens, and what programs of other users may have. A JSON file; whatever is
 * wrong or unknown in it is an error that names it, so that no rule is thought to hold that does not.
 */

import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { HostPolicy } from "../../broker/host.js";
import type { Place } from "../../broker/messages.js";
import type { MemoryLimits } from "../../runtime/memory-level.js";
import { readSysctl } from "../sysctl.js";

export type { Place };

/** What the programs of one other user may have. */
export interface Allowed {
  readonly uid: number;
  readonly ports: readonly number[];
  /** Null: any that nobody has. */
  readonly protocols: readonly string[] | null;
}

export interface HostConfig {
  /** Opened at once and kept. */
  ports: Place[];
  /** Programs of the host's own user get other ports, too, from 1024 on. */
  open: boolean;
  allow: Allowed[];
  /** Of memory, by the names of Linux's sysctls (docs/memory.md); null: none of the host's. */
  limits: MemoryLimits | null;
}

/** Below, only what `ports` names. */
const FIRST_FREE_PORT = 1024;
const PASSWD = "/etc/passwd";

/** @throws Error that names the file and what is wrong in it. */
export function readHostConfig(path: string): HostConfig {
  try {
    return hostConfig(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** @throws Error that says what is wrong. */
export function hostConfig(given: unknown): HostConfig {
  const { ports = [], open = true, allow = [], sysctl, ...rest } = fieldsOf(given, "the configuration");
  refuseUnknown(rest, "");
  if (typeof open !== "boolean") throw new Error("open: true or false");
  const limits = sysctl === undefined ? null : readSysctl(fieldsOf(sysctl, "sysctl"));
  return { ports: listOf(ports, "ports", placeOf), open, allow: listOf(allow, "allow", allowedOf), limits };
}

/** `0.0.0.0:443`, `[::]:443` (IPv4 too), or `443` for that. @throws Error that names it. */
export function placeOf(given: unknown): Place {
  const place = literalPlace(given);
  if (place !== null) return place;
  throw new Error(`${JSON.stringify(given)} is no port: PORT, ADDRESS:PORT or [ADDRESS]:PORT, a literal address`);
}

function literalPlace(given: unknown): Place | null {
  if (typeof given === "number" || (typeof given === "string" && /^[0-9]+$/.test(given))) {
    return isPort(Number(given)) ? { address: "::", port: Number(given), ipv6Only: false } : null;
  }
  const [, six, four, digits] =
    /^(?:\[(.+)\]|([^[\]:]+)):([0-9]{1,5})$/.exec(typeof given === "string" ? given : "") ?? [];
  const address = six ?? four ?? "";
  if (isIP(address) !== (six === undefined ? 4 : 6) || !isPort(Number(digits))) return null;
  return { address, port: Number(digits), ipv6Only: false };
}

/** The rules of a configuration, for a host that runs as `ownUid`. */
export function policyOf({ ports, open, allow }: HostConfig, ownUid: number): HostPolicy {
  const isNamed = ({ port }: Place): boolean => ports.some((place) => place.port === port);
  const of = (uid: number): Allowed[] => allow.filter((one) => one.uid === uid);
  return {
    admits: ({ uid }) => uid === ownUid || of(uid).length > 0,
    mayBind(uid, place) {
      if (uid !== ownUid) return of(uid).some((one) => one.ports.includes(place.port));
      return isNamed(place) || (open && (place.port === 0 || place.port >= FIRST_FREE_PORT));
    },
    mayListen(uid, place, { alpn }) {
      if (uid === ownUid) return true;
      return of(uid).some(
        ({ ports: theirs, protocols }) =>
          theirs.includes(place.port) && (protocols === null || alpn.every((name) => protocols.includes(name))),
      );
    },
  };
}

function allowedOf(given: unknown): Allowed {
  const { user, ports, protocols = null, ...rest } = fieldsOf(given, "allow");
  refuseUnknown(rest, "allow: ");
  if (ports === undefined) throw new Error("allow: ports is missing");
  return {
    uid: userId(user),
    ports: listOf(ports, "allow: ports", portOf),
    protocols: protocols === null ? null : listOf(protocols, "allow: protocols", textOf),
  };
}

function userId(user: unknown): number {
  if (typeof user === "number" && Number.isInteger(user) && user >= 0) return user;
  if (typeof user !== "string") throw new Error("allow: user must be a name or a number");
  for (const line of readFileSync(PASSWD, "utf8").split("\n")) {
    const [name, , id] = line.split(":");
    if (name === user && id !== undefined) return Number(id);
  }
  throw new Error(`allow: there is no user ${JSON.stringify(user)}`);
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 0 && port <= 65_535;
}

function portOf(given: unknown): number {
  if (typeof given === "number" && isPort(given)) return given;
  throw new Error(`${JSON.stringify(given)} is no port`);
}

function textOf(given: unknown): string {
  if (typeof given === "string" && given !== "") return given;
  throw new Error(`${JSON.stringify(given)} is no name`);
}

function listOf<T>(given: unknown, name: string, read: (one: unknown) => T): T[] {
  if (!Array.isArray(given)) throw new Error(`${name}: must be a list`);
  return given.map(read);
}

function fieldsOf(given: unknown, name: string): Record<string, unknown> {
  if (typeof given === "object" && given !== null && !Array.isArray(given)) return given as Record<string, unknown>;
  throw new Error(`${name}: must be an object`);
}

function refuseUnknown(rest: Record<string, unknown>, prefix: string): void {
  const [first] = Object.keys(rest);
  if (first !== undefined) throw new Error(`${prefix}${first}: is not known here`);
}
