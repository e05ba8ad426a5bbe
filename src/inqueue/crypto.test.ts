import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LEVEL_APP, LEVEL_HANDSHAKE, LEVEL_INITIAL } from "../port/tls.js";
import {
  MAX_CRYPTO_APP_BYTES,
  MAX_CRYPTO_HANDSHAKE_BYTES,
  MAX_CRYPTO_INITIAL_BYTES,
  MAX_CRYPTO_PIECES,
} from "../proto/limits.js";
import { CRYPTO_BUFFER_EXCEEDED, NO_ERROR } from "../proto/transport-error.js";
import { HeldBytes } from "../stream/held.js";
import { CryptoIn } from "./crypto.js";

const ONE = new Uint8Array(1);

describe("RFC 9000 §7.5 CRYPTO data ahead of what TLS has", () => {
  for (const [level, most] of [
    [LEVEL_INITIAL, MAX_CRYPTO_INITIAL_BYTES],
    [LEVEL_HANDSHAKE, MAX_CRYPTO_HANDSHAKE_BYTES],
    [LEVEL_APP, MAX_CRYPTO_APP_BYTES],
  ] as const) {
    test(`${most} bytes are held at level ${level}, counted from what was taken, and no byte more`, () => {
      const held = new HeldBytes(2 * most);
      const input = new CryptoIn(level, held);
      assert.equal(input.push(0, new Uint8Array(100), 0, 100), NO_ERROR);
      assert.equal(input.take()?.length, 100);
      assert.equal(input.push(100 + most - 1, ONE, 0, 1), NO_ERROR);
      assert.equal(input.highest, 100 + most);
      assert.equal(input.push(100 + most, ONE, 0, 1), CRYPTO_BUFFER_EXCEEDED);
      input.discard();
      assert.equal(held.total, 0);
    });
  }

  test(`${MAX_CRYPTO_PIECES} pieces with gaps are held, and no piece more`, () => {
    const input = new CryptoIn(LEVEL_HANDSHAKE, new HeldBytes(MAX_CRYPTO_HANDSHAKE_BYTES));
    for (let piece = 0; piece < MAX_CRYPTO_PIECES; piece++) {
      assert.equal(input.push(1 + 2 * piece, ONE, 0, 1), NO_ERROR);
    }
    assert.equal(input.push(1 + 2 * MAX_CRYPTO_PIECES, ONE, 0, 1), CRYPTO_BUFFER_EXCEEDED);
  });
});
