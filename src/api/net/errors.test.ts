import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { QuicError } from "../errors.js";
import { endError, type NetError } from "./errors.js";

const WHERE = { address: "192.0.2.1", port: 443 };

function endOf(code: string, errorCode = 0n): NetError {
  return endError(new QuicError("it ended", { code, errorCode }), "connect", WHERE) as NetError;
}

describe("endError", () => {
  for (const [code, expected] of [
    ["ERR_QUIC_IDLE_TIMEOUT", "ETIMEDOUT"],
    ["ERR_QUIC_HANDSHAKE_TIMEOUT", "ETIMEDOUT"],
    ["ERR_QUIC_CONNECTION_REFUSED", "ECONNREFUSED"],
    ["ERR_QUIC_STATELESS_RESET", "ECONNRESET"],
    ["ERR_QUIC_APPLICATION_ERROR", "ECONNRESET"],
    ["ERR_QUIC_TRANSPORT_ERROR", "ECONNRESET"],
  ] as const) {
    test(`${code} is ${expected}, with all that the system's error has`, () => {
      const error = endOf(code, 9n);
      assert.equal(error.code, expected);
      assert.equal(error.message, `connect ${expected} 192.0.2.1:443`);
      assert.deepEqual([error.syscall, error.address, error.port, error.quicCode], ["connect", "192.0.2.1", 443, 9n]);
      assert.ok(error.errno < 0);
      assert.equal((error.cause as QuicError).code, code);
    });
  }

  test("what TCP has no word for stays what it is", () => {
    for (const code of ["ERR_QUIC_HANDSHAKE", "ERR_QUIC_VERSION_NEGOTIATION_ERROR"])
      assert.equal(endOf(code).code, code);
    const own = new Error("own");
    assert.equal(endError(own, "read"), own);
  });

  test("a connection that was closed with code 0 in the middle of a stream is a reset without a cause", () => {
    const error = endError(null, "read") as NetError;
    assert.deepEqual([error.code, error.message, error.cause], ["ECONNRESET", "read ECONNRESET", undefined]);
  });
});
