import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { QuicSession, QuicStream } from "#src/api/quic/index.js";
import { INTERNAL_ERROR } from "#src/proto/transport-error.js";
import { type Bench, content, nextStream, pause, quicError, readAll, until, withBench } from "./support.js";

const MIB = 1024 * 1024;
const TRUNCATED = "ERR_NETQUIC_FILE_TRUNCATED";
const WRONG_TYPE = "ERR_INVALID_ARG_TYPE";
/** Of a stream by default, bytes. */
const SEND_BUFFER_BYTES = 2 * MIB;
/** More than fits into the send buffer and all windows of a peer that does not read. */
const LARGE_BYTES = 64 * MIB;
/** The portable datapath is some thirty times slower. */
const LONG_MIB = process.env.NETQUIC_DATAPATH === "portable" ? 16 : 256;

const dir = mkdtempSync(join(tmpdir(), "netquic-files-"));
after(() => rmSync(dir, { recursive: true }));
const data = content(3 * MIB + 77);
const path = join(dir, "data");
writeFileSync(path, data);

interface Ends {
  client: QuicSession;
  server: QuicSession;
  near: QuicStream;
  /** Once the first byte came. */
  far: Promise<QuicStream>;
}

async function ends(bench: Bench): Promise<Ends> {
  const { client, server } = await bench.pair();
  const far = nextStream(server);
  return { client, server, near: await client.createUnidirectionalStream(), far };
}

/** An open file, closed with the bench: that fails when something else has closed it. */
async function file(bench: Bench, at = path, flags = "r"): Promise<FileHandle> {
  const handle = await open(at, flags);
  bench.later(async () => {
    if (handle.fd >= 0) await handle.close();
  });
  return handle;
}

/** A file with a hole and marks on both sides of it; nothing of it lies on the disk. */
async function sparse(bench: Bench, name: string, sizeBytes: number): Promise<FileHandle> {
  const handle = await file(bench, join(dir, name), "w+");
  await handle.truncate(sizeBytes);
  for (const at of [0, 1000, sizeBytes / 2 - 3, sizeBytes - 7]) await handle.write(data, 0, 7, at);
  return handle;
}

function codeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => "fulfilled",
    (error: { code?: unknown }) => error.code,
  );
}

describe("files on streams", () => {
  test(
    "ranges go out in their turn among writes, by handle and by descriptor, and leave the file open",
    withBench(async (bench) => {
      const { near, far } = await ends(bench);
      const handle = await file(bench);
      const { writer } = near;
      const header = writer.write("header");
      const first = near.ext.sendFile(handle, { offset: 5, length: 100_000 });
      const middle = writer.write("middle");
      const rest = near.ext.sendFile(handle.fd, { offset: 200_000 });
      const none = near.ext.sendFile(handle, { offset: 3, length: 0 });
      const end = writer.end();
      const got = await readAll(await far);
      await Promise.all([header, middle]);
      assert.deepEqual(await Promise.all([first, rest, none]), [100_000, data.length - 200_000, 0]);
      assert.equal(await end, got.length);
      const wanted = ["header", data.subarray(5, 100_005), "middle", data.subarray(200_000)];
      assert.equal(Buffer.compare(got, Buffer.concat(wanted.map((part) => Buffer.from(part as Buffer)))), 0);
      await near.closed;
      assert.equal((await handle.stat()).size, data.length);
    }),
  );

  test(
    `a file of ${LONG_MIB} MiB arrives byte for byte`,
    withBench(async (bench) => {
      const { near, far } = await ends(bench);
      const size = LONG_MIB * MIB;
      const handle = await sparse(bench, "sparse", size);
      const sent = near.ext.sendFile(handle);
      const hash = createHash("sha256");
      const stream = await far;
      const into = new Uint8Array(MIB);
      const ended = sent.then(() => near.writer.end());
      for (let chunk = await stream.ext.read({ into }); chunk !== null; chunk = await stream.ext.read({ into })) {
        hash.update(chunk);
      }
      assert.deepEqual([await sent, await ended], [size, size]);
      const wanted = createHash("sha256");
      for await (const chunk of handle.createReadStream({ start: 0, autoClose: false, highWaterMark: MIB }))
        wanted.update(chunk as Buffer);
      assert.equal(hash.digest("hex"), wanted.digest("hex"));
    }),
  );

  test(
    "as a body, a FileHandle is sent from where it stands to its end, and closed",
    withBench(async (bench) => {
      const { client, server } = await bench.pair();
      const incoming = nextStream(server);
      const handle = await file(bench);
      await handle.read(Buffer.alloc(10), 0, 10, null);
      await client.createUnidirectionalStream({ body: handle });
      assert.equal(Buffer.compare(await readAll(await incoming), data.subarray(10)), 0);
      await until(() => handle.fd === -1);
    }),
  );

  test(
    "no more than the send buffer is held of a file that nobody reads",
    withBench(async (bench) => {
      const { client, near, far } = await ends(bench);
      const handle = await sparse(bench, "unread", LARGE_BYTES);
      const sent = near.ext.sendFile(handle);
      await far;
      await until(() => near.writer.desiredSize === 0);
      await pause(100);
      const { heldBytes } = client.ext.transport as unknown as { heldBytes(): number };
      assert.ok(heldBytes.call(client.ext.transport) <= SEND_BUFFER_BYTES + 65_536);
      assert.equal(near.writer.desiredSize, 0);
      client.destroy(new Error("enough"));
      await assert.rejects(sent, /enough/);
      assert.ok(handle.fd >= 0);
    }),
  );
});

describe("files that go wrong", () => {
  test(
    "one that cannot be read is the system's error, and the stream goes on as if nothing had been",
    withBench(async (bench) => {
      const { near, far } = await ends(bench);
      const gone = await open(path);
      await gone.close();
      assert.equal(await codeOf(near.ext.sendFile(await file(bench, dir))), "EISDIR");
      assert.equal(await codeOf(near.ext.sendFile(gone)), "EBADF");
      assert.equal(await codeOf(near.ext.sendFile(await file(bench), { offset: 1e9, length: 1 })), TRUNCATED);
      await near.writer.write("still here");
      await near.writer.end();
      assert.equal((await readAll(await far)).toString(), "still here");
    }),
  );

  const spoil: [name: string, how: (handle: FileHandle) => Promise<void>, code: string][] = [
    ["truncated", (handle) => handle.truncate(10 * MIB), TRUNCATED],
    ["closed", (handle) => handle.close(), "EBADF"],
  ];
  for (const [name, how, code] of spoil) {
    test(
      `one that is ${name} while it is sent: ${code}, and the stream is reset`,
      withBench(async (bench) => {
        const { near, far } = await ends(bench);
        const handle = await sparse(bench, name, LARGE_BYTES);
        const sent = near.ext.sendFile(handle, { length: LARGE_BYTES });
        const later = codeOf(near.writer.write("after it"));
        const result = codeOf(sent);
        const stream = await far;
        await how(handle);
        assert.equal((await quicError(readAll(stream))).errorCode, BigInt(INTERNAL_ERROR));
        assert.equal(await result, code);
        assert.equal(await later, code);
      }),
    );
  }

  test(
    "a body that cannot be read destroys its stream with the system's error, and is closed",
    withBench(async (bench) => {
      const { client } = await bench.pair();
      const folder = await file(bench, dir);
      const stream = await client.createUnidirectionalStream({ body: folder });
      assert.equal(await codeOf(stream.closed), "EISDIR");
      assert.equal(folder.fd, -1);
    }),
  );
});

describe("streams that end under a file", () => {
  test(
    "STOP_SENDING, a reset, and the end of the session: the wait ends, the file stays",
    withBench(async (bench) => {
      const handle = await sparse(bench, "left", LARGE_BYTES);
      const stopped = await ends(bench);
      const first = stopped.near.ext.sendFile(handle);
      (await stopped.far).stopSending(9n);
      const error = await quicError(first);
      assert.deepEqual([error.code, error.errorCode], ["ERR_QUIC_STREAM_ABORTED", 9n]);
      const reset = await ends(bench);
      const second = reset.near.ext.sendFile(handle);
      const far = await reset.far;
      reset.near.resetStream(7n);
      assert.equal(await codeOf(second), "ERR_QUIC_STREAM_ABORTED");
      assert.equal((await quicError(readAll(far))).errorCode, 7n);
      const closed = await ends(bench);
      const third = codeOf(closed.near.ext.sendFile(handle));
      await closed.far;
      closed.server.destroy(undefined, { code: 3n, type: "application" });
      assert.equal(await third, "ERR_QUIC_APPLICATION_ERROR");
      assert.equal((await handle.stat()).size, LARGE_BYTES);
      assert.equal(await codeOf(closed.near.ext.sendFile(handle)), "ERR_QUIC_APPLICATION_ERROR");
    }),
  );

  test(
    "a signal takes back a file that waits for its turn, and resets the stream of one that is on its way",
    withBench(async (bench) => {
      const { near, far } = await ends(bench);
      const handle = await sparse(bench, "signal", LARGE_BYTES);
      await assert.rejects(near.ext.sendFile(handle, { signal: AbortSignal.abort(new Error("early")) }), /early/);
      const sending = new AbortController();
      const waiting = new AbortController();
      const first = near.ext.sendFile(handle, { signal: sending.signal });
      const second = near.ext.sendFile(handle, { signal: waiting.signal });
      waiting.abort(new Error("not any more"));
      await assert.rejects(second, /not any more/);
      const stream = await far;
      assert.equal(near.writer.canWrite, false, "the first goes on");
      sending.abort(new Error("stop"));
      await assert.rejects(first, /stop/);
      assert.equal((await quicError(readAll(stream))).errorCode, BigInt(INTERNAL_ERROR));
    }),
  );

  test(
    "wrong arguments and streams that something else writes are refused",
    withBench(async (bench) => {
      const { near, client, server } = await ends(bench);
      const handle = await file(bench);
      for (const wrong of [null, "path", -1, 1.5, {}, data]) {
        assert.equal(await codeOf(near.ext.sendFile(wrong as unknown as number)), WRONG_TYPE);
      }
      for (const options of [{ offset: -1 }, { length: 0.5 }, { offset: Infinity }, { size: 1 }]) {
        assert.equal(await codeOf(near.ext.sendFile(handle, options as object)), "ERR_INVALID_ARG_VALUE");
      }
      assert.equal(await codeOf(near.ext.sendFile(handle, { signal: 1 as unknown as AbortSignal })), WRONG_TYPE);
      const incoming = nextStream(server);
      const withBody = await client.createUnidirectionalStream({ body: "x" });
      assert.equal(await codeOf(withBody.ext.sendFile(handle)), "ERR_INVALID_STATE");
      assert.equal(await codeOf((await incoming).ext.sendFile(handle)), "ERR_INVALID_STATE");
      await near.writer.end();
      assert.equal(await codeOf(near.ext.sendFile(handle)), "ERR_INVALID_STATE");
    }),
  );
});
