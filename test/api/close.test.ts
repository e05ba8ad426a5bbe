import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { QuicSession } from "#src/api/quic/index.js";
import {
  addressOf,
  content,
  echo,
  nextStream,
  pause,
  quicError,
  readAll,
  sha256,
  until,
  withBench,
} from "./support.js";

describe("the end of a session", () => {
  test(
    "close lets streams finish, opens no more, and ends cleanly on both sides",
    withBench(async (bench) => {
      const { client, server } = await bench.pair();
      const incoming = nextStream(server);
      const bytes = content(3_000_000);
      const stream = await client.createBidirectionalStream({ body: bytes });
      const closed = client.close();
      assert.equal(client.closing, true);
      await assert.rejects(client.createBidirectionalStream(), { code: "ERR_INVALID_STATE" });
      const far = await incoming;
      await pause(30);
      assert.equal(client.destroyed, false);
      assert.equal(sha256(await readAll(far)), sha256(bytes));
      await far.writer.end();
      assert.equal((await readAll(stream)).length, 0);
      await closed;
      await server.closed;
      assert.deepEqual([client.destroyed, client.closing, server.destroyed], [true, false, true]);
      assert.ok(client.stats.closingAt > 0n);
    }),
  );

  test(
    "close does not wait for readers of what has arrived whole; they get it later",
    withBench(async (bench) => {
      const { client } = await bench.pair({}, {}, (session) => {
        session.onstream = (stream) => stream.setBody(content(100_000));
      });
      const [empty, early, late] = await Promise.all(
        [1, 2, 3].map(() => client.createBidirectionalStream({ body: null })),
      );
      assert.ok(empty !== undefined && early !== undefined && late !== undefined);
      await until(() => early.ext.readableBytes === 100_000);
      await client.close();
      assert.equal((await readAll(early)).length, 100_000);
      assert.equal((await late.ext.read({ maxBytes: 10 }))?.length, 10);
      assert.equal((await readAll(late)).length, 99_990);
      await Promise.all([empty.closed, early.closed, late.closed]);
      assert.equal(sha256(await readAll(empty)), sha256(content(100_000)));
    }),
  );

  test(
    "an end without data closes a stream that nobody reads",
    withBench(async (bench) => {
      const { client } = await bench.pair({}, {}, (session) => {
        session.onstream = async (stream) => {
          await readAll(stream);
          await stream.writer.end();
        };
      });
      const stream = await client.createBidirectionalStream({ body: "x" });
      await stream.closed;
      assert.equal(await stream.ext.read(), null);
    }),
  );

  test(
    "a code that is not 0 rejects closed on both sides, with type and reason",
    withBench(async (bench) => {
      for (const [type, code] of [
        ["application", "ERR_QUIC_APPLICATION_ERROR"],
        ["transport", "ERR_QUIC_TRANSPORT_ERROR"],
      ] as const) {
        const { client, server } = await bench.pair();
        const errorCode = 2n ** 62n - 1n;
        const local = await quicError(client.close({ code: errorCode, type, reason: "because" }));
        const remote = await quicError(server.closed);
        for (const error of [local, remote]) {
          assert.deepEqual([error.code, error.errorCode, error.type], [code, errorCode, type]);
          assert.equal(error.reason, "because");
        }
        assert.deepEqual([local.remote, remote.remote], [false, true]);
      }
    }),
  );

  test(
    "destroy ends streams at once; the peer learns the code",
    withBench(async (bench) => {
      const { client, server } = await bench.pair();
      const incoming = nextStream(server);
      const stream = await client.createBidirectionalStream();
      await stream.writer.write("begun");
      const far = await incoming;
      const mine = new Error("mine");
      const errors: unknown[] = [];
      client.onerror = (error) => errors.push(error);
      client.destroy(mine, { code: 9, type: "application", reason: "gone" });
      assert.deepEqual([client.destroyed, stream.destroyed, errors[0]], [true, true, mine]);
      await assert.rejects(client.closed, mine);
      await assert.rejects(stream.closed, mine);
      await assert.rejects(stream.writer.write("x"), mine);
      const remote = await quicError(server.closed);
      assert.equal(remote.errorCode, 9n);
      // what had arrived can still be read, then comes the error
      assert.equal(Buffer.from((await far.ext.read()) ?? "").toString(), "begun");
      assert.equal(await quicError(far.ext.read()), remote);
      assert.equal(await quicError(far.closed), remote);
    }),
  );

  test(
    "what had arrived whole is read to its end after the peer has closed",
    withBench(async (bench) => {
      const { client, server } = await bench.pair();
      const incoming = nextStream(client);
      const bytes = content(500_000);
      await server.createUnidirectionalStream({ body: bytes });
      const stream = await incoming;
      await until(() => stream.ext.readableBytes === bytes.length);
      server.destroy();
      await client.closed;
      assert.equal(stream.destroyed, true);
      assert.equal(sha256(await readAll(stream)), sha256(bytes));
    }),
  );

  test(
    "silence ends it after maxIdleTimeout, in seconds; keepAlive prevents that",
    withBench(async (bench) => {
      const short = { transportParams: { maxIdleTimeout: 1.5 } };
      const { client: idle } = await bench.pair({}, short);
      const { client: alive } = await bench.pair({}, { ...short, keepAlive: 100 });
      const error = await quicError(idle.closed);
      assert.deepEqual([error.code, error.type], ["ERR_QUIC_IDLE_TIMEOUT", "transport"]);
      await pause(500);
      assert.equal(alive.destroyed, false);
    }),
  );

  test(
    "a server's endpoint that is destroyed ends its sessions; its port is free at once",
    withBench(async (bench) => {
      const { client, server, endpoint } = await bench.pair();
      const address = addressOf(endpoint);
      endpoint.destroy();
      assert.deepEqual([endpoint.destroyed, server.destroyed, endpoint.listening], [true, true, false]);
      await Promise.all([endpoint.closed, client.closed, server.closed]);
      await bench.serve(echo, { endpoint: { address } });
    }),
  );

  test(
    "endpoint.close waits for sessions and refuses new ones",
    withBench(async (bench) => {
      const { client, endpoint } = await bench.pair({}, {}, echo);
      const closed = endpoint.close();
      assert.equal(endpoint.listening, false);
      const late = await bench.connect(endpoint, { handshakeTimeout: 200 });
      await assert.rejects(late.opened);
      assert.equal((await readAll(await client.createBidirectionalStream({ body: "x" }))).toString(), "x");
      await client.close();
      await closed;
      assert.equal(endpoint.destroyed, true);
      assert.equal(endpoint.close(), endpoint.closed);
    }),
  );

  test(
    "asyncDispose closes",
    withBench(async (bench) => {
      const { client, endpoint } = await bench.pair();
      await client[Symbol.asyncDispose]();
      assert.equal(client.destroyed, true);
      await endpoint[Symbol.asyncDispose]();
      assert.equal(endpoint.destroyed, true);
    }),
  );
});

describe("AbortSignal", () => {
  test(
    "ends connect: before it starts, and until the handshake is complete",
    withBench(async (bench) => {
      const endpoint = await bench.serve(echo);
      await assert.rejects(bench.connect(endpoint, { signal: AbortSignal.abort() }), { name: "AbortError" });
      const controller = new AbortController();
      const session = await bench.connect(endpoint, { signal: controller.signal });
      controller.abort();
      await assert.rejects(session.opened, { name: "AbortError" });
      await assert.rejects(session.closed, { name: "AbortError" });
      const later = new AbortController();
      const open = await bench.connect(endpoint, { signal: later.signal });
      await open.opened;
      later.abort();
      assert.equal((await readAll(await open.createBidirectionalStream({ body: "x" }))).toString(), "x");
    }),
  );

  test(
    "ends a read without loss, and a write: cleanly before any byte was taken, by a reset after",
    withBench(async (bench) => {
      const { client, server } = await bench.pair();
      const incoming = nextStream(server);
      const stream = await client.createBidirectionalStream();
      await assert.rejects(stream.ext.read({ signal: AbortSignal.timeout(20) }), { name: "TimeoutError" });
      await stream.writer.write("a");
      const far = await incoming;
      await far.writer.write("still there");
      assert.equal(Buffer.from((await stream.ext.read()) ?? "").toString(), "still there");

      const first = stream.writer.write(new Uint8Array(8_000_000));
      const controller = new AbortController();
      const second = stream.writer.write(new Uint8Array(10), { signal: controller.signal });
      controller.abort();
      await assert.rejects(second, { name: "AbortError" });
      let total = 0;
      const reading = (async () => {
        for await (const batch of far) for (const chunk of batch) total += chunk.length;
      })();
      await first;
      await stream.writer.end();
      await reading;
      assert.equal(total, 8_000_001);

      const other = nextStream(server);
      const begun = await client.createBidirectionalStream();
      const signal = AbortSignal.timeout(50);
      await assert.rejects(begun.writer.write(new Uint8Array(8_000_000), { signal }), { name: "TimeoutError" });
      await assert.rejects(readAll(await other), { code: "ERR_QUIC_STREAM_RESET" });
    }),
  );

  test(
    "destroys a stream that was created with it",
    withBench(async (bench) => {
      const { client } = await bench.pair();
      const controller = new AbortController();
      const stream = await client.createBidirectionalStream({ signal: controller.signal });
      controller.abort();
      await assert.rejects(stream.closed, { name: "AbortError" });
      await assert.rejects(client.createBidirectionalStream({ signal: AbortSignal.abort() }), { name: "AbortError" });
    }),
  );
});

describe("callbacks that throw", () => {
  const boom = (): never => {
    throw new Error("boom");
  };
  const reject = async (): Promise<never> => boom();

  for (const [kind, fail] of [
    ["throw", boom],
    ["reject", reject],
  ] as const) {
    test(
      `${kind} in onsession, onhandshake, onkeylog, onsessionticket: that session ends, others go on`,
      withBench(async (bench) => {
        const endpoint = await bench.serve(echo);
        const other = await bench.connect(endpoint);
        await other.opened;
        for (const options of [
          { onhandshake: fail },
          { onkeylog: fail, keylog: true },
          { onsessionticket: fail },
          { onnewtoken: fail },
        ]) {
          const errors: unknown[] = [];
          const session = await bench.connect(endpoint, { ...options, onerror: (error) => errors.push(error) });
          await assert.rejects(session.closed, { message: "boom" });
          assert.equal((errors[0] as Error).message, "boom");
        }
        const sessions: QuicSession[] = [];
        const bad = await bench.serve((session) => {
          sessions.push(session);
          return fail();
        });
        const refused = await bench.connect(bad);
        await assert.rejects(refused.closed);
        await assert.rejects(sessions[0]?.closed ?? Promise.resolve(), { message: "boom" });
        assert.equal((await readAll(await other.createBidirectionalStream({ body: "alive" }))).toString(), "alive");
      }),
    );

    test(
      `${kind} in onstream, onreset, onstopsending, onblocked: that stream ends, the session goes on`,
      withBench(async (bench) => {
        const { client, server } = await bench.pair();
        const warnings: string[] = [];
        const onWarning = (warning: Error): number => warnings.push(warning.message);
        process.on("warning", onWarning);
        bench.later(() => process.off("warning", onWarning));
        server.onstream = fail;
        const first = await client.createBidirectionalStream();
        await first.writer.write("x");
        await assert.rejects(first.closed, { errorCode: 1n });
        await until(() => warnings.some((text) => text.includes("boom")));

        const incoming = nextStream(server);
        const second = await client.createBidirectionalStream();
        await second.writer.write("x");
        const far = await incoming;
        far.onreset = fail;
        far.onerror = fail; // and this one too
        second.resetStream(1n);
        await assert.rejects(far.closed, { message: "boom" });

        const third = await client.createBidirectionalStream();
        third.onblocked = fail;
        await assert.rejects(third.writer.write(new Uint8Array(8_000_000)), { message: "boom" });
        await assert.rejects(third.closed, { message: "boom" });

        echo(server);
        assert.equal((await readAll(await client.createBidirectionalStream({ body: "alive" }))).toString(), "alive");
      }),
    );
  }

  test(
    "a stream without onstream is destroyed, with a warning; one that sets it after opened is in time",
    withBench(async (bench) => {
      const { client } = await bench.pair();
      const warnings: string[] = [];
      const onWarning = (warning: Error): number => warnings.push(warning.message);
      process.on("warning", onWarning);
      bench.later(() => process.off("warning", onWarning));
      const stream = await client.createBidirectionalStream({ body: "x" });
      await assert.rejects(readAll(stream), { code: "ERR_QUIC_STREAM_RESET", errorCode: 0n });
      await until(() => warnings.some((text) => text.includes("no onstream")));
      assert.equal(client.destroyed, false);

      const endpoint = await bench.serve(async (session) => {
        await session.opened;
        echo(session);
      });
      const late = await bench.connect(endpoint);
      assert.equal((await readAll(await late.createBidirectionalStream({ body: "y" }))).toString(), "y");
    }),
  );
});
