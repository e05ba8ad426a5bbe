/**
 * The choice of the datapath, made here and nowhere else: the addon where it loads, the portable twins where it does
 * not or where NETQUIC_DATAPATH says so. Each part that degrades leaves one note, for stats and for `quic doctor`.
 */

import type { AeadPort } from "../port/aead.js";
import type { UdpProvider } from "../port/udp.js";
import { newNativeAead } from "./native/aead.js";
import { nativeUdp } from "./native/udp.js";
import { newPortableAead } from "./portable/aead.js";
import { portableUdp } from "./portable/udp.js";

export interface Datapath {
  readonly udp: UdpProvider;
  readonly aead: AeadPort;
  /** `native` when nothing degraded. */
  readonly name: "native" | "portable";
  /** One sentence for each part that runs below the best rung without having been asked to. */
  readonly notes: readonly string[];
}

/** What the choice is made from; tests hand in failing ones. */
export interface DatapathParts {
  newNativeAead(): AeadPort;
}

/**
 * The datapath for `env.NETQUIC_DATAPATH` = `native`, `portable`, or neither: the best that is there.
 *
 * @throws an Error with code `ERR_INVALID_ARG_VALUE` for another value; with `native`, what loading the addon threw.
 */
export function chooseDatapath(
  env: Record<string, string | undefined> = process.env,
  parts: DatapathParts = { newNativeAead },
): Datapath {
  const asked = env["NETQUIC_DATAPATH"] ?? "";
  if (asked === "portable") return portable([]);
  if (asked !== "" && asked !== "native") {
    const message = `NETQUIC_DATAPATH=${JSON.stringify(asked)} is neither native nor portable`;
    throw Object.assign(new Error(message), { code: "ERR_INVALID_ARG_VALUE" });
  }
  let aead: AeadPort;
  try {
    aead = parts.newNativeAead();
  } catch (error) {
    if (asked === "native") throw error;
    const reason = error instanceof Error ? error.message : String(error);
    return portable([`the portable datapath runs, about 30 times slower than the native one: ${reason}`]);
  }
  return { udp: nativeUdp, aead, name: "native", notes: [] };
}

function portable(notes: string[]): Datapath {
  return { udp: portableUdp, aead: newPortableAead(), name: "portable", notes };
}
