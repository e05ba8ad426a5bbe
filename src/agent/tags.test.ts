import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, test } from "node:test";
import { makeCertificate } from "../runtime/native/x509.js";
import { parseTags, tagsOf } from "./tags.js";

const root = makeCertificate({ subject: "the root", ca: true });
const leaf = makeCertificate({
  subject: "backup-7",
  hosts: ["nas.example.org", "10.0.0.7"],
  issuerCertPem: root.cert,
  issuerKeyPem: root.key,
});
const x509 = new X509Certificate(leaf.cert);
const der = new Uint8Array(x509.raw);

function tags(filters: Record<string, { field: string; pattern: string }>, given: Record<string, string[]>): string[] {
  return tagsOf(parseTags(JSON.stringify({ filters, tags: given })), der);
}

describe("tags", () => {
  test("a tag is given when all of its filters match", () => {
    const filters = {
      backup: { field: "subject.cn", pattern: "backup-*" },
      ours: { field: "issuer.cn", pattern: "the root" },
      theirs: { field: "issuer.cn", pattern: "another" },
    };
    const given = { both: ["backup", "ours"], one: ["ours"], none: ["backup", "theirs"] };
    assert.deepEqual(tags(filters, given), ["both", "one"]);
  });

  test("every field, with any of its values", () => {
    for (const [field, pattern] of [
      ["subject", "CN=backup-7"],
      ["issuer", "*the root*"],
      ["san.dns", "*.example.org"],
      ["san.ip", "10.0.0.?"],
      ["serial", x509.serialNumber],
      ["fingerprint", x509.fingerprint256],
    ] as const) {
      assert.deepEqual(tags({ f: { field, pattern } }, { t: ["f"] }), ["t"], field);
    }
    for (const field of ["subject.o", "subject.ou", "san.uri", "san.email"]) {
      assert.deepEqual(tags({ f: { field, pattern: "*" } }, { t: ["f"] }), [], field);
    }
  });

  test("patterns match all of a value, letter by letter", () => {
    const matches = (pattern: string): boolean =>
      tags({ f: { field: "subject.cn", pattern } }, { t: ["f"] }).length === 1;
    for (const pattern of ["backup-7", "*", "b*7", "*-7", "backup-?", "b*a*u*-*7*", "**", "?ackup*"]) {
      assert.ok(matches(pattern), pattern);
    }
    for (const pattern of ["backup", "ackup-7", "Backup-7", "backup-??", "b*8", "backup.7", "?"]) {
      assert.ok(!matches(pattern), pattern);
    }
  });

  test("a certificate that cannot be read has no tags", () => {
    const rules = parseTags('{"filters": {"any": {"field": "subject", "pattern": "*"}}, "tags": {"all": ["any"]}}');
    assert.deepEqual(tagsOf(rules, der), ["all"]);
    assert.deepEqual(tagsOf(rules, der.subarray(0, 40)), []);
  });

  test("a pattern of many stars does not take long", () => {
    const pattern = `${"*a".repeat(200)}b`;
    const name = "a".repeat(5000);
    const long = makeCertificate({
      subject: "x",
      hosts: Array.from({ length: 100 }, (_, i) => `${i}${name.slice(0, 50)}`),
    });
    const rules = parseTags(JSON.stringify({ filters: { f: { field: "san.dns", pattern } }, tags: { t: ["f"] } }));
    const before = performance.now();
    assert.deepEqual(tagsOf(rules, new Uint8Array(new X509Certificate(long.cert).raw)), []);
    assert.ok(performance.now() - before < 20_000); // trying every way to match takes longer than there is time
  });

  test("without a certificate there are none", () => {
    const rules = parseTags('{"filters": {"f": {"field": "subject", "pattern": "*"}}, "tags": {"t": ["f"]}}');
    assert.deepEqual(tagsOf(rules, undefined), []);
  });

  test("a file that is wrong says where", () => {
    for (const [text, words] of [
      ["[]", /the file is no object/],
      ['{"filter": {}}', /the file has "filter"; it can have filters, tags/],
      ['{"filters": {"f": {"field": "subject"}}}', /filter "f" wants a pattern/],
      ['{"filters": {"f": {"field": "constructor", "pattern": "x"}}}', /filter "f": field is one of subject,/],
      ['{"tags": {"t": ["f"]}}', /tag "t": there is no filter "f"/],
      ['{"tags": {"t": []}}', /tag "t" wants a list of filters/],
      ['{"tags": {"": ["f"]}}', /tag "": 1 to 255 bytes/],
      ["{", /JSON/],
    ] as const) {
      assert.throws(() => parseTags(text), words, text);
    }
  });
});
