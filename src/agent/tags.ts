/**
 * Names for peers by what their certificates say: filters look at one field each, a tag is given when all of its filters
 * match. Patterns are globs: `*` is any text, `?` one character; upper and lower case differ.
 */

import { X509Certificate } from "node:crypto";

/** Fields of a certificate, each with all of its values. */
const FIELDS = {
  subject: (cert: X509Certificate) => [oneLine(cert.subject)],
  "subject.cn": (cert: X509Certificate) => attribute(cert.subject, "CN"),
  "subject.o": (cert: X509Certificate) => attribute(cert.subject, "O"),
  "subject.ou": (cert: X509Certificate) => attribute(cert.subject, "OU"),
  issuer: (cert: X509Certificate) => [oneLine(cert.issuer)],
  "issuer.cn": (cert: X509Certificate) => attribute(cert.issuer, "CN"),
  "san.dns": (cert: X509Certificate) => alternative(cert, "DNS:"),
  "san.ip": (cert: X509Certificate) => alternative(cert, "IP Address:"),
  "san.uri": (cert: X509Certificate) => alternative(cert, "URI:"),
  "san.email": (cert: X509Certificate) => alternative(cert, "email:"),
  serial: (cert: X509Certificate) => [cert.serialNumber],
  fingerprint: (cert: X509Certificate) => [cert.fingerprint256],
} as const;

type FieldName = keyof typeof FIELDS;

interface Filter {
  field: FieldName;
  pattern: string;
}

/** In the order of the files. */
export type TagRules = readonly { tag: string; filters: readonly Filter[] }[];

const MAX_TAG_BYTES = 255;

/** The tags of a peer; none without a certificate, or with one that Node cannot read whatever the TLS library makes of it. */
export function tagsOf(rules: TagRules, certificate: Uint8Array | undefined): string[] {
  if (certificate === undefined || rules.length === 0) return [];
  try {
    const cert = new X509Certificate(certificate);
    const matches = ({ field, pattern }: Filter): boolean =>
      FIELDS[field](cert).some((value) => isLike(value, pattern));
    return rules.filter(({ filters }) => filters.every(matches)).map(({ tag }) => tag);
  } catch {
    return []; // a tag gives rights: none in doubt
  }
}

/**
 * The rules of one file: `{"filters": {NAME: {"field": FIELD, "pattern": GLOB}}, "tags": {TAG: [NAME, ...]}}`.
 * @throws Error that says what is wrong
 */
export function parseTags(text: string): TagRules {
  const file = objectOf(JSON.parse(text), "the file", ["filters", "tags"]);
  const filters = new Map<string, Filter>();
  for (const [name, value] of Object.entries(objectOf(file["filters"] ?? {}, "filters"))) {
    filters.set(name, filterOf(value, `filter ${JSON.stringify(name)}`));
  }
  return Object.entries(objectOf(file["tags"] ?? {}, "tags")).map(([tag, names]) => {
    const what = `tag ${JSON.stringify(tag)}`;
    if (tag === "" || Buffer.byteLength(tag) > MAX_TAG_BYTES) throw new Error(`${what}: 1 to ${MAX_TAG_BYTES} bytes`);
    if (!Array.isArray(names) || names.length === 0) throw new Error(`${what} wants a list of filters`);
    return { tag, filters: names.map((name) => known(filters, name, what)) };
  });
}

function filterOf(value: unknown, what: string): Filter {
  const { field, pattern } = objectOf(value, what, ["field", "pattern"]);
  if (typeof field !== "string" || !Object.hasOwn(FIELDS, field)) {
    throw new Error(`${what}: field is one of ${Object.keys(FIELDS).join(", ")}`);
  }
  if (typeof pattern !== "string" || pattern === "") throw new Error(`${what} wants a pattern`);
  return { field: field as FieldName, pattern };
}

function known(filters: ReadonlyMap<string, Filter>, name: unknown, what: string): Filter {
  const filter = filters.get(String(name));
  if (filter === undefined) throw new Error(`${what}: there is no filter ${JSON.stringify(name)}`);
  return filter;
}

function objectOf(value: unknown, what: string, allowed?: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${what} is no object`);
  const unknown = Object.keys(value).find((key) => allowed !== undefined && !allowed.includes(key));
  if (unknown !== undefined)
    throw new Error(`${what} has ${JSON.stringify(unknown)}; it can have ${allowed?.join(", ")}`);
  return value as Record<string, unknown>;
}

/** Whether all of `text` is `pattern`; the time is that of their lengths multiplied at most. */
function isLike(text: string, pattern: string): boolean {
  let at = 0;
  let next = 0;
  let star = -1;
  let resume = 0;
  while (at < text.length) {
    if (pattern[next] === "*") {
      star = next++;
      resume = at;
    } else if (pattern[next] === "?" || pattern[next] === text[at]) {
      next++;
      at++;
    } else if (star >= 0) {
      next = star + 1; // the star takes one more
      at = ++resume;
    } else return false;
  }
  return /^\**$/.test(pattern.slice(next));
}

/** `CN=a\nO=b` as `CN=a,O=b`. */
function oneLine(name: string): string {
  return name.split("\n").join(",");
}

function attribute(name: string, key: string): string[] {
  return name
    .split("\n")
    .filter((line) => line.startsWith(`${key}=`))
    .map((line) => line.slice(key.length + 1));
}

/** Node puts names in quotes that could be taken for two. */
function alternative(cert: X509Certificate, prefix: string): string[] {
  const entries = (cert.subjectAltName ?? "").match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? [];
  return entries
    .map((entry) => entry.trim())
    .filter((entry) => entry.startsWith(prefix))
    .map((entry) => unquoted(entry.slice(prefix.length)));
}

function unquoted(value: string): string {
  return value.startsWith('"') ? String(JSON.parse(value)) : value;
}
