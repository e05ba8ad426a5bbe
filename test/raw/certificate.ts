/** X.509 certificates byte by byte (RFC 5280), P-256 with SHA-256, so that the raw server owes nothing to the addon. */

import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

export interface RawCertificate {
  der: Buffer;
  key: KeyObject;
  pem: string;
  keyPem: string;
  subject: string;
}

export interface RawCertificateOptions {
  subject: string;
  /** DNS names; none for an authority. */
  hosts?: readonly string[];
  issuer?: RawCertificate;
  isCa?: boolean;
  /** Days from now. */
  notAfterDays?: number;
  /** Bytes of an extension that nobody knows, to make a chain large. */
  fillBytes?: number;
}

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const { length } = body;
  const head =
    length < 128
      ? Buffer.of(tag, length)
      : length < 256
        ? Buffer.of(tag, 0x81, length)
        : Buffer.of(tag, 0x82, length >> 8, length & 255);
  return Buffer.concat([head, body]);
}

const seq = (...parts: Uint8Array[]): Buffer => der(0x30, ...parts);
const oid = (text: string): Buffer => der(0x06, Buffer.from(text, "hex"));
const ECDSA_SHA256 = seq(oid("2a8648ce3d040302"));
const COMMON_NAME = oid("550403");

function name(subject: string): Buffer {
  return seq(der(0x31, seq(COMMON_NAME, der(0x0c, Buffer.from(subject)))));
}

function time(date: Date): Buffer {
  const text = date.toISOString().replace(/[-:T]/g, "").slice(0, 14);
  return der(0x18, Buffer.from(`${text}Z`));
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return seq(oid(id), ...(critical ? [der(0x01, Buffer.of(0xff))] : []), der(0x04, value));
}

export function makeRawCertificate(options: RawCertificateOptions): RawCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const day = 86_400_000;
  const now = Date.now();
  const notAfter = now + (options.notAfterDays ?? 30) * day;
  const hosts = options.hosts ?? [];
  const isCa = options.isCa === true;
  const serial = randomBytes(12);
  serial[0] = ((serial[0] as number) & 0x7f) | 1;
  const extensions = [
    extension("551d13", true, seq(...(isCa ? [der(0x01, Buffer.of(0xff))] : []))),
    extension("551d0f", true, der(0x03, isCa ? Buffer.of(1, 0x06) : Buffer.of(7, 0x80))),
  ];
  if (hosts.length > 0) {
    extensions.push(extension("551d11", false, seq(...hosts.map((host) => der(0x82, Buffer.from(host))))));
  }
  const fill = options.fillBytes ?? 0;
  if (fill > 0) extensions.push(extension("2a0304", false, der(0x04, Buffer.alloc(fill, 7))));
  const issuerName = options.issuer?.subject ?? options.subject;
  const tbs = seq(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, serial),
    ECDSA_SHA256,
    name(issuerName),
    seq(time(new Date(Math.min(now, notAfter) - 10 * day)), time(new Date(notAfter))),
    name(options.subject),
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, seq(...extensions)),
  );
  const signature = sign("sha256", tbs, options.issuer?.key ?? privateKey);
  const bytes = seq(tbs, ECDSA_SHA256, der(0x03, Buffer.of(0), signature));
  const pem = `-----BEGIN CERTIFICATE-----\n${bytes
    .toString("base64")
    .replace(/(.{64})/g, "$1\n")
    .trim()}\n-----END CERTIFICATE-----\n`;
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  return { der: bytes, key: privateKey, pem, keyPem, subject: options.subject };
}
