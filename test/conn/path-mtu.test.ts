import assert from "node:assert/strict";
import { test } from "node:test";
import { STREAM_UNI } from "#src/port/transport.js";
import { MTU_PROBE_AFTER_BYTES } from "#src/proto/limits.js";
import { Pair } from "../support/pair.js";

test("a connection that sent less than MTU_PROBE_AFTER_BYTES of stream data sends no probe of the path MTU", () => {
  const pair = new Pair();
  pair.settle();
  const { clientConn: conn } = pair;
  const id = conn.open(STREAM_UNI);
  const write = (bytes: number): void => {
    assert.equal(conn.write(id, new Uint8Array(bytes), 0, bytes, false), bytes);
    pair.advance(1_000_000);
  };
  write(MTU_PROBE_AFTER_BYTES - 1);
  assert.deepEqual([conn.stats().mtuProbesSent, conn.stats().maxDatagramBytes], [0, 1200]);
  write(1);
  write(1); // probes leave along with activity
  assert.deepEqual([conn.stats().mtuProbesSent, conn.stats().maxDatagramBytes], [1, 1452]);
});
