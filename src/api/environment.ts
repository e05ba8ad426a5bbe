/**
 * What one process shares: the TLS library, chosen at the first connect or listen so that importing never fails, and the
 * key log file of SSLKEYLOGFILE.
 */

import { appendFileSync } from "node:fs";
import { chooseTls } from "../runtime/choose-tls.js";
import type { TlsProvider } from "../port/tls.js";

let tls: TlsProvider | null = null;
let keylogFailed = false;

/** @throws Error `ERR_NETQUIC_NO_TLS` or `ERR_NETQUIC_NO_ADDON`; the message has the line that fixes it. */
export function sharedTls(): TlsProvider {
  tls ??= chooseTls(process.env);
  return tls;
}

/** The TLS library that was chosen, "" before any was needed. */
export function chosenTls(): string {
  return tls?.name ?? "";
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
