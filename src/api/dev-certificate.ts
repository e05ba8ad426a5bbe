/** A certificate for development: made in memory when asked for, and announced so that nobody runs one unknowingly. */

import { devCertificate } from "../runtime/native/x509.js";
import type { TlsIdentity } from "../port/tls.js";
import { invalidType, invalidValue } from "./errors.js";
import { OptionReader } from "./option-reader.js";

/** PEM texts, and the two hashes by which a client can pin it (lower-case hex). */
export interface DevCertificate {
  cert: string;
  key: string;
  /** SHA-256 of the DER certificate. */
  fingerprint256: string;
  /** SHA-256 of its public key (SubjectPublicKeyInfo). */
  spkiSha256: string;
}

const DEFAULT_HOSTS = ["localhost", "127.0.0.1", "::1"];
const DEFAULT_DAYS = 13;

/** For `ext.devCertificate`: `true` or `{hosts, days}`; null when it was not asked for. */
export function readDevCertificate(given: unknown, path: string): DevCertificate | null {
  if (given === undefined || given === false) return null;
  const reader = new OptionReader(given === true ? {} : given, path);
  const hosts = reader.raw("hosts") ?? DEFAULT_HOSTS;
  if (!Array.isArray(hosts) || hosts.length === 0 || hosts.some((host) => typeof host !== "string")) {
    throw invalidType(reader.name("hosts"), "an array of at least one host name or address", hosts);
  }
  const days = reader.number("days", 1, 14, true) ?? DEFAULT_DAYS;
  reader.finish();
  let made: { cert: string; key: string; sha256: string; spkiSha256: string };
  try {
    made = devCertificate({ hosts, days });
  } catch (error) {
    if (error instanceof RangeError) throw invalidValue(path, error.message, hosts);
    throw error;
  }
  process.stderr.write(
    `netquic: self-signed development certificate for ${hosts.join(", ")}, ${days} days, SHA-256 ${made.sha256}\n`,
  );
  return { cert: made.cert, key: made.key, fingerprint256: made.sha256, spkiSha256: made.spkiSha256 };
}

export function identityOfDev(made: DevCertificate): TlsIdentity {
  return { cert: made.cert, key: made.key };
}
