import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { QuicSession, QuicStream } from "#src/api/quic/index.js";
import { withBench } from "./support.js";

async function echoed(session: QuicSession, text: string): Promise<string> {
  const stream = await session.createBidirectionalStream({ body: text });
  let back = "";
  for await (const chunks of stream) for (const chunk of chunks) back += Buffer.from(chunk).toString();
  return back;
}

async function echo(stream: QuicStream): Promise<void> {
  for await (const chunks of stream) await stream.writer.writev(chunks);
  await stream.writer.end();
}

describe("session.updateKey", () => {
  test(
    "RFC 9001 §6 streams go on under the keys of either side's update",
    { timeout: 60_000 },
    withBench(async (bench) => {
      const pair = await bench.pair({}, {}, (session) => {
        session.onstream = echo;
      });
      assert.equal(await echoed(pair.client, "old keys"), "old keys");
      for (const session of [pair.client, pair.server]) {
        const before = session.ext.stats().keyUpdates;
        assert.equal(session.updateKey(), undefined);
        while (session.ext.stats().keyUpdates === before) assert.equal(await echoed(pair.client, "on"), "on");
        assert.equal(await echoed(pair.client, "new keys"), "new keys");
      }
      assert.equal(pair.client.ext.stats().keyUpdates, 2);
      assert.equal(pair.server.ext.stats().keyUpdates, 2);
    }),
  );

  test(
    "a session that is closed throws",
    { timeout: 60_000 },
    withBench(async (bench) => {
      const { client } = await bench.pair();
      client.destroy();
      assert.throws(() => client.updateKey(), { code: "ERR_INVALID_STATE" });
    }),
  );
});
