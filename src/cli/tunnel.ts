/** `quic tunnel`: forwards TCP connections and UDP datagrams through QUIC, as a server or as a client. */

import { lookup } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { type Traffic, TunnelClient, type TunnelEvent, TunnelServer } from "../api/tunnel/index.js";
import { addressText } from "../api/address.js";
import { codeOf, EXIT_OK, Failure, fileFailure, messageOf, toFailure } from "./failure.js";
import { Progress } from "./progress.js";
import type { Surroundings } from "./transfer.js";
import { TUNNEL_HELP } from "./tunnel/help.js";
import { type ClientOptions, parseTunnel, type ServerOptions } from "./tunnel/options.js";
import { eventLines, statusText, summaryLines, tooLargeLine } from "./tunnel/report.js";

const STATUS_MILLIS = 500;
/** Between two lines about datagrams that do not fit. */
const TOO_LARGE_MILLIS = 10_000;

/** Resolves to the exit code after Ctrl-C. @throws a Failure for everything else. */
export async function tunnel(args: readonly string[], around: Surroundings): Promise<number> {
  const options = parseTunnel(args);
  if (options.mode === "help") {
    around.stdout.write(TUNNEL_HELP);
    return EXIT_OK;
  }
  const screen = new Screen(new Progress(around.stdout, around.env));
  const run = options.mode === "listen" ? await prepareServer(options, screen) : await prepareClient(options, screen);
  screen.watch(run.traffic);
  try {
    await run.start(around.signal);
  } finally {
    screen.end();
  }
  return EXIT_OK;
}

interface Run {
  traffic: () => Iterable<[alpn: string, traffic: Traffic]>;
  start(signal: AbortSignal): Promise<void>;
}

async function prepareServer(options: ServerOptions, screen: Screen): Promise<Run> {
  const { listen, services, certPath, keyPath, clientCaPath, udpIdleSeconds } = options;
  const host = await literal(listen.host);
  const config = {
    address: addressText(host, listen.port),
    services,
    identity: await identityOf(certPath, keyPath),
    clientCa: clientCaPath === null ? null : await readPem(clientCaPath),
    udpIdleMillis: udpIdleSeconds * 1000,
  };
  const server = new TunnelServer(config, (event) => screen.tell(event));
  const files = [
    certPath && `--cert ${certPath}`,
    keyPath && `--key ${keyPath}`,
    clientCaPath && `--client-ca ${clientCaPath}`,
  ];
  return {
    traffic: () => server.traffic(),
    start: (signal) =>
      server.run(signal).catch((error) => {
        throw startFailure(error, files);
      }),
  };
}

async function prepareClient(options: ClientOptions, screen: Screen): Promise<Run> {
  const { server, services, caPath, pin, serverName, certPath, keyPath, udpIdleSeconds } = options;
  const common = {
    server: addressText(server.host, server.port),
    ca: caPath === null ? null : await readPem(caPath),
    pin,
    serverName,
    identity: await identityOf(certPath, keyPath),
    udpIdleMillis: udpIdleSeconds * 1000,
  };
  const clients = services.map((service) => new TunnelClient({ ...common, service }, (event) => screen.tell(event)));
  const files = [caPath && `--ca ${caPath}`, certPath && `--cert ${certPath}`, keyPath && `--key ${keyPath}`];
  const rebind = (): void => clients.forEach((client) => void client.rebind());
  return {
    traffic: () => clients.map((client) => [client.alpn, client.traffic]),
    start: async (signal) => {
      const failed = new AbortController();
      const both = AbortSignal.any([signal, failed.signal]);
      process.on("SIGUSR2", rebind);
      try {
        await Promise.all(clients.map((client) => client.run(both)));
      } catch (error) {
        throw startFailure(error, files);
      } finally {
        failed.abort();
        process.off("SIGUSR2", rebind);
      }
    },
  };
}

/** What is printed while a tunnel runs. */
class Screen {
  private all: Run["traffic"] = () => [];
  private hasBegun = false;
  private timer: NodeJS.Timeout | null = null;
  /** Datagrams too large that were said, and when, by service. */
  private readonly said = new Map<string, { count: number; atMillis: number }>();

  constructor(private readonly progress: Progress) {}

  watch(all: Run["traffic"]): void {
    this.all = all;
    this.timer = setInterval(() => this.look(), STATUS_MILLIS);
  }

  tell(event: TunnelEvent): void {
    this.hasBegun ||= event.type === "serving" || event.type === "up";
    for (const line of eventLines(event)) this.progress.line(line);
  }

  end(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.look();
    // of what never began there is nothing to tell but the failure
    if (this.hasBegun) for (const line of summaryLines(this.all())) this.progress.line(line);
  }

  private look(): void {
    const nowMillis = performance.now();
    for (const [alpn, traffic] of this.all()) {
      const count = traffic.datagramsTooLarge;
      const last = this.said.get(alpn) ?? { count: 0, atMillis: -TOO_LARGE_MILLIS };
      if (count === last.count || nowMillis - last.atMillis < TOO_LARGE_MILLIS) continue;
      this.said.set(alpn, { count, atMillis: nowMillis });
      this.progress.line(tooLargeLine(alpn, traffic));
    }
    this.progress.status(statusText(this.all()));
  }
}

async function literal(host: string): Promise<string> {
  if (isIP(host) !== 0) return host;
  return await lookup(host).then(
    ({ address }) => address,
    (error) => {
      throw new Failure(`cannot find an address for ${host}`, { cause: error });
    },
  );
}

async function identityOf(certPath: string | null, keyPath: string | null) {
  if (certPath === null || keyPath === null) return null;
  return { certs: await readPem(certPath), keys: await readPem(keyPath) };
}

async function readPem(path: string): Promise<Buffer> {
  return await readFile(path).catch((error) => {
    throw fileFailure("read", path, error);
  });
}

/** What `error` means to the person who started the tunnel; `files` are what was given as certificates and keys. */
function startFailure(error: unknown, files: readonly (string | null)[]): Failure {
  const { address, port } = error as { address?: unknown; port?: unknown };
  const where =
    typeof address === "string" ? `${address}${typeof port === "number" ? ` port ${port}` : ""}` : "the port";
  switch (codeOf(error)) {
    case "EADDRINUSE":
      return new Failure(`${where} is in use`, { cause: error });
    case "EADDRNOTAVAIL":
      return new Failure(`${where} is no address of this machine`, { cause: error });
    case "EACCES":
    case "EPERM":
      return new Failure(`no permission to listen on ${where}: choose a port from 1024`, { cause: error });
    case "ENOTFOUND":
    case "EAI_AGAIN": {
      const { hostname = "the server" } = error as { hostname?: string };
      return new Failure(`cannot find an address for ${hostname}`, { cause: error });
    }
    default:
  }
  const given = files.filter((file) => file !== null);
  const [message] = messageOf(error).split(". Received");
  if (given.length > 0 && codeOf(error).startsWith("ERR_INVALID_ARG")) {
    return new Failure(`cannot use ${given.join(" with ")}: ${message}`, { cause: error });
  }
  if (given.length === 0 || codeOf(error) !== "ERR_QUIC_HANDSHAKE") return toFailure(error);
  return new Failure(`${message}; checked with ${given.join(", ")}`, { cause: error });
}
