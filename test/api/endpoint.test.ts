/** What an endpoint can change while it listens, and what its options do. */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { QuicEndpoint } from "#src/api/quic/index.js";
import { content, issue, readAll, sha256, testCa, testLeaf, until, withBench } from "./support.js";

describe("ext.connectionIdBytes", () => {
  for (const [client, server] of [
    [4, 20],
    [20, 4],
    [12, 5],
  ] as const) {
    test(
      `${client} bytes at the client, ${server} at the server: data goes both ways`,
      withBench(async (bench) => {
        const body = content(300_000);
        const pair = await bench.pair(
          { endpoint: { ext: { connectionIdBytes: server }, validateAddress: true } },
          { endpoint: { ext: { connectionIdBytes: client } } },
          (session) => {
            session.onstream = async (stream) => stream.setBody(await readAll(stream));
          },
        );
        const stream = await pair.client.createBidirectionalStream({ body });
        assert.equal(sha256(await readAll(stream)), sha256(body));
      }),
    );
  }
});

describe("setSNIContexts", () => {
  test(
    "new sessions get the new certificate, those that exist go on, and tickets of before are good",
    withBench(async (bench) => {
      const { client, server, endpoint } = await bench.pair();
      const ticket = await new Promise<Uint8Array>((resolve) => {
        client.onsessionticket = resolve;
        setTimeout(() => {}, 0);
      });
      const other = issue(["localhost", "other.test"]);
      endpoint.setSNIContexts({ "other.test": { keys: other.key, certs: other.cert } });
      const named = await bench.connect(endpoint, { servername: "other.test" });
      await named.opened;
      assert.match(named.peerCertificate?.subjectAltName ?? "", /other\.test/);
      const usual = await bench.connect(endpoint);
      await usual.opened;
      assert.doesNotMatch(usual.peerCertificate?.subjectAltName ?? "", /other\.test/);
      const resumed = await bench.connect(endpoint, { sessionTicket: ticket });
      await resumed.opened;
      assert.equal(resumed.ext.runtime.resumed, true);
      endpoint.setSNIContexts({ "*": { keys: other.key, certs: other.cert } }, { replace: true });
      const replaced = await bench.connect(endpoint);
      await replaced.opened;
      assert.match(replaced.peerCertificate?.subjectAltName ?? "", /other\.test/);
      const stream = await server.createUnidirectionalStream({ body: "still here" });
      client.onstream = () => {};
      await stream.closed;
    }),
  );

  test(
    "what is wrong changes nothing",
    withBench(async (bench) => {
      const idle = new QuicEndpoint();
      const { cert, key } = testLeaf();
      assert.throws(() => idle.setSNIContexts({ "*": { keys: key, certs: cert } }), { code: "ERR_INVALID_STATE" });
      const endpoint = await bench.serve(() => {});
      const wrong: [unknown, unknown, string][] = [
        [5, {}, "ERR_INVALID_ARG_TYPE"],
        [{ "*": { keys: testCa().key, certs: cert } }, {}, "ERR_INVALID_ARG_VALUE"],
        [{}, { replace: true }, "ERR_INVALID_ARG_VALUE"],
        [{}, { replac: true }, "ERR_INVALID_ARG_VALUE"],
      ];
      for (const [entries, options, code] of wrong) {
        assert.throws(() => endpoint.setSNIContexts(entries as never, options as never), { code });
      }
      await (await bench.connect(endpoint)).opened;
    }),
  );
});

describe("sessions", () => {
  test(
    "show what both sides have announced",
    withBench(async (bench) => {
      const announced = { initialMaxData: 77_777, maxIdleTimeout: 12, maxAckDelay: 30, ackDelayExponent: 5 };
      const { client, server } = await bench.pair({ transportParams: { ...announced, activeConnectionIDLimit: 3 } });
      const { remoteTransportParams: seen } = client;
      const own = server.localTransportParams;
      assert.deepEqual(seen, { ...own, originalDCID: seen?.originalDCID });
      assert.deepEqual(
        [own.initialMaxData, own.maxIdleTimeout, own.maxAckDelay, own.ackDelayExponent, own.activeConnectionIDLimit],
        [77_777n, 12n, 30n, 5n, 3n],
      );
      assert.match(seen?.originalDCID ?? "", /^[0-9a-f]{16}$/);
      assert.deepEqual(server.remoteTransportParams, client.localTransportParams);
      assert.equal(client.localTransportParams.originalDCID, null);
    }),
  );

  test(
    "acknowledge after as many packets as unacknowledgedPacketThreshold says",
    withBench(async (bench) => {
      const { client } = await bench.pair({}, { unacknowledgedPacketThreshold: 9 });
      assert.equal(client.ext.transport.stats().ackFrequencyReceived, 0);
      const { ackPolicy } = (client.ext.transport as unknown as Engine).space(2);
      assert.equal(ackPolicy.thresholdPackets, 9);
    }),
  );
});

describe("disableStatelessReset", () => {
  for (const disableStatelessReset of [false, true]) {
    test(
      `${disableStatelessReset}: a packet of nobody is ${disableStatelessReset ? "not " : ""}answered`,
      withBench(async (bench) => {
        const endpoint = await bench.serve(() => {}, { endpoint: { disableStatelessReset } });
        const socket = createSocket("udp4");
        bench.later(() => socket.close());
        let answers = 0;
        socket.on("message", () => answers++);
        socket.send(Buffer.alloc(100, 0x40), endpoint.address?.port, "127.0.0.1");
        await until(() => answers > 0 || endpoint.ext.drops["unknown-cid"] !== undefined);
        if (!disableStatelessReset) await until(() => answers > 0);
        await sleep(20);
        assert.equal(answers, disableStatelessReset ? 0 : 1);
        assert.equal(endpoint.stats.statelessResetCount, disableStatelessReset ? 0n : 1n);
      }),
    );
  }
});

interface Engine {
  space(id: number): { ackPolicy: { thresholdPackets: number } };
}
