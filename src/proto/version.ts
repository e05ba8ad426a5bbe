/** QUIC versions (RFC 9000 §15). */

export const VERSION_NEGOTIATION = 0;
export const VERSION_1 = 0x00000001;

/** Versions that this build speaks, the preferred one first. */
export const SUPPORTED_VERSIONS: readonly number[] = [VERSION_1];

export function isSupportedVersion(version: number): boolean {
  return SUPPORTED_VERSIONS.includes(version);
}

/** One that nobody ever speaks, 0x?a?a?a?a (RFC 9000 §15). */
export function reservedVersion(random32: number): number {
  return ((random32 & 0xf0f0f0f0) | 0x0a0a0a0a) >>> 0;
}
