/** The matrix of results for people: a row for each peer and role, a column for each case. */

import { readFileSync, writeFileSync } from "node:fs";
import type { Cell } from "./cell.js";

const TABLE_START = "<!-- table -->\n";
const TABLE_END = "<!-- end of table -->\n";
const REASON_CHARS = 360;
const SIGNS = { pass: "yes", fail: "**NO**", unsupported: "-", absent: "absent" } as const;

export function formatMatrix(cells: readonly Pick<Cell, "peer" | "role" | "case" | "result">[]): string {
  const cases = [...new Set(cells.map((cell) => cell.case))];
  const rows = [...new Set(cells.map((cell) => `${cell.peer} as ${cell.role}`))];
  const table = [["", ...cases]];
  for (const row of rows) {
    const own = cells.filter((cell) => `${cell.peer} as ${cell.role}` === row);
    table.push([row, ...cases.map((name) => own.find((cell) => cell.case === name)?.result ?? "-")]);
  }
  const widths = ["", ...cases].map((_, column) => Math.max(...table.map((line) => line[column]!.length)));
  return table
    .map((line) =>
      line
        .map((text, column) => text.padEnd(widths[column]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

type DocCell = Pick<Cell, "peer" | "role" | "case" | "result" | "detail">;

/** The matrix as Markdown, a row for each case, and below it what peers answered where they cannot do what a case asks for. */
export function formatDocs(runs: readonly { title: string; cells: readonly DocCell[] }[]): string {
  const first = new Map<string, DocCell>(); // the first answer of each; others differ in ports and greased versions
  for (const cell of runs.flatMap(({ cells }) => cells)) {
    const key = `${cell.peer} ${cell.role} ${cell.case}`;
    if (first.get(key)?.result !== "unsupported") first.set(key, cell);
  }
  return runs.map(({ title, cells }) => `### ${title}\n\n${docTable(cells)}`).join("\n") + gaps([...first.values()]);
}

function docTable(cells: readonly DocCell[]): string {
  const columns = [...new Set(cells.map(({ peer, role }) => `${peer} ${role}`))].filter((column) =>
    cells.some((cell) => `${cell.peer} ${cell.role}` === column && cell.result !== "unsupported"),
  );
  const line = (fields: readonly string[]) => `| ${fields.join(" | ")} |\n`;
  const rows = [...new Set(cells.map((cell) => cell.case))].map((name) =>
    line([
      name,
      ...columns.map((column) => {
        const found = cells.find((cell) => cell.case === name && `${cell.peer} ${cell.role}` === column);
        return found === undefined ? "" : SIGNS[found.result];
      }),
    ]),
  );
  return line(["", ...columns]) + line(["---", ...columns.map(() => "---")]) + rows.join("");
}

/** One line for each peer, role and reason, with the cases that it holds for. */
function gaps(cells: readonly DocCell[]): string {
  const reasons = new Map<string, string[]>();
  for (const { peer, role, case: name, result, detail } of cells) {
    if (result !== "unsupported") continue;
    const reason = `${peer} as ${role} | ${detail
      .replaceAll(/127\.0\.0\.1:\d+ /g, "")
      .replaceAll("|", "/")
      .slice(0, REASON_CHARS)}`;
    reasons.set(reason, [...(reasons.get(reason) ?? []), name]);
  }
  const lines = [...reasons].map(([reason, names]) => {
    const [peer = "", detail = ""] = reason.split(" | ");
    const isRole = names.length === new Set(cells.map((cell) => cell.case)).size;
    return `| ${peer} | ${isRole ? "all" : names.join(", ")} | ${detail} |\n`;
  });
  return `\n| peer | cases | what it answered, or lacks |\n| --- | --- | --- |\n${lines.join("")}`;
}

/** Puts a table where docs/interop.md has the last one. */
export function writeDocs(file: string, table: string): void {
  const text = readFileSync(file, "utf8");
  const start = text.indexOf(TABLE_START);
  const end = text.indexOf(TABLE_END);
  if (start < 0 || end < start) throw new Error(`${file} has no place for a table`);
  writeFileSync(file, `${text.slice(0, start)}${TABLE_START}\n${table}\n${text.slice(end)}`);
}
