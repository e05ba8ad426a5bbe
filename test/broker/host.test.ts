/** Programs on ports of one host: each gets its own clients, and only those. */

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { BROKER_VERSION } from "#src/broker/messages.js";
import { HostClient } from "#src/broker/host-client.js";
import { connect, type QuicError } from "#src/api/quic/index.js";
import { type Bench, content, readAll, sha256, testCa, withBench } from "../api/support.js";
import { RawProgram } from "./raw-program.js";
import { echoAt, open, until } from "./support.js";

async function ask(bench: Bench, address: string, alpn: string | string[], sent: Uint8Array): Promise<Buffer> {
  const session = await connect(address, { alpn, ca: testCa().cert, servername: "localhost" });
  bench.later(() => session.destroy());
  await session.opened;
  const stream = await session.createBidirectionalStream({ body: sent });
  return readAll(stream);
}

describe("programs on a port of a host", () => {
  test("a program that goes while the state cannot be written, and a socket that somebody removed, end no host", async () => {
    using host = await open();
    const client = await HostClient.connect(host.path);
    const state = join(host.dir, "host.json");
    rmSync(state);
    mkdirSync(state);
    client.close();
    await until(() => host.notes.some((line) => line.startsWith("the state is not written")));
    assert.equal(host.host.programCount, 0);
    rmSync(state, { recursive: true });
    rmSync(host.path);
    host.stop();
    assert.ok(existsSync(state));
  });

  test("a program that comes while the state cannot be written is told so, and takes no route; one of before goes on", async () => {
    using host = await open();
    using before = new RawProgram(host);
    const route = await before.hello();
    host.stop();
    await host.start();
    const state = join(host.dir, "host.json");
    rmSync(state);
    mkdirSync(state);
    using back = new RawProgram(host);
    assert.deepEqual(await back.hello(route), route);
    for (let i = 0; i < 256; i++) {
      using program = new RawProgram(host);
      program.say({ op: "hello", version: BROKER_VERSION, resume: null });
      const { code, message } = await program.next("refused");
      assert.equal(code, "EISDIR");
      assert.match(message, /cannot write its state/);
    }
    assert.equal(host.host.programCount, 1);
    assert.deepEqual(readdirSync(host.dir).sort(), ["host.json", "host.sock"]);
    rmSync(state, { recursive: true });
    using after = new RawProgram(host);
    await after.hello();
    assert.equal(host.host.programCount, 2);
  });

  test(
    "three programs on one port each get the clients of their protocol, and packets past the handshake directly",
    withBench(async (bench) => {
      using host = await open();
      for (const name of ["smbd", "h3", "ksmbd"]) await echoAt(bench, host, name);
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
      await echoAt(bench, host, "smbd");
      const address = `127.0.0.1:${host.port}`;
      await assert.rejects(ask(bench, address, "h3", content(1)), (error: QuicError) => error.errorCode === 0x178n);
      assert.equal((await ask(bench, address, ["h3", "smbd"], content(10))).subarray(0, 5).toString(), "smbd:");
    }),
  );

  test(
    "connection ids have the length by which the host knows its programs, and no other is taken",
    withBench(async (bench) => {
      using host = await open();
      const code = "ERR_INVALID_ARG_VALUE";
      for (const connectionIdBytes of [4, 20]) {
        await assert.rejects(echoAt(bench, host, "smbd", { ext: { connectionIdBytes } }), {
          code,
          message: /must be 8/,
        });
      }
      await until(() => host.host.programCount === 0);
      await echoAt(bench, host, "smbd", { ext: { connectionIdBytes: 8 } });
      assert.equal((await ask(bench, `127.0.0.1:${host.port}`, "smbd", content(10))).length, 15);
    }),
  );

  test(
    "LINUX-QUIC 1.7 a list that overlaps is EADDRINUSE; a name is free as soon as its program is gone",
    withBench(async (bench) => {
      using host = await open();
      const first = await echoAt(bench, host, "smbd");
      await assert.rejects(echoAt(bench, host, "smbd"), { code: "EADDRINUSE" });
      first.destroy();
      await first.closed;
      await until(() => host.host.programCount === 0);
      await echoAt(bench, host, "smbd");
      assert.equal((await ask(bench, `127.0.0.1:${host.port}`, "smbd", content(10))).length, 15);
    }),
  );

  test(
    "a program that asks for it has its clients prove their addresses by a Retry, which the host sends",
    withBench(async (bench) => {
      using host = await open();
      await echoAt(bench, host, "smbd", { validateAddress: true });
      assert.equal((await ask(bench, `127.0.0.1:${host.port}`, "smbd", content(10))).length, 15);
      assert.ok(host.host.counters.retriesSent >= 1);
    }),
  );
});
