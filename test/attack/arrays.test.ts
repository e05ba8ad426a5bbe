/**
 * Arrays that their owner takes away, shrinks or names badly while a read or a write waits for them: the call fails, and
 * nothing of other streams leaves or arrives in their place.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { QuicStream } from "#src/api/quic/index.js";
import { type Bench, nextStream, until, withBench } from "../api/support.js";

async function streamPair(bench: Bench): Promise<{ near: QuicStream; far: QuicStream }> {
  const options = { transportParams: { initialMaxStreamDataUni: 16_384n } };
  const { client, server } = await bench.pair({}, options);
  const incoming = nextStream(client);
  const near = await server.createUnidirectionalStream();
  await near.writer.write("x");
  const far = await incoming;
  assert.equal((await far.ext.read())?.length, 1);
  return { near, far };
}

function transfer(array: Uint8Array): void {
  structuredClone(null, { transfer: [array.buffer as ArrayBuffer] });
}

interface Resizable extends ArrayBuffer {
  resize(bytes: number): void;
}

/** As ES2024 has it, which the compiler's library does not know yet. */
function newResizable(bytes: number): Resizable {
  const Buffers = ArrayBuffer as unknown as new (bytes: number, options: { maxByteLength: number }) => Resizable;
  return new Buffers(bytes, { maxByteLength: bytes });
}

test(
  "a read into an array that was transferred away fails, and the bytes are still there",
  withBench(async (bench) => {
    const { near, far } = await streamPair(bench);
    const into = new Uint8Array(1000);
    const reading = assert.rejects(far.ext.read({ into }), { code: "ERR_INVALID_STATE" });
    transfer(into);
    await near.writer.write("all of it");
    await reading;
    assert.equal(Buffer.from((await far.ext.read()) ?? []).toString(), "all of it");
  }),
);

test(
  "a read of a part of a byte is refused",
  withBench(async (bench) => {
    const { far } = await streamPair(bench);
    for (const maxBytes of [1.5, Number.NaN, 0, -1, "2" as unknown as number]) {
      await assert.rejects(far.ext.read({ maxBytes }), { code: "ERR_INVALID_ARG_TYPE" });
    }
  }),
);

test(
  "steps of an iterator that are asked for at once come one after the other",
  withBench(async (bench) => {
    const { near, far } = await streamPair(bench);
    const chunks = far[Symbol.asyncIterator]();
    const steps = [chunks.next(), chunks.next(), chunks.next()];
    await near.writer.write("one");
    assert.equal(Buffer.concat((await steps[0])?.value as Uint8Array[]).toString(), "one");
    await near.writer.write("two");
    assert.equal(Buffer.concat((await steps[1])?.value as Uint8Array[]).toString(), "two");
    await near.writer.end();
    assert.equal((await steps[2])?.done, true);
    assert.equal((await chunks.next()).done, true);
  }),
);

for (const how of ["transferred", "shrunk"] as const) {
  test(
    `a write that waits while its array is ${how} fails and resets the stream`,
    withBench(async (bench) => {
      const { near, far } = await streamPair(bench);
      const buffer = newResizable(8 << 20);
      const chunk = new Uint8Array(buffer).fill(7);
      const writing = assert.rejects(near.writer.write(chunk), { code: "ERR_INVALID_STATE" });
      if (how === "transferred") transfer(chunk);
      else buffer.resize(3 << 20);
      const seen = new Set<number>();
      await assert.rejects(async () => {
        for await (const batch of far) for (const bytes of batch) for (const byte of bytes) seen.add(byte);
      });
      await writing;
      assert.deepEqual([...seen], [7]);
      await near.closed.catch(() => {});
      await until(() => near.destroyed);
    }),
  );
}
