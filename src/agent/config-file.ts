/**
 * The configuration of `quic agent` and the files that it names, read as a whole: settings come out only when every
 * file is there and the TLS library takes it.
 */

import { readdir, readFile, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { TlsIdentity, TlsProvider, TlsPsk } from "../port/tls.js";
import { AGENT_HANDSHAKE_MILLIS } from "../proto/limits.js";
import { parsePskFile } from "../socket/psk-file.js";
import { type IniEntry, parseIni } from "./ini.js";
import type { LogLevel } from "./service.js";
import type { AgentSettings, RoleSettings } from "./settings.js";
import { parseTags, type TagRules } from "./tags.js";

export interface AgentConfigFile {
  settings: AgentSettings;
  logLevel: LogLevel;
}

/** Largest file that is read, bytes. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const TAGS_FOLDER = "tags.d";
const LOG_LEVELS: readonly LogLevel[] = ["error", "info", "debug"];
const CERTIFICATE_BORDERS = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Keys of tlshd that mean nothing here: the kernel's keyrings, and messages of its netlink. */
const WITHOUT_MEANING: Readonly<Record<string, readonly string[]>> = {
  debug: ["tls", "nl"],
  authenticate: ["keyrings"],
};
type IdentityKey = "x509.certificate" | "x509.private_key" | "x509.pq.certificate" | "x509.pq.private_key";
type RoleKey = "x509.truststore" | "x509.crl" | "psk" | IdentityKey;

/** Rejects with an Error whose message names the file, the line and what is wrong with it. */
export async function readAgentConfig(path: string, provider: TlsProvider): Promise<AgentConfigFile> {
  const reader = new ConfigReader(path, parsed(path, parseIni, await textOf(path)));
  const client = await reader.role("client");
  const server = await reader.role("server");
  const { logLevel, handshakeMillis } = reader;
  reader.finish();
  const tags = await readTags(join(dirname(path), TAGS_FOLDER));
  checkRole(path, "client", client, provider);
  checkRole(path, "server", server, provider);
  return { settings: { client, server, tags, handshakeMillis }, logLevel };
}

/** The rules of all files `*.json` of a folder, by name; none when there is no folder. */
async function readTags(folder: string): Promise<TagRules> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [] as string[];
    throw error;
  });
  const rules: TagRules[number][] = [];
  for (const name of names.filter((one) => one.endsWith(".json")).sort()) {
    const path = join(folder, name);
    rules.push(...parsed(path, parseTags, await textOf(path)));
  }
  return rules;
}

class ConfigReader {
  private readonly used = new Set<IniEntry>();

  constructor(
    private readonly path: string,
    private readonly entries: readonly IniEntry[],
  ) {}

  get logLevel(): LogLevel {
    const value = this.integer("debug", "loglevel", 0, 9) ?? 0;
    return LOG_LEVELS[Math.min(value, LOG_LEVELS.length - 1)] as LogLevel;
  }

  get handshakeMillis(): number {
    const most = AGENT_HANDSHAKE_MILLIS / 1000;
    return 1000 * (this.integer("agent", "handshake_timeout", 1, most) ?? most);
  }

  /** `[authenticate.ROLE]`, and certificates of one server name in `[authenticate.ROLE NAME]`. */
  async role(role: "client" | "server"): Promise<RoleSettings> {
    const section = `authenticate.${role}`;
    const trust = await this.file(section, "x509.truststore");
    const crl = await this.file(section, "x509.crl");
    const psk = await this.file(section, "psk");
    const identities: Record<string, TlsIdentity> = {};
    const own = await this.identity(section);
    if (own !== null) identities["*"] = own;
    for (const name of role === "server" ? this.namesBelow(section) : []) {
      const one = await this.identity(`${section} ${name}`);
      if (one !== null) identities[name.toLowerCase()] = one;
    }
    return {
      identities,
      ...(trust !== null && { ca: certificatesOf(trust) }),
      ...(crl !== null && { crl: [listsOf(crl)] }),
      ...(psk !== null && { psk: keysOf(psk) }),
    };
  }

  /** @throws Error for the first entry that nobody asked for. */
  finish(): void {
    for (const entry of this.entries) {
      const { section, key, line } = entry;
      if (this.used.has(entry) || WITHOUT_MEANING[section]?.includes(key) === true) continue;
      throw new Error(`${this.path}: line ${line}: ${key} in [${section}] is not known`);
    }
  }

  private async identity(section: string): Promise<TlsIdentity | null> {
    const own = await this.pair(section, "x509.certificate", "x509.private_key");
    const postQuantum = await this.pair(section, "x509.pq.certificate", "x509.pq.private_key");
    if (postQuantum === null) return own;
    if (own !== null) return { ...own, postQuantum };
    throw new Error(`${this.path}: [${section}] has no x509.certificate beside x509.pq.certificate`);
  }

  private async pair(section: string, certKey: IdentityKey, keyKey: IdentityKey): Promise<TlsIdentity | null> {
    const cert = await this.file(section, certKey);
    const key = await this.file(section, keyKey);
    if (cert === null && key === null) return null;
    if (cert !== null && key !== null) return { cert: cert.text, key: key.text };
    throw new Error(`${this.path}: [${section}] has no ${cert === null ? certKey : keyKey}`);
  }

  /** The names of sections `[SECTION NAME]`. */
  private namesBelow(section: string): Set<string> {
    const below = this.entries.filter((entry) => entry.section.startsWith(`${section} `));
    return new Set(below.map((entry) => entry.section.slice(section.length + 1)));
  }

  /** The file that an entry names, from the folder of the configuration. */
  private async file(section: string, key: RoleKey): Promise<NamedText | null> {
    const entry = this.entry(section, key);
    if (entry === null) return null;
    const path = resolve(dirname(this.path), entry.value);
    try {
      return { path, text: await textOf(path) };
    } catch (error) {
      throw new Error(`${this.path}: line ${entry.line}: ${key}: ${(error as Error).message}`, { cause: error });
    }
  }

  private integer(section: string, key: string, least: number, most: number): number | null {
    const entry = this.entry(section, key);
    if (entry === null) return null;
    const value = Number(entry.value);
    if (/^[0-9]+$/.test(entry.value) && value >= least && value <= most) return value;
    throw new Error(`${this.path}: line ${entry.line}: ${key} is a number of ${least} to ${most}`);
  }

  private entry(section: string, key: string): IniEntry | null {
    const found = this.entries.find((entry) => entry.section === section && entry.key === key);
    if (found === undefined) return null;
    this.used.add(found);
    return found;
  }
}

interface NamedText {
  path: string;
  text: string;
}

async function textOf(path: string): Promise<string> {
  const found = await stat(path);
  if (found.isDirectory()) throw new Error(`${path} is a directory`);
  const { size } = found;
  if (size > MAX_FILE_BYTES) throw new Error(`${path} has more than ${MAX_FILE_BYTES} bytes`);
  return readFile(path, "utf8");
}

function parsed<T>(path: string, parse: (text: string) => T, text: string): T {
  try {
    return parse(text);
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

function certificatesOf({ path, text }: NamedText): string[] {
  const found = text.match(CERTIFICATE_BORDERS);
  if (found === null) throw new Error(`${path}: there is no certificate (PEM) in it`);
  return found;
}

function listsOf({ path, text }: NamedText): string {
  if (!text.includes("-----BEGIN X509 CRL-----")) throw new Error(`${path}: there is no revocation list (PEM) in it`);
  return text;
}

function keysOf({ path, text }: NamedText): TlsPsk[] {
  const keys = parsePskFile(text);
  if (typeof keys === "string") throw new Error(`${path}: ${keys}`);
  return keys;
}

/** The TLS library says whether certificates and keys are whole and belong together. */
function checkRole(path: string, role: "client" | "server", settings: RoleSettings, provider: TlsProvider): void {
  const { ca, crl, psk } = settings;
  const shared = { alpn: ["check"], ...(ca !== undefined && { ca }), ...(crl !== undefined && { crl }) };
  const attempt = (what: string, make: () => { close(): void }): void => {
    try {
      make().close();
    } catch (error) {
      throw new Error(`${path}: ${what}: ${(error as Error).message}`, { cause: error });
    }
  };
  const section = `[authenticate.${role}]`;
  for (const [name, identity] of Object.entries(settings.identities)) {
    const what = name === "*" ? section : `[authenticate.${role} ${name}]`;
    attempt(what, () => provider.newServerContext({ ...shared, identities: { [name]: identity } }));
  }
  const trusting = { ...shared, serverName: "localhost", verify: "strict" } as const;
  if (ca !== undefined || crl !== undefined) attempt(section, () => provider.newClientContext(trusting));
  if (psk !== undefined) attempt(section, () => provider.newServerContext({ alpn: ["check"], identities: {}, psk }));
}
