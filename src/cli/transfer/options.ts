/** The command line of `quic transfer`, parsed once into values that are good. */

import { isIP } from "node:net";
import { basename } from "node:path";
import { usage } from "../failure.js";
import { readFlags } from "../flags.js";
import { duplicateFailure } from "./receiver.js";
import { MAX_STREAMS } from "./protocol.js";

const DEFAULT_HOST = "127.0.0.1";
const DEFAULT_LISTEN_PORT = 4433;
const DEFAULT_STREAMS = 4;
const DEFAULT_TIMEOUT_SECONDS = 10;
const MAX_TIMEOUT_SECONDS = 3600;

export interface TransferOptions {
  mode: "pair" | "listen" | "connect" | "help";
  /** Paths as given; none = a generated sample. */
  files: string[];
  /** Null: a fresh temporary folder. */
  out: string | null;
  host: string;
  /** 0: the system chooses. */
  port: number;
  streams: number;
  timeoutSeconds: number;
  certPath: string | null;
  keyPath: string | null;
  caPath: string | null;
  /** SHA-256 of the server's certificate, lower-case hex. */
  pin: string | null;
  serverName: string | null;
  force: boolean;
  json: boolean;
}

const FLAGS = {
  out: { type: "string", short: "o" },
  host: { type: "string" },
  port: { type: "string", short: "p" },
  streams: { type: "string" },
  timeout: { type: "string" },
  cert: { type: "string" },
  key: { type: "string" },
  ca: { type: "string" },
  pin: { type: "string" },
  servername: { type: "string" },
  listen: { type: "boolean" },
  connect: { type: "string" },
  force: { type: "boolean", short: "f" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

type Values = ReturnType<typeof readFlags<typeof FLAGS>>["values"];

/** @throws a Failure with exit code 2 that names what is wrong. */
export function parseTransfer(args: readonly string[]): TransferOptions {
  const { values, positionals } = readFlags(FLAGS, args);
  const mode = modeOf(values);
  if (mode !== "help") refuseMixtures(values, positionals, mode);
  const address = values.connect === undefined ? null : parseHostPort(values.connect);
  return {
    mode,
    files: distinctNames(positionals),
    out: values.out === undefined ? null : nonEmpty("--out", values.out),
    host: address?.host ?? nonEmpty("--host", values.host ?? DEFAULT_HOST),
    port: address?.port ?? integer("--port", values.port, 0, 65_535, mode === "listen" ? DEFAULT_LISTEN_PORT : 0),
    streams: integer("--streams", values.streams, 1, MAX_STREAMS, DEFAULT_STREAMS),
    timeoutSeconds: integer("--timeout", values.timeout, 1, MAX_TIMEOUT_SECONDS, DEFAULT_TIMEOUT_SECONDS),
    certPath: values.cert ?? null,
    keyPath: values.key ?? null,
    caPath: values.ca ?? null,
    pin: values.pin === undefined ? null : parsePin(values.pin),
    serverName: values.servername === undefined ? null : nonEmpty("--servername", values.servername),
    force: values.force ?? false,
    json: values.json ?? false,
  };
}

function modeOf(values: Values): TransferOptions["mode"] {
  if (values.help === true) return "help";
  if (values.listen === true && values.connect !== undefined) throw usage("--listen and --connect exclude each other");
  if (values.listen === true) return "listen";
  return values.connect === undefined ? "pair" : "connect";
}

function refuseMixtures(values: Values, files: string[], mode: TransferOptions["mode"]): void {
  const refuse = (flag: keyof Values, why: string) => {
    if (values[flag] !== undefined) throw usage(`--${flag} ${why}`);
  };
  if ((values.cert === undefined) !== (values.key === undefined)) throw usage("--cert and --key belong together");
  if (values.ca !== undefined) refuse("pin", "and --ca exclude each other");
  if (mode === "connect") {
    for (const flag of ["host", "port"] as const) refuse(flag, "is part of --connect HOST:PORT");
    for (const flag of ["cert", "key"] as const) refuse(flag, "is for the server");
  } else refuse("pin", "goes with --connect");
  if (mode !== "listen") return;
  if (files.length > 0) throw usage("--listen takes no files: the client names them");
  for (const flag of ["ca", "servername"] as const) refuse(flag, "is for the client");
}

/** Files land under their base names, so two of a name would meet. */
function distinctNames(paths: string[]): string[] {
  const names = new Set<string>();
  for (const path of paths) {
    if (path === "") throw usage("a file name is empty");
    const name = basename(path);
    if (names.has(name)) throw usage(duplicateFailure(name).message);
    names.add(name);
  }
  return paths;
}

function integer(flag: string, text: string | undefined, least: number, most: number, byDefault: number): number {
  if (text === undefined) return byDefault;
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw usage(`${flag} ${JSON.stringify(text)} is not a whole number from ${least} to ${most}`);
}

function nonEmpty(flag: string, text: string): string {
  if (text === "") throw usage(`${flag} is empty`);
  return text;
}

function parsePin(text: string): string {
  const hex = text.replaceAll(":", "").toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(hex)) throw usage("--pin is not the SHA-256 of a certificate: 64 hexadecimal digits");
  return hex;
}

/** `name:443`, `127.0.0.1:443`, `[::1]:443`. */
function parseHostPort(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  if (host === "" || !(port >= 1 && port <= 65_535) || (match?.[1] !== undefined && isIP(host) !== 6)) {
    throw usage(`--connect ${JSON.stringify(text)} is not HOST:PORT (IPv6: [ADDRESS]:PORT)`);
  }
  return { host, port };
}
