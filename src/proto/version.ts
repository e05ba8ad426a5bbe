/**
 * QUIC versions (RFC 9000 §15): a row for each that this build speaks, with all that sets it apart on the wire (RFC 9001
 * §5.2, §5.8, RFC 9369 §3). All of them are compatible with each other in the sense of RFC 9368 §2.2.
 */

import { fromHex } from "../base/bytes.js";

export const VERSION_NEGOTIATION = 0;
export const VERSION_1 = 0x00000001;
export const VERSION_2 = 0x6b3343cf;

export interface VersionRow {
  readonly version: number;
  /** Type bits of an Initial packet; those of 0-RTT, Handshake and Retry packets follow, modulo 4. */
  readonly initialType: number;
  readonly initialSalt: Uint8Array;
  /** HKDF labels. */
  readonly key: string;
  readonly iv: string;
  readonly hp: string;
  readonly ku: string;
  /** Of the Retry integrity tag, which only shows that the sender saw the Initial: it keeps no secret. */
  readonly retryKey: Uint8Array;
  readonly retryNonce: Uint8Array;
}

const ROWS: readonly VersionRow[] = [
  {
    version: VERSION_1,
    initialType: 0,
    initialSalt: fromHex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
    key: "quic key",
    iv: "quic iv",
    hp: "quic hp",
    ku: "quic ku",
    retryKey: fromHex("be0c690b9f66575a1d766b54e368c84e"),
    retryNonce: fromHex("461599d35d632bf2239825bb"),
  },
  {
    version: VERSION_2,
    initialType: 1,
    initialSalt: fromHex("0dede3def700a6db819381be6e269dcbf9bd2ed9"),
    key: "quicv2 key",
    iv: "quicv2 iv",
    hp: "quicv2 hp",
    ku: "quicv2 ku",
    retryKey: fromHex("8fb4b01b56ac48e260fbcbcead7ccc92"),
    retryNonce: fromHex("d86969bc2d7c6d9990efb04a"),
  },
];

/** Versions that this build speaks, the one that most peers speak first. */
export const SUPPORTED_VERSIONS: readonly number[] = ROWS.map(({ version }) => version);

/** Null for a version that this build does not speak. */
export function versionRow(version: number): VersionRow | null {
  for (const row of ROWS) if (row.version === version) return row;
  return null;
}

/**
 * How packets of this version look: as in version 1, where nobody speaks it. Only a first flight that asks for Version
 * Negotiation has such a one, and only its version and ids are read (RFC 8999 §6).
 */
export function wireRow(version: number): VersionRow {
  return versionRow(version) ?? ROWS[0];
}

export function isSupportedVersion(version: number): boolean {
  return versionRow(version) !== null;
}

/** One that nobody ever speaks, 0x?a?a?a?a (RFC 9000 §15). */
export function reservedVersion(random32: number): number {
  return ((random32 & 0xf0f0f0f0) | 0x0a0a0a0a) >>> 0;
}
