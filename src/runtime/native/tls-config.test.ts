import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nativeClientConfig, nativeName, nativeServerConfig, trustDigest } from "./tls-config.js";

const yes = () => true;
const no = () => false;
const client = { alpn: ["h3"], serverName: "a.test", verify: "strict" } as const;
const base = { ...client, alpn: ["h3"] };

describe("names of ciphers and groups", () => {
  test("OpenSSL gets its own, the hybrid first with two key shares where it has it", () => {
    const native = nativeClientConfig("openssl", base, yes);
    assert.equal(native.ciphers, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
    assert.equal(native.groups, "*X25519MLKEM768:*X25519:P-256:P-384");
    assert.equal(nativeClientConfig("openssl", base, no).groups, "X25519:P-256:P-384");
    assert.equal(nativeClientConfig("openssl", { ...base, groups: "P-521" }, yes).groups, "P-521");
  });

  test("GnuTLS gets one priority string", () => {
    const config = { ...base, ciphers: "TLS_AES_128_CCM_SHA256", groups: "prime256v1:X448" };
    assert.equal(
      nativeClientConfig("gnutls", config, no).ciphers,
      "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-CCM:-GROUP-ALL:+GROUP-SECP256R1:+GROUP-X448:" +
        "%DISABLE_TLS13_COMPAT_MODE",
    );
    assert.match(nativeClientConfig("gnutls", base, yes).ciphers, /-GROUP-ALL:\+GROUP-X25519-MLKEM768:\+GROUP-X25519:/);
  });

  test("no name can smuggle other priorities in", () => {
    for (const groups of ["P-256,+VERS-TLS1.2", "", "P-256:", ":"]) {
      assert.throws(() => nativeClientConfig("gnutls", { ...base, groups }, no), /groups/);
    }
    for (const ciphers of ["", "AES-128-GCM", "toString", "TLS_AES_128_GCM_SHA256:+NULL"]) {
      assert.throws(() => nativeClientConfig("gnutls", { ...base, ciphers }, no), /ciphers/);
    }
  });
});

describe("options", () => {
  test("pre-shared keys: 1 to 65,535 bytes of identity, 16 to 256 of key, each identity once, and no certificate", () => {
    const key = new Uint8Array(16);
    const ok = { identity: "a", key };
    const make = (psk: { identity: string; key: Uint8Array }[]) => nativeClientConfig("openssl", { ...base, psk }, yes);
    for (const good of [ok, { identity: "a".repeat(65_535), key }, { identity: "a", key: new Uint8Array(256) }]) {
      assert.doesNotThrow(() => make([good]));
    }
    const long = { identity: "a".repeat(65_536), key };
    const [short, fat] = [15, 257].map((bytes) => ({ identity: "a", key: new Uint8Array(bytes) }));
    for (const bad of [[], [long], [{ identity: "", key }], [short], [fat], [ok, ok]]) {
      assert.throws(() => make(bad as (typeof ok)[]), /psk/);
    }
    const identity = { cert: "", key: "" };
    assert.throws(() => nativeClientConfig("openssl", { ...base, psk: [ok], identity }, yes), /psk/);
    const server = { alpn: ["h3"], identities: {}, psk: [ok] };
    assert.equal(nativeServerConfig("openssl", server, yes).pskKeys[0], "00".repeat(16));
    assert.throws(() => nativeServerConfig("openssl", { ...server, identities: { "*": identity } }, yes), /psk/);
    assert.throws(() => nativeServerConfig("openssl", { ...server, clientCertificate: "request" }, yes), /psk/);
    assert.throws(() => nativeClientConfig("openssl", { ...base, psk: [ok], ciphers: "TLS_AES_256_GCM_SHA384" }, yes));
  });

  test("ALPN protocols have 1 to 255 bytes", () => {
    for (const alpn of [[], [""], ["x".repeat(256)]]) {
      assert.throws(() => nativeClientConfig("openssl", { ...base, alpn }, no), { code: "ERR_INVALID_ARG_VALUE" });
    }
  });

  test("a server needs an identity and a ticket secret of 32 bytes", () => {
    const identities = { "Quic.Test": { cert: "c", key: "k" } };
    const ticketSecret = new Uint8Array(32);
    const server = { alpn: ["h3"], identities, ticketSecret };
    const openssl = nativeServerConfig("openssl", server, no);
    assert.deepEqual(openssl.names, ["quic.test"]);
    assert.throws(() => nativeServerConfig("gnutls", { ...server, identities: {} }, no), /identities/);
    const short = { ...server, ticketSecret: new Uint8Array(31) };
    assert.throws(() => nativeServerConfig("gnutls", short, no), /ticketSecret/);
  });

  test("RFC 6066 §3 SNI is a host name without its last dot, never an address", () => {
    assert.deepEqual(nativeName("Quic.Test.", false), { sni: "quic.test", verifyDns: "quic.test", verifyIp: "" });
    assert.deepEqual(nativeName("::1", false), { sni: "", verifyDns: "", verifyIp: "::1" });
    assert.deepEqual(nativeName("bücher.test", false).sni, "xn--bcher-kva.test");
    assert.deepEqual(nativeName("", true), { sni: "", verifyDns: "", verifyIp: "" });
    for (const name of ["", "a b", "[::1]", "fe80::1%lo", "a/b", "x".repeat(300)]) {
      assert.throws(() => nativeName(name, false), { code: "ERR_INVALID_ARG_VALUE" }, name);
    }
  });

  test("anchors have one digest for one list", () => {
    assert.deepEqual(trustDigest({ ca: ["a", "b"] }), trustDigest({ ca: ["a", "b"] }));
    assert.notDeepEqual(trustDigest({ ca: ["a"] }), trustDigest({ ca: ["b"] }));
    assert.deepEqual(trustDigest({}), new Uint8Array(8));
  });

  test("a ticket from before a new revocation list is another's", () => {
    assert.notDeepEqual(trustDigest({ ca: ["a"], crl: ["l"] }), trustDigest({ ca: ["a"] }));
    assert.notDeepEqual(trustDigest({ crl: ["l"] }), trustDigest({}));
    assert.notDeepEqual(trustDigest({ crl: ["l"] }), trustDigest({ crl: ["m"] }));
  });

  test("keys have one digest for one identity and key", () => {
    const digest = (identity: string, fill: number): Uint8Array =>
      trustDigest({ psk: [{ identity, key: new Uint8Array(16).fill(fill) }] });
    assert.deepEqual(digest("a", 1), digest("a", 1));
    assert.notDeepEqual(digest("a", 1), digest("b", 1));
    assert.notDeepEqual(digest("a", 1), digest("a", 2));
  });
});
