/**
 * What a host has to know after a restart: the key behind all connection ids, and which routes were given out, so that none
 * is given to another program before its owner came back. The owner's alone to read (mode 0600); it is written whole, to a
 * file beside it that takes its place.
 */

import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { HOST_KEY_BYTES, ROUTES_MAX } from "./route-ids.js";

export class StateFile {
  readonly key: Uint8Array;
  /** Given out when the host before ended. */
  readonly routes: readonly number[];

  /** Reads it, or begins anew where there is none. @throws for a file that is there and is none of ours. */
  constructor(private readonly path: string) {
    const found = read(path);
    this.key = found?.key ?? new Uint8Array(randomBytes(HOST_KEY_BYTES));
    this.routes = found?.routes ?? [];
    if (found === null) this.write([]);
  }

  /** @throws the file system's error. */
  write(routes: readonly number[]): void {
    const text = JSON.stringify({ key: Buffer.from(this.key).toString("hex"), routes });
    writeFileSync(`${this.path}.new`, text, { mode: 0o600 });
    renameSync(`${this.path}.new`, this.path);
  }
}

function read(path: string): { key: Uint8Array; routes: number[] } | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return null;
    throw error;
  }
  try {
    const { key, routes } = JSON.parse(text) as { key?: unknown; routes?: unknown };
    const bytes = typeof key === "string" ? new Uint8Array(Buffer.from(key, "hex")) : new Uint8Array(0);
    const isRoute = (one: unknown): boolean => Number.isInteger(one) && Number(one) >= 1 && Number(one) <= ROUTES_MAX;
    if (bytes.length === HOST_KEY_BYTES && Array.isArray(routes) && routes.every(isRoute))
      return { key: bytes, routes };
  } catch {
    // told below
  }
  throw new Error(
    `${path}: is no state of quic host; remove it to begin anew (programs that run lose their connections)`,
  );
}
