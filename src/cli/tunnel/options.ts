/** The command line of `quic tunnel`, parsed once into values that are good. What follows an `--alpn` belongs to it. */

import { isIP } from "node:net";
import { parseArgs } from "node:util";
import type { Place, TunnelService } from "../../api/tunnel/index.js";
import { usage } from "../failure.js";
import { orUsage } from "../flags.js";

interface Common {
  services: TunnelService[];
  /** Both or none, but for a server with `dev`. */
  certPath: string | null;
  keyPath: string | null;
  udpIdleSeconds: number;
}

export interface ServerOptions extends Common {
  mode: "listen";
  listen: Place;
  clientCaPath: string | null;
}

export interface ClientOptions extends Common {
  mode: "connect";
  server: Place;
  caPath: string | null;
  /** SHA-256 of the server's certificate, lower-case hex. */
  pin: string | null;
  serverName: string | null;
}

const FLAGS = {
  listen: { type: "string" },
  connect: { type: "string" },
  alpn: { type: "string", multiple: true },
  to: { type: "string", multiple: true },
  local: { type: "string", multiple: true },
  reverse: { type: "boolean", multiple: true },
  cert: { type: "string" },
  key: { type: "string" },
  "client-ca": { type: "string" },
  "any-client": { type: "boolean" },
  ca: { type: "string" },
  pin: { type: "string" },
  servername: { type: "string" },
  "udp-idle": { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;

const MAX_SERVICES = 64;
/** Room for the suffix of a reverse service in the 255 bytes of a name (RFC 7301 §3.1). */
const MAX_ALPN_BYTES = 247;
const DEFAULT_UDP_IDLE_SECONDS = 60;
const MAX_UDP_IDLE_SECONDS = 86_400;

type Parsed = ReturnType<typeof readFlags>;
type Values = Parsed["values"];
type Mode = "listen" | "connect";

/** @throws a Failure with exit code 2 that names what is wrong. */
export function parseTunnel(args: readonly string[]): ServerOptions | ClientOptions | { mode: "help" } {
  const parsed = readFlags(args);
  const { values } = parsed;
  if (values.help === true) return { mode: "help" };
  const mode = modeOf(values);
  refuseMixtures(values, mode);
  const common = {
    services: servicesOf(parsed, mode),
    certPath: values.cert === "dev" ? null : (values.cert ?? null),
    keyPath: values.key ?? null,
    udpIdleSeconds: secondsOf(values["udp-idle"]),
  };
  if (mode === "connect") {
    const server = placeOf("--connect", values.connect as string, "HOST:PORT", 1);
    const pin = values.pin === undefined ? null : pinOf(values.pin);
    return { mode, server, caPath: values.ca ?? null, pin, serverName: values.servername ?? null, ...common };
  }
  const clientCaPath = values["client-ca"] ?? null;
  if (clientCaPath === null && values["any-client"] !== true && common.services.some(({ reverse }) => reverse)) {
    throw usage("--reverse lets clients answer what is accepted here: say which by --client-ca FILE, or --any-client");
  }
  return { mode, listen: placeOf("--listen", values.listen as string, "ADDRESS:PORT", 0), clientCaPath, ...common };
}

function readFlags(args: readonly string[]) {
  return orUsage(() => parseArgs({ args: [...args], options: FLAGS, strict: true, tokens: true }));
}

function modeOf(values: Values): Mode {
  if (values.listen !== undefined && values.connect !== undefined) {
    throw usage("--listen and --connect exclude each other");
  }
  if (values.listen === undefined && values.connect === undefined) {
    throw usage("--listen ADDRESS:PORT makes a server, --connect HOST:PORT a client: give one of them");
  }
  return values.listen === undefined ? "connect" : "listen";
}

function refuseMixtures(values: Values, mode: Mode): void {
  const refuse = (flags: readonly (keyof Values)[], why: string): void => {
    for (const flag of flags) if (values[flag] !== undefined) throw usage(`--${flag} ${why}`);
  };
  if (mode === "connect") refuse(["client-ca", "any-client"], "is for the server");
  else refuse(["ca", "pin", "servername"], "is for the client");
  if (mode === "listen" && values.cert === undefined) {
    throw usage("a server wants --cert FILE --key FILE, or --cert dev for one that is made for this run");
  }
  if (values.cert === "dev" && mode === "connect") throw usage("--cert dev is for the server");
  if (values.cert === "dev") refuse(["key"], "does not go with --cert dev");
  else if ((values.cert === undefined) !== (values.key === undefined)) throw usage("--cert and --key belong together");
  if (values.ca !== undefined) refuse(["pin"], "and --ca exclude each other");
  if (values["client-ca"] !== undefined) refuse(["any-client"], "and --client-ca exclude each other");
  for (const [flag, value] of Object.entries(values)) if (value === "") throw usage(`--${flag} is empty`);
}

/** One for each `--alpn`, with what stands between it and the next. */
function servicesOf({ tokens }: Parsed, mode: Mode): TunnelService[] {
  const services: TunnelService[] = [];
  const places: { service: TunnelService; flag: "to" | "local"; text: string }[] = [];
  for (const token of tokens ?? []) {
    if (token.kind !== "option") continue;
    const { name } = token;
    if (name === "alpn") services.push({ alpn: alpnOf(token.value as string), reverse: false, tcp: null, udp: null });
    if (name !== "to" && name !== "local" && name !== "reverse") continue;
    const service = services.at(-1);
    if (service === undefined) throw usage(`--${name} stands before any --alpn: what follows an --alpn belongs to it`);
    if (name === "reverse") service.reverse = true;
    else places.push({ service, flag: name, text: token.value as string });
  }
  for (const { service, flag, text } of places) addPlace(service, flag, text, mode);
  checkServices(services, mode);
  return services;
}

function addPlace(service: TunnelService, flag: "to" | "local", text: string, mode: Mode): void {
  const { alpn, reverse } = service;
  const wanted = flagOf(mode, reverse);
  if (flag !== wanted) {
    const side = mode === "listen" ? "server" : "client";
    const how = reverse ? "with --reverse" : "without --reverse";
    throw usage(`--alpn ${alpn}: a ${side} ${how} takes --${wanted}, not --${flag}`);
  }
  const match = /^(tcp|udp):\/\/(.+)$/.exec(text);
  if (match === null) throw usage(`--${flag} ${JSON.stringify(text)} is neither tcp://HOST:PORT nor udp://HOST:PORT`);
  const protocol = match[1] as "tcp" | "udp";
  if (service[protocol] !== null) throw usage(`--alpn ${alpn} has two --${flag} for ${protocol}`);
  service[protocol] = placeOf(`--${flag}`, match[2] as string, `${protocol}://HOST:PORT`, flag === "to" ? 1 : 0);
}

/** Who accepts listens on `--local`, who dials does so `--to`. */
function flagOf(mode: Mode, reverse: boolean): "to" | "local" {
  return (mode === "listen") === reverse ? "local" : "to";
}

function checkServices(services: readonly TunnelService[], mode: Mode): void {
  if (services.length === 0) throw usage("--alpn NAME is missing: it names what is carried");
  if (services.length > MAX_SERVICES) throw usage(`${MAX_SERVICES} --alpn at most`);
  const names = new Set<string>();
  for (const { alpn, reverse, tcp, udp } of services) {
    if (names.has(alpn)) throw usage(`--alpn ${alpn} stands there twice`);
    names.add(alpn);
    if (tcp === null && udp === null) {
      throw usage(`--alpn ${alpn} wants --${flagOf(mode, reverse)} tcp://HOST:PORT, or udp://, or both`);
    }
  }
}

function alpnOf(text: string): string {
  const bytes = Buffer.byteLength(text);
  if (bytes >= 1 && bytes <= MAX_ALPN_BYTES && /^[\x21-\x7e]+$/.test(text) && !text.endsWith("/reverse")) return text;
  throw usage(`--alpn ${JSON.stringify(text)} is no name of 1 to ${MAX_ALPN_BYTES} letters, digits and signs`);
}

function secondsOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_UDP_IDLE_SECONDS;
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 1 && value <= MAX_UDP_IDLE_SECONDS) return value;
  throw usage(`--udp-idle ${JSON.stringify(text)} is not a whole number from 1 to ${MAX_UDP_IDLE_SECONDS}`);
}

function pinOf(text: string): string {
  const hex = text.replaceAll(":", "").toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(hex)) throw usage("--pin is not the SHA-256 of a certificate: 64 hexadecimal digits");
  return hex;
}

/** `name:443`, `127.0.0.1:443`, `[::1]:443`. */
function placeOf(flag: string, text: string, form: string, leastPort: number): Place {
  const match = /^(?:\[([^\]]+)\]|([^:/\s]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  if (host === "" || !(port >= leastPort && port <= 65_535) || (match?.[1] !== undefined && isIP(host) !== 6)) {
    throw usage(`${flag} ${JSON.stringify(text)} is not ${form} (IPv6: [ADDRESS]:PORT)`);
  }
  return { host, port };
}
