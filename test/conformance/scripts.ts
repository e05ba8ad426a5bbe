/** The table of scripts: row id to what is done. The files rfc*.ts fill it. */

import { APP, type RawPeer, type RawPeerOptions } from "../raw/peer.js";
import type { Check } from "./check.js";
import type { Role, Setup } from "./lab.js";

export type Script = (check: Check) => Promise<void>;

export interface ScriptOptions {
  /** The script does for one role only; the other one counts as missing until it has its own. */
  role?: Role;
  setup?: Setup;
  /** Why the script cannot run over UDP; it is counted apart. */
  memoryOnly?: string;
}

interface Entry {
  script: Script;
  setup: Setup;
  memoryOnly: string;
}

const table = new Map<string, Entry>();

const keyOf = (id: string, role: Role): string => `${id} ${role}`;

/** What is done for a row. */
export function row(id: string, script: Script, options: ScriptOptions = {}): void {
  const roles: Role[] = options.role === undefined ? ["server", "client"] : [options.role];
  for (const role of roles) {
    const key = keyOf(id, role);
    if (table.has(key)) throw new Error(`${key} has two scripts`);
    table.set(key, { script, setup: options.setup ?? {}, memoryOnly: options.memoryOnly ?? "" });
  }
}

export function scriptOf(id: string, role: Role): Entry | undefined {
  return table.get(keyOf(id, role));
}

/** Ids that have a script, for the check that each has a row. */
export function scriptedIds(): Set<string> {
  return new Set([...table.keys()].map((key) => key.split(" ")[0] as string));
}

export type Frames = (peer: RawPeer, check: Check) => Uint8Array | readonly Uint8Array[];

/** One or several 1-RTT packets, each in turn; an array is one packet each. */
function sendAll(peer: RawPeer, frames: Uint8Array | readonly Uint8Array[]): void {
  for (const frame of frames instanceof Uint8Array ? [frames] : frames) peer.send(APP, frame);
}

/** After a handshake, these frames close the connection with the row's error and this frame type. */
export function closes(id: string, frameType: number, frames: Frames, options: ScriptOptions = {}): void {
  row(
    id,
    async (check) => {
      const peer = await check.connect();
      sendAll(peer, frames(peer, check));
      await check.closes(peer, frameType);
    },
    options,
  );
}

/** As `closes`, for several variants, each on a connection of its own. */
export function closesEach(id: string, frameType: number, variants: readonly Frames[], options?: ScriptOptions): void {
  row(
    id,
    async (check) => {
      for (const frames of variants) {
        const peer = await check.connect();
        sendAll(peer, frames(peer, check));
        await check.closes(peer, frameType);
      }
    },
    options,
  );
}

/** After a handshake, these frames change nothing. */
export function ignores(id: string, frames: Frames, options: ScriptOptions = {}): void {
  row(
    id,
    async (check) => {
      const peer = await check.connect();
      sendAll(peer, frames(peer, check));
      await check.quiet();
      await check.usable(peer);
    },
    options,
  );
}

/** A handshake that fails with the row's error because of what the peer is. */
export function refuses(id: string, variants: readonly RawPeerOptions[], options: ScriptOptions = {}): void {
  row(
    id,
    async (check) => {
      for (const variant of variants) {
        const peer = await check.begin(variant);
        await check.closes(peer);
      }
    },
    options,
  );
}
