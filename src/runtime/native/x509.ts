/**
 * Certificates made in memory by the OpenSSL inside Node: self-signed ones for development (`devCertificate`) and small
 * authorities with leaves (`makeCertificate`), so that tests and demos need neither files nor the openssl program.
 * Names are checked here, because the native side hands them to a parser of configuration text.
 */

import { createHash, createPublicKey } from "node:crypto";
import { isIP } from "node:net";
import { loadAddon } from "./addon.js";

const DAY_SECONDS = 86_400;
/** Longest life that browsers accept for a certificate pinned by its hash, in days. */
const MAX_DEV_DAYS = 14;
const DEFAULT_DEV_DAYS = 13;
/** Clocks differ: a new certificate is valid from an hour ago. */
const BACKDATE_SECONDS = 3_600;

interface X509Addon {
  x509Make(request: {
    subject: string;
    altNames: string;
    keyUsage: string;
    extKeyUsage: string;
    keyType: KeyType;
    issuerCert: string;
    issuerKey: string;
    notBefore: number;
    notAfter: number;
    isCa: boolean;
  }): { cert: string; key: string };
}

/** OpenSSL's names; `EC` is P-256, and those of ML-DSA (FIPS 204) are known from OpenSSL 3.5 on. */
export type KeyType = "EC" | "ED25519" | "ML-DSA-44" | "ML-DSA-65" | "ML-DSA-87";

/** A certificate with its key, PEM, and the two hashes by which a client can pin it. */
export interface Certificate {
  cert: string;
  key: string;
  /** SHA-256 over the DER certificate, lower-case hex. */
  sha256: string;
  /** SHA-256 over the DER SubjectPublicKeyInfo, lower-case hex. */
  spkiSha256: string;
}

export interface DevCertificateOptions {
  /** DNS names and IP addresses; at least one. */
  hosts: readonly string[];
  /** Length of its life in days, above 0, at most 14; default 13. */
  days?: number;
  /** Default: an hour ago. */
  notBefore?: Date;
  /** Ed25519 in place of ECDSA P-256: signatures of fixed length, but browsers refuse it. */
  ed25519?: boolean;
}

export interface MakeCertificateOptions {
  /** Common name, 1 to 64 characters. */
  subject: string;
  /** DNS names and IP addresses; default none. */
  hosts?: readonly string[];
  /** Signer; default self-signed. Both or none. */
  issuerCertPem?: string;
  issuerKeyPem?: string;
  /** May sign others. */
  ca?: boolean;
  /** Length of its life in days; default 30. Ignored with `notAfter`. */
  days?: number;
  notBefore?: Date;
  notAfter?: Date;
  /** Default `EC`. */
  keyType?: KeyType;
}

/**
 * A self-signed certificate for a server, CA:FALSE, random serial.
 *
 * @throws RangeError for no or bad `hosts` or a life out of range.
 */
export function devCertificate(options: DevCertificateOptions): Certificate {
  const { hosts, days = DEFAULT_DEV_DAYS } = options;
  const [subject] = hosts;
  if (subject === undefined) throw new RangeError("devCertificate: hosts must name at least one host");
  if (!(days > 0 && days <= MAX_DEV_DAYS))
    throw new RangeError(`devCertificate: days must be 0 < days <= ${MAX_DEV_DAYS}`);
  const notBefore = seconds(options.notBefore) ?? nowSeconds() - BACKDATE_SECONDS;
  const made = loadAddon<X509Addon>().x509Make({
    subject: subject.slice(0, 64),
    altNames: altNames(hosts),
    keyUsage: "critical,digitalSignature",
    extKeyUsage: "serverAuth",
    keyType: options.ed25519 ? "ED25519" : "EC",
    issuerCert: "",
    issuerKey: "",
    notBefore,
    notAfter: Math.floor(notBefore + days * DAY_SECONDS),
    isCa: false,
  });
  return withHashes(made);
}

/**
 * A certificate of any role: an authority (`ca`), an intermediate, or a leaf for servers and clients.
 *
 * @throws RangeError for bad names or times, Error with code `ERR_NETQUIC_X509` when OpenSSL refuses.
 */
export function makeCertificate(options: MakeCertificateOptions): Certificate {
  const { subject, hosts = [], issuerCertPem = "", issuerKeyPem = "", ca = false, days = 30 } = options;
  if (subject.length < 1 || subject.length > 64)
    throw new RangeError("makeCertificate: subject has 1 to 64 characters");
  if ((issuerCertPem === "") !== (issuerKeyPem === "")) {
    throw new RangeError("makeCertificate: issuerCertPem and issuerKeyPem go together");
  }
  const notBefore = seconds(options.notBefore) ?? nowSeconds() - BACKDATE_SECONDS;
  const notAfter = seconds(options.notAfter) ?? Math.floor(notBefore + BACKDATE_SECONDS + days * DAY_SECONDS);
  if (!(notAfter > notBefore)) throw new RangeError("makeCertificate: notAfter is not after notBefore");
  const made = loadAddon<X509Addon>().x509Make({
    subject,
    altNames: altNames(hosts),
    keyUsage: ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature",
    extKeyUsage: ca ? "" : "serverAuth,clientAuth",
    keyType: options.keyType ?? "EC",
    issuerCert: issuerCertPem,
    issuerKey: issuerKeyPem,
    notBefore,
    notAfter,
    isCa: ca,
  });
  return withHashes(made);
}

/** SHA-256 over the first certificate of a PEM text, lower-case hex. */
export function certificateSha256(certPem: string): string {
  const body = /-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/.exec(certPem)?.[1];
  if (body === undefined) throw new RangeError("certificateSha256: no PEM certificate found");
  return createHash("sha256").update(Buffer.from(body, "base64")).digest("hex");
}

function withHashes(made: { cert: string; key: string }): Certificate {
  const spki = createPublicKey(made.key).export({ type: "spki", format: "der" });
  const spkiSha256 = createHash("sha256").update(spki).digest("hex");
  return { cert: made.cert, key: made.key, sha256: certificateSha256(made.cert), spkiSha256 };
}

/** The subjectAltName in the form that OpenSSL's extension parser reads: `DNS:a.test,IP:::1`. */
function altNames(hosts: readonly string[]): string {
  const names: string[] = [];
  for (const host of hosts) {
    const isAddress = isIP(host) !== 0 && !host.includes("%");
    if (!isAddress && !/^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(host)) {
      throw new RangeError(`not a host name or an IP address: ${JSON.stringify(host)}`);
    }
    names.push(`${isAddress ? "IP" : "DNS"}:${host}`);
  }
  return names.join(",");
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

function seconds(date: Date | undefined): number | undefined {
  if (date === undefined) return undefined;
  const value = Math.floor(date.getTime() / 1000);
  if (Number.isNaN(value)) throw new RangeError("not a date");
  return value;
}
