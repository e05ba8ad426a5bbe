/**
 * What a host has to know after a restart: the key behind all connection ids, and which routes were given out, so that none
 * is given to another program before its owner came back. The owner's alone to read (mode 0600); it is written whole, to a
 * file beside it that takes its place.
 *
 * Invariant: in a folder where others may write, too, no file of theirs is read or written: who knows the key makes ids.
 */

import { randomBytes } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { HOST_KEY_BYTES, ROUTES_MAX } from "./route-ids.js";

/** Bits of a mode that let others in. */
const OTHERS = 0o077;
const GENERATION_MAX = 2 ** 32 - 1;

export class StateFile {
  readonly key: Uint8Array;
  /** Given out when the host before ended, with their generations. */
  readonly routes: ReadonlyMap<number, number>;

  /** Reads it, or begins anew where there is none. @throws for a file that is there and is none of ours. */
  constructor(private readonly path: string) {
    const found = read(path);
    this.key = found?.key ?? new Uint8Array(randomBytes(HOST_KEY_BYTES));
    this.routes = found?.routes ?? new Map();
    if (found === null) this.write(this.routes);
  }

  /** @throws the file system's error; the file is as it was. */
  write(routes: ReadonlyMap<number, number>): void {
    const text = JSON.stringify({ key: Buffer.from(this.key).toString("hex"), routes: [...routes] });
    // a name that nobody can have taken before, in a folder where others may write
    const fresh = `${this.path}.${randomBytes(8).toString("hex")}`;
    try {
      writeFileSync(fresh, text, { mode: 0o600, flag: "wx" }); // nobody else's file, and through no link
      renameSync(fresh, this.path);
    } catch (error) {
      rmSync(fresh, { force: true }); // half of it, on a full disk
      throw error;
    }
  }
}

function read(path: string): { key: Uint8Array; routes: Map<number, number> } | null {
  const text = readOwn(path);
  if (text === null) return null;
  try {
    const { key, routes } = JSON.parse(text) as { key?: unknown; routes?: unknown };
    const bytes = typeof key === "string" ? new Uint8Array(Buffer.from(key, "hex")) : new Uint8Array(0);
    if (bytes.length === HOST_KEY_BYTES && Array.isArray(routes) && routes.every(isRoute))
      return { key: bytes, routes: new Map(routes) };
  } catch {
    // told below
  }
  throw new Error(
    `${path}: is no state of quic host; remove it to begin anew (programs that run lose their connections)`,
  );
}

/** Null where there is none. @throws for a link, and for what another user could have written. */
function readOwn(path: string): string | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return null;
    throw error;
  }
  try {
    const found = fstatSync(fd);
    if (found.isFile() && found.uid === (process.geteuid?.() ?? 0) && (found.mode & OTHERS) === 0) {
      return readFileSync(fd, "utf8");
    }
  } finally {
    closeSync(fd);
  }
  throw new Error(`${path}: is not this user's alone (mode 600); it holds the key behind all connection ids`);
}

function isRoute(one: unknown): one is [number, number] {
  if (!Array.isArray(one) || one.length !== 2) return false;
  const [route, generation] = one as unknown[];
  const isIn = (value: unknown, least: number, most: number): boolean =>
    Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
  return isIn(route, 1, ROUTES_MAX) && isIn(generation, 0, GENERATION_MAX);
}
