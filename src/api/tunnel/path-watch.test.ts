import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { QuicSession } from "../quic/index.js";
import { STALL_MILLIS, WATCH_MILLIS } from "./limits.js";
import { kernelSource, PathWatch } from "./path-watch.js";

const PATH = { local: { address: "192.0.2.2", port: 1 }, remote: { address: "192.0.2.9", port: 2 } };

/** A session of which nothing is known but what the watch looks at; `moves` are the options it was asked to move with. */
function scene(answersMoves: boolean) {
  const moves: { force: boolean }[] = [];
  const told: string[] = [];
  const state = { bytesReceived: 0, bytesInFlight: 0, source: "192.0.2.1" as string | null };
  const session = {
    closing: false,
    destroyed: false,
    path: PATH,
    ext: {
      stats: () => state,
      migrate: async (options: { force: boolean }) => {
        moves.push(options);
        if (!answersMoves) throw new Error("nothing answers");
        return PATH;
      },
    },
  };
  const events = {
    onMoved: () => void told.push("moved"),
    onStuck: () => void told.push("stuck"),
    onUnanswered: () => void told.push("unanswered"),
  };
  const watch = new PathWatch(session as unknown as QuicSession, events, async () => state.source);
  watch.stop(); // the test is the timer
  let nowMillis = 0;
  const pass = async (millis: number): Promise<void> => {
    for (const end = nowMillis + millis; nowMillis < end; nowMillis += WATCH_MILLIS) await watch.look(nowMillis);
  };
  return { state, moves, told, pass };
}

describe("the watch over a client's path", () => {
  test("another source address: data goes there at once, and once", async () => {
    const { state, moves, told, pass } = scene(true);
    await pass(2 * WATCH_MILLIS);
    state.source = null; // no way out for a moment
    await pass(2 * WATCH_MILLIS);
    assert.deepEqual(moves, []);
    state.source = "192.0.2.2";
    await pass(3 * WATCH_MILLIS);
    assert.deepEqual(moves, [{ force: true }]);
    assert.deepEqual(told, ["moved"]);
  });

  test("silence alone is no reason: nothing is owed", async () => {
    const { moves, pass } = scene(true);
    await pass(10 * STALL_MILLIS);
    assert.deepEqual(moves, []);
  });

  test("something in flight and nothing comes: another path is asked, and only then another connection", async () => {
    const { state, moves, told, pass } = scene(false);
    state.bytesInFlight = 1200;
    await pass(STALL_MILLIS);
    assert.deepEqual(moves, []);
    await pass(WATCH_MILLIS);
    assert.deepEqual(moves, [{ force: false }]);
    assert.deepEqual(told, ["stuck", "unanswered"]);
    await pass(STALL_MILLIS);
    assert.equal(moves.length, 2);
  });

  test("a path that answers a move is no reason for another connection", async () => {
    const { state, told, pass } = scene(true);
    state.bytesInFlight = 1200;
    await pass(STALL_MILLIS + WATCH_MILLIS);
    assert.deepEqual(told, ["moved"]);
  });

  test("what comes begins the wait anew", async () => {
    const { state, moves, pass } = scene(true);
    state.bytesInFlight = 1200;
    for (let count = 0; count < 20; count++) {
      state.bytesReceived++;
      await pass(STALL_MILLIS);
    }
    assert.deepEqual(moves, []);
  });

  test("the kernel says which address leads to another", async () => {
    assert.equal(await kernelSource("127.0.0.1"), "127.0.0.1");
    assert.equal(await kernelSource("::1"), "::1");
    assert.equal(await kernelSource("no address"), null);
  });
});
