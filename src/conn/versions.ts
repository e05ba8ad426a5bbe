/**
 * The version of one connection, and how it came to it (RFC 9368 §2, §4, RFC 9369 §4). A client's first flight names the
 * original version and those that it is compatible with; the server may answer in another of them, or ask by a Version
 * Negotiation packet for a new first flight. The handshake then proves that nobody else had a hand in it.
 *
 *   client   first flight -> [Version Negotiation: again, once] -> first long header of the server -> settled
 *   server   settled by the client's transport parameters
 *
 * Invariant: once `settled`, `current` never changes, and only it protects Handshake and 1-RTT packets.
 */

import { unreachable } from "../base/unreachable.js";
import { LEVEL_EARLY, LEVEL_INITIAL, type Level, type TlsSession } from "../port/tls.js";
import type { VersionInformation } from "../proto/params.js";
import { SUPPORTED_VERSIONS, VERSION_1 } from "../proto/version.js";
import type { Connection } from "./connection.js";

const FINE = "";

export class VersionState {
  /** Of the client's first flight; its 0-RTT packets and Retry keep it. */
  original: number;
  /** What we send. */
  current: number;
  settled = false;
  /** Client: this first flight answers a Version Negotiation packet. */
  isSecond = false;
  /** Server: its parameters may change as long as TLS has not told them (conn/reconfigure). */
  keepsTls = false;

  private startTls: ((version: number) => TlsSession) | null;

  /**
   * @param wanted what may be spoken, most wanted first; empty = see `spokenVersions`
   * @param compatible the handshake may go on in another version than it began in (RFC 9368 §2.3)
   */
  constructor(
    private readonly isServer: boolean,
    original: number,
    private wanted: readonly number[],
    startTls: (version: number) => TlsSession,
    private compatible = true,
  ) {
    this.original = this.current = original;
    this.startTls = startTls;
  }

  /** The TLS session for a handshake in the version that is current: a server's once settled, a client's until then. */
  newTls(): TlsSession {
    const start = this.startTls ?? unreachable("a TLS session too many");
    if (this.isServer && !this.keepsTls) this.startTls = null; // it holds what the session is made from
    return start(this.current);
  }

  /** Client: a first flight of this version and with these wishes, in place of one that has not left; see the constructor. */
  begin(version: number, wanted: readonly number[], compatible: boolean): void {
    this.original = this.current = version;
    this.wanted = wanted;
    this.compatible = compatible;
  }

  /** There will be no other TLS session. */
  dropTls(): void {
    this.startTls = null;
  }

  /** Version of the packets of this level that we send. */
  of(level: Level): number {
    return level === LEVEL_EARLY ? this.original : this.current;
  }

  /** Whether a long header of this level may have this version now. Others are dropped (RFC 9369 §4.1). */
  admits(level: Level, version: number): boolean {
    if (level === LEVEL_EARLY) return version === this.original;
    if (version === this.current) return true;
    // a client's Initial packets keep the original version until it knows of another
    if (this.isServer) return level === LEVEL_INITIAL && version === this.original;
    return !this.settled && this.compatible && spokenVersions(this.wanted).includes(version);
  }

  /** Packets and keys have this version from now on. */
  settle(version: number): void {
    this.current = version;
    this.settled = true;
    if (!this.isServer) this.startTls = null;
  }

  /** Client: another first flight, as a Version Negotiation packet asks for; the only one. */
  restart(version: number): void {
    this.original = this.current = version;
    this.isSecond = true;
  }

  /** The version that we want most among those of a Version Negotiation packet, 0 for none. */
  selectFrom(offered: readonly number[]): number {
    return spokenVersions(this.wanted).find((version) => offered.includes(version)) ?? 0;
  }

  /**
   * Server: the version for a first flight with this Version Information (RFC 9368 §2.3): what we want most of the client's
   * list, or without a wish of our own what the client wants most. 0 = there is none, which only a listener can meet
   * that shares its endpoint with others.
   */
  choose(info: VersionInformation | null): number {
    const { wanted } = this;
    if (!this.compatible) return spokenVersions(wanted).includes(this.original) ? this.original : 0;
    const offered = info?.available ?? [this.original];
    const [first, second] = wanted.length > 0 ? [wanted, offered] : [offered, SUPPORTED_VERSIONS];
    return first.find((version) => second.includes(version)) ?? 0;
  }

  /** What is wrong with the peer's Version Information, "" for nothing (RFC 9368 §4, §8). */
  verdict(info: VersionInformation | null): string {
    if (this.isServer) {
      if (info !== null && info.chosen !== this.original) return otherChoice(info.chosen);
      return this.choose(info) === 0 ? "none of the versions is ours" : FINE;
    }
    if (info === null && !this.isSecond) return FINE;
    const known = info ?? (this.current === VERSION_1 ? ONLY_VERSION_1 : null);
    if (known === null) return "no version_information after a Version Negotiation packet";
    if (known.chosen !== this.current) return otherChoice(known.chosen);
    if (!this.isSecond) return FINE;
    if (known.available.length === 0) return "no available version after a Version Negotiation packet";
    const best = this.selectFrom([...known.available, this.current]);
    return best === this.original ? FINE : `the Version Negotiation packet hid version 0x${best.toString(16)}`;
  }
}

/** RFC 9368 §8: a server without Version Information that speaks version 1. */
const ONLY_VERSION_1: VersionInformation = { chosen: VERSION_1, available: [VERSION_1] };

function otherChoice(chosen: number): string {
  return `the peer chose version 0x${chosen.toString(16)}`;
}

/** What `wanted` of a configuration means: empty = all versions of this build, the one that most peers speak first. */
export function spokenVersions(wanted: readonly number[]): readonly number[] {
  return wanted.length > 0 ? wanted : SUPPORTED_VERSIONS;
}

/** The order in which we offer them: without a wish of our own the version in use is as good as any, and needs no change. */
export function preferredVersions(wanted: readonly number[], chosen: number): readonly number[] {
  if (wanted.length > 0) return wanted;
  return [chosen, ...SUPPORTED_VERSIONS.filter((version) => version !== chosen)];
}

/**
 * Version of a client's first flight: that of its session ticket, since the server meant to keep it (RFC 9369 §6), else
 * version 1, which costs no round trip anywhere, else what is wanted most.
 */
export function firstVersion(wanted: readonly number[], ticketVersion: number): number {
  const spoken = spokenVersions(wanted);
  if (spoken.includes(ticketVersion)) return ticketVersion;
  return spoken.includes(VERSION_1) ? VERSION_1 : spoken[0];
}

/** Client: an Initial packet of the server is authentic. The first that has another version says which is negotiated. */
export function learnVersion(conn: Connection, version: number): void {
  const { versions } = conn;
  if (version === versions.current) return;
  versions.settle(version);
  conn.keys.writeInitial(version, initialKeyCid(conn));
}

/** Server: the client's Version Information is there and good. Everything from here on has the negotiated version. */
export function chooseVersion(conn: Connection, info: VersionInformation | null): void {
  const { versions } = conn;
  const version = versions.choose(info);
  if (version !== versions.current) conn.keys.writeInitial(version, initialKeyCid(conn));
  versions.settle(version);
}

/** The id from which Initial keys derive (RFC 9001 §5.2). */
export function initialKeyCid({ retryScid, origDcid }: Connection): Uint8Array {
  return retryScid ?? origDcid;
}
