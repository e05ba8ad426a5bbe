/** Packet number spaces (RFC 9000 §12.3), and the spaces of the encryption levels of `port/tls`. */

import { LEVEL_APP, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_INITIAL, type Level } from "../port/tls.js";

export const SPACE_INITIAL = 0;
export const SPACE_HANDSHAKE = 1;
export const SPACE_APP = 2;
export type SpaceId = typeof SPACE_INITIAL | typeof SPACE_HANDSHAKE | typeof SPACE_APP;
export const SPACES = 3;

/** A number per space. A plain array: three numbers in a typed one take three times the memory of every connection. */
export function perSpace(initial: number): number[] {
  return [initial, initial, initial];
}

/** 0-RTT and 1-RTT packets share a space. */
export function levelSpace(level: Level): SpaceId {
  if (level === LEVEL_INITIAL) return SPACE_INITIAL;
  return level === LEVEL_HANDSHAKE ? SPACE_HANDSHAKE : SPACE_APP;
}

/** The level at which a space sends CRYPTO and ACK frames. */
export function spaceLevel(space: SpaceId): Level {
  if (space === SPACE_INITIAL) return LEVEL_INITIAL;
  return space === SPACE_HANDSHAKE ? LEVEL_HANDSHAKE : LEVEL_APP;
}

export { LEVEL_APP, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_INITIAL };
