/** The foreign stacks of `bulk --peers`: the runtimes that the interop tests install, with programs of our own in them. */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { devCertificate } from "#src/runtime/native/x509.js";

/** What is used of test/interop/peers.ts. The tests are built on the benchmarks' helpers, so it is loaded by name. */
interface Installer {
  installNpm(name: string, version: string): { folder: string; error: string };
  PEER_RUNTIMES: Readonly<Record<"deno" | "bun", { name: string; version: string }>>;
}

export interface BulkPeers {
  quinn: readonly string[];
  lsquic: readonly string[];
  /** For their servers, which cannot make one by themselves. */
  identity: { cert: string; key: string };
}

/** Installs what is missing; throws when it cannot. */
export async function bulkPeers(): Promise<BulkPeers> {
  const where = new URL("../dist-test/interop/peers.js", import.meta.url).href;
  const { installNpm, PEER_RUNTIMES } = (await import(where)) as Installer;
  const binary = (runtime: "deno" | "bun"): string => {
    const { name, version } = PEER_RUNTIMES[runtime];
    const { folder, error } = installNpm(name, version);
    if (error !== "") throw new Error(error);
    return join(folder, "node_modules", ".bin", name);
  };
  const program = (name: string): string => fileURLToPath(new URL(`../bench/peers/${name}`, import.meta.url));
  const { cert, key } = devCertificate({ hosts: ["localhost"] });
  return {
    quinn: [binary("deno"), "run", "-A", "--no-config", "--unstable-net", program("deno.mjs")],
    lsquic: ["/usr/bin/env", "NODE_NO_WARNINGS=1", binary("bun"), program("bun.mjs")],
    identity: { cert, key },
  };
}
