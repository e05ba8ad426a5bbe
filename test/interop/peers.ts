/**
 * The foreign stacks: where each comes from, at which pinned version, how it is started, and what it lacks. They are installed
 * into a cache folder of the user when first needed and are never a dependency of the package.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { InteropCase } from "./cases.js";
import { ALPN, type ProgramOptions } from "./protocol.js";

const INSTALL_TIMEOUT_MILLIS = 240_000;
/** Peer programs stand beside the sources: they are run by other runtimes and not compiled. */
const PROGRAMS = fileURLToPath(new URL("../../test/interop/peers/", import.meta.url));
const OWN_PROGRAM = fileURLToPath(new URL("./netquic.js", import.meta.url));

export interface Peer {
  name: string;
  stack: string;
  alpn: string;
  /** Makes it runnable; "" when it is, else the reason why it is absent. */
  install(): string;
  command(options: ProgramOptions): { program: string; args: string[] };
  /** What this peer cannot do in this role, "" when it can: a gap of the peer, never one of ours. */
  lacks(role: "client" | "server", interopCase: InteropCase): string;
}

function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
  return join(base, "netquic-interop");
}

/** Runtimes with a QUIC stack inside; the benchmarks use them too. */
export const PEER_RUNTIMES = {
  deno: { name: "deno", version: "2.9.6" },
  bun: { name: "bun", version: "1.4.5" },
} as const;

/** Installs one npm package in a folder of its own, once. */
export function installNpm(name: string, version: string): { folder: string; error: string } {
  const folder = join(cacheFolder(), `${name.replaceAll(/[^\w.-]/g, "_")}-${version}`);
  const done = join(folder, "installed");
  if (existsSync(done)) return { folder, error: "" };
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{"private":true}\n');
    const npm = spawnSync("npm", ["install", "--no-audit", "--no-fund", "--prefix", folder, `${name}@${version}`], {
      encoding: "utf8",
      timeout: INSTALL_TIMEOUT_MILLIS,
      // The scripts of this package and what npm run sets for it are none of the peer's.
      env: Object.fromEntries(
        Object.entries(process.env).filter(([key]) => !/^npm_(?:package|lifecycle|command)/.test(key)),
      ),
    });
    if (npm.status !== 0) return { folder, error: `npm install ${name}@${version}: ${lastLine(npm.stderr)}` };
    writeFileSync(done, `${version}\n`);
  } catch (error) {
    return { folder, error: `npm install ${name}@${version}: ${String(error)}` };
  }
  return { folder, error: "" };
}

/** Installs Debian packages when a program is missing and this user may. */
function installDebian(programs: string[], packages: string[]): string {
  const isThere = (program: string) =>
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].some((folder) => existsSync(join(folder, program)));
  if (programs.every(isThere)) return "";
  const hint = `apt-get install ${packages.join(" ")}`;
  if (process.getuid?.() !== 0) return `not installed; as root: ${hint}`;
  const run = (args: string[]) =>
    spawnSync("apt-get", args, {
      encoding: "utf8",
      timeout: INSTALL_TIMEOUT_MILLIS,
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
  run(["update", "-q"]);
  const done = run(["install", "-q", "-y", "--no-install-recommends", ...packages]);
  return programs.every(isThere) ? "" : `${hint}: ${lastLine(done.stderr ?? "") || "failed"}`;
}

const GO_PATH = "/usr/share/gocode";

/** Compiles a program of `peers/` with Debian's Go and libraries, once for each text of it. */
function buildGo(name: string): { program: string; error: string } {
  const source = join(PROGRAMS, name, "main.go");
  const digest = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16);
  const program = join(cacheFolder(), `${name}-${digest}`);
  if (existsSync(program)) return { program, error: "" };
  mkdirSync(cacheFolder(), { recursive: true });
  const go = spawnSync("go", ["build", "-o", program, source], {
    encoding: "utf8",
    timeout: INSTALL_TIMEOUT_MILLIS,
    env: { ...process.env, GO111MODULE: "off", GOPATH: GO_PATH, GOCACHE: join(cacheFolder(), "go"), GOFLAGS: "" },
  });
  return { program, error: go.status === 0 ? "" : `go build: ${lastLine(go.stderr) || String(go.error ?? "failed")}` };
}

function lastLine(text: string | null): string {
  return (text ?? "").trim().split("\n").at(-1) ?? "";
}

/** A peer whose program is a script in `peers/`, run by something that npm installs. */
function scriptPeer(
  own: Pick<Peer, "name" | "stack" | "lacks">,
  pkg: { name: string; version: string },
  command: (folder: string) => string[],
): Peer {
  let folder = "";
  return {
    ...own,
    alpn: ALPN,
    install() {
      const installed = installNpm(pkg.name, pkg.version);
      folder = installed.folder;
      return installed.error;
    },
    command(options) {
      const [program = "", ...args] = command(folder);
      return { program, args: [...args, JSON.stringify(options)] };
    },
  };
}

const bin = (folder: string, name: string) => join(folder, "node_modules", ".bin", name);
const NO_RETRY = "cannot be told to send Retry";
const NO_ECN = "marks nothing and its ACK frames tell of no marks";

/** What a peer lacks as a server, as a client, in both roles: the reason by case. */
interface Gaps {
  server?: Partial<Record<InteropCase, string>>;
  client?: Partial<Record<InteropCase, string>>;
  both?: Partial<Record<InteropCase, string>>;
}

function lacking({ server, client, both }: Gaps): Peer["lacks"] {
  return (role, interopCase) => (role === "server" ? server : client)?.[interopCase] ?? both?.[interopCase] ?? "";
}

const NO_V2 = "has no option for version 2";
const NO_MIGRATION = "has no call to change its address";

const QUICHE_TICKETS = "@matrixai/quic makes a TLS context for each connection, so its tickets open nowhere";
const QUICHE_REFUSAL =
  "refuses 0-RTT, as it makes a TLS context for each connection; what is sent again arrives with the client's Finished, " +
  "before @matrixai/quic has told its program of the connection, and is answered by RESET_STREAM with code 0";
const QUICHE_SESSIONS = "@matrixai/quic keeps no session";
const QUICHE_SECOND_PATH = "follows one rebinding; to the port after that it sends nothing at all";
const QUICHE_GAPS: Gaps = {
  both: { ecn: `quiche 0.18 ${NO_ECN}` },
  client: {
    resumption: QUICHE_SESSIONS,
    zerortt: QUICHE_SESSIONS,
    v2: `@matrixai/quic ${NO_V2}`,
    migration: `@matrixai/quic ${NO_MIGRATION}`,
  },
  server: {
    resumption: QUICHE_TICKETS,
    zerortt: QUICHE_REFUSAL,
    rebindport: QUICHE_SECOND_PATH,
    rebindaddress: QUICHE_SECOND_PATH,
  },
};

const LSQUIC_SAME_ID =
  "follows a client only to another connection id (so ngtcp2's client says, too): 0 bytes after a rebinding";
const LSQUIC_GAPS: Gaps = {
  both: { ecn: `lsquic in bun ${NO_ECN}` },
  client: { migration: `bun's node:quic ${NO_MIGRATION}` },
  server: { retry: `bun's node:quic ${NO_RETRY}`, rebindport: LSQUIC_SAME_ID, rebindaddress: LSQUIC_SAME_ID },
};

const QUINN_GAPS: Gaps = {
  server: { retry: `deno ${NO_RETRY}` },
  client: { v2: `deno ${NO_V2}`, migration: `deno ${NO_MIGRATION}` },
};

const NGTCP2_GAPS: Gaps = { client: { v2: "knows version 2 of a draft only, 0x709a50c4" } };

const QUIC_GO_OLD_ADDRESS = "goes on sending to the client's first address: 0 bytes after a rebinding";
const QUIC_GO_GAPS: Gaps = {
  server: { rebindport: QUIC_GO_OLD_ADDRESS, rebindaddress: QUIC_GO_OLD_ADDRESS },
  client: { v2: "knows version 2 of a draft only, 0x709a50c4", migration: `quic-go 0.29 ${NO_MIGRATION}` },
};

const KDIG_NO_RESEND = "sends no lost packet again: after a lost first Initial it is silent for good";
const KDIG_GAPS: Gaps = {
  client: {
    resumption: "kdig keeps no session",
    zerortt: "kdig keeps no session",
    v2: `kdig ${NO_V2}`,
    migration: `kdig ${NO_MIGRATION}`,
    blackhole: `${KDIG_NO_RESEND}; one answer is over before the silence`,
    handshakeloss: KDIG_NO_RESEND,
    handshakecorruption: KDIG_NO_RESEND,
  },
};
const kdigLacks: Peer["lacks"] = (role, interopCase) =>
  role === "server" ? "kdig is a client" : lacking(KDIG_GAPS)(role, interopCase);

/** quic-go of Debian 12, a program of our own around the library. */
function quicGo(): Peer {
  let program = "";
  return {
    name: "quic-go",
    stack: "quic-go 0.29 of Debian 12 with Go 1.19",
    alpn: ALPN,
    lacks: lacking(QUIC_GO_GAPS),
    install() {
      const library = "golang-github-lucas-clemente-quic-go-dev";
      const missing = installDebian(["go"], ["golang-go", library]);
      if (missing !== "") return missing;
      const built = buildGo("quicgo");
      program = built.program;
      return built.error;
    },
    command: (options) => ({ program, args: [JSON.stringify(options)] }),
  };
}

/** A wrapper of `peers/` around programs of Debian packages. */
function debianPeer(
  own: Pick<Peer, "name" | "stack" | "alpn" | "lacks">,
  wrapper: string,
  programs: string[],
  packages: string[],
): Peer {
  return {
    ...own,
    install: () => installDebian(programs, packages),
    command: (options) => ({
      program: process.execPath,
      args: [join(PROGRAMS, wrapper), JSON.stringify(options)],
    }),
  };
}

export const PEERS: Peer[] = [
  scriptPeer(
    { name: "quiche", stack: "Cloudflare quiche 0.18 through @matrixai/quic 2.0.9", lacks: lacking(QUICHE_GAPS) },
    { name: "@matrixai/quic", version: "2.0.9" },
    (folder) => [
      process.execPath,
      join(PROGRAMS, "quiche.mjs"),
      join(folder, "node_modules", "@matrixai", "quic", "dist", "index.js"),
    ],
  ),
  scriptPeer(
    {
      name: "quinn",
      stack: "quinn 0.11 and rustls through deno 2.9.6",
      lacks: lacking(QUINN_GAPS),
    },
    PEER_RUNTIMES.deno,
    (folder) => [bin(folder, "deno"), "run", "-A", "--no-config", "--unstable-net", join(PROGRAMS, "deno.mjs")],
  ),
  scriptPeer(
    {
      name: "lsquic",
      stack: "lsquic and BoringSSL through bun 1.4.5",
      lacks: lacking(LSQUIC_GAPS),
    },
    PEER_RUNTIMES.bun,
    (folder) => [bin(folder, "bun"), join(PROGRAMS, "bun.mjs")],
  ),
  debianPeer(
    {
      name: "ngtcp2",
      stack: "ngtcp2 0.12.1, nghttp3 and GnuTLS of Debian 12",
      alpn: "h3",
      lacks: lacking(NGTCP2_GAPS),
    },
    "ngtcp2.mjs",
    ["gtlsclient", "gtlsserver"],
    ["ngtcp2-client", "ngtcp2-server"],
  ),
  quicGo(),
  debianPeer(
    { name: "kdig", stack: "kdig 3.2.6 of Debian 12, ngtcp2 and GnuTLS inside", alpn: "doq", lacks: kdigLacks },
    "kdig.mjs",
    ["kdig"],
    ["knot-dnsutils"],
  ),
];

/** Our own program as the peer, run by the Node that NETQUIC_PEER_NODE names: one version of Node against another. */
export const OWN: Peer = {
  name: "netquic",
  stack: "netquic",
  alpn: ALPN,
  lacks: () => "",
  install: () => "",
  command: (options) => ({
    program: process.env.NETQUIC_PEER_NODE ?? process.execPath,
    args: [OWN_PROGRAM, JSON.stringify(options)],
  }),
};

/** Our side of every cell, run by the Node that runs the harness. */
export function ownCommand(options: ProgramOptions): { program: string; args: string[] } {
  return { program: process.execPath, args: [OWN_PROGRAM, JSON.stringify(options)] };
}
