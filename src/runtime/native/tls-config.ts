/**
 * What port/tls calls a configuration, made into what the addon takes: names of ciphers and groups in the library's
 * spelling, host names split into what is sent and what is verified. All checks of user input are here; the native side
 * only guards against wrong types.
 */

import { createHash, createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { rootCertificates } from "node:tls";
import { domainToASCII } from "node:url";
import type { TlsClientConfig, TlsIdentity, TlsPsk, TlsServerConfig } from "../../port/tls.js";

export type LibraryName = "openssl" | "gnutls";

/** The `config` argument of the addon's `tlsContext`. */
export interface NativeConfig {
  isServer: boolean;
  report: boolean;
  keylog: boolean;
  earlyData: boolean;
  /** 0 ignore, 1 request, 2 require. */
  clientCert: number;
  alpn: string[];
  ciphers: string;
  groups: string;
  names: string[];
  certs: string[];
  keys: string[];
  pskIdentities: string[];
  /** Lower-case hexadecimal. */
  pskKeys: string[];
}

/** Where the peer's name goes: one of `verifyDns` and `verifyIp` is set, `sni` never holds an address (RFC 6066 §3). */
export interface NativeName {
  sni: string;
  verifyDns: string;
  verifyIp: string;
}

/** Cipher suites of TLS 1.3 that the engine can protect packets with, as GnuTLS calls their ciphers. */
const GNUTLS_CIPHERS: Readonly<Record<string, string>> = {
  TLS_AES_128_GCM_SHA256: "AES-128-GCM",
  TLS_AES_256_GCM_SHA384: "AES-256-GCM",
  TLS_CHACHA20_POLY1305_SHA256: "CHACHA20-POLY1305",
  TLS_AES_128_CCM_SHA256: "AES-128-CCM",
};
/** Those of SHA-256, with which pre-shared keys go. */
const PSK_CIPHERS = /_SHA256$/;
export const DEFAULT_CIPHERS = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/** Groups by OpenSSL's names, lower case, as GnuTLS calls them. */
const GNUTLS_GROUPS: Readonly<Record<string, string>> = {
  x25519: "X25519",
  x448: "X448",
  "p-256": "SECP256R1",
  prime256v1: "SECP256R1",
  secp256r1: "SECP256R1",
  "p-384": "SECP384R1",
  secp384r1: "SECP384R1",
  "p-521": "SECP521R1",
  secp521r1: "SECP521R1",
  ffdhe2048: "FFDHE2048",
  ffdhe3072: "FFDHE3072",
  ffdhe4096: "FFDHE4096",
  x25519mlkem768: "X25519-MLKEM768",
};
export const DEFAULT_GROUPS = "X25519:P-256:P-384";
const HYBRID_GROUP = "X25519MLKEM768";

export const MIN_TICKET_SECRET_BYTES = 32;
const MAX_ALPN_BYTES = 255;
const MAX_PSK_IDENTITY_BYTES = 65_535;
/** RFC 9257 §6: 128 bits of entropy at least. */
const MIN_PSK_BYTES = 16;
const MAX_PSK_BYTES = 256;
const MAX_HOST_BYTES = 253;

/** @throws RangeError with code `ERR_INVALID_ARG_VALUE` that names the option. */
export function nativeServerConfig(
  library: LibraryName,
  config: TlsServerConfig,
  hasGroup: (name: string) => boolean,
): NativeConfig {
  const identities = Object.entries(config.identities).flatMap(([name, identity]) =>
    certificatesOf(library, identity).map((one) => ({ name: name.toLowerCase(), ...one })),
  );
  const hasPsk = (config.psk ?? []).length > 0;
  if (identities.length === 0 && !hasPsk) throw invalid("identities: at least one, `*` is the default");
  if (identities.length > 0 && hasPsk) throw invalid("psk: there are certificates, too (identities)");
  const { clientCertificate = "ignore", ticketSecret } = config;
  const clientCert = ["ignore", "request", "require"].indexOf(clientCertificate);
  if (clientCert > 0 && hasPsk) throw invalid("psk: no client certificate can be asked for (clientCertificate)");
  if (clientCert < 0) throw invalid("clientCertificate is ignore, request or require");
  if (ticketSecret !== undefined && ticketSecret.length < MIN_TICKET_SECRET_BYTES) {
    throw invalid(`ticketSecret has at least ${MIN_TICKET_SECRET_BYTES} bytes`);
  }
  return {
    ...commonConfig(library, config, identities, hasGroup),
    isServer: true,
    report: false,
    clientCert,
    names: identities.map(({ name }) => name),
  };
}

/** @throws RangeError with code `ERR_INVALID_ARG_VALUE` that names the option. */
export function nativeClientConfig(
  library: LibraryName,
  config: TlsClientConfig,
  hasGroup: (name: string) => boolean,
): NativeConfig {
  const identities = config.identity === undefined ? [] : certificatesOf(library, config.identity);
  if (config.identity !== undefined && config.psk !== undefined)
    throw invalid("psk: there is a certificate, too (identity)");
  if (config.verify !== "strict" && config.verify !== "report") throw invalid("verify is strict or report");
  return {
    ...commonConfig(library, config, identities, hasGroup),
    isServer: false,
    report: config.verify === "report",
    clientCert: 0,
    names: identities.map(() => ""),
  };
}

type TlsPair = Pick<TlsIdentity, "cert" | "key">;
type Shared = Omit<NativeConfig, "isServer" | "report" | "clientCert" | "names">;

/** That of an identity and the post-quantum one beside it: OpenSSL shows the one that the peer can verify. */
function certificatesOf(library: LibraryName, { postQuantum, ...own }: TlsIdentity): TlsPair[] {
  if (postQuantum === undefined) return [own];
  if (library === "gnutls") throw invalid("a post-quantum certificate: GnuTLS has no ML-DSA, OpenSSL 3.5 has");
  if (!isPostQuantum(postQuantum.key)) throw invalid("a post-quantum certificate: its key is not one of ML-DSA");
  return [own, postQuantum];
}

/** Of two keys of one kind OpenSSL would forget the first. */
function isPostQuantum(key: string): boolean {
  try {
    return (createPrivateKey(key).asymmetricKeyType as string | undefined)?.startsWith("ml-dsa-") === true;
  } catch {
    return false;
  }
}

function commonConfig(
  library: LibraryName,
  config: TlsClientConfig | TlsServerConfig,
  identities: readonly TlsPair[],
  hasGroup: (name: string) => boolean,
): Shared {
  if (config.alpn.length === 0) throw invalid("alpn: QUIC needs at least one protocol (RFC 9001 §8.1)");
  for (const protocol of config.alpn) {
    const bytes = Buffer.byteLength(protocol);
    if (bytes < 1 || bytes > MAX_ALPN_BYTES) throw invalid(`alpn: a protocol has 1 to ${MAX_ALPN_BYTES} bytes`);
  }
  const named = (config.ciphers ?? DEFAULT_CIPHERS).split(":");
  for (const suite of named) {
    if (!Object.hasOwn(GNUTLS_CIPHERS, suite)) {
      throw invalid(`ciphers: ${suite} is not one of ${Object.keys(GNUTLS_CIPHERS).join(", ")}`);
    }
  }
  const psk = checkedPsk(config.psk);
  const suites = psk.length === 0 ? named : named.filter((suite) => PSK_CIPHERS.test(suite));
  if (suites.length === 0) throw invalid("ciphers: none is of SHA-256, with which pre-shared keys go");
  const isOpenssl = library === "openssl";
  const groups = isOpenssl ? opensslGroups(config.groups, hasGroup) : "";
  return {
    keylog: config.keylog ?? false,
    earlyData: config.earlyData ?? false,
    alpn: config.alpn,
    ciphers: isOpenssl ? suites.join(":") : gnutlsPriority(suites, config.groups, hasGroup, psk.length > 0),
    groups,
    certs: identities.map((identity) => identity.cert),
    keys: identities.map((identity) => identity.key),
    pskIdentities: psk.map(({ identity }) => identity),
    pskKeys: psk.map(({ key }) => Buffer.from(key).toString("hex")),
  };
}

function checkedPsk(psk: readonly TlsPsk[] | undefined): readonly TlsPsk[] {
  if (psk === undefined) return [];
  if (psk.length === 0) throw invalid("psk: at least one key");
  for (const { identity, key } of psk) {
    const bytes = Buffer.byteLength(identity);
    if (bytes < 1 || bytes > MAX_PSK_IDENTITY_BYTES) {
      throw invalid(`psk: an identity has 1 to ${MAX_PSK_IDENTITY_BYTES} bytes`);
    }
    if (key.length < MIN_PSK_BYTES || key.length > MAX_PSK_BYTES) {
      throw invalid(`psk: a key has ${MIN_PSK_BYTES} to ${MAX_PSK_BYTES} bytes`);
    }
  }
  if (new Set(psk.map(({ identity }) => identity)).size < psk.length) throw invalid("psk: an identity is there twice");
  return psk;
}

function opensslGroups(groups: string | undefined, hasGroup: (name: string) => boolean): string {
  if (groups !== undefined) return groups;
  // `*` sends a key share: both, so that a peer without the hybrid needs no second round trip.
  return hasGroup(HYBRID_GROUP) ? `*${HYBRID_GROUP}:*${DEFAULT_GROUPS}` : DEFAULT_GROUPS;
}

/** GnuTLS takes versions, ciphers and groups in one string. */
function gnutlsPriority(
  suites: readonly string[],
  groups: string | undefined,
  hasGroup: (name: string) => boolean,
  isPsk: boolean,
): string {
  const hybrid = hasGroup("X25519-MLKEM768") ? `${HYBRID_GROUP}:` : "";
  const wanted = (groups ?? hybrid + DEFAULT_GROUPS).split(":").map((name) => {
    const mapped = GNUTLS_GROUPS[name.toLowerCase()];
    if (mapped === undefined) throw invalid(`groups: GnuTLS does not know ${name}`);
    return `+GROUP-${mapped}`;
  });
  const ciphers = suites.map((suite) => `+${GNUTLS_CIPHERS[suite]}`);
  const keyExchange = isPsk ? ["-KX-ALL", "+ECDHE-PSK", "+DHE-PSK"] : [];
  const versions = ["-VERS-ALL", "+VERS-TLS1.3"];
  const parts = ["NORMAL", ...versions, ...keyExchange, "-CIPHER-ALL", ...ciphers, "-GROUP-ALL", ...wanted];
  return [...parts, "%DISABLE_TLS13_COMPAT_MODE"].join(":");
}

/**
 * Splits what the caller connects to. An empty name is allowed only where the caller judges the certificate by itself.
 *
 * @throws RangeError for a name that is no host.
 */
export function nativeName(serverName: string, mayBeEmpty: boolean): NativeName {
  if (serverName === "" && mayBeEmpty) return { sni: "", verifyDns: "", verifyIp: "" };
  if (isIP(serverName) !== 0 && !serverName.includes("%")) return { sni: "", verifyDns: "", verifyIp: serverName };
  const host = asciiHost(serverName.replace(/\.$/, ""));
  if (host.length > MAX_HOST_BYTES || !/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(host)) {
    throw invalid(`serverName: ${JSON.stringify(serverName)} is not a host name`);
  }
  return { sni: host, verifyDns: host, verifyIp: "" };
}

/** RFC 5891 for names beyond ASCII; "" for none. The library would cut `a/b` to `a`, so such names never reach it. */
function asciiHost(host: string): string {
  return /[\s\p{Cc}!-,/:-@[-^`{-~]/u.test(host) ? "" : domainToASCII(host);
}

let defaultStore: string[] | undefined;

/**
 * Node's own roots and those of NODE_EXTRA_CA_CERTS, a certificate an entry. A file that cannot be read is left out, as
 * Node does; its bad entries are left out by whoever parses them.
 */
export function defaultCa(): string[] {
  defaultStore ??= [...rootCertificates, ...extraCa(process.env.NODE_EXTRA_CA_CERTS ?? "")];
  return defaultStore;
}

function extraCa(path: string): string[] {
  if (path === "") return [];
  try {
    const pems = readFileSync(path, "utf8").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
    return pems ?? [];
  } catch {
    return []; // Node has warned about it at its start.
  }
}

/** Says how a ticket's server was verified, by trust anchors and revocation lists or by a key: 8 bytes, the same for the same. */
export function trustDigest({ ca, crl = [], psk }: Pick<TlsClientConfig, "ca" | "crl" | "psk">): Uint8Array {
  const [key] = psk ?? [];
  if (key !== undefined) return digest(`psk ${key.identity} ${Buffer.from(key.key).toString("hex")}`);
  if (ca === undefined && crl.length === 0) return new Uint8Array(8);
  return digest([...(ca ?? ["default"]), ...crl].join("\n"));
}

function digest(text: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(text).digest().subarray(0, 8));
}

function invalid(message: string): RangeError {
  return Object.assign(new RangeError(message), { code: "ERR_INVALID_ARG_VALUE" });
}
