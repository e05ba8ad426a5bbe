/** What a program says of itself on its control socket. */

import { basename } from "node:path";
import { sharedDatapath } from "../datapath.js";
import { chosenTls } from "../environment.js";
import { packageVersion } from "../version.js";
import type { ProgramInfo } from "./protocol.js";

const MILLIS_PER_SECOND = 1000;

export function programInfo(): ProgramInfo {
  return {
    pid: process.pid,
    name: programName(),
    uid: process.geteuid?.() ?? 0,
    node: process.version,
    netquic: packageVersion(),
    tls: chosenTls(),
    datapath: sharedDatapath().name,
    startedAtMillis: Math.round(Date.now() - process.uptime() * MILLIS_PER_SECOND),
    rssBytes: process.memoryUsage.rss(),
  };
}

/** All programs here are `node`: their script tells them apart, and of the `quic` command the subcommand. */
function programName(): string {
  const [, script = process.execPath, command = ""] = process.argv;
  const name = basename(script);
  return name === "quic.js" || name === "quic" ? `quic ${command}` : name;
}
