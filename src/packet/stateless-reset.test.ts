import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { equalConstantTimeAt, fromHex, toHex } from "../base/bytes.js";
import { statelessResetBytes, statelessResetTokenStart, writeStatelessReset } from "./stateless-reset.js";

const TOKEN = fromHex("000102030405060708090a0b0c0d0e0f");
const ones = { fill: (buf: Uint8Array, start: number, end: number) => void buf.fill(0xff, start, end) };

describe("stateless reset", () => {
  test("RFC 9000 §10.3 it looks like a short header packet and ends in the token", () => {
    const buf = new Uint8Array(40);
    const end = writeStatelessReset(buf, 2, 30, TOKEN, ones);
    assert.equal(end, 32);
    assert.equal(toHex(buf.subarray(0, 34)), `00007f${"ff".repeat(13)}${toHex(TOKEN)}0000`);
    assert.equal(equalConstantTimeAt(buf, statelessResetTokenStart(2, end), TOKEN), true);
  });

  test("RFC 9000 §10.3 smaller than what it answers and never three times as large; none below 22 bytes", () => {
    for (let trigger = 0; trigger <= 1500; trigger++) {
      const bytes = statelessResetBytes(trigger);
      if (trigger < 22) assert.equal(bytes, 0);
      else assert.ok(bytes >= 21 && bytes < trigger, `${trigger}`);
    }
  });

  test("RFC 9000 §10.3.3 two endpoints that answer each other stop", () => {
    let bytes = 1500;
    let rounds = 0;
    for (; bytes > 0; rounds++) bytes = statelessResetBytes(bytes);
    assert.ok(rounds <= 6, `${rounds} rounds, the last of them without an answer`);
  });

  test("RFC 9000 §10.3 a datagram below 21 bytes has no token", () => {
    assert.equal(statelessResetTokenStart(5, 25), -1);
    assert.equal(statelessResetTokenStart(5, 26), 10);
  });
});
