/** must-checks.csv: the rows, what each asks for, and the one answer that is ours where a row leaves a choice. */

import { readFileSync } from "node:fs";
import * as errors from "#src/proto/transport-error.js";
import type { Role } from "./lab.js";

export interface Row {
  id: string;
  rfc: string;
  section: string;
  rule: string;
  endpoint: "any" | Role;
  /** As the file has it. */
  errorCode: string;
  trigger: string;
  level: string;
  h3spec: string;
  /** Our choice where `errorCode` leaves one, in the same words; else empty. */
  ours: string;
}

export const TRANSPORT_RFCS: readonly string[] = ["9000", "9001", "9002", "9221", "9287", "9368", "9369"];
const COLUMNS = 10;
const SOURCE = new URL("../../test/conformance/must-checks.csv", import.meta.url);

/** Fields of CSV text, quotes and all. */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  for (const match of text.matchAll(/(?:"((?:[^"]|"")*)"|([^,\n"]*))(,|\n|$)/g)) {
    const [whole, quoted, plain = "", end] = match;
    if (whole === "" && row.length === 0) break;
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === ",") continue;
    rows.push(row);
    row = [];
  }
  return rows;
}

export function readRows(): Row[] {
  const [, ...lines] = parseCsv(readFileSync(SOURCE, "utf8"));
  return lines.map((fields) => {
    if (fields.length !== COLUMNS) throw new Error(`${fields.length} columns: ${fields.join(" | ")}`);
    const [rfc, section, rule, endpoint, errorCode, trigger, level, id, h3spec, ours] = fields as [
      string,
      string,
      string,
      "any" | Role,
      ...string[],
    ] as string[];
    return { id, rfc, section, rule, endpoint, errorCode, trigger, level, h3spec, ours } as Row;
  });
}

export function transportRows(): Row[] {
  return readRows().filter(({ rfc }) => TRANSPORT_RFCS.includes(rfc));
}

/** A row with role `any` is checked twice. */
export function rolesOf(row: Row): Role[] {
  return row.endpoint === "any" ? ["server", "client"] : [row.endpoint];
}

export type Verdict = { kind: "close"; code: bigint } | { kind: "alive" } | { kind: "behaviour" };

/**
 * What must be seen: one exact error, or a connection that goes on, or what the script itself looks for. A choice that
 * nobody made is an error.
 */
export function verdictOf(row: Row): Verdict {
  const text = row.ours === "" ? row.errorCode : row.ours;
  const isChoice = row.ours === "" && /^[A-Z(].* or |\(or |-0x/.test(text) && !text.startsWith("(behaviour)");
  if (isChoice) throw new Error(`${row.id} leaves a choice (${text}): fill the column "ours"`);
  const crypto = /^CRYPTO_ERROR 0x([0-9a-f]+)/.exec(text);
  if (crypto !== null) return { kind: "close", code: BigInt(`0x${crypto[1]}`) };
  const name = /^[A-Z][A-Z_]+/.exec(text)?.[0];
  if (name !== undefined) {
    const code = (errors as unknown as Record<string, number>)[name];
    if (code === undefined) throw new Error(`${row.id}: ${name} is no error code`);
    return { kind: "close", code: BigInt(code) };
  }
  return /^\((?:drop|ignore)/.test(text) ? { kind: "alive" } : { kind: "behaviour" };
}
