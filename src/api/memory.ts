/**
 * Memory of all connections of this process against the operator's limits (api/sysctl). Nobody counts per packet: from time to
 * time what the queues hold is summed, and only if the process is large enough at all.
 *
 * Under pressure receive windows that are used up grow by half of what they would; above the high mark they do not grow, and
 * new connections are refused. What is there goes on.
 */

import { readFileSync } from "node:fs";
import { type MemoryPressure, NO_PRESSURE } from "../port/memory.js";
import type { ConnectionConfig } from "../runtime/loop.js";
import { type MemoryLevel, type MemoryLimits, nextLevel, worseLevel } from "../runtime/memory-level.js";
import { heldBytes } from "./control/registry.js";
import { defaultLimits, parseSysctl, SysctlError } from "./sysctl.js";

/** How often the sum is taken. An attacker fills it so long at the speed of the line. */
const SAMPLE_MILLIS = 250;

const GROWTH: Readonly<Record<MemoryLevel, number>> = {
  ok: NO_PRESSURE.windowGrowth,
  pressure: 1 + (NO_PRESSURE.windowGrowth - 1) / 2,
  high: 1,
};

export class MemoryAccount {
  /** For all endpoints of the process. */
  readonly pressure: MemoryPressure = { ...NO_PRESSURE };
  level: MemoryLevel = "ok";
  /** What somebody who sees more than this process says of all of them together. */
  private outside: MemoryLevel = "ok";
  private inside: MemoryLevel = "ok";
  /** Hears each sum, bytes. */
  onSum: ((heldBytes: number) => void) | null = null;

  /** `heldBytes` sums; `processBytes`, which is cheap, is never less than half of it: rings double when they are full. */
  constructor(
    private limits: MemoryLimits,
    private readonly heldBytes: () => number,
    private readonly processBytes: () => number,
  ) {}

  setLimits(limits: MemoryLimits): void {
    this.limits = limits;
    this.sample();
  }

  setOutside(level: MemoryLevel): void {
    this.outside = level;
    this.apply();
  }

  /** Looks now. */
  sample(): MemoryLevel {
    const isSmall = 2 * this.processBytes() < this.limits.memBytes[0] && this.onSum === null;
    const held = isSmall ? 0 : this.heldBytes();
    this.inside = nextLevel(this.inside, held, this.limits.memBytes);
    this.onSum?.(held);
    this.apply();
    return this.level;
  }

  private apply(): void {
    this.level = worseLevel(this.inside, this.outside);
    this.pressure.windowGrowth = GROWTH[this.level];
    this.pressure.refusesConnections = this.level === "high";
  }
}

let limits: MemoryLimits | null = null;
let account: MemoryAccount | null = null;

/** Those of NETQUIC_SYSCTL, a file; read at the first use. @throws SysctlError that names the file and what is wrong. */
export function processLimits(): MemoryLimits {
  limits ??= readLimits(process.env["NETQUIC_SYSCTL"] ?? "");
  return limits;
}

/** A host's limits take their place. */
export function setProcessLimits(given: MemoryLimits): void {
  limits = given;
  account?.setLimits(given);
}

/** The one account of this process. @throws as `processLimits`. */
export function processMemory(): MemoryAccount {
  if (account !== null) return account;
  const made = new MemoryAccount(processLimits(), heldBytes, () => process.memoryUsage.rss());
  setInterval(() => made.sample(), SAMPLE_MILLIS).unref();
  account = made;
  return made;
}

/** What a connection is told before it starts, within the limits; what it leaves open begins with their defaults. */
export function withinLimits(config: Partial<ConnectionConfig>, given = processLimits()): Partial<ConnectionConfig> {
  const { rmemBytes, wmemBytes } = given;
  const limited = { ...config };
  if (rmemBytes !== null) {
    const [, first, most] = rmemBytes;
    limited.initialMaxData = Math.min(config.initialMaxData ?? first, most);
    limited.connWindowMaxBytes = Math.min(config.connWindowMaxBytes ?? most, most);
    for (const name of STREAM_WINDOWS)
      limited[name] = Math.min(config[name] ?? limited.initialMaxData, limited.initialMaxData);
    limited.streamWindowMaxBytes = Math.min(config.streamWindowMaxBytes ?? most, most);
  }
  if (wmemBytes !== null) {
    const [, first, most] = wmemBytes;
    limited.sendBufferBytes = Math.min(config.sendBufferBytes ?? first, most);
  }
  return limited;
}

const STREAM_WINDOWS = [
  "initialMaxStreamDataBidiLocal",
  "initialMaxStreamDataBidiRemote",
  "initialMaxStreamDataUni",
] as const;

function readLimits(path: string): MemoryLimits {
  if (path === "") return defaultLimits();
  try {
    return parseSysctl(readFileSync(path, "utf8"));
  } catch (error) {
    throw new SysctlError(`NETQUIC_SYSCTL: ${path}: ${(error as Error).message}`);
  }
}
