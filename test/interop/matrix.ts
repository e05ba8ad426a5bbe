/** The matrix of results for people: a row for each peer and role, a column for each case. */

import type { Cell } from "./cell.js";

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
