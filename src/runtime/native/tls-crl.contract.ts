/**
 * Revocation lists (RFC 5280 §5, §6.3) over port/tls, for a client and a server of any two providers. `crlContract` adds the
 * cases to the running test file.
 */

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, test } from "node:test";
import type { TlsClientConfig, TlsProvider, TlsServerConfig } from "../../port/tls.js";
import { makeList } from "./crl-make.contract.js";
import { Pair } from "./tls-pair.contract.js";
import { type Certificate, devCertificate, makeCertificate } from "./x509.js";

const CERTIFICATE_REVOKED = 44;
const INTERNAL_ERROR = 80;
const DAY_MILLIS = 86_400_000;
const FORGED = /\{crl\} is not signed by the authority of \{ca\} that it names/;
const PARAMS = Uint8Array.of(0x04, 0x04, 0x80, 0x10, 0x00, 0x00);

const pki = (() => {
  const root = makeCertificate({ subject: "root", ca: true });
  const other = makeCertificate({ subject: "another root", ca: true });
  const signed = (by: Certificate, subject: string, ca = false) =>
    makeCertificate({ subject, ca, issuerCertPem: by.cert, issuerKeyPem: by.key, hosts: ca ? [] : ["quic.test"] });
  const middle = signed(root, "middle", true);
  const below = signed(middle, "below");
  return {
    root,
    other,
    middle,
    good: signed(root, "good"),
    bad: signed(root, "bad"),
    foreign: signed(other, "foreign"),
    chained: { cert: below.cert + middle.cert, key: below.key },
  };
})();
const { root, other, middle, good, bad, foreign, chained } = pki;
const ofRoot = { issued: good.cert, key: root.key };
const empty = makeList(ofRoot);
const badIsRevoked = makeList({ ...ofRoot, revoked: [bad.cert] });
const ofOther = makeList({ issued: foreign.cert, key: other.key, revoked: [foreign.cert] });

/** `isRemote`: what is wrong with a configuration is told by its sessions, as alert 80. */
export function crlContract(
  name: string,
  clientProvider: TlsProvider,
  serverProvider: TlsProvider,
  isRemote = false,
): void {
  function make(client: Partial<TlsClientConfig>, server: Partial<TlsServerConfig>, ticket?: Uint8Array): Pair {
    const common = { alpn: ["sample"], ca: [root.cert] };
    const clientContext = clientProvider.newClientContext({
      ...common,
      serverName: "quic.test",
      verify: "strict",
      ...client,
    });
    const serverContext = serverProvider.newServerContext({ ...common, identities: { "*": good }, ...server });
    return new Pair(
      clientContext.newSession({ transportParams: PARAMS, ...(ticket !== undefined && { ticket }) }),
      serverContext.newSession({ transportParams: PARAMS }),
    );
  }

  async function shake(client: Partial<TlsClientConfig>, server: Partial<TlsServerConfig> = {}) {
    const pair = make(client, server);
    const infos = await pair.handshake();
    pair.close();
    return infos;
  }

  async function refused(
    side: "client" | "server",
    client: Partial<TlsClientConfig>,
    server: Partial<TlsServerConfig>,
  ): Promise<void> {
    const pair = make(client, server);
    const { alert, message } = await pair.failure(side);
    assert.equal(alert, CERTIFICATE_REVOKED);
    assert.match(message, /^certificate_revoked: .*\(CERT_REVOKED\)$/);
    pair.close();
  }

  /** The configuration of a client with these lists, in time. */
  async function refusedAtLoad(config: Partial<TlsClientConfig>, reason: RegExp): Promise<void> {
    if (!isRemote) {
      assert.throws(() => make(config, {}), reason, JSON.stringify(config.crl));
      return;
    }
    const pair = make(config, {});
    const { alert, message } = await pair.failure("client");
    assert.equal(alert, INTERNAL_ERROR);
    assert.match(message, reason);
    pair.close();
  }

  const serving = (identity: { cert: string; key: string }) => ({ identities: { "*": identity } });

  describe(`revocation lists: ${name}`, () => {
    test("RFC 5280 §6.3 a server whose certificate is in its issuer's list is alert 44 at the client", () =>
      refused("client", { crl: [badIsRevoked] }, serving(bad)));

    test("with verify `report` it is told as CERT_REVOKED", async () => {
      const { client } = await shake({ crl: [badIsRevoked], verify: "report" }, serving(bad));
      assert.equal(client.verifyError, "CERT_REVOKED");
    });

    test("a client whose certificate is in the list is alert 44 at the server, or told where one is only asked for", async () => {
      await refused("server", { identity: bad }, { clientCertificate: "require", crl: [badIsRevoked] });
      const asking = { clientCertificate: "request" as const, crl: [badIsRevoked] };
      assert.equal((await shake({ identity: bad }, asking)).server.verifyError, "CERT_REVOKED");
    });

    test("who is not in the list is as welcome as before, on both sides", async () => {
      const asking = { clientCertificate: "require" as const, crl: [badIsRevoked] };
      const { client, server } = await shake({ identity: good, crl: [badIsRevoked] }, asking);
      assert.deepEqual([client.verifyError, server.verifyError], ["", ""]);
      assert.equal(server.peerCertificates.length, 1);
    });

    test("a list is about certificates of its own issuer; an issuer need not have one", async () => {
      await shake({ crl: [ofOther] }, serving(bad));
      await refused("client", { crl: [ofOther], ca: [root.cert, other.cert] }, serving(foreign));
      await shake({ crl: [badIsRevoked] }, serving(chained));
    });

    test("an authority below the anchor can be revoked, too", async () => {
      const middleIsRevoked = makeList({ ...ofRoot, revoked: [middle.cert] });
      await refused("client", { crl: [middleIsRevoked] }, serving(chained));
      const belowIsRevoked = makeList({ issued: chained.cert, key: middle.key, revoked: [chained.cert] });
      await refused("client", { crl: [belowIsRevoked] }, serving(chained));
    });

    test("a list that is out of date still counts: who is in it is revoked, who is not is good", async () => {
      const nextUpdate = new Date(Date.now() - DAY_MILLIS);
      const old = makeList({ ...ofRoot, revoked: [bad.cert], nextUpdate });
      await refused("client", { crl: [old] }, serving(bad));
      await shake({ crl: [old] }, serving(good));
    });

    test("so does one that is not yet valid", async () => {
      const [thisUpdate, nextUpdate] = [1, 2].map((days) => new Date(Date.now() + days * DAY_MILLIS)) as [Date, Date];
      const early = makeList({ ...ofRoot, revoked: [bad.cert], thisUpdate, nextUpdate });
      await refused("client", { crl: [early] }, serving(bad));
      await shake({ crl: [early] }, serving(good));
    });

    test("several lists, in one text or in many", async () => {
      for (const crl of [[ofOther + badIsRevoked], [ofOther, badIsRevoked]]) {
        await refused("client", { crl }, serving(bad));
        await shake({ crl }, serving(good));
      }
    });

    test("a broken list is refused, and so is a text whose last list is broken", async () => {
      const cut = badIsRevoked.slice(0, badIsRevoked.length / 2);
      const changed = badIsRevoked.replace("\nM", "\nA");
      for (const text of ["", "garbage", good.cert, cut, changed, empty + cut, empty + changed]) {
        await refusedAtLoad({ crl: [text] }, /\{crl\} is not PEM/);
      }
    });

    test("RFC 5280 §6.3.3 a list with an anchor's name that it has not signed is refused, in time or out of date", async () => {
      const forged = { issued: good.cert, key: other.key, revoked: [good.cert] };
      const nextUpdate = new Date(Date.now() - DAY_MILLIS);
      for (const list of [makeList(forged), makeList({ ...forged, nextUpdate }), empty + makeList(forged)]) {
        await refusedAtLoad({ crl: [list] }, FORGED);
        await refusedAtLoad({ crl: [list], ca: [other.cert, root.cert] }, FORGED);
      }
    });

    test("a changed list is refused, although its signature was good", async () => {
      const der = Buffer.from(badIsRevoked.replace(/-----.*-----/g, ""), "base64");
      const serial = Buffer.from(new X509Certificate(bad.cert).serialNumber, "hex");
      const at = der.indexOf(serial);
      assert.ok(at > 0);
      der[at + serial.length - 1] = (der[at + serial.length - 1] as number) ^ 1;
      const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
      const text = `-----BEGIN X509 CRL-----\n${lines.join("\n")}\n-----END X509 CRL-----\n`;
      await refusedAtLoad({ crl: [text] }, FORGED);
    });

    test("an authority that may not sign lists has signed none", async () => {
      const { cert, key } = devCertificate({ hosts: ["quic.test"] });
      await refusedAtLoad({ crl: [makeList({ issued: cert, key })], ca: [cert] }, FORGED);
    });

    test("two anchors of one name: the list of either is good", async () => {
      const twin = makeCertificate({ subject: "root", ca: true });
      const ofTwin = makeList({ issued: good.cert, key: twin.key });
      await refusedAtLoad({ crl: [ofTwin] }, FORGED);
      const [issuerCertPem, issuerKeyPem] = [twin.cert, twin.key];
      const leaf = makeCertificate({ subject: "leaf", hosts: ["quic.test"], issuerCertPem, issuerKeyPem });
      await shake({ crl: [ofTwin], ca: [root.cert, twin.cert] }, serving(leaf));
      await refused("client", { crl: [badIsRevoked], ca: [twin.cert, root.cert] }, serving(bad));
    });

    test("a list with the name of an authority below the anchor is looked at when a chain shows who that is", async () => {
      for (const revoked of [[], [chained.cert]]) {
        const forged = makeList({ issued: chained.cert, key: other.key, revoked });
        await shake({ crl: [forged] }, serving(good));
        const pair = make({ crl: [forged] }, serving(chained));
        assert.match((await pair.failure("client")).message, /\(CRL_SIGNATURE_FAILURE\)$/);
        pair.close();
        const { client } = await shake({ crl: [forged], verify: "report" }, serving(chained));
        assert.equal(client.verifyError, "CRL_SIGNATURE_FAILURE");
      }
    });

    test("a ticket from before the list lets nobody around it", async () => {
      const before = make({}, serving(bad));
      await before.handshake(1);
      before.close();
      const ticket = before.client.of("ticket")[0]?.bytes as Uint8Array;
      const pair = make({ crl: [badIsRevoked] }, serving(bad), ticket);
      assert.equal((await pair.failure("client")).alert, CERTIFICATE_REVOKED);
      pair.close();
    });
  });
}
