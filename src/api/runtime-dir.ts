/**
 * The folder where programs of one user find each other: control sockets, the sockets of `quic host` and `quic agent`.
 * Invariant: it is this user's and nobody else can enter it, so whoever reaches a socket in it is this user, or root.
 */

import { lstatSync, mkdirSync, readdirSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isAnswered, MAX_PATH_BYTES } from "../runtime/framed-socket.js";

/** What NETQUIC_RUNTIME_DIR, NETQUIC_HOST, NETQUIC_AGENT and their options say for "none". */
export const OFF = "off";

/** Bits of a mode that let others in. */
const OTHERS = 0o077;

/** A runtime dir that cannot be used; the message says what to do. */
export class RuntimeDirError extends Error {
  override readonly name = "RuntimeDirError";
  readonly code = "ERR_NETQUIC_RUNTIME_DIR";
}

/**
 * Where the runtime dir is: NETQUIC_RUNTIME_DIR, else `netquic` in XDG_RUNTIME_DIR, else a folder of this user among the
 * system's temporary ones. Null for `off`. Nothing is made or checked.
 */
export function runtimeDir(env: NodeJS.ProcessEnv = process.env): string | null {
  const given = env["NETQUIC_RUNTIME_DIR"] ?? "";
  if (given === OFF) return null;
  if (given !== "") return given;
  const xdg = env["XDG_RUNTIME_DIR"] ?? "";
  return xdg !== "" ? join(xdg, "netquic") : join(tmpdir(), `netquic-${ownUid()}`);
}

/** Makes the runtime dir if it is missing, and checks whose it is. @throws RuntimeDirError, also when it is off. */
export function makeRuntimeDir(env: NodeJS.ProcessEnv = process.env): string {
  const dir = runtimeDir(env);
  if (dir === null) throw new RuntimeDirError("there is no runtime dir: NETQUIC_RUNTIME_DIR is off");
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  } catch (error) {
    // what is there and is no directory is told below
    if (codeOf(error) !== "EEXIST") throw new RuntimeDirError(`${dir}: cannot be made: ${(error as Error).message}`);
  }
  checkPrivate(dir, ownUid());
  return dir;
}

/** @throws RuntimeDirError unless `dir` is a directory, no link, of user `uid`, that nobody else may enter. */
export function checkPrivate(dir: string, uid: number): void {
  const found = lstatSync(dir, { throwIfNoEntry: false });
  if (found === undefined) throw new RuntimeDirError(`${dir}: no such directory`);
  if (!found.isDirectory()) throw new RuntimeDirError(`${dir}: is no directory; set NETQUIC_RUNTIME_DIR to another`);
  if (found.uid !== uid) {
    throw new RuntimeDirError(
      `${dir}: belongs to user ${found.uid}, not to ${uid}; set NETQUIC_RUNTIME_DIR to another`,
    );
  }
  if ((found.mode & OTHERS) !== 0) {
    const mode = (found.mode & 0o777).toString(8);
    throw new RuntimeDirError(`${dir}: others may enter it (mode ${mode}); chmod 700 it`);
  }
}

/** The path of a socket in `dir`. @throws RuntimeDirError when the system cannot hold it. */
export function socketPath(dir: string, name: string): string {
  const path = join(dir, name);
  checkSocketPath(path);
  return path;
}

/** The path that a person named for a socket. @throws Error that says why none can be made there. */
export function checkNamedSocket(path: string): void {
  checkSocketPath(path);
  const folder = dirname(path);
  const above = lstatSync(folder, { throwIfNoEntry: false });
  if (above === undefined) throw new Error(`${path}: ENOENT: there is no folder ${folder}`);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isSocket()) throw new Error(`${path}: EEXIST: it is there and no socket`);
}

/** @throws RuntimeDirError for more than MAX_PATH_BYTES. */
export function checkSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_PATH_BYTES) return;
  throw new RuntimeDirError(`${path}: ${bytes} bytes, and a socket's path has ${MAX_PATH_BYTES} at most`);
}

/** The control socket of a program; `number` tells those of one process apart. */
export function controlName(pid: number, number: number): string {
  return number === 0 ? `${pid}.sock` : `${pid}.${number}.sock`;
}

/** Control sockets in `dir` with the process that each is of, by process; none for a dir that is not there. */
export function controlSockets(dir: string): { name: string; pid: number }[] {
  const found: { name: string; pid: number }[] = [];
  for (const name of namesIn(dir)) {
    const match = /^([1-9][0-9]{0,9})(?:\.[1-9][0-9]{0,2})?\.sock$/.exec(name);
    if (match !== null) found.push({ name, pid: Number(match[1]) });
  }
  return found.sort((a, b) => a.pid - b.pid || (a.name < b.name ? -1 : 1));
}

/**
 * Removes the control sockets of processes that are gone: those without a process of that number that nobody answers on.
 * Either alone is no proof; a number means nothing across containers, and a program may be slow.
 */
export async function removeStaleSockets(dir: string): Promise<number> {
  let removed = 0;
  for (const { name, pid } of controlSockets(dir)) {
    if (isRunning(pid) || (await isAnswered(join(dir, name)))) continue;
    try {
      unlinkSync(join(dir, name));
      removed++;
    } catch {
      // another program removed it
    }
  }
  return removed;
}

/** Whether a process of that number runs, whoever's it is. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== "ESRCH";
  }
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

/** Files are made as the effective user. */
function ownUid(): number {
  return process.geteuid?.() ?? 0;
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code ?? "");
}
