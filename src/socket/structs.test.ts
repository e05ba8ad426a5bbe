import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import * as structs from "./structs.js";
import { Struct } from "./structs.js";

/** sizeof and the offset of one telling field, as a C compiler gives them on a 64-bit Linux. */
const C_LAYOUTS: [name: string, struct: { size: number }, sizeBytes: number][] = [
  ["quic_handshake_info", structs.handshakeInfo, 1],
  ["quic_stream_info", structs.streamInfo, 16],
  ["quic_errinfo", structs.errInfo, 16],
  ["quic_event_option", structs.eventOption, 2],
  ["quic_connection_id_info", structs.connectionIdInfo, 12],
  ["quic_connection_close", structs.connectionClose, 72],
  ["quic_stream_update", structs.streamUpdate, 24],
  ["quic_stream_max_data", structs.streamMaxData, 16],
  ["quic_crypto_secret", structs.cryptoSecret, 56],
  ["quic_transport_param", structs.transportParam, 56],
  ["quic_config", structs.config, 28],
  ["quic_stream_peeloff", structs.streamPeeloff, 16],
];

describe("structs of linux/quic.h", () => {
  for (const [name, struct, sizeBytes] of C_LAYOUTS) {
    test(`${name} has ${sizeBytes} bytes`, () => assert.equal(struct.size, sizeBytes));
  }

  test("fields stand at their C offsets, little-endian where the host is", () => {
    const bytes = structs.streamUpdate.encode({ id: -2, state: 8, errcode: 0x01020304, finalsz: 5 });
    assert.deepEqual([...bytes], [254, ...Array(7).fill(255), 8, 0, 0, 0, 4, 3, 2, 1, 5, 0, 0, 0, 0, 0, 0, 0]);
  });

  test("padding inside a struct is not part of its value", () => {
    assert.deepEqual(Object.keys(structs.connectionIdInfo.decode(new Uint8Array(12))), ["dest", "active", "prior_to"]);
  });

  test("a shorter struct reads as if zeros followed, a longer one is cut", () => {
    const whole = structs.config.encode({ version: 1, keepalive_probe_interval: 9 });
    assert.deepEqual(
      structs.config.decode(whole.subarray(0, 24)),
      structs.config.decode(structs.config.encode({ version: 1 })),
    );
    const longer = new Uint8Array(100).fill(7);
    longer.set(whole);
    assert.deepEqual(structs.config.decode(longer), structs.config.decode(whole));
  });

  test("64-bit values beyond 2^53 - 1 read as that bound", () => {
    const bytes = new Uint8Array(16).fill(255);
    assert.equal(structs.streamMaxData.decode(bytes).max_data, Number.MAX_SAFE_INTEGER);
    assert.equal(structs.streamMaxData.decode(bytes).id, -1);
  });

  test("bytes of a fixed count keep their place and are cut to it", () => {
    const secret = Uint8Array.from({ length: 48 }, (_, i) => i);
    const bytes = structs.cryptoSecret.encode({ send: 1, level: 2, type: 51, secret });
    assert.deepEqual(structs.cryptoSecret.decode(bytes), { send: 1, level: 2, type: 51, secret });
    assert.deepEqual(
      new Struct({ phrase: { bytes: 2 } }).encode({ phrase: Uint8Array.of(1, 2, 3) }),
      Uint8Array.of(1, 2),
    );
  });

  test("what is encoded is decoded", () => {
    const byte = fc.integer({ min: 0, max: 255 });
    const word = fc.integer({ min: 0, max: 0xffffffff });
    fc.assert(
      fc.property(fc.maxSafeInteger(), byte, word, fc.maxSafeNat(), (id, state, errcode, finalsz) => {
        const value = { id, state, errcode, finalsz };
        assert.deepEqual(structs.streamUpdate.decode(structs.streamUpdate.encode(value)), value);
      }),
    );
  });
});
