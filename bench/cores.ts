/** Which cores this process may use: a container often has others than 0 and 1. */

import { existsSync, readFileSync } from "node:fs";

const TASKSET = "/usr/bin/taskset";

/** Of a list as in /proc: `0-2,5` is 0, 1, 2, 5. */
export function parseCores(list: string): number[] {
  return list
    .trim()
    .split(",")
    .filter((part) => part !== "")
    .flatMap((part) => {
      const [first = 0, last = first] = part.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

function allowedCores(): number[] {
  try {
    const line = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync("/proc/self/status", "utf8"));
    return parseCores(line?.[1] ?? "");
  } catch {
    return [];
  }
}

const allowed = allowedCores();
/** The first two that may be used; none on a machine with one. */
export const CORES: readonly number[] = allowed.length >= 2 ? allowed.slice(0, 2) : [];

/** `command`, held to the first (0) or second (1) of the cores; as it is when that cannot be. */
export function pinned(command: readonly string[], which: number): string[] {
  const core = existsSync(TASKSET) ? CORES[which] : undefined;
  return core === undefined ? [...command] : [TASKSET, "-c", String(core), ...command];
}
