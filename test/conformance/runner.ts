/** Runs the checks of rows one after the other and counts. */

import { V1 } from "../raw/protection.js";
import { Check } from "./check.js";
import type { Role, TransportName } from "./lab.js";
import { type Row, rolesOf, transportRows, verdictOf } from "./rows.js";
import { scriptedIds, scriptOf } from "./scripts.js";
import "./all.js";

export interface RunOptions {
  /** Row ids, or the beginnings of row ids; empty = all. */
  rows: readonly string[];
  transports: readonly TransportName[];
  /** Version of first flights; default version 1. */
  version?: number;
  onFailure?: (failure: Failure) => void;
  onCheck?: (id: string, role: Role, transport: TransportName, millis: number) => void;
}

export interface Failure {
  id: string;
  role: Role;
  transport: TransportName;
  message: string;
}

export interface RunResult {
  rows: number;
  /** Checks of the rows by role; each counts once for each transport. */
  checks: number;
  passed: number;
  missing: string[];
  /** Checks that run in memory alone, and why. */
  memoryOnly: string[];
  failed: Failure[];
}

const CHECK_LIMIT_MILLIS = 30_000;
/** Their rows say by themselves which version comes first. */
const VERSIONED_RFCS: readonly string[] = ["9368", "9369"];

export function selectRows(ids: readonly string[]): Row[] {
  const rows = transportRows();
  const known = new Set(rows.map(({ id }) => id));
  for (const id of scriptedIds()) if (!known.has(id)) throw new Error(`the script ${id} has no row`);
  if (ids.length === 0) return rows;
  return rows.filter((row) => ids.some((id) => row.id.startsWith(id)));
}

export async function runChecks(options: RunOptions): Promise<RunResult> {
  const rows = selectRows(options.rows);
  const result: RunResult = { rows: rows.length, checks: 0, passed: 0, missing: [], memoryOnly: [], failed: [] };
  for (const row of rows) {
    for (const role of rolesOf(row)) {
      result.checks++;
      const entry = scriptOf(row.id, role);
      if (entry === undefined) {
        result.missing.push(`${row.id} ${role}`);
        continue;
      }
      if (entry.memoryOnly !== "") result.memoryOnly.push(`${row.id} ${role}: ${entry.memoryOnly}`);
      for (const transport of options.transports) {
        if (transport === "udp" && entry.memoryOnly !== "") continue;
        const started = performance.now();
        const message = await runCheck(row, role, transport, options.version);
        options.onCheck?.(row.id, role, transport, performance.now() - started);
        if (message === null) {
          result.passed++;
          continue;
        }
        const failure = { id: row.id, role, transport, message };
        result.failed.push(failure);
        options.onFailure?.(failure);
      }
    }
  }
  return result;
}

/** Null, or why it failed. */
async function runCheck(row: Row, role: Role, transport: TransportName, version?: number): Promise<string | null> {
  const entry = scriptOf(row.id, role);
  if (entry === undefined) return "no script";
  let timer: NodeJS.Timeout | undefined;
  let check: Check | null = null;
  try {
    const current = new Check(row, role, transport, verdictOf(row), VERSIONED_RFCS.includes(row.rfc) ? V1 : version);
    check = current;
    current.setup = { ...entry.setup };
    const limit = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not over after ${CHECK_LIMIT_MILLIS} ms`)), CHECK_LIMIT_MILLIS);
    });
    const run = async (): Promise<void> => {
      await entry.script(current);
      await current.settle();
    };
    await Promise.race([run(), limit]);
    return null;
  } catch (error) {
    await check?.abandon();
    return describe(error);
  } finally {
    clearTimeout(timer);
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const where = /\(?([^\s(]*(?:rfc\d+[^\s/]*|check|scripts)\.js:\d+)/.exec(error.stack ?? "")?.[1] ?? "";
  return `${error.message.split("\n").slice(0, 6).join(" ")} at ${where.split("/").at(-1)}`;
}
