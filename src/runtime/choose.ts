/**
 * The choice of the datapath, made here and nowhere else. Each part is chosen by itself: the best of its rungs that loads,
 * or the one that the environment names. A part that runs below its best rung without having been asked to leaves one note,
 * for stats and for `quic doctor`. An implementation that is added is one more row below.
 */

import type { AeadPort } from "../port/aead.js";
import type { FilePort } from "../port/file.js";
import type { UdpProvider } from "../port/udp.js";
import { loadAddon } from "./native/addon.js";
import { newNativeAead } from "./native/aead.js";
import { newNativeFiles } from "./native/file.js";
import { nativeUdp } from "./native/udp.js";
import { newPortableAead } from "./portable/aead.js";
import { newPortableFiles } from "./portable/file.js";
import { portableUdp } from "./portable/udp.js";

export interface Datapath {
  readonly udp: UdpProvider;
  readonly aead: AeadPort;
  readonly files: FilePort;
  /** `native` when nothing degraded, `mixed` when some parts are portable. */
  readonly name: "native" | "portable" | "mixed";
  /** One sentence for each part that runs below the best rung without having been asked to. */
  readonly notes: readonly string[];
}

/** One implementation of a port. */
export interface Rung<P> {
  /** As the port calls itself; NETQUIC_AEAD takes that of packet protection. */
  readonly name: string;
  readonly isNative: boolean;
  /** Throws when it cannot run here. */
  make(): P;
}

/** All implementations, the best first; the last one runs everywhere. */
export interface DatapathRungs {
  readonly udp: readonly Rung<UdpProvider>[];
  readonly aead: readonly Rung<AeadPort>[];
  readonly files: readonly Rung<FilePort>[];
}

export const RUNGS: DatapathRungs = {
  udp: [
    { name: "native", isNative: true, make: loadedUdp },
    { name: "portable", isNative: false, make: () => portableUdp },
  ],
  aead: [
    { name: "openssl-evp", isNative: true, make: newNativeAead },
    { name: "node:crypto", isNative: false, make: newPortableAead },
  ],
  files: [
    { name: "preadv2", isNative: true, make: newNativeFiles },
    { name: "node:fs", isNative: false, make: newPortableFiles },
  ],
};

type Env = Record<string, string | undefined>;

/**
 * The datapath for `env`: NETQUIC_DATAPATH = `native` or `portable` for all parts; NETQUIC_AEAD names the implementation of
 * packet protection and wins over it; without them, the best that is there.
 *
 * @throws an Error with code `ERR_INVALID_ARG_VALUE` for another value; for what was named, what loading it threw.
 */
export function chooseDatapath(env: Env = process.env, rungs: DatapathRungs = RUNGS): Datapath {
  const asked = named(env, "NETQUIC_DATAPATH", ["native", "portable"]);
  const notes: string[] = [];
  const udp = choose("UDP", rungs.udp, asked, "", notes);
  const aead = choose(
    "packet protection",
    rungs.aead,
    asked,
    named(
      env,
      "NETQUIC_AEAD",
      rungs.aead.map(({ name }) => name),
    ),
    notes,
  );
  const files = choose("files", rungs.files, asked, "", notes);
  const natives = [udp, aead, files].filter(({ isNative }) => isNative).length;
  const name = natives === 3 ? "native" : natives === 0 ? "portable" : "mixed";
  return { udp: udp.port, aead: aead.port, files: files.port, name, notes };
}

function loadedUdp(): UdpProvider {
  loadAddon();
  return nativeUdp;
}

/** The variable's value, "" for none. */
function named(env: Env, variable: string, allowed: readonly string[]): string {
  const value = env[variable] ?? "";
  if (value === "" || allowed.includes(value)) return value;
  const last = allowed.at(-1);
  const choices = `${allowed.slice(0, -1).join(", ")} nor ${last}`;
  const message = `${variable}=${JSON.stringify(value)} is neither ${choices}`;
  throw Object.assign(new Error(message), { code: "ERR_INVALID_ARG_VALUE" });
}

/** `asked`: native, portable or ""; `name`: one rung or "". Only an unasked choice goes down the ladder. */
function choose<P>(
  part: string,
  rungs: readonly Rung<P>[],
  asked: string,
  name: string,
  notes: string[],
): { port: P; isNative: boolean } {
  const allowed = rungs.filter((rung) =>
    name !== "" ? rung.name === name : asked === "" || rung.isNative === (asked === "native"),
  );
  const reasons: string[] = [];
  for (const [index, rung] of allowed.entries()) {
    try {
      const port = rung.make();
      if (reasons.length > 0) notes.push(`${part} runs on ${rung.name}, slower than it could: ${reasons.join("; ")}`);
      return { port, isNative: rung.isNative };
    } catch (error) {
      if (index === allowed.length - 1) throw error;
      reasons.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new Error(`${part}: there is no implementation`);
}
