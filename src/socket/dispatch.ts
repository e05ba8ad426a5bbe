/**
 * Which listener gets a new connection: listeners on one UDP port share it by the protocols that they speak (ALPN), and
 * among those by the names that they serve (SNI). The client's order of protocols decides, not the listeners'.
 *
 * Invariant: for a ClientHello there is at most one answer, however the listeners came: two that could both match it
 * with equal right are never in the table together, unless they are one REUSEPORT group.
 */

import { EADDRINUSE } from "./errno.js";
import { sameList, shareName } from "./alpn-list.js";

export interface ListenKey {
  /** Local address as the four words of port/udp and the port, joined to one text: equal texts are equal places. */
  place: string;
  /** Bound to the wildcard address of its family. */
  isWildcard: boolean;
  /** IPv4, IPv6, or both (an IPv6 wildcard that is not ipv6Only). */
  family: "IPv4" | "IPv6" | "both";
  /** Empty: only clients that offer no protocol. */
  alpn: readonly string[];
  /** Server names, lower case, `*.example.org` for one label; empty: any name, or none. */
  serverNames: readonly string[];
  reusePort: boolean;
}

export interface Hello {
  alpn: readonly string[];
  /** SNI, "" for none. */
  serverName: string;
}

/** Listeners with equal keys, which share connections. */
interface Group<T> {
  key: ListenKey;
  members: T[];
}

export class Listeners<T> {
  private readonly groups: Group<T>[] = [];

  get size(): number {
    return this.groups.reduce((sum, group) => sum + group.members.length, 0);
  }

  /** All listeners with what each of them takes. */
  *entries(): Generator<[ListenKey, T]> {
    for (const { key, members } of this.groups) for (const member of members) yield [key, member];
  }

  /** 0, or -EADDRINUSE when another one at this place has a protocol (and name) of it. */
  add(key: ListenKey, listener: T): number {
    const rivals = this.groups.filter((group) => group.key.place === key.place && conflicts(group.key, key));
    const [rival] = rivals;
    if (rival === undefined) {
      this.groups.push({ key, members: [listener] });
      return 0;
    }
    const joins = rivals.length === 1 && rival.key.reusePort && key.reusePort && isSame(rival.key, key);
    if (!joins) return -EADDRINUSE;
    rival.members.push(listener);
    return 0;
  }

  remove(listener: T): void {
    for (const [i, { members }] of this.groups.entries()) {
      const at = members.indexOf(listener);
      if (at < 0) continue;
      members.splice(at, 1);
      if (members.length === 0) this.groups.splice(i, 1);
      return;
    }
  }

  /**
   * The listener for a client's hello, null for none: its first protocol that somebody speaks wins; for that protocol an
   * exact server name beats a wildcard, which beats any; then an exact address beats a wildcard, and the wildcard of
   * IPv4 that of both families. `hash`, of the peer's address, picks the member of a group. `hears`: whether a listener is
   * at the address that the client called.
   */
  match(hello: Hello, hash: number, hears: (key: ListenKey) => boolean = everywhere): T | null {
    const name = hello.serverName.toLowerCase();
    const protocols = hello.alpn.length === 0 ? [null] : hello.alpn;
    for (const protocol of protocols) {
      let best: Group<T> | null = null;
      let bestRank = -1;
      for (const group of this.groups) {
        const { key } = group;
        if (protocol === null ? key.alpn.length > 0 : !key.alpn.includes(protocol)) continue;
        const rank = nameRank(key.serverNames, name) * 4 + placeRank(key);
        if (nameRank(key.serverNames, name) < 0 || rank <= bestRank || !hears(key)) continue;
        best = group;
        bestRank = rank;
      }
      if (best !== null) return best.members[(hash >>> 0) % best.members.length];
    }
    return null;
  }
}

function everywhere(): boolean {
  return true;
}

/** Both could match one hello with equal right. */
function conflicts(one: ListenKey, other: ListenKey): boolean {
  const sameProtocol = one.alpn.length === 0 ? other.alpn.length === 0 : shareName(one.alpn, other.alpn);
  if (!sameProtocol) return false;
  if (one.serverNames.length === 0 || other.serverNames.length === 0) {
    return one.serverNames.length === other.serverNames.length;
  }
  return shareName(one.serverNames, other.serverNames);
}

function isSame(one: ListenKey, other: ListenKey): boolean {
  return sameList(one.alpn, other.alpn) && sameList(one.serverNames, other.serverNames);
}

/** 3 exact, 2 one label of a wildcard, 1 any name; -1 no match. */
function nameRank(names: readonly string[], name: string): number {
  if (names.length === 0) return 1;
  if (name === "") return -1;
  if (names.includes(name)) return 3;
  const dot = name.indexOf(".");
  return dot > 0 && names.includes(`*${name.slice(dot)}`) ? 2 : -1;
}

function placeRank(key: ListenKey): number {
  if (!key.isWildcard) return 2;
  return key.family === "both" ? 0 : 1;
}
