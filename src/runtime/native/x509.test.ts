import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { describe, test } from "node:test";
import { loadAddon } from "./addon.js";
import { certificateSha256, devCertificate, makeCertificate } from "./x509.js";

const DAY_MILLIS = 86_400_000;

describe("devCertificate", () => {
  test("is self-signed, CA:FALSE, for serverAuth, valid now and for 13 days", () => {
    const made = devCertificate({ hosts: ["localhost", "*.example.org", "127.0.0.1", "::1"] });
    const cert = new X509Certificate(made.cert);
    assert.equal(cert.verify(cert.publicKey), true);
    assert.equal(cert.ca, false);
    assert.equal(cert.checkHost("localhost"), "localhost");
    assert.equal(cert.checkHost("a.example.org"), "*.example.org");
    assert.equal(cert.checkIP("127.0.0.1"), "127.0.0.1");
    assert.equal(cert.checkIP("::1"), "::1");
    assert.deepEqual(cert.keyUsage, ["1.3.6.1.5.5.7.3.1"]);
    assert.ok(Date.parse(cert.validFrom) < Date.now());
    assert.equal(Date.parse(cert.validTo) - Date.parse(cert.validFrom), 13 * DAY_MILLIS);
    assert.equal(cert.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
  });

  test("gives the hashes that a client pins", () => {
    const made = devCertificate({ hosts: ["localhost"] });
    const cert = new X509Certificate(made.cert);
    assert.equal(made.sha256, createHash("sha256").update(cert.raw).digest("hex"));
    assert.equal(made.sha256, certificateSha256(made.cert));
    const spki = cert.publicKey.export({ type: "spki", format: "der" });
    assert.equal(made.spkiSha256, createHash("sha256").update(spki).digest("hex"));
  });

  test("has a key and a serial of its own each time, 16 positive bytes", () => {
    const serials = new Set<string>();
    for (let i = 0; i < 20; i++) serials.add(new X509Certificate(devCertificate({ hosts: ["a"] }).cert).serialNumber);
    assert.equal(serials.size, 20);
    for (const serial of serials) assert.match(serial, /^[4-7][0-9A-F]{31}$/);
  });

  test("makes Ed25519 keys when asked", () => {
    const cert = new X509Certificate(devCertificate({ hosts: ["a"], ed25519: true }).cert);
    assert.equal(cert.publicKey.asymmetricKeyType, "ed25519");
    assert.equal(cert.verify(cert.publicKey), true);
  });

  test("refuses no host, names that would smuggle configuration, and more than 14 days", () => {
    assert.throws(() => devCertificate({ hosts: [] }), RangeError);
    for (const host of ["a,DNS:b", "a b", "dirName:x", "", "a\nb", "@x", "fe80::1%lo"]) {
      assert.throws(() => devCertificate({ hosts: [host] }), RangeError, host);
    }
    assert.throws(() => devCertificate({ hosts: ["a"], days: 15 }), RangeError);
    assert.throws(() => devCertificate({ hosts: ["a"], days: Number.NaN }), RangeError);
  });
});

describe("makeCertificate", () => {
  const root = makeCertificate({ subject: "root", ca: true });

  test("makes an authority, an intermediate and leaves that verify up the chain", () => {
    const issuer = makeCertificate({ subject: "middle", ca: true, issuerCertPem: root.cert, issuerKeyPem: root.key });
    const leaf = makeCertificate({
      subject: "leaf",
      hosts: ["leaf.test"],
      issuerCertPem: issuer.cert,
      issuerKeyPem: issuer.key,
      keyType: "ED25519",
    });
    const [rootCert, middle, end] = [root, issuer, leaf].map((c) => new X509Certificate(c.cert));
    assert.ok(rootCert && middle && end);
    assert.equal(rootCert.ca && middle.ca, true);
    assert.equal(end.ca, false);
    assert.equal(end.checkIssued(middle) && middle.checkIssued(rootCert), true);
    assert.equal(end.verify(middle.publicKey) && middle.verify(rootCert.publicKey), true);
    assert.deepEqual(end.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  });

  test("makes certificates of the past", () => {
    const notBefore = new Date(Date.now() - 3 * DAY_MILLIS);
    const notAfter = new Date(Date.now() - DAY_MILLIS);
    const cert = new X509Certificate(makeCertificate({ subject: "old", notBefore, notAfter }).cert);
    assert.ok(Date.parse(cert.validTo) < Date.now());
  });

  test("refuses half an issuer, an issuer that is not PEM, and an end before the start", () => {
    assert.throws(() => makeCertificate({ subject: "x", issuerCertPem: root.cert }), RangeError);
    assert.throws(() => makeCertificate({ subject: "x", issuerCertPem: "no", issuerKeyPem: "no" }), {
      code: "ERR_NETQUIC_X509",
    });
    for (const times of [{ notAfter: new Date(0) }, { days: Number.NaN }, { notBefore: new Date("never") }]) {
      assert.throws(() => makeCertificate({ subject: "x", ...times }), RangeError);
    }
  });

  test("the native call throws for wrong types", () => {
    const { x509Make } = loadAddon<{ x509Make(...args: unknown[]): unknown }>();
    for (const args of [[], [1], [null], [{}], [{ subject: 1 }], ["x"]]) {
      assert.throws(() => x509Make(...args), { code: "ERR_INVALID_ARG_TYPE" });
    }
  });
});
