/** Makes revocation lists for tests (RFC 5280 §5.1): a list of one authority, in DER or PEM, signed with its EC key. */

import { sign, X509Certificate } from "node:crypto";

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OID = 0x06;
const UTC_TIME = 0x17;
const SEQUENCE = 0x30;
const DAY_MILLIS = 86_400_000;
/** 1.2.840.10045.4.3.2 */
const ECDSA_WITH_SHA256 = Buffer.from("2a8648ce3d040302", "hex");

export interface ListOptions {
  /** PEM of a certificate of the authority whose list it is: the list names the same issuer. */
  issued: string;
  /** PEM of that authority's key. */
  key: string;
  /** PEM of certificates that are revoked; default none. */
  revoked?: readonly string[];
  /** When the list was due to be renewed; default tomorrow. */
  nextUpdate?: Date;
  /** From when on it counts; default a day ago, or a day before `nextUpdate`. */
  thisUpdate?: Date;
}

export function makeList({ issued, key, revoked = [], ...times }: ListOptions): string {
  const next = times.nextUpdate ?? new Date(Date.now() + DAY_MILLIS);
  const thisUpdate = times.thisUpdate ?? new Date(Math.min(Date.now(), next.getTime()) - DAY_MILLIS);
  const algorithm = element(SEQUENCE, element(OID, ECDSA_WITH_SHA256));
  const entries = revoked.map((cert) => element(SEQUENCE, fieldsOf(cert).serial, time(thisUpdate)));
  const signed = element(
    SEQUENCE,
    element(INTEGER, Buffer.of(1)),
    algorithm,
    fieldsOf(issued).issuer,
    time(thisUpdate),
    time(next),
    ...(entries.length > 0 ? [element(SEQUENCE, ...entries)] : []),
  );
  const signature = element(BIT_STRING, Buffer.of(0), sign("sha256", signed, key));
  const lines = element(SEQUENCE, signed, algorithm, signature)
    .toString("base64")
    .match(/.{1,64}/g);
  return `-----BEGIN X509 CRL-----\n${lines?.join("\n")}\n-----END X509 CRL-----\n`;
}

/** Serial number and issuer of a certificate, as they stand in it (RFC 5280 §4.1). */
function fieldsOf(pem: string): { serial: Buffer; issuer: Buffer } {
  const [tbs] = children(new X509Certificate(pem).raw);
  const [, serial, , issuer] = children(tbs as Buffer);
  return { serial: serial as Buffer, issuer: issuer as Buffer };
}

/** The elements of a DER sequence. */
function children(sequence: Buffer): Buffer[] {
  const found: Buffer[] = [];
  const { start, end } = bounds(sequence, 0);
  for (let at = start; at < end; ) {
    const next = bounds(sequence, at).end;
    found.push(sequence.subarray(at, next));
    at = next;
  }
  return found;
}

/** Of the contents of the element at `at`. */
function bounds(der: Buffer, at: number): { start: number; end: number } {
  const first = der[at + 1] as number;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  const start = at + 2 + lengthBytes;
  return { start, end: start + (lengthBytes === 0 ? first : der.readUIntBE(at + 2, lengthBytes)) };
}

function element(tag: number, ...contents: Buffer[]): Buffer {
  const body = Buffer.concat(contents);
  if (body.length < 0x80) return Buffer.concat([Buffer.of(tag, body.length), body]);
  return Buffer.concat([Buffer.of(tag, 0x82, body.length >> 8, body.length & 0xff), body]);
}

function time(date: Date): Buffer {
  return element(
    UTC_TIME,
    Buffer.from(date.toISOString().replace(/^..(..)-(..)-(..)T(..):(..):(..).*/, "$1$2$3$4$5$6Z")),
  );
}
