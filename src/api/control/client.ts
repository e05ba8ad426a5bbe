/**
 * Asks the programs of this host for their sockets. They are other programs, perhaps of other users: their answers are bounded
 * in time and size, and every field that is shown is read as what it should be.
 */

import { lstatSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CONTROL_ANSWER_MILLIS,
  CONTROL_PATIENCE_MILLIS,
  MAX_CONTROL_FRAME_BYTES,
  MAX_CONTROL_QUEUED_BYTES,
  MAX_SURVEY_SOCKETS,
} from "../../proto/limits.js";
import { connectFramed } from "../../runtime/framed-socket.js";
import { checkPrivate, controlSockets, removeStaleSockets, runtimeDir } from "../runtime-dir.js";
import { addCounters, type Counters, noCounters } from "./counters.js";
import { decodeMessage, encodeMessage, type ProgramInfo, type Question } from "./protocol.js";
import { type SocketRow, STATES } from "./rows.js";

export interface Program {
  info: ProgramInfo;
  counters: Counters;
  /** Memory of all connections' queues, bytes. */
  heldBytes: number;
  sockets: SocketRow[];
}

export interface Survey {
  programs: Program[];
  /** Programs that did not answer: one line each. */
  failures: string[];
}

/** Folders in which programs may be: the one of this environment and the defaults; root sees everybody's. */
export function runtimeDirs(env: NodeJS.ProcessEnv = process.env, uid = process.geteuid?.() ?? 0): string[] {
  const own = runtimeDir(env);
  if (own === null) return [];
  const named = (env["NETQUIC_RUNTIME_DIR"] ?? "") !== "";
  if (named) return [own];
  const dirs = new Set([own, join(tmpdir(), `netquic-${uid}`), `/run/user/${uid}/netquic`]);
  if (uid === 0) {
    for (const name of namesIn("/run/user")) dirs.add(`/run/user/${name}/netquic`);
    for (const name of namesIn(tmpdir())) if (/^netquic-[0-9]+$/.test(name)) dirs.add(join(tmpdir(), name));
  }
  return [...dirs];
}

/** All programs, asked at once, by process number. What went wrong with one is a line, and hides no other. */
export async function surveyPrograms(dirs: readonly string[], question: Question): Promise<Survey> {
  const survey: Survey = { programs: [], failures: [] };
  const found: { path: string; pid: number; uid: number }[] = [];
  for (const dir of dirs) {
    if (controlSockets(dir).length === 0) continue;
    try {
      const uid = ownerOf(dir);
      checkPrivate(dir, uid);
      await removeStaleSockets(dir);
      for (const { name, pid } of controlSockets(dir)) found.push({ path: join(dir, name), pid, uid });
    } catch (error) {
      survey.failures.push((error as Error).message);
    }
  }
  const answers = await Promise.allSettled(found.map(({ path }) => askProgram(path, question)));
  for (const [i, answer] of answers.entries()) {
    const { path, pid, uid } = found[i] as (typeof found)[number];
    if (answer.status === "fulfilled") survey.programs.push(ownedBy(answer.value, pid, uid));
    else survey.failures.push(`${path}: ${(answer.reason as Error).message}`);
  }
  survey.programs.sort((a, b) => a.info.pid - b.info.pid);
  return survey;
}

/** Whose folder it must be: the user that its name says, else the one who asks; root asks for anybody. */
function ownerOf(dir: string): number {
  const named = /(?:\/netquic-|^\/run\/user\/)([0-9]+)(?:$|\/netquic$)/.exec(dir)?.[1];
  if (named !== undefined) return Number(named);
  const uid = process.geteuid?.() ?? 0;
  return uid === 0 ? lstatSync(dir).uid : uid;
}

/** Whose a program is says its folder, which nobody else can write to, not the program. */
function ownedBy(program: Program, pid: number, uid: number): Program {
  for (const row of program.sockets) row.uid = uid;
  return { ...program, info: { ...program.info, pid, uid } };
}

/** Rejects when the program does not answer in time (`mostMillis` for all of it), ends, or says what is no answer. */
export function askProgram(path: string, question: Question, mostMillis = CONTROL_ANSWER_MILLIS): Promise<Program> {
  return new Promise((resolve, reject) => {
    const limits = { maxFrameBytes: MAX_CONTROL_FRAME_BYTES, maxQueuedBytes: MAX_CONTROL_QUEUED_BYTES };
    const reader = new AnswerReader();
    const framed = connectFramed(path, limits, {
      onFrame: (frame) => {
        timer.refresh();
        const program = reader.read(frame);
        if (program === null) return;
        clearTimeout(timer);
        clearTimeout(whole);
        if (program instanceof Error) reject(program);
        else resolve(program);
        framed.destroy();
      },
      onEnd: (error) => {
        clearTimeout(timer);
        clearTimeout(whole);
        reject(error ?? new Error("the program ended the connection"));
      },
    });
    const giveUp = (why: string): void => {
      reject(new Error(why));
      framed.destroy();
    };
    const timer = setTimeout(giveUp, CONTROL_PATIENCE_MILLIS, `no answer in ${CONTROL_PATIENCE_MILLIS / 1000} s`);
    const whole = setTimeout(giveUp, mostMillis, `no end of its answer in ${mostMillis / 1000} s`);
    framed.send(encodeMessage(question));
  });
}

/** Puts the messages of one answer together. */
class AnswerReader {
  private info: ProgramInfo | null = null;
  private readonly sockets: SocketRow[] = [];
  private told = 0;

  /** Null while there is more to come. */
  read(frame: Uint8Array): Program | Error | null {
    const message = decodeMessage(frame);
    if (message === null) return new Error("what came is no JSON object");
    if (typeof message["error"] === "string") return new Error(message["error"]);
    if (isObject(message["program"])) this.info = readInfo(message["program"]);
    const rows: unknown[] = Array.isArray(message["sockets"]) ? message["sockets"] : [];
    this.told += rows.length;
    for (const row of rows) if (isRow(row)) this.sockets.push(row);
    if (this.told > MAX_SURVEY_SOCKETS) return new Error(`more than ${MAX_SURVEY_SOCKETS} sockets`);
    if (message["end"] !== true) return null;
    if (this.info === null) return new Error("the program did not say who it is");
    const counters = noCounters();
    if (isObject(message["counters"])) addCounters(counters, message["counters"]);
    return { info: this.info, counters, heldBytes: count(message["heldBytes"]), sockets: this.sockets };
  }
}

function readInfo(given: Record<string, unknown>): ProgramInfo {
  const text = (name: string): string => (typeof given[name] === "string" ? given[name] : "");
  return {
    pid: count(given["pid"]),
    name: text("name"),
    uid: count(given["uid"]),
    node: text("node"),
    netquic: text("netquic"),
    tls: text("tls"),
    datapath: text("datapath"),
    startedAtMillis: count(given["startedAtMillis"]),
    rssBytes: count(given["rssBytes"]),
  };
}

function count(value: unknown): number {
  return Number.isFinite(value) ? Number(value) : 0;
}

const TEXTS = ["state", "role", "local", "remote", "udp", "api"];
const NUMBERS = [
  ...["inode", "uid", "waiting", "backlog", "heldBytes", "cwndBytes", "mssBytes", "inFlightBytes"],
  ...["recvQueueBytes", "sendQueueBytes", "recvBufferBytes", "sendBufferBytes"],
];
const DETAIL_TEXTS = ["congestion", "cipher", "serverName", "peerCid", "origDcid"];
const DETAIL_NUMBERS = [
  ...["version", "pacingBytesPerSec", "ptoMicros", "ptoCount", "framesLost", "frameBytesLost", "unsentBytes"],
  ...["sendCreditBytes", "streamsOpen", "keyPhaseUpdates", "peerCidCount"],
];
/** Of `stats`, what is no number. */
const STAT_OTHERS: Readonly<Record<string, (value: unknown) => boolean>> = {
  ecn: isText,
  plaintext: (value) => typeof value === "boolean",
  ssthreshBytes: (value) => value === null || Number.isFinite(value),
};
/** What is shown of `stats`; a program of another version may have more. */
const STAT_NAMES = [
  ...[
    "smoothedRttMicros",
    "rttVarMicros",
    "minRttMicros",
    "bytesSent",
    "bytesReceived",
    "packetsSent",
    "packetsReceived",
  ],
  ...[
    "streamBytesSent",
    "streamBytesReceived",
    "packetsLost",
    "spuriousLosses",
    "cwndBlocked",
    "flowBlocked",
    "pathMoves",
  ],
  ...["keyUpdates", "ecn", "plaintext", "ssthreshBytes"],
];

/** Whether `row` is one; details that are none are taken off. */
function isRow(row: unknown): row is SocketRow {
  if (!isObject(row)) return false;
  if (!TEXTS.every((name) => isText(row[name])) || !NUMBERS.every((name) => Number.isFinite(row[name]))) return false;
  if (!Object.hasOwn(STATES, row["state"] as string)) return false;
  if (!isTexts(row["alpn"]) || !isTexts(row["serverNames"])) return false;
  if (!isDetails(row["details"])) delete row["details"];
  return true;
}

function isDetails(details: unknown): boolean {
  if (!isObject(details)) return false;
  const { stats, paths, localCids } = details;
  if (!DETAIL_TEXTS.every((name) => isText(details[name]))) return false;
  if (!DETAIL_NUMBERS.every((name) => Number.isFinite(details[name])) || !isTexts(localCids)) return false;
  if (!isObject(stats) || !STAT_NAMES.every((name) => (STAT_OTHERS[name] ?? Number.isFinite)(stats[name])))
    return false;
  return (
    Array.isArray(paths) && paths.every((path) => isObject(path) && isText(path["remote"]) && isText(path["role"]))
  );
}

function isText(value: unknown): boolean {
  return typeof value === "string";
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every(isText);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}
