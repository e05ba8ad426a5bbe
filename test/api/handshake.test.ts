import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { describe, test } from "node:test";
import { connect, type ConnectOptions, type ListenOptions } from "#src/api/quic/index.js";
import { makeList } from "#src/runtime/native/crl-make.contract.js";
import { makeCertificate } from "#src/runtime/native/x509.js";
import { addressOf, ALPN, echo, issue, quicError, readAll, testCa, testLeaf, until, withBench } from "./support.js";

const DAY_MILLIS = 86_400_000;

describe("a handshake that must fail", () => {
  const expired = issue(["localhost"], {
    notBefore: new Date(Date.now() - 3 * DAY_MILLIS),
    notAfter: new Date(Date.now() - DAY_MILLIS),
  });
  const rows: [string, ListenOptions, ConnectOptions, number, RegExp][] = [
    [
      "an authority that the client does not know: alert 48",
      {},
      { ca: makeCertificate({ subject: "another CA", ca: true }).cert },
      48,
      /alert 48 unknown_ca: .*pass its CA in \{ca\}/,
    ],
    ["no ca at all, the default store: alert 48", {}, { ca: undefined as never }, 48, /unknown_ca/],
    ["another host name: alert 42", {}, { servername: "other.test" }, 42, /bad_certificate: .*name/],
    ["an expired certificate: alert 45", { certs: expired.cert, keys: expired.key }, {}, 45, /expired/],
    ["no common ALPN protocol: alert 120", {}, { alpn: "unheard" }, 120, /no_application_protocol: .*alpn/],
    [
      "a certificate that is not pinned: alert 42",
      {},
      { ext: { serverCertificateHashes: [{ value: new Uint8Array(32) }] } },
      42,
      /serverCertificateHashes/,
    ],
    [
      "a host that no identity serves: alert 112",
      { sni: { "one.test": { certs: testLeaf().cert, keys: testLeaf().key } } },
      { servername: "two.test" },
      112,
      /unrecognized_name/,
    ],
  ];
  for (const [title, server, client, alert, message] of rows) {
    test(
      title,
      withBench(async (bench) => {
        const endpoint = await bench.serve(echo, server);
        const errors: unknown[] = [];
        const session = await bench.connect(endpoint, { ...client, onerror: (error) => errors.push(error) });
        const error = await quicError(session.opened);
        assert.equal(error.code, "ERR_QUIC_HANDSHAKE");
        assert.deepEqual([error.alert, error.errorCode, error.type], [alert, BigInt(0x100 + alert), "transport"]);
        assert.match(error.message, message);
        assert.equal(await quicError(session.closed), error);
        assert.deepEqual(errors, [error]);
        assert.equal(session.destroyed, true);
        await assert.rejects(session.createBidirectionalStream(), { code: "ERR_INVALID_STATE" });
        // the server goes on
        if (server.sni !== undefined || server.certs !== undefined) return;
        const good = await bench.connect(endpoint);
        await good.opened;
      }),
    );
  }

  test(
    "a pinned certificate that has expired: alert 45",
    withBench(async (bench) => {
      const endpoint = await bench.serve(echo, { certs: expired.cert, keys: expired.key });
      const session = await bench.connect(endpoint, {
        ext: { serverCertificateHashes: [{ value: expired.sha256 }] },
      });
      assert.equal((await quicError(session.opened)).alert, 45);
    }),
  );

  test(
    "data written before the verdict on a pin never leaves",
    withBench(async (bench) => {
      let streams = 0;
      let ended: Promise<void> | undefined;
      const endpoint = await bench.serve((session) => {
        session.onstream = () => streams++;
        ended = session.closed;
      });
      const session = await bench.connect(endpoint, {
        ext: { serverCertificateHashes: [{ value: new Uint8Array(32) }] },
      });
      const opening = session.createBidirectionalStream({ body: "secret" });
      await assert.rejects(opening, { code: "ERR_QUIC_HANDSHAKE" });
      const error = await quicError(ended ?? Promise.resolve());
      assert.deepEqual([error.code, error.alert, error.remote], ["ERR_QUIC_HANDSHAKE", 42, true]);
      assert.equal(streams, 0);
    }),
  );

  test(
    "nobody there: ERR_QUIC_HANDSHAKE_TIMEOUT in time",
    withBench(async (bench) => {
      const silent = createSocket("udp4").bind(0, "127.0.0.1");
      bench.later(() => silent.close());
      await once(silent, "listening");
      const address = `127.0.0.1:${silent.address().port}`;
      const begin = Date.now();
      const session = await connect(address, { alpn: ALPN, handshakeTimeout: 300 });
      const error = await quicError(session.opened);
      assert.equal(error.code, "ERR_QUIC_HANDSHAKE_TIMEOUT");
      assert.ok(error.message.includes(address));
      assert.ok(Date.now() - begin >= 290 && Date.now() - begin < 9000);
    }),
  );
});

describe("checks that were turned off explicitly", () => {
  for (const option of [{ rejectUnauthorized: false }, { verifyPeer: "manual" as const }]) {
    test(
      `${Object.keys(option)[0]} goes on and reports in opened`,
      withBench(async (bench) => {
        const endpoint = await bench.serve(echo);
        const session = await connect(addressOf(endpoint), { alpn: ALPN, ...option });
        bench.later(() => session.destroy());
        const info = await session.opened;
        assert.notEqual(info.validationErrorReason, "");
        assert.ok(info.validationErrorCode > 0);
        assert.equal((await readAll(await session.createBidirectionalStream({ body: "x" }))).toString(), "x");
      }),
    );
  }
});

describe("certificates", () => {
  test(
    "SNI chooses the server's: exact name, wildcard, default",
    withBench(async (bench) => {
      const [one, wild, any] = [issue(["one.test"]), issue(["*.wild.test"]), issue(["any.test"])];
      const seen: (string | undefined)[] = [];
      const endpoint = await bench.serve(
        (session) => {
          session.onhandshake = () => seen.push(session.certificate?.subjectAltName);
        },
        {
          sni: {
            "one.test": { certs: one.cert, keys: one.key },
            "*.wild.test": { certs: [wild.cert], keys: [wild.key] },
            "*": { certs: Buffer.from(any.cert), keys: Buffer.from(any.key) },
          },
        },
      );
      for (const servername of ["one.test", "a.wild.test", "any.test"]) {
        const session = await bench.connect(endpoint, { servername });
        assert.equal((await session.opened).servername, servername);
      }
      await until(() => seen.length === 3);
      assert.deepEqual(seen, ["DNS:one.test", "DNS:*.wild.test", "DNS:any.test"]);
    }),
  );

  const client = issue(["client.test"]);
  const stranger = makeCertificate({ subject: "stranger" });
  const withClient = { certs: client.cert, keys: client.key };

  test(
    "of clients are not asked for by default",
    withBench(async (bench) => {
      const { server, client: session } = await bench.pair({}, withClient);
      assert.equal(server.peerCertificate, undefined);
      assert.match(session.certificate?.subjectAltName ?? "", /client.test/);
    }),
  );

  test(
    "of clients are required with verifyClient: alert 116 without one, 48 for a stranger's",
    withBench(async (bench) => {
      const ca = testCa().cert;
      const { server, endpoint } = await bench.pair({ verifyClient: true, ca }, withClient);
      assert.match(server.peerCertificate?.subjectAltName ?? "", /client.test/);
      const none = await bench.connect(endpoint);
      const error = await quicError(none.closed);
      assert.deepEqual([error.code, error.alert, error.remote], ["ERR_QUIC_HANDSHAKE", 116, true]);
      assert.match(error.message, /requires a client certificate/);
      const wrong = await bench.connect(endpoint, { certs: stranger.cert, keys: stranger.key });
      assert.equal((await quicError(wrong.closed)).code, "ERR_QUIC_HANDSHAKE");
    }),
  );

  test(
    "that an issuer has revoked are alert 44, on both sides, by a list in PEM or DER",
    withBench(async (bench) => {
      const revoked = [testLeaf().cert, withClient.certs];
      const crl = makeList({ issued: testLeaf().cert, key: testCa().key, revoked });
      const der = Buffer.from(crl.replace(/-----.*-----/g, ""), "base64");
      const endpoint = await bench.serve(() => {}, { verifyClient: true, ca: testCa().cert, crl: [der] });
      const client = await bench.connect(endpoint, withClient);
      const refused = await quicError(client.closed);
      assert.deepEqual([refused.alert, refused.remote], [44, true]);
      const server = await bench.connect(endpoint, { ...withClient, crl });
      assert.equal((await quicError(server.opened)).alert, 44);
    }),
  );

  test(
    "of clients are only asked for with rejectUnauthorized: false",
    withBench(async (bench) => {
      const options = { verifyClient: true, rejectUnauthorized: false, ca: testCa().cert };
      const reasons: string[] = [];
      const endpoint = await bench.serve((session) => {
        session.onhandshake = (info) =>
          reasons.push(`${session.peerCertificate !== undefined} ${info.validationErrorReason}`);
      }, options);
      for (const identity of [{}, withClient, { certs: stranger.cert, keys: stranger.key }]) {
        const count = reasons.length;
        await (await bench.connect(endpoint, identity)).opened;
        await until(() => reasons.length > count);
      }
      assert.equal(reasons[1], "true ");
      assert.match(reasons[0] ?? "", /^false/);
      assert.match(reasons[2] ?? "", /^true \w+/);
    }),
  );
});
