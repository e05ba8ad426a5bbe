import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ADDR_COLS, ADDR_LOCAL_IP3, ADDR_PORT } from "../port/udp.js";
import { HANDSHAKE_TIMEOUT_MICROS } from "../proto/limits.js";
import { HandedAttempts } from "./handed.js";

const DCID = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

function from(port: number, words = 0): Int32Array {
  const addr = new Int32Array(ADDR_COLS);
  addr[ADDR_PORT] = port;
  addr[3] = words;
  return addr;
}

const id = (first: number): Uint8Array => Uint8Array.of(first, 2, 3, 4, 5, 6, 7, 8);

describe("first flights that were handed over", () => {
  test("later packets follow by the peer's address and the id that it chose, wherever they arrive", () => {
    const handed = new HandedAttempts<string>();
    handed.add(from(1), DCID, "one", null, 0);
    handed.add(from(2), DCID, "two", null, 0);
    const elsewhere = from(1);
    elsewhere[ADDR_LOCAL_IP3] = 7;
    assert.equal(handed.find(elsewhere, 0, DCID, 0, 8), "one");
    assert.equal(handed.find(from(2), 0, DCID, 0, 8), "two");
    assert.equal(handed.find(from(3), 0, DCID, 0, 8), null);
    assert.equal(handed.find(from(1), 0, DCID, 0, 7), null);
    assert.equal(handed.find(from(1, 0x10000), 0, DCID, 0, 8), null);
  });

  test("clients count as half-open until they use the id of their answer, or their time is over", () => {
    const handed = new HandedAttempts<string>();
    handed.add(from(1), DCID, "", id(1), 0);
    handed.add(from(1), DCID.subarray(1), "", id(2), 0);
    handed.add(from(2), DCID, "", id(3), 1000);
    handed.add(from(3), DCID, "", null, 1000);
    assert.equal(handed.silentCount, 3);
    for (let i = 0; i < 2; i++) handed.confirm(Uint8Array.of(0, ...id(1), 0), 1, 9);
    assert.equal(handed.silentCount, 2);
    handed.confirm(id(9), 0, 8);
    handed.expire(HANDSHAKE_TIMEOUT_MICROS - 1);
    assert.equal(handed.silentCount, 2);
    handed.expire(HANDSHAKE_TIMEOUT_MICROS);
    assert.equal(handed.silentCount, 1);
    handed.confirm(id(3), 0, 8);
    assert.equal(handed.silentCount, 0);
  });

  test("there are so many, the latest, and none is older than its time", () => {
    const handed = new HandedAttempts<string>();
    for (let i = 0; i <= 16_384; i++) handed.add(from(1, i), DCID, "x", null, i);
    assert.equal(handed.find(from(1, 0), 0, DCID, 0, 8), null);
    assert.equal(handed.find(from(1, 1), 0, DCID, 0, 8), "x");
    handed.expire(1 + 30_000_000);
    assert.equal(handed.find(from(1, 1), 0, DCID, 0, 8), null);
    assert.equal(handed.find(from(1, 2), 0, DCID, 0, 8), "x");
  });
});
