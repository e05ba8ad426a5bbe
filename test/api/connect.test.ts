import assert from "node:assert/strict";
import { SocketAddress } from "node:net";
import { describe, test } from "node:test";
import { connect, constants, listEndpoints, QuicEndpoint } from "#src/api/quic/index.js";
import { addressOf, ALPN, echo, nextStream, readAll, testCa, testLeaf, until, withBench } from "./support.js";

describe("connect and listen", () => {
  test(
    "a stream goes there and back over real UDP and TLS",
    withBench(async (bench) => {
      const endpoint = await bench.serve(echo);
      const session = await bench.connect(endpoint);
      const info = await session.opened;
      assert.equal(info.protocol, ALPN);
      assert.equal(info.servername, "localhost");
      assert.equal(info.cipherVersion, "TLSv1.3");
      assert.match(info.cipher, /^TLS_/);
      assert.deepEqual([info.validationErrorReason, info.validationErrorCode], ["", 0]);
      assert.equal(info.remote.port, endpoint.address?.port);
      assert.deepEqual([info.earlyDataAttempted, info.earlyDataAccepted], [false, false]);
      const stream = await session.createBidirectionalStream({ body: "hello" });
      assert.equal((await readAll(stream)).toString(), "hello");
      await stream.closed;
      assert.equal(stream.destroyed, true);
      assert.equal(session.alpnProtocol, ALPN);
      assert.equal(session.servername, "localhost");
      assert.match(session.peerCertificate?.subjectAltName ?? "", /DNS:localhost/);
      assert.equal(session.certificate, undefined);
    }),
  );

  test(
    "a development certificate is pinned by its hash: hex, bytes, or as the CA",
    withBench(async (bench) => {
      const endpoint = await bench.serve(echo, { ext: { devCertificate: { hosts: ["localhost"], days: 2 } } });
      const made = endpoint.ext.devCertificate;
      assert.ok(made !== null);
      const value = Buffer.from(made.fingerprint256, "hex");
      for (const options of [
        { ext: { serverCertificateHashes: [{ algorithm: "sha-256", value: made.fingerprint256 } as const] } },
        { ext: { serverCertificateHashes: [{ value: new Uint8Array(32) }, { value }] }, servername: "other.test" },
        { ca: made.cert },
      ]) {
        const session = await connect(addressOf(endpoint), { alpn: ALPN, ...options });
        bench.later(() => session.destroy());
        assert.equal((await session.opened).validationErrorReason, "");
      }
    }),
  );

  test(
    "IPv6, dual stack and a SocketAddress",
    withBench(async (bench) => {
      for (const address of ["[::1]:0", "[::]:0"]) {
        const endpoint = await bench.serve(echo, { endpoint: { address } });
        const session = await bench.connect(endpoint);
        assert.equal((await session.opened).remote.family, "ipv6");
        if (address !== "[::]:0") continue;
        const { port = 0 } = endpoint.address ?? {};
        const mapped = await connect(new SocketAddress({ address: "127.0.0.1", port }), {
          alpn: ALPN,
          ca: testCa().cert,
        });
        bench.later(() => mapped.destroy());
        assert.equal((await mapped.opened).remote.address, "127.0.0.1");
        const stream = await mapped.createBidirectionalStream({ body: "v4" });
        assert.equal((await readAll(stream)).toString(), "v4");
      }
    }),
  );

  test(
    "a name is looked up and asked for",
    withBench(async (bench) => {
      const endpoint = await bench.serve(echo);
      const session = await connect(`localhost:${endpoint.address?.port}`, { alpn: ALPN, ca: testCa().cert });
      bench.later(() => session.destroy());
      assert.equal((await session.opened).servername, "localhost");
      await assert.rejects(connect("no-such-host.invalid:443", { alpn: ALPN }), { code: /ENOTFOUND|EAI_AGAIN/ });
    }),
  );

  test(
    "sessions share one socket, unless told not to, and it goes with the last of them",
    withBench(async (bench) => {
      const endpoint = await bench.serve(echo);
      const one = await bench.connect(endpoint);
      const two = await bench.connect(endpoint);
      const three = await bench.connect(endpoint, { reuseEndpoint: false });
      await Promise.all([one.opened, two.opened, three.opened]);
      assert.equal(one.endpoint, two.endpoint);
      assert.notEqual(one.endpoint, three.endpoint);
      const shared = one.endpoint;
      const alone = three.endpoint;
      assert.ok(shared !== null && listEndpoints().includes(shared));
      await one.close();
      assert.equal(shared.destroyed, false);
      await two.close();
      await three.close();
      await until(() => shared.destroyed && alone?.destroyed === true);
      assert.equal(one.endpoint, null);
      assert.deepEqual(
        [shared, alone, endpoint].map((each) => each !== null && listEndpoints().includes(each)),
        [false, false, true],
      );
    }),
  );

  test(
    "one endpoint listens and connects, and closes when its sessions are gone",
    withBench(async (bench) => {
      const own = new QuicEndpoint({ address: "127.0.0.1:0", idleTimeout: 5 });
      assert.ok(own.address === undefined);
      const endpoint = await bench.serve(echo);
      await bench.serve(echo, { endpoint: own });
      assert.equal(own.listening, true);
      await assert.rejects(bench.serve(echo, { endpoint: own }), { code: "ERR_INVALID_STATE" });
      const session = await bench.connect(endpoint, { endpoint: own });
      await session.opened;
      assert.equal(session.endpoint, own);
      assert.equal(session.path?.local.port, listEndpoints().find((each) => each === own)?.address?.port);
      const closed = own.close();
      assert.equal(own.closing, true);
      await assert.rejects(bench.connect(endpoint, { endpoint: own }), { code: "ERR_QUIC_ENDPOINT_CLOSED" });
      const stream = await session.createBidirectionalStream({ body: "still" });
      assert.equal((await readAll(stream)).toString(), "still");
      await session.close();
      await closed;
      assert.equal(own.destroyed, true);
    }),
  );

  test(
    "a port in use is the system's error, and the endpoint can be used again after it",
    withBench(async (bench) => {
      const endpoint = await bench.serve(echo);
      const address = addressOf(endpoint);
      const second = new QuicEndpoint({ address });
      await assert.rejects(bench.serve(echo, { endpoint: second }), { code: "EADDRINUSE" });
      endpoint.destroy();
      await endpoint.closed;
      await bench.serve(echo, { endpoint: second });
      assert.equal(addressOf(second), address);
    }),
  );

  test(
    "a client beyond maxConnectionsTotal, or while busy, is refused",
    withBench(async (bench) => {
      const endpoint = await bench.serve(echo, { endpoint: { maxConnectionsTotal: 1 } });
      const one = await bench.connect(endpoint);
      await one.opened;
      const two = await bench.connect(endpoint);
      await assert.rejects(two.opened, { code: "ERR_QUIC_CONNECTION_REFUSED", errorCode: 2n, type: "transport" });
      await assert.rejects(two.closed, { code: "ERR_QUIC_CONNECTION_REFUSED" });
      endpoint.maxConnectionsTotal = 0;
      endpoint.maxConnectionsPerHost = 1;
      await assert.rejects((await bench.connect(endpoint)).opened, { code: "ERR_QUIC_CONNECTION_REFUSED" });
      endpoint.maxConnectionsPerHost = 0;
      endpoint.busy = true;
      await assert.rejects((await bench.connect(endpoint)).opened, { code: "ERR_QUIC_CONNECTION_REFUSED" });
      endpoint.busy = false;
      await (await bench.connect(endpoint)).opened;
      assert.ok(endpoint.stats.serverBusyCount >= 3n); // one for each first packet, which may be sent again
      assert.throws(() => (endpoint.maxConnectionsTotal = -1), { code: "ERR_INVALID_ARG_TYPE" });
    }),
  );

  test(
    "validateAddress sends a Retry",
    withBench(async (bench) => {
      const endpoint = await bench.serve(echo, { endpoint: { validateAddress: true } });
      await (await bench.connect(endpoint)).opened;
      assert.ok(endpoint.stats.retryCount >= 1n); // one for each Initial of a long ClientHello
    }),
  );

  test(
    "a ticket resumes, a token comes, key log lines end with a newline",
    withBench(async (bench) => {
      const endpoint = await bench.serve(echo);
      const lines: string[] = [];
      let ticket: Uint8Array | undefined;
      let token: Uint8Array | undefined;
      const session = await bench.connect(endpoint, {
        keylog: true,
        onkeylog: (line) => lines.push(line),
        onsessionticket: (bytes) => {
          ticket = bytes;
        },
        onnewtoken: (bytes) => {
          token = bytes;
        },
      });
      await session.opened;
      await until(() => ticket !== undefined && token !== undefined);
      assert.ok(lines.some((line) => /^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]+\n$/.test(line)));
      assert.ok(ticket !== undefined && token !== undefined);
      const again = await bench.connect(endpoint, { sessionTicket: ticket, token });
      await again.opened;
      assert.equal(again.ext.runtime.resumed, true);
      assert.equal(session.ext.runtime.resumed, false);
    }),
  );

  test(
    "statistics have node:quic's names, as bigint, times in nanoseconds",
    withBench(async (bench) => {
      const { client, server, endpoint } = await bench.pair({}, {}, echo);
      const stream = await client.createBidirectionalStream({ body: Buffer.alloc(1000) });
      await readAll(stream);
      await stream.closed;
      const stats = client.stats;
      for (const value of Object.values(stats)) assert.equal(typeof value, "bigint");
      assert.ok(stats.smoothedRtt > 10_000n && stats.smoothedRtt < 5_000_000_000n);
      assert.ok(stats.handshakeCompletedAt > stats.createdAt);
      assert.equal(stats.bidiOutStreamCount, 1n);
      assert.equal(server.stats.bidiInStreamCount, 1n);
      assert.deepEqual([stream.stats.bytesSent, stream.stats.bytesReceived], [1000n, 1000n]);
      assert.ok(stream.stats.destroyedAt >= stream.stats.createdAt);
      assert.equal(endpoint.stats.serverSessions, 1n);
      assert.ok(endpoint.stats.bytesReceived > 1000n);
      assert.ok(client.ext.stats().smoothedRttMicros > 10);
      assert.match(client.ext.runtime.tlsVersion, /OpenSSL|GnuTLS/);
      assert.match(client.ext.runtime.datapath, /native|portable/);
    }),
  );

  test("the exported names are those of node:quic", async () => {
    const api = await import("#src/api/quic/index.js");
    assert.deepEqual(Object.keys(api).sort(), [
      "QuicEndpoint",
      "QuicError",
      "QuicSession",
      "QuicStream",
      "connect",
      "constants",
      "listEndpoints",
      "listen",
    ]);
    assert.deepEqual(constants.cc, { RENO: "reno", CUBIC: "cubic", BBR: "bbr" });
  });

  test(
    "reno runs too, and a server can be the sender",
    withBench(async (bench) => {
      const { client, server } = await bench.pair({ cc: constants.cc.RENO }, { cc: "cubic" });
      const incoming = nextStream(client);
      await server.createUnidirectionalStream({ body: testLeaf().cert });
      assert.equal((await readAll(await incoming)).toString(), testLeaf().cert);
    }),
  );
});
