/**
 * `npm run interop`: foreign QUIC stacks against ours, in both roles and every case, and a matrix of the results.
 *
 *   --peer NAME --role client|server --case NAME   only these (each may be given several times); role is the peer's
 *   --bytes N    size of each direction of `transfer`, default 5,000,000
 *   --json       the last line of stdout is one JSON object
 *   --docs FILE  runs nothing: FILE gets the tables of the results (each --json's last line) named by --from, in that order
 *
 * The exit code is 1 when a cell failed, or when every peer is absent and so nothing was shown.
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readArguments, runCommand, UsageError } from "../support/arguments.js";
import { CASES, type InteropCase } from "./cases.js";
import { type Cell, runCell } from "./cell.js";
import { writeCertificates } from "./certificates.js";
import { formatDocs, formatMatrix, writeDocs } from "./matrix.js";
import { OWN, PEERS, type Peer } from "./peers.js";

const ROLES = ["server", "client"] as const;
const DEFAULT_BYTES = 5_000_000;

interface Selection {
  peers: Peer[];
  roles: readonly (typeof ROLES)[number][];
  cases: readonly InteropCase[];
  bytes: number;
  json: boolean;
  /** Where to write tables, and the results that they are made of; nothing runs then. */
  docs: string | undefined;
  from: string[];
}

const OPTIONS = {
  peer: { type: "string", multiple: true },
  role: { type: "string", multiple: true },
  case: { type: "string", multiple: true },
  bytes: { type: "string" },
  json: { type: "boolean" },
  docs: { type: "string" },
  from: { type: "string", multiple: true },
} as const;

function select(): Selection {
  const values = readArguments("interop", OPTIONS);
  const names = [...PEERS, OWN].map(({ name }) => name);
  const bytes = Number(values.bytes ?? DEFAULT_BYTES);
  if (!Number.isInteger(bytes) || bytes < 1)
    throw new UsageError(`--bytes: a whole number above 0, not "${values.bytes}"`);
  const chosen = pick("--peer", values.peer, names) ?? PEERS.map(({ name }) => name);
  return {
    peers: [...PEERS, OWN].filter(({ name }) => chosen.includes(name)),
    roles: pick("--role", values.role, ROLES) ?? ROLES,
    cases: pick("--case", values.case, CASES) ?? CASES,
    bytes,
    json: values.json === true,
    docs: values.docs,
    from: values.from ?? [],
  };
}

function pick<T extends string>(option: string, given: string[] | undefined, known: readonly T[]): T[] | undefined {
  for (const name of given ?? []) {
    if (!known.includes(name as T)) throw new UsageError(`${option}: one of ${known.join(", ")}, not "${name}"`);
  }
  return given as T[] | undefined;
}

/** The tables of the runs whose output these files are; runs with one title are one table. */
function document(file: string, from: readonly string[]): number {
  const runs = new Map<string, Cell[]>();
  for (const name of from) {
    const last = readFileSync(name, "utf8").trim().split("\n").at(-1) ?? "";
    const { title, cells } = JSON.parse(last) as { title: string; cells: Cell[] };
    runs.set(title, [...(runs.get(title) ?? []), ...cells]);
  }
  writeDocs(file, formatDocs([...runs].map(([title, cells]) => ({ title, cells }))));
  return 0;
}

async function main(selection: Selection): Promise<number> {
  if (selection.docs !== undefined) return document(selection.docs, selection.from);
  const { peers, roles, cases, bytes, json } = selection;
  console.log(`node ${process.version}, ${peers.length} peers, ${roles.length} roles, ${cases.length} cases`);
  const folder = mkdtempSync(join(tmpdir(), "netquic-interop-run-"));
  process.env.TMPDIR = folder; // peers are ended by a signal and leave their own folders behind
  const cells: Cell[] = [];
  try {
    const files = writeCertificates(folder);
    for (const peer of peers) {
      console.log(`${peer.name}: ${peer.stack}`);
      const missing = peer.install();
      for (const role of roles) {
        for (const interopCase of cases) {
          const cell: Cell =
            missing === ""
              ? await runCell(peer, role, interopCase, bytes, files)
              : { peer: peer.name, role, case: interopCase, result: "absent", detail: missing, millis: 0 };
          cells.push(cell);
          console.log(`  ${cell.result.padEnd(11)} as ${role}, ${interopCase}, ${cell.millis} ms: ${cell.detail}`);
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const passed = cells.filter(({ result }) => result === "pass").length;
  const failed = cells.filter(({ result }) => result === "fail").length;
  console.log(`\n${formatMatrix(cells)}`);
  console.log(`${passed} passed, ${failed} failed`);
  if (json) console.log(JSON.stringify({ title: `Node ${process.version}`, cells }));
  return failed === 0 && passed > 0 ? 0 : 1;
}

await runCommand("interop", () => main(select()));
