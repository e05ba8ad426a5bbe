import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { Readable, type Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { describe, test } from "node:test";
import type { QuicStream } from "#src/api/quic/index.js";
import {
  type Bench,
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

const MIB = 1024 * 1024;

/** One bidirectional stream: the client's end and the server's. */
async function streamPair(bench: Bench): Promise<{ near: QuicStream; far: QuicStream }> {
  const { client, server } = await bench.pair();
  const incoming = nextStream(server);
  const near = await client.createBidirectionalStream();
  await near.writer.write("!");
  const far = await incoming;
  assert.equal((await far.ext.read())?.length, 1);
  return { near, far };
}

describe("streams", () => {
  test(
    "a server speaks first on a stream that its client has announced",
    withBench(async (bench) => {
      const { client, server } = await bench.pair();
      const incoming = nextStream(server);
      const near = await client.createBidirectionalStream();
      near.ext.announce();
      const far = await incoming;
      await far.writer.write("220 ready");
      assert.equal(Buffer.from((await near.ext.read()) as Uint8Array).toString(), "220 ready");
      near.destroy();
      near.ext.announce(); // of no consequence
    }),
  );

  test(
    "20 MB arrive as they were sent, in chunks of 64 KiB at most",
    withBench(async (bench) => {
      const { client, server } = await bench.pair();
      const bytes = content(20_000_000);
      const incoming = nextStream(server);
      const stream = await client.createUnidirectionalStream({ body: bytes });
      const far = await incoming;
      assert.deepEqual([stream.direction, far.direction, stream.id], ["uni", "uni", 2n]);
      let largest = 0;
      const chunks: Uint8Array[] = [];
      for await (const batch of far) {
        for (const chunk of batch) {
          largest = Math.max(largest, chunk.length);
          chunks.push(chunk);
        }
      }
      assert.ok(largest <= 65_536);
      assert.equal(sha256(Buffer.concat(chunks)), sha256(bytes));
      await stream.closed;
    }),
  );

  test(
    "200 streams at once, twice what the peer allows, all come back",
    withBench(async (bench) => {
      const { client } = await bench.pair({}, {}, echo);
      const results = await Promise.all(
        Array.from({ length: 200 }, async (_, i) => {
          const body = content(20_000 + i, i);
          const stream = await client.createBidirectionalStream({ body });
          return sha256(await readAll(stream)) === sha256(body);
        }),
      );
      assert.equal(results.filter(Boolean).length, 200);
      assert.equal(client.stats.bidiOutStreamCount, 200n);
    }),
  );

  test(
    "without waitUntilAvailable the limit is an error",
    withBench(async (bench) => {
      const { client } = await bench.pair({ transportParams: { initialMaxStreamsBidi: 1, initialMaxStreamsUni: 0 } });
      await client.createBidirectionalStream();
      const code = "ERR_QUIC_OPEN_STREAM_FAILED";
      await assert.rejects(client.createBidirectionalStream({ waitUntilAvailable: false }), { code });
      await assert.rejects(client.createUnidirectionalStream(), { code });
      const signal = AbortSignal.timeout(20);
      await assert.rejects(client.createBidirectionalStream({ signal }), { name: "TimeoutError" });
    }),
  );

  test(
    "a slow reader stops the writer: memory is bounded by windows and buffers",
    withBench(async (bench) => {
      const windows = { initialMaxStreamDataBidiRemote: 65_536, initialMaxData: 131_072 };
      const { client, server } = await bench.pair({
        transportParams: windows,
        maxStreamWindow: 65_536,
        maxWindow: 131_072,
      });
      const incoming = nextStream(server);
      const near = await client.createBidirectionalStream();
      const chunk = content(MIB);
      let written = 0;
      let blocked = 0;
      near.onblocked = () => {
        blocked++;
      };
      const writing = (async (): Promise<void> => {
        for (let i = 0; i < 8; i++) {
          await near.writer.write(chunk);
          written++;
        }
        await near.writer.end();
      })();
      const far = await incoming;
      await until(() => blocked > 0 && !near.writer.canWrite);
      await pause(150);
      assert.ok(written <= 2, `${written} MiB written while nobody read`); // 2 MiB of send buffer
      assert.ok(blocked > 0);
      assert.ok(far.ext.readableBytes <= 131_072);
      assert.equal(near.writer.canWrite, false);
      let total = 0;
      for await (const batch of far) for (const each of batch) total += each.length;
      await writing;
      assert.equal(total, 8 * MIB);
    }),
  );

  test(
    "a read fills the array that it is given, before and after the peer has closed",
    withBench(async (bench) => {
      const { client, server } = await bench.pair();
      const incoming = nextStream(client);
      const bytes = content(100_000);
      await server.createUnidirectionalStream({ body: bytes });
      const stream = await incoming;
      await until(() => stream.ext.readableBytes === bytes.length);
      const into = new Uint8Array(30_000);
      const parts: Buffer[] = [];
      for (;;) {
        const part = await stream.ext.read({ into });
        if (part === null) break;
        assert.equal(part.buffer, into.buffer);
        parts.push(Buffer.from(part));
        if (parts.length === 1) {
          server.destroy();
          await client.closed;
        }
      }
      assert.ok(parts.length >= 4);
      assert.equal(sha256(Buffer.concat(parts)), sha256(bytes));
      await assert.rejects(stream.ext.read({ into: new Uint8Array(0) }), { code: "ERR_INVALID_ARG_TYPE" });
    }),
  );

  test(
    "a reader that waits with its own array gets every byte, also after waits that it gave up",
    withBench(async (bench) => {
      const { near, far } = await streamPair(bench);
      const bytes = content(5_000_000);
      const hash = createHash("sha256");
      const written = near.writer.write(bytes).then(() => near.writer.end());
      const into = new Uint8Array(100_000);
      for (let reads = 0; ; reads++) {
        const signal = reads % 5 === 4 ? AbortSignal.timeout(0) : new AbortController().signal;
        const part = await far.ext.read({ into, signal }).catch((error: unknown) => {
          assert.equal((error as Error).name, "TimeoutError");
          return into.fill(0).subarray(0, 0); // the array is the reader's again
        });
        if (part === null) break;
        hash.update(part);
      }
      await written;
      assert.equal(hash.digest("hex"), sha256(bytes));
    }),
  );

  test(
    "a half that is ended leaves the other open",
    withBench(async (bench) => {
      const { near, far } = await streamPair(bench);
      assert.equal(await near.writer.end(), 1);
      assert.equal(await far.ext.read(), null);
      await far.writer.write("later");
      assert.equal(Buffer.from((await near.ext.read()) ?? "").toString(), "later");
      await far.writer.write("and later");
      await far.writer.end();
      assert.equal(Buffer.from((await near.ext.read()) ?? "").toString(), "and later");
      assert.equal(await near.ext.read(), null);
      await Promise.all([near.closed, far.closed]);
      await assert.rejects(near.writer.write("x"), { code: "ERR_INVALID_STATE" });
    }),
  );

  const BIG = 2n ** 62n - 1n;

  test(
    "a reset reaches the reader with its code of 62 bits",
    withBench(async (bench) => {
      const { near, far } = await streamPair(bench);
      const reset = new Promise((resolve) => {
        far.onreset = resolve;
      });
      const reading = quicError(readRest(far));
      near.resetStream(BIG);
      const error = await reading;
      assert.deepEqual([error.code, error.errorCode, error.type], ["ERR_QUIC_STREAM_RESET", BIG, "application"]);
      assert.equal(await reset, error);
      await assert.rejects(near.writer.write("x"), { code: "ERR_QUIC_STREAM_ABORTED" });
      await far.writer.write("the other half lives");
      await far.writer.end();
      assert.equal((await readAll(near)).toString(), "the other half lives");
      assert.equal((await quicError(far.closed)).errorCode, BIG);
      await near.closed;
    }),
  );

  test(
    "stopSending reaches the writer with its code",
    withBench(async (bench) => {
      const { near, far } = await streamPair(bench);
      const stopped = new Promise((resolve) => {
        near.onstopsending = resolve;
      });
      far.stopSending(BIG - 1n);
      await stopped;
      const error = await quicError(near.writer.write("x"));
      assert.deepEqual([error.code, error.errorCode], ["ERR_QUIC_STREAM_ABORTED", BIG - 1n]);
      assert.equal(near.writer.canWrite, null);
      await assert.rejects(readRest(far), { code: "ERR_QUIC_STREAM_ABORTED" });
      await far.writer.end();
      assert.equal((await readAll(near)).length, 0);
      assert.equal((await quicError(near.closed)).errorCode, BIG - 1n);
    }),
  );

  test(
    "writer.fail and destroy send the code of their error, INTERNAL_ERROR for any other",
    withBench(async (bench) => {
      const { QuicError } = await import("#src/api/quic/index.js");
      for (const [reason, code] of [
        [new QuicError("mine", { errorCode: 77n }), 77n],
        [new Error("other"), 1n],
      ] as const) {
        const first = await streamPair(bench);
        first.near.writer.fail(reason);
        assert.equal((await quicError(readRest(first.far))).errorCode, code);
        const second = await streamPair(bench);
        second.near.destroy(reason);
        assert.equal(second.near.destroyed, true);
        assert.equal(second.near.id, null);
        assert.equal((await quicError(readRest(second.far))).errorCode, code);
        await assert.rejects(second.near.closed, reason);
        const third = await streamPair(bench);
        third.near.destroy(reason, { code: 5 });
        assert.equal((await quicError(readRest(third.far))).errorCode, 5n);
      }
    }),
  );

  test(
    "leaving the iterator early stops the peer; a second iterator is refused",
    withBench(async (bench) => {
      const { near, far } = await streamPair(bench);
      const stopped = new Promise<{ errorCode: bigint }>((resolve) => {
        near.onstopsending = (error) => resolve(error as { errorCode: bigint });
      });
      const { client, server } = await bench.pair();
      const incoming = nextStream(server);
      await client.createUnidirectionalStream({ body: Buffer.alloc(100_000) });
      const other = await incoming;
      for await (const batch of other) {
        assert.ok(batch.length > 0);
        break;
      }
      assert.throws(() => other[Symbol.asyncIterator](), { code: "ERR_INVALID_STATE" });
      far.stopSending();
      assert.equal((await stopped).errorCode, 0n);
    }),
  );

  test(
    "bodies of every kind",
    withBench(async (bench) => {
      const { client } = await bench.pair({}, {}, echo);
      const text = "body ".repeat(1000);
      const bytes = new TextEncoder().encode(text);
      async function* generate(): AsyncGenerator<Uint8Array> {
        yield bytes.subarray(0, 2000);
        await pause(1);
        yield bytes.subarray(2000);
      }
      const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
      shared.set(bytes);
      const file = await open(new URL(import.meta.url));
      const size = (await file.stat()).size;
      for (const body of [
        text,
        bytes,
        bytes.buffer,
        shared.buffer,
        new DataView(bytes.buffer),
        new Blob([text]),
        generate(),
        [bytes.subarray(0, 10), text.slice(10)],
        Readable.from([text]),
        Promise.resolve(text),
      ]) {
        const stream = await client.createBidirectionalStream({ body });
        assert.equal((await readAll(stream)).toString(), text);
      }
      assert.equal((await readAll(await client.createBidirectionalStream({ body: null }))).length, 0);
      assert.equal((await readAll(await client.createBidirectionalStream({ body: file }))).length, size);
      const bad = await client.createBidirectionalStream({ body: Promise.reject(new Error("no body")) });
      await assert.rejects(bad.closed, /no body/);
      await assert.rejects(client.createBidirectionalStream({ body: 5 as never }), { code: "ERR_INVALID_ARG_TYPE" });
      const late = await client.createBidirectionalStream();
      late.setBody(text);
      assert.throws(() => late.setBody(text), { code: "ERR_INVALID_STATE" });
      assert.throws(() => late.writer, { code: "ERR_INVALID_STATE" });
      assert.equal((await readAll(late)).toString(), text);
    }),
  );

  test(
    "the synchronous writer takes all or nothing, and ondrain's protocol waits",
    withBench(async (bench) => {
      const { near, far } = await streamPair(bench);
      const { writer } = near;
      const chunk = content(300_000);
      const drainable = Symbol.for("Stream.drainableProtocol");
      const drained = (): Promise<boolean> | null =>
        (writer as unknown as Record<symbol, () => Promise<boolean> | null>)[drainable]?.() ?? null;
      assert.equal(drained(), null);
      let sent = 0;
      while (writer.writeSync(chunk)) sent++;
      assert.ok(sent >= 6, `${sent} chunks of 300 kB into a buffer of 2 MiB`);
      assert.equal(writer.canWrite, false);
      assert.equal(writer.endSync(), -1);
      const waiting = drained();
      assert.ok(waiting !== null);
      const expected = sha256(Buffer.concat(Array.from({ length: sent + 1 }, () => chunk)));
      const reading = readRest(far);
      assert.equal(await waiting, true);
      assert.equal(writer.writevSync([chunk.subarray(0, 1000), chunk.subarray(1000)]), true);
      assert.equal(await writer.end(), 1 + (sent + 1) * chunk.length);
      assert.equal(sha256(await reading), expected);
    }),
  );

  test(
    "priorities",
    withBench(async (bench) => {
      const { client } = await bench.pair({}, {}, echo);
      const stream = await client.createBidirectionalStream({ body: "x", priority: "high", incremental: true });
      assert.deepEqual(stream.priority, { level: "high", incremental: true });
      stream.setPriority({ level: "low" });
      assert.deepEqual(stream.priority, { level: "low", incremental: false });
      assert.equal((await readAll(stream)).toString(), "x");
    }),
  );
});

describe("ext.toDuplex", () => {
  test(
    "a pipeline with back-pressure both ways",
    withBench(async (bench) => {
      const { client } = await bench.pair({}, {}, (session) => {
        session.onstream = (stream) => {
          const duplex = stream.ext.toDuplex();
          duplex.pipe(duplex);
        };
      });
      const stream = await client.createBidirectionalStream();
      const duplex = stream.ext.toDuplex({ highWaterMark: 16_384 });
      const bytes = content(5 * MIB);
      const chunks: Buffer[] = [];
      await pipeline(Readable.from(slices(bytes, 100_000)), duplex, async (source: AsyncIterable<Buffer>) => {
        for await (const chunk of source) {
          chunks.push(chunk);
          if (chunks.length % 20 === 0) await pause(1);
        }
      });
      assert.equal(sha256(Buffer.concat(chunks)), sha256(bytes));
      await stream.closed;
    }),
  );

  test(
    "an unread Duplex holds its high-water mark and no more",
    withBench(async (bench) => {
      const { near, far } = await streamPair(bench);
      const duplex = far.ext.toDuplex({ highWaterMark: 32_768 });
      const writing = near.writer.write(Buffer.alloc(8 * MIB));
      duplex.read(0);
      await pause(100);
      assert.ok(duplex.readableLength <= 32_768 + 65_536, `${duplex.readableLength} bytes buffered`);
      let total = 0;
      duplex.on("data", (chunk: Buffer) => {
        total += chunk.length;
      });
      await writing;
      const ended = new Promise((resolve) => duplex.on("end", resolve));
      await near.writer.end();
      await ended;
      duplex.end();
      assert.equal(total, 8 * MIB);
      await far.closed;
    }),
  );

  test(
    "destroy resets what is not finished and stops the rest, with the code of its error",
    withBench(async (bench) => {
      const { QuicError } = await import("#src/api/quic/index.js");
      const { near, far } = await streamPair(bench);
      const duplex = near.ext.toDuplex();
      const stopped = new Promise<{ errorCode: bigint }>((resolve) => {
        far.onstopsending = (error) => resolve(error as { errorCode: bigint });
      });
      duplex.on("error", () => {});
      duplex.destroy(new QuicError("enough", { errorCode: 9n }));
      assert.equal((await quicError(readRest(far))).errorCode, 9n);
      assert.equal((await stopped).errorCode, 9n);
    }),
  );

  test(
    "a reset by the peer is an error event; one-way streams have one side",
    withBench(async (bench) => {
      const { near, far } = await streamPair(bench);
      const duplex = near.ext.toDuplex();
      const failed = new Promise<Error & { errorCode?: bigint }>((resolve) => duplex.on("error", resolve));
      duplex.resume();
      far.resetStream(3n);
      assert.equal((await failed).errorCode, 3n);
      const { client, server } = await bench.pair();
      const incoming = nextStream(server);
      const out = (await client.createUnidirectionalStream()).ext.toDuplex();
      out.end("one way");
      const into: Duplex = (await incoming).ext.toDuplex();
      assert.deepEqual([out.readable, into.writable], [false, false]);
      assert.equal(Buffer.concat(await into.toArray()).toString(), "one way");
    }),
  );
});

async function readRest(stream: QuicStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let chunk = await stream.ext.read(); chunk !== null; chunk = await stream.ext.read()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function* slices(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
