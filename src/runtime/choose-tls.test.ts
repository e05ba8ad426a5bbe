import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { chooseTls } from "./choose-tls.js";
import { gnutlsMissing } from "./native/tls-gnutls.js";
import { opensslMissing } from "./native/tls-openssl.js";

const hasOpenssl = opensslMissing() === "";
const hasGnutls = gnutlsMissing() === "";

describe("the choice of a TLS library", () => {
  test("is OpenSSL where Node's has QUIC, else GnuTLS", () => {
    const chosen = chooseTls({});
    assert.equal(chosen.name, hasOpenssl ? "openssl" : "gnutls");
    assert.match(chosen.version, hasOpenssl ? /^OpenSSL \d+\.\d+\.\d+$/ : /^GnuTLS 3\.\d+\.\d+$/);
    assert.equal(chooseTls({ NETQUIC_TLS: "" }).name, chosen.name);
  });

  for (const [name, missing] of [
    ["openssl", hasOpenssl ? "" : opensslMissing()],
    ["gnutls", hasGnutls ? "" : gnutlsMissing()],
  ] as const) {
    test(`NETQUIC_TLS=${name} forces it, or says why it cannot`, () => {
      if (missing === "") {
        assert.equal(chooseTls({ NETQUIC_TLS: name }).name, name);
        return;
      }
      assert.throws(
        () => chooseTls({ NETQUIC_TLS: name }),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, "ERR_NETQUIC_NO_TLS");
          assert.ok(error.message.includes(`NETQUIC_TLS=${name}`) && error.message.includes(missing));
          return true;
        },
      );
    });
  }

  test("another word is refused", () => {
    assert.throws(() => chooseTls({ NETQUIC_TLS: "boringssl" }), { code: "ERR_NETQUIC_NO_TLS" });
  });
});
