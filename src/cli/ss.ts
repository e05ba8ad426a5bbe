/** `quic ss`: the QUIC sockets of all programs on this host, as `ss` shows those of the kernel. */

import { isIP } from "node:net";
import { runtimeDirs, type Survey, surveyPrograms } from "../api/control/client.js";
import type { Question } from "../api/control/protocol.js";
import { EXIT_FAILURE, EXIT_OK, jsonLine, oneLine, usage } from "./failure.js";
import { formatBytes } from "./format.js";
import { SS_HELP } from "./help.js";
import { type ListedSocket, listSockets } from "./ss/listed.js";
import { parseSs, type SsOptions } from "./ss/options.js";
import { procLines } from "./ss/proc.js";
import { tableLines } from "./ss/table.js";
import type { Surroundings } from "./transfer.js";

/** What waits for clients, here or in other programs. */
const LISTENING_STATES: ReadonlySet<string> = new Set(["LISTEN", "UNCONN"]);
/** What `ss` shows without being asked: neither listeners nor what is about to go or to come. */
const DEFAULT_STATES: ReadonlySet<string> = new Set(["ESTAB", "CLOSING"]);
/** Characters that are written at once. */
const CHUNK_CHARS = 64 * 1024;

/** Resolves to the exit code: EXIT_FAILURE when there are programs and none of them answered. @throws a Failure for everything else. */
export async function ss(args: readonly string[], { stdout, env }: Surroundings): Promise<number> {
  const options = parseSs(args);
  if (options.help) {
    stdout.write(SS_HELP);
    return EXIT_OK;
  }
  const dirs = runtimeDirs(env);
  if (dirs.length === 0) throw usage("NETQUIC_RUNTIME_DIR is off, so no program can be found");
  const survey = await surveyPrograms(dirs, questionOf(options));
  for (const failure of survey.failures) process.stderr.write(`quic ss: ${oneLine(failure)}\n`);
  write(stdout, linesOf(survey, options, stdout.isTTY === true ? (stdout.columns ?? Infinity) : Infinity));
  return survey.programs.length === 0 && survey.failures.length > 0 ? EXIT_FAILURE : EXIT_OK;
}

/** What is not shown is not asked for. */
function questionOf({ proc, info, json, listening, all, filter }: SsOptions): Question {
  if (proc === "snmp") return { ask: "program" };
  const onlyListeners = listening && !all && filter.states === null;
  if (proc === "eps" || (onlyListeners && !json)) return { ask: "listeners" };
  return { ask: "sockets", details: info || json };
}

function linesOf(survey: Survey, options: SsOptions, width: number): Iterable<string> {
  if (options.proc !== null) return procLines(options.proc, survey.programs);
  const sockets = listSockets(survey.programs).filter((socket) => isWanted(socket, options));
  if (options.json) return [jsonLine(jsonOf(survey, sockets))];
  if (options.summary) return summaryLines(survey);
  return tableLines(sockets, options, width);
}

function isWanted(socket: ListedSocket, { all, listening, families, filter }: SsOptions): boolean {
  const { row, local } = socket;
  const family = isIP(local.address);
  if ((family === 4 && !families.ipv4) || (family === 6 && !families.ipv6)) return false;
  if (filter.states !== null) {
    if (!filter.states.has(row.state)) return false;
  } else if (!all && !(listening ? LISTENING_STATES : DEFAULT_STATES).has(row.state)) return false;
  return filter.matches(socket);
}

function jsonOf({ programs, failures }: Survey, sockets: readonly ListedSocket[]): object {
  return {
    programs: programs.map(({ info, counters, heldBytes }) => ({ ...info, heldBytes, counters })),
    sockets: sockets.map(({ program, row }) => ({ pid: program.pid, program: program.name, ...row })),
    failures,
  };
}

function* summaryLines({ programs }: Survey): Generator<string> {
  const states = new Map<string, number>();
  let total = 0;
  for (const { sockets } of programs) {
    total += sockets.length;
    for (const { state } of sockets) states.set(state, (states.get(state) ?? 0) + 1);
  }
  const count = (name: string, state: string): string => `${name} ${states.get(state) ?? 0}`;
  yield `Total: ${total}`;
  const parts = [count("estab", "ESTAB"), count("closing", "CLOSING"), count("syn-recv", "SYN-RECV")];
  yield `QUIC:  ${total} (${[...parts, count("timewait", "TIME-WAIT"), count("listen", "LISTEN")].join(", ")})`;
  const heldBytes = programs.reduce((sum, program) => sum + program.heldBytes, 0);
  yield `Programs: ${programs.length}, ${formatBytes(heldBytes)} in queues`;
}

/** In pieces: ten thousand sockets are megabytes. */
function write(stdout: Surroundings["stdout"], lines: Iterable<string>): void {
  let chunk = "";
  for (const line of lines) {
    chunk += `${line}\n`;
    if (chunk.length < CHUNK_CHARS) continue;
    stdout.write(chunk);
    chunk = "";
  }
  if (chunk !== "") stdout.write(chunk);
}
