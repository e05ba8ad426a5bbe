import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { describe, test } from "node:test";
import { connect, listen, listEndpoints, QuicEndpoint, QuicError } from "#src/api/quic/index.js";
import { addressOf, ALPN, issue, testCa, testLeaf, withBench } from "./support.js";

const TYPE = "ERR_INVALID_ARG_TYPE";
const VALUE = "ERR_INVALID_ARG_VALUE";

/** As `openssl genpkey -aes128` writes it. */
const encrypted = createPrivateKey(testLeaf().key).export({
  type: "pkcs8",
  format: "pem",
  cipher: "aes-128-cbc",
  passphrase: "secret",
});

describe("options", () => {
  const connectRows: [unknown, string, RegExp][] = [
    [{ alpnn: "x" }, VALUE, /"options.alpnn" option is not known here; known are alpn/],
    [{ alpn: 5 }, TYPE, /"options.alpn" option must be a string/],
    [{ alpn: "" }, VALUE, /"options.alpn"/],
    [{ alpn: "x".repeat(256) }, VALUE, /"options.alpn"/],
    [{ ca: 5 }, TYPE, /"options.ca"/],
    [{ ca: "no pem" }, VALUE, /"options.ca" option holds no readable certificate/],
    [{ keys: testLeaf().key }, TYPE, /"options.certs"/],
    [{ certs: testLeaf().cert }, TYPE, /"options.keys"/],
    [{ certs: testLeaf().cert, keys: testCa().key }, VALUE, /does not belong to the certificate/],
    [{ certs: testLeaf().cert, keys: encrypted }, VALUE, /"options.keys" option is encrypted: give it decrypted/],
    [{ certs: testLeaf().cert, keys: "no pem" }, VALUE, /"options.keys" option holds no readable private key/],
    [{ verifyPeer: "never" }, VALUE, /must be one of 'strict', 'auto', 'manual'\. Received 'never'/],
    [{ rejectUnauthorized: 0 }, TYPE, /"options.rejectUnauthorized" option must be a boolean/],
    [{ cc: "vegas" }, VALUE, /"options.cc"/],
    [{ maxPendingDatagrams: 1025 }, VALUE, /"options.maxPendingDatagrams" option must be an integer from 1 to 1024/],
    [{ transportParams: { maxDatagramFrameSize: 65_536 } }, VALUE, /0 to 65535/],
    [{ keepAlive: -1 }, VALUE, /"options.keepAlive" option must be an integer from 0/],
    [{ keepAlive: 1.5 }, VALUE, /"options.keepAlive"/],
    [{ handshakeTimeout: "1" }, TYPE, /"options.handshakeTimeout"/],
    [{ maxPayloadSize: 1199 }, VALUE, /1200 to 12288/],
    [{ unacknowledgedPacketThreshold: 256 }, VALUE, /0 to 255/],
    [{ drainingPeriodMultiplier: 2 }, VALUE, /3 to 255/],
    [{ endpoint: { tokenExpiration: 86_401 } }, VALUE, /1 to 86400/],
    [{ endpoint: { retryTokenExpiration: 0 } }, VALUE, /1 to 86400/],
    [{ transportParams: { maxIdleTimeot: 1 } }, VALUE, /"options.transportParams.maxIdleTimeot"/],
    [{ transportParams: { ackDelayExponent: 21n } }, VALUE, /0 to 20/],
    [{ transportParams: [] }, TYPE, /must be an object/],
    [{ ext: { devCertificate: true } }, VALUE, /"options.ext.devCertificate" option is not known here/],
    [{ crl: 5 }, TYPE, /options\.crl/],
    [{ ext: { serverCertificateHashes: [] } }, TYPE, /serverCertificateHashes/],
    [{ ext: { serverCertificateHashes: [{ value: "ab" }] } }, VALUE, /32 bytes/],
    [{ ext: { serverCertificateHashes: [{ algorithm: "md5", value: "ab" }] } }, VALUE, /'sha-256'/],
    [{ version: 3 }, VALUE, /"options.version" option must name versions that are spoken here: 0x1, 0x6b3343cf/],
    [{ version: 1, minVersion: 2 }, VALUE, /"options.version" option is not among the versions/],
    [{ ext: { versions: [1] }, minVersion: 2 }, VALUE, /"options.minVersion" option leaves no version/],
    [{ ext: { versions: [] } }, TYPE, /"options.ext.versions" option must be an array of versions/],
    [{ ext: { versions: [1, 1n] } }, VALUE, /"options.ext.versions" option has a version twice/],
    [{ ext: { versions: ["1"] } }, VALUE, /"options.ext.versions"/],
    [{ onstream: {} }, TYPE, /"options.onstream" option must be a function/],
    [{ signal: {} }, TYPE, /AbortSignal/],
    [{ sni: {} }, VALUE, /"options.sni" option is not known here/],
    [{ endpoint: { adress: "x" } }, VALUE, /"options.endpoint.adress"/],
    [{ servername: "a b" }, VALUE, /is not a host name/],
    [{ ciphers: "RC4" }, VALUE, /RC4/],
    ["x", TYPE, /"options" option must be an object/],
  ];
  for (const [options, code, message] of connectRows) {
    test(`connect refuses ${JSON.stringify(options, (_, v) => (typeof v === "bigint" ? `${v}n` : v)).slice(0, 60)}`, async () => {
      await assert.rejects(connect("127.0.0.1:9", options as never), { code, message });
    });
  }

  for (const [address, code] of [
    [5, TYPE],
    ["127.0.0.1", VALUE],
    ["::1", VALUE],
    ["[127.0.0.1]:1", VALUE],
    ["localhost:65536", VALUE],
    ["a:b:c", VALUE],
    ["", VALUE],
  ] as const) {
    test(`connect refuses the address ${JSON.stringify(address)}`, async () => {
      await assert.rejects(connect(address as never), { code, message: /"address"/ });
    });
  }

  test("listen needs a callback and an identity", async () => {
    await assert.rejects(listen(undefined as never), { code: TYPE, message: /onsession/ });
    await assert.rejects(
      listen(() => {}, { alpn: [ALPN] }),
      { code: TYPE, message: /"options.sni"/ },
    );
    const sni = { "a.test": { certs: testLeaf().cert } };
    await assert.rejects(
      listen(() => {}, { sni: sni as never }),
      { code: TYPE, message: /sni\['a.test'\].keys/ },
    );
    await assert.rejects(
      listen(() => {}, { ext: { devCertificate: { hosts: [] } } }),
      { code: TYPE },
    );
    await assert.rejects(
      listen(() => {}, { ext: { devCertificate: { hosts: ["a b"] } } }),
      { code: VALUE },
    );
    await assert.rejects(
      listen(() => {}, { ext: { devCertificate: { days: 15 } } }),
      { code: VALUE },
    );
    await assert.rejects(
      listen(() => {}, { verifyPeer: "strict" } as never),
      { code: VALUE, message: /verifyPeer/ },
    );
    const address = "203.0.113.7:0"; // not an address of this machine
    const { cert: certs, key: keys } = testLeaf();
    await assert.rejects(
      listen(() => {}, { certs, keys, endpoint: { address } }),
      { code: "EADDRNOTAVAIL" },
    );
    assert.deepEqual(listEndpoints({ active: false }), []);
  });

  for (const [options, code] of [
    [{ port: 5 }, VALUE],
    [{ address: 5 }, TYPE],
    [{ maxConnectionsTotal: 65_536 }, VALUE],
    [{ tokenSecret: new Uint8Array(15) }, VALUE],
    [{ tokenSecret: "x" }, TYPE],
    [{ ext: { secret: new Uint8Array(31) } }, VALUE],
    [{ ext: { secret: new Uint8Array(32) }, tokenSecret: new Uint8Array(16) }, VALUE],
    [{ ext: { secrets: 1 } }, VALUE],
    [{ ext: { connectionIdBytes: 3 } }, VALUE],
    [{ ext: { connectionIdBytes: 21 } }, VALUE],
    [{ ext: { connectionIdBytes: 8.5 } }, VALUE],
    [{ ext: { connectionIdBytes: "8" } }, TYPE],
    [{ ipv6Only: 1 }, TYPE],
  ] as const) {
    test(`an endpoint refuses ${JSON.stringify(options)}`, () => {
      assert.throws(() => new QuicEndpoint(options as never), { code, message: /"options\./ });
    });
  }

  test("a QuicError has node:quic's defaults and checks its code", () => {
    const error = new QuicError("x", { errorCode: 7 });
    assert.deepEqual([error.code, error.errorCode, error.type], ["ERR_QUIC_STREAM_ABORTED", 7n, "application"]);
    assert.ok(error instanceof Error);
    for (const errorCode of [-1, 1.5, 2n ** 62n]) {
      assert.throws(() => new QuicError("x", { errorCode }), { code: VALUE });
    }
    assert.throws(() => new QuicError("x", { errorCode: "7" as never }), { code: TYPE });
  });

  test(
    "keys and certificates in every form, and endpoint settings that reach the socket",
    withBench(async (bench) => {
      const { cert, key } = issue(["localhost"]);
      const der = Buffer.from(cert.replace(/-----[^-]+-----/g, ""), "base64");
      const keyObject = createPrivateKey(key);
      const pkcs8 = keyObject.export({ type: "pkcs8", format: "der" });
      for (const identity of [
        { certs: [der], keys: keyObject },
        { certs: Buffer.from(cert), keys: [pkcs8] },
        { certs: [cert, testCa().cert], keys: key },
      ]) {
        const endpoint = await bench.serve(() => {}, {
          ...identity,
          endpoint: {
            udpReceiveBufferSize: 100_000,
            tokenSecret: new Uint8Array(16),
            resetTokenSecret: new Uint8Array(16).buffer,
          },
        });
        const session = await connect(addressOf(endpoint), { alpn: ALPN, ca: [Buffer.from(testCa().cert)] });
        bench.later(() => session.destroy());
        await session.opened;
      }
    }),
  );
});
