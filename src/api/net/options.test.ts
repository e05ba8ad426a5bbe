import assert from "node:assert/strict";
import { test } from "node:test";
import { readSessionOptions } from "./options.js";

test("a client's connection lives on by a PING after ten seconds of silence, unless it is told another time", () => {
  assert.equal(readSessionOptions({ port: 1 }).config.keepAliveMillis, 10_000);
  assert.equal(readSessionOptions({ port: 1, quic: { keepAlive: 2000 } }).config.keepAliveMillis, 2000);
  assert.equal(readSessionOptions({ port: 1, quic: { keepAlive: 0 } }).config.keepAliveMillis, 0);
});
