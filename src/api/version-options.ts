/**
 * Which versions of QUIC a session may have: `version` and `minVersion` of node:quic, `ext.versions` of ours. They are named
 * by their number on the wire (RFC 9000 §15, RFC 9369 §3.1), or 2 for version 2.
 */

import { isSupportedVersion, SUPPORTED_VERSIONS, VERSION_2 } from "../proto/version.js";
import { invalidType, invalidValue } from "./errors.js";
import type { OptionReader } from "./option-reader.js";

/** What conn/config takes. */
export interface VersionSetup {
  versions: readonly number[];
  firstVersion: number;
}

const MAX_VERSION = 2 ** 32 - 1;

/**
 * A client's first flight has `version`; a server wants it most. Versions below `minVersion` are not used.
 *
 * @throws TypeError or RangeError that names the option
 */
export function readVersions(reader: OptionReader, ext: OptionReader, isServer: boolean): VersionSetup {
  const version = numbered(reader, "version");
  const least = numbered(reader, "minVersion") ?? 0;
  const listed = readList(ext);
  const versions = (listed ?? SUPPORTED_VERSIONS).filter((each) => each >= least);
  if (versions.length === 0) throw invalidValue(reader.name("minVersion"), "leaves no version", least);
  if (version !== undefined && !versions.includes(version)) {
    throw invalidValue(reader.name("version"), "is not among the versions that may be used", version);
  }
  const isOpen = listed === undefined && least === 0; // a list would be a wish of our own, where the peer's may count
  if (!isServer) return { versions: isOpen ? [] : versions, firstVersion: version ?? 0 };
  if (version === undefined) return { versions: isOpen ? [] : versions, firstVersion: 0 };
  return { versions: [version, ...versions.filter((each) => each !== version)], firstVersion: 0 };
}

function readList(ext: OptionReader): number[] | undefined {
  const given = ext.raw("versions");
  if (given === undefined) return undefined;
  const name = ext.name("versions");
  if (!Array.isArray(given) || given.length === 0) throw invalidType(name, "an array of versions, at least one", given);
  const list = given.map((each) => known(name, typeof each === "bigint" ? Number(each) : each));
  if (new Set(list).size < list.length) throw invalidValue(name, "has a version twice", given);
  return list;
}

function numbered(reader: OptionReader, key: string): number | undefined {
  const given = reader.number(key, 1, MAX_VERSION);
  return given === undefined ? undefined : known(reader.name(key), given);
}

function known(name: string, given: unknown): number {
  const version = given === 2 ? VERSION_2 : given;
  if (typeof version === "number" && isSupportedVersion(version)) return version;
  const all = SUPPORTED_VERSIONS.map((each) => `0x${each.toString(16)}`).join(", ");
  throw invalidValue(name, `must name versions that are spoken here: ${all}`, given);
}
