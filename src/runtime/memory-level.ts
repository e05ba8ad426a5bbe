/**
 * How short memory is, by the three marks of `net.quic.quic_mem`: bytes, none above the one after it.
 *
 *     ok --more than pressure--> pressure --more than high--> high
 *     ok <--less than low------- pressure <--high or less---- high
 */

export type MemoryLevel = "ok" | "pressure" | "high";
export const MEMORY_LEVELS: readonly MemoryLevel[] = ["ok", "pressure", "high"];

/** Low, pressure, high; or least, default and most of a buffer. Bytes. */
export type Marks = readonly [number, number, number];

/** Limits of an operator by the names of Linux's sysctls; null: our own defaults. */
export interface MemoryLimits {
  readonly memBytes: Marks;
  readonly rmemBytes: Marks | null;
  readonly wmemBytes: Marks | null;
}

export function nextLevel(level: MemoryLevel, heldBytes: number, [low, pressure, high]: Marks): MemoryLevel {
  if (heldBytes > high) return "high";
  if (heldBytes > pressure) return "pressure";
  if (heldBytes < low) return "ok";
  return level === "high" ? "pressure" : level;
}

export function worseLevel(one: MemoryLevel, other: MemoryLevel): MemoryLevel {
  return MEMORY_LEVELS.indexOf(one) < MEMORY_LEVELS.indexOf(other) ? other : one;
}
