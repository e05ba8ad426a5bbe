import assert from "node:assert/strict";
import { test } from "node:test";
import { STREAM_BIDI } from "#src/port/transport.js";
import { Pair } from "../support/pair.js";

test("a handshake completes and is confirmed on both sides, and data flows both ways", () => {
  const pair = new Pair();
  pair.settle();
  assert.deepEqual(pair.clientEvents.names().slice(0, 2), ["handshake", "confirmed"]);
  const conn = pair.clientConn;
  const server = pair.serverConn;
  assert.ok(server !== null);
  const id = conn.open(STREAM_BIDI);
  assert.equal(id, 0);
  const sent = new Uint8Array(300_000).map((_, i) => i * 7);
  assert.equal(conn.write(id, sent, 0, sent.length, true), sent.length);
  const got = new Uint8Array(sent.length);
  let have = 0;
  for (let i = 0; i < 100 && !server.atEnd(id); i++) {
    pair.advance(1000);
    have += Math.max(0, server.read(id, got, have, got.length));
  }
  assert.equal(have, sent.length);
  assert.deepEqual(got, sent);
});
