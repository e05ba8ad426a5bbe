/** Programs on ports of one host: each gets its own clients, and only those. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connect, type QuicEndpoint, type QuicError, type QuicSession } from "#src/api/quic/index.js";
import { type Bench, content, readAll, sha256, testCa, testLeaf, withBench } from "../api/support.js";
import { TestHost, until } from "./support.js";

const { cert, key } = testLeaf();

interface ServerOptions {
  address?: string;
  serverNames?: string[];
  reusePort?: boolean;
  validateAddress?: boolean;
}

/** A server that sends back what each stream brings, with its name before it. */
function serve(bench: Bench, host: TestHost, name: string, options: ServerOptions = {}): Promise<QuicEndpoint> {
  const { address = `127.0.0.1:${host.port}`, serverNames = [], ...endpoint } = options;
  const onSession = (session: QuicSession): void => {
    session.onstream = async (stream) => {
      const got = await readAll(stream);
      await stream.writer.write(Buffer.concat([Buffer.from(`${name}:`), got]));
      await stream.writer.end();
    };
  };
  return bench.serve(onSession, {
    alpn: [name],
    sni: { "*": { keys: key, certs: cert } },
    endpoint: { address, ...endpoint },
    ext: { host: host.path, serverNames },
  });
}

async function ask(bench: Bench, address: string, alpn: string | string[], sent: Uint8Array): Promise<Buffer> {
  const session = await connect(address, { alpn, ca: testCa().cert, servername: "localhost" });
  bench.later(() => session.destroy());
  await session.opened;
  const stream = await session.createBidirectionalStream({ body: sent });
  return readAll(stream);
}

async function open(...options: Parameters<TestHost["start"]>): Promise<TestHost> {
  const [given = {}] = options;
  const places = [{ address: "127.0.0.1", port: 0, ipv6Only: false }];
  return new TestHost().start({ places, ...given });
}

describe("programs on a port of a host", () => {
  test(
    "three programs on one port each get the clients of their protocol, and packets past the handshake directly",
    withBench(async (bench) => {
      using host = await open();
      for (const name of ["smbd", "h3", "ksmbd"]) await serve(bench, host, name);
      const sent = content(1_000_000);
      for (const name of ["smbd", "h3", "ksmbd"]) {
        const got = await ask(bench, `127.0.0.1:${host.port}`, name, sent);
        assert.equal(sha256(got), sha256(Buffer.concat([Buffer.from(`${name}:`), sent])));
      }
      // the first packets of each go by message, those of the transfer do not
      const { forwarded, handedOver } = host.host.counters;
      assert.equal(handedOver, 3);
      assert.ok(forwarded < 60, `${forwarded} forwarded`);
    }),
  );

  test(
    "a client that nobody speaks with gets 0x178, one of several protocols the first that somebody speaks",
    withBench(async (bench) => {
      using host = await open();
      await serve(bench, host, "smbd");
      const address = `127.0.0.1:${host.port}`;
      await assert.rejects(ask(bench, address, "h3", content(1)), (error: QuicError) => error.errorCode === 0x178n);
      assert.equal((await ask(bench, address, ["h3", "smbd"], content(10))).subarray(0, 5).toString(), "smbd:");
    }),
  );

  test(
    "LINUX-QUIC 1.7 a list that overlaps is EADDRINUSE; a name is free as soon as its program is gone",
    withBench(async (bench) => {
      using host = await open();
      const first = await serve(bench, host, "smbd");
      await assert.rejects(serve(bench, host, "smbd"), { code: "EADDRINUSE" });
      first.destroy();
      await first.closed;
      await until(() => host.host.programCount === 0, 100);
      await serve(bench, host, "smbd");
      assert.equal((await ask(bench, `127.0.0.1:${host.port}`, "smbd", content(10))).length, 15);
    }),
  );

  test(
    "a program that asks for it has its clients prove their addresses by a Retry, which the host sends",
    withBench(async (bench) => {
      using host = await open();
      await serve(bench, host, "smbd", { validateAddress: true });
      assert.equal((await ask(bench, `127.0.0.1:${host.port}`, "smbd", content(10))).length, 15);
      assert.equal(host.host.counters.retriesSent, 1);
    }),
  );
});
