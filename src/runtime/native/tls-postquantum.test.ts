/**
 * Two certificates of one name (TLS 1.3, RFC 8446 §4.4.2.2): an ML-DSA one for peers that can verify it, the other for the
 * rest. OpenSSL 3.5 has ML-DSA, GnuTLS has not.
 */

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, test } from "node:test";
import type { TlsIdentity, TlsProvider } from "../../port/tls.js";
import { gnutlsMissing, gnutlsTls } from "./tls-gnutls.js";
import { opensslMissing, opensslTls } from "./tls-openssl.js";
import { Pair } from "./tls-pair.contract.js";
import { type KeyType, makeCertificate } from "./x509.js";

const PARTY = { transportParams: Uint8Array.of(0x04, 0x04, 0x80, 0x10, 0x00, 0x00) };
const COMMON_NAME = /CN=(.*)/;

/** A root and leaves under it for `quic.test`, named by their kinds of key. */
function pkiOf(rootType: KeyType, leafTypes: readonly KeyType[]) {
  const root = makeCertificate({ subject: "root", ca: true, keyType: rootType });
  const signer = { issuerCertPem: root.cert, issuerKeyPem: root.key };
  const leaves = leafTypes.map((keyType) => {
    const { cert, key } = makeCertificate({ subject: keyType, hosts: ["quic.test"], keyType, ...signer });
    return { cert, key };
  });
  return { ca: root.cert, leaves };
}

async function shake(
  clientTls: TlsProvider,
  serverTls: TlsProvider,
  ca: string[],
  identities: Record<string, TlsIdentity>,
  identity?: TlsIdentity,
) {
  const server = serverTls.newServerContext({ alpn: ["x"], ca, identities, clientCertificate: "request" });
  const name = { serverName: "quic.test", verify: "strict" as const };
  const client = clientTls.newClientContext({ alpn: ["x"], ca, ...name, ...(identity !== undefined && { identity }) });
  const pair = new Pair(client.newSession(PARTY), server.newSession(PARTY));
  const infos = await pair.handshake();
  pair.close();
  const shown = ({ peerCertificates: [leaf] }: { peerCertificates: Uint8Array[] }): string | undefined =>
    leaf && COMMON_NAME.exec(new X509Certificate(leaf).subject)?.[1];
  return { byServer: shown(infos.client), byClient: shown(infos.server) };
}

if (opensslMissing() === "") {
  describe("post-quantum certificates: openssl", () => {
    const openssl = opensslTls();
    const old = pkiOf("EC", ["EC"]);
    const next = pkiOf("ML-DSA-65", ["ML-DSA-65", "ML-DSA-44", "ML-DSA-87"]);
    const ca = [old.ca, next.ca];
    const [own, postQuantum] = [old.leaves[0], next.leaves[0]] as [TlsIdentity, TlsIdentity];
    const both = { ...own, postQuantum };

    test("RFC 8446 §4.4.2.2 a peer that can verify ML-DSA is shown that one, in both roles", async () => {
      for (const name of ["*", "quic.test"]) {
        const shown = await shake(openssl, openssl, ca, { "other.test": own, [name]: both }, both);
        assert.deepEqual(shown, { byServer: "ML-DSA-65", byClient: "ML-DSA-65" });
      }
    });

    test("each strength of ML-DSA", async () => {
      for (const leaf of next.leaves) {
        const { byServer } = await shake(openssl, openssl, ca, { "*": { ...own, postQuantum: leaf } });
        assert.match(byServer ?? "", /^ML-DSA-/);
      }
    });

    test("other names keep to their own", async () => {
      const { byServer } = await shake(openssl, openssl, ca, { "quic.test": own, "*": both });
      assert.equal(byServer, "EC");
    });

    test("a key that is not of ML-DSA is refused: it would displace the other", () => {
      const wrong = { "*": { ...own, postQuantum: own } };
      assert.throws(() => openssl.newServerContext({ alpn: ["x"], identities: wrong }), {
        code: "ERR_INVALID_ARG_VALUE",
        message: /its key is not one of ML-DSA/,
      });
      const rubbish = { "*": { ...own, postQuantum: { cert: postQuantum.cert, key: "rubbish" } } };
      assert.throws(() => openssl.newServerContext({ alpn: ["x"], identities: rubbish }), /not one of ML-DSA/);
    });

    if (gnutlsMissing() === "") {
      test("a peer without ML-DSA is shown the other, in both roles", async () => {
        const gnutls = gnutlsTls();
        assert.equal((await shake(gnutls, openssl, ca, { "*": both })).byServer, "EC");
        assert.equal((await shake(openssl, gnutls, [old.ca], { "*": own }, both)).byClient, "EC");
      });
    }
  });
}

if (gnutlsMissing() === "") {
  test("GnuTLS refuses an identity with a post-quantum certificate, in words", () => {
    const [own] = pkiOf("EC", ["EC"]).leaves as [TlsIdentity];
    const identity = { ...own, postQuantum: own };
    const client = { alpn: ["x"], serverName: "quic.test", verify: "strict" as const, identity };
    const refusal = { code: "ERR_INVALID_ARG_VALUE", message: /GnuTLS has no ML-DSA/ };
    assert.throws(() => gnutlsTls().newServerContext({ alpn: ["x"], identities: { "*": identity } }), refusal);
    assert.throws(() => gnutlsTls().newClientContext(client), refusal);
  });
}
