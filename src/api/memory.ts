/**
 * Memory of all connections of this process against the operator's limits (api/sysctl). Nobody counts per packet: from time to
 * time what the queues hold is summed, and only if the process is large enough at all.
 *
 *     ok --more than pressure--> pressure --more than high--> high
 *     ok <--less than low------- pressure <--less than high-- high
 *
 * Under pressure receive windows that are used up grow by half of what they would; above the high mark they do not grow, and
 * new connections are refused. What is there goes on.
 */

import { readFileSync } from "node:fs";
import type { MemoryPressure } from "../port/memory.js";
import { NO_PRESSURE } from "../port/memory.js";
import type { ConnectionConfig } from "../runtime/loop.js";
import { defaultLimits, parseSysctl, type SysctlLimits, SysctlError } from "./sysctl.js";

export type PressureLevel = "ok" | "pressure" | "high";

/** How often the sum is taken. An attacker fills it so long at the speed of the line. */
const SAMPLE_MILLIS = 250;

const GROWTH: Readonly<Record<PressureLevel, number>> = {
  ok: NO_PRESSURE.windowGrowth,
  pressure: 1 + (NO_PRESSURE.windowGrowth - 1) / 2,
  high: 1,
};

export class MemoryAccount {
  /** For all endpoints of the process. */
  readonly pressure: MemoryPressure = { ...NO_PRESSURE };
  level: PressureLevel = "ok";
  /** What somebody who sees more than this process says of all of them together. */
  private outside: PressureLevel = "ok";
  private inside: PressureLevel = "ok";

  /** `heldBytes` sums; `processBytes`, which is cheap, is never less than half of it: rings double when they are full. */
  constructor(
    private limits: SysctlLimits,
    private readonly heldBytes: () => number,
    private readonly processBytes: () => number,
  ) {}

  setLimits(limits: SysctlLimits): void {
    this.limits = limits;
    this.sample();
  }

  setOutside(level: PressureLevel): void {
    this.outside = level;
    this.apply();
  }

  /** Looks now. */
  sample(): PressureLevel {
    const [low, pressure, high] = this.limits.memBytes;
    const held = 2 * this.processBytes() < low ? 0 : this.heldBytes();
    if (held > high) this.inside = "high";
    else if (held > pressure) this.inside = "pressure";
    else if (held < low) this.inside = "ok";
    else if (this.inside === "high") this.inside = "pressure";
    this.apply();
    return this.level;
  }

  private apply(): void {
    const both = [this.inside, this.outside];
    this.level = both.includes("high") ? "high" : both.includes("pressure") ? "pressure" : "ok";
    this.pressure.windowGrowth = GROWTH[this.level];
    this.pressure.refusesConnections = this.level === "high";
  }
}

let limits: SysctlLimits | null = null;
let account: MemoryAccount | null = null;

/** Those of NETQUIC_SYSCTL, a file; read at the first use. @throws SysctlError that names the file and what is wrong. */
export function processLimits(): SysctlLimits {
  limits ??= readLimits(process.env["NETQUIC_SYSCTL"] ?? "");
  return limits;
}

/** The one account of this process, which `heldBytes` is summed for from now on. */
export function processMemory(heldBytes: () => number): MemoryAccount {
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

function readLimits(path: string): SysctlLimits {
  if (path === "") return defaultLimits();
  try {
    return parseSysctl(readFileSync(path, "utf8"));
  } catch (error) {
    throw new SysctlError(`NETQUIC_SYSCTL: ${path}: ${(error as Error).message}`);
  }
}
