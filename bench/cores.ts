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

const cores = existsSync(TASKSET) ? allowedCores() : [];

/** `command`, held to the first (0) or second (1) core of those allowed; as it is on a machine with one. */
export function pinned(command: readonly string[], which: number): string[] {
  const core = cores.length >= 2 ? cores[which] : undefined;
  return core === undefined ? [...command] : [TASKSET, "-c", String(core), ...command];
}
