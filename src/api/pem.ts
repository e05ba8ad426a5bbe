/** Keys and certificates in the forms that Node's APIs take, made into the PEM text that port/tls takes. */

import { createPrivateKey, KeyObject, X509Certificate } from "node:crypto";
import type { TlsIdentity } from "../port/tls.js";
import { invalidType, invalidValue } from "./errors.js";
import { viewOf } from "./option-reader.js";

const BEGIN = "-----BEGIN ";
/** In the header of a private key in PEM, of PKCS #8 and of the forms before it. */
const ENCRYPTED = /BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/;

/** PEM text, PEM or DER bytes, or an array of them. */
export type CertificateInput =
  | string
  | ArrayBuffer
  | ArrayBufferView
  | readonly (string | ArrayBuffer | ArrayBufferView)[];
export type KeyInput = KeyObject | string | ArrayBuffer | ArrayBufferView;

/** A certificate chain with its key. @throws when one is missing or broken, or they do not belong together. */
export function identityOf(
  keys: unknown,
  certs: unknown,
  path: string,
  names = { key: "keys", cert: "certs" },
): TlsIdentity {
  const keyName = `${path}.${names.key}`;
  const certName = `${path}.${names.cert}`;
  if (keys === undefined) throw invalidType(keyName, "a private key (its certificate is given)", keys);
  if (certs === undefined) throw invalidType(certName, "a certificate (its key is given)", certs);
  const [first, second] = Array.isArray(keys) ? (keys as unknown[]) : [keys];
  if (second !== undefined) throw invalidValue(keyName, "may hold one key only", keys);
  const key = privateKey(first, keyName);
  const cert = certificates(certs, certName).join("\n");
  const leaf = parseCertificate(cert, certName);
  if (!leaf.checkPrivateKey(key)) {
    throw invalidValue(keyName, `does not belong to the certificate of ${leaf.subject}`, "a private key");
  }
  return { cert, key: key.export({ type: "pkcs8", format: "pem" }) as string };
}

/** PEM texts of one or many certificates. */
export function certificates(given: unknown, path: string): string[] {
  const list = Array.isArray(given) ? (given as unknown[]) : [given];
  return list.map((each) => {
    const pem = pemText(each, path, "CERTIFICATE");
    parseCertificate(pem, path);
    return pem;
  });
}

/** PEM texts of one or many revocation lists; whether they are whole is for TLS to say. */
export function revocationLists(given: unknown, path: string): string[] {
  const list = Array.isArray(given) ? (given as unknown[]) : [given];
  return list.map((each) => pemText(each, path, "X509 CRL"));
}

function pemText(given: unknown, path: string, label: string): string {
  if (typeof given === "string") return given;
  const bytes = viewOf(given);
  if (bytes === null) throw invalidType(path, "PEM text, bytes, or an array of them", given);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString("latin1");
  if (text.includes(BEGIN)) return buffer.toString("utf8");
  return pemOfDer(buffer, label);
}

/** PEM text of one DER certificate. */
export function pemOfDer(der: Uint8Array, label = "CERTIFICATE"): string {
  const lines =
    Buffer.from(der.buffer, der.byteOffset, der.byteLength)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `${BEGIN}${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function parseCertificate(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw invalidValue(path, `holds no readable certificate (${(error as Error).message})`, pem);
  }
}

function privateKey(given: unknown, path: string): KeyObject {
  if (given instanceof KeyObject) {
    if (given.type !== "private") throw invalidValue(path, "must be a private key", given.type);
    return given;
  }
  const bytes = typeof given === "string" ? Buffer.from(given) : viewOf(given);
  if (bytes === null) throw invalidType(path, "a KeyObject, PEM text or bytes", given);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString("latin1");
  const isPem = text.includes(BEGIN);
  if (isPem && ENCRYPTED.test(text)) throw invalidValue(path, "is encrypted: give it decrypted", "bytes");
  try {
    return createPrivateKey(isPem ? buffer : { key: buffer, format: "der", type: "pkcs8" });
  } catch (error) {
    throw invalidValue(path, `holds no readable private key (${(error as Error).message})`, "bytes");
  }
}
