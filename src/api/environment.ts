/**
 * What one process shares: the TLS library, chosen at the first connect or listen so that importing never fails, handshake
 * agents by their paths, and the key log file of SSLKEYLOGFILE.
 */

import { appendFileSync } from "node:fs";
import { agentTls } from "../agent/provider.js";
import { chooseTls } from "../runtime/choose-tls.js";
import type { TlsProvider } from "../port/tls.js";
import { OFF } from "./runtime-dir.js";

let tls: TlsProvider | null = null;
let keylogFailed = false;
const agents = new Map<string, TlsProvider>();

/** @throws Error `ERR_NETQUIC_NO_TLS` or `ERR_NETQUIC_NO_ADDON`; the message has the line that fixes it. */
export function sharedTls(): TlsProvider {
  tls ??= chooseTls(process.env);
  return tls;
}

/** The TLS library that was chosen, "" before any was needed. */
export function chosenTls(): string {
  return tls?.name ?? "";
}

/**
 * The path of the agent that does a side's handshakes, "" for TLS in this process. `asked` wins over NETQUIC_AGENT, which
 * is for sides without a key of their own: who brings one does his handshakes himself.
 */
export function agentFor(asked: string | undefined, hasOwnKey: boolean): string {
  const path = asked ?? (hasOwnKey ? "" : (process.env["NETQUIC_AGENT"] ?? ""));
  return path === OFF ? "" : path;
}

/** TLS by the agent at `path`, or in this process for "". @throws as `sharedTls`, and ENAMETOOLONG */
export function tlsAt(path: string): TlsProvider {
  if (path === "") return sharedTls();
  let provider = agents.get(path);
  if (provider === undefined) {
    provider = agentTls(path, {}, (trouble) => process.emitWarning(trouble, { type: "NetquicWarning" }));
    agents.set(path, provider);
  }
  return provider;
}

/** Whether the environment asks for a key log. */
export function wantsKeylogFile(): boolean {
  return (process.env["SSLKEYLOGFILE"] ?? "") !== "";
}

/** Appends one line (without newline) to SSLKEYLOGFILE, in one write; a file that cannot be written warns once. */
export function writeKeylogFile(line: string): void {
  const path = process.env["SSLKEYLOGFILE"] ?? "";
  if (path === "" || keylogFailed) return;
  try {
    appendFileSync(path, `${line}\n`, { mode: 0o600 });
  } catch (error) {
    keylogFailed = true;
    process.emitWarning(`SSLKEYLOGFILE: ${(error as Error).message}`, { type: "NetquicWarning" });
  }
}
