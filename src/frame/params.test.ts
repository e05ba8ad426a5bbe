import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { concatBytes, fromHex, toHex } from "../base/bytes.js";
import { defaultParams, type PreferredAddress, type TransportParams } from "../proto/params.js";
import { Prng } from "../sim/prng.js";
import { checkHandshakeCids, decodeParams, encodeParams, reservedParam } from "./params.js";

const TOKEN = "000102030405060708090a0b0c0d0e0f";
const FROM_SERVER = true;
const FROM_CLIENT = false;
const INTEGER_IDS = ["01", "03", "04", "05", "06", "07", "08", "09", "0a", "0b", "0e", "20"];

function varint(value: bigint, lengthBytes: 1 | 2 | 4 | 8): string {
  const bits = value | (BigInt(Math.log2(lengthBytes)) << BigInt(8 * lengthBytes - 2));
  return bits.toString(16).padStart(2 * lengthBytes, "0");
}

/** One parameter, its id and value as hex. */
function param(id: string, value: string): string {
  const bytes = fromHex(value).length;
  return `${id}${varint(BigInt(bytes), bytes < 64 ? 1 : 4)}${value.replaceAll(" ", "")}`;
}

function accepts(hex: string, fromServer = FROM_SERVER): TransportParams {
  const { params, error } = decodeParams(fromHex(hex), fromServer);
  assert.equal(error, "", hex);
  assert.ok(params !== null);
  return params;
}

function refuses(hex: string, fromServer = FROM_SERVER): void {
  const { params, error } = decodeParams(fromHex(hex), fromServer);
  assert.equal(params, null, hex);
  assert.notEqual(error, "", hex);
}

function preferredAddress(cidLength: number): string {
  const cid = cidLength.toString(16).padStart(2, "0") + "c1".repeat(cidLength);
  return `0a000001 01bb ${"fe".repeat(16)} 01bc ${cid} ${TOKEN}`;
}

describe("transport parameters, decoding", () => {
  test("RFC 9000 §18.2 what is absent has its default", () => {
    assert.deepEqual(accepts(""), defaultParams());
    assert.deepEqual(accepts("", FROM_CLIENT), defaultParams());
  });

  test("RFC 9000 §18.2 each one arrives in its field", () => {
    const hex = [
      param("00", "0001020304050607"),
      param("01", "7530"),
      param("02", TOKEN),
      param("03", "45ac"),
      param("04", "80100000"),
      param("05", "01"),
      param("06", "02"),
      param("07", "03"),
      param("08", "04"),
      param("09", "05"),
      param("0a", "06"),
      param("0b", "07"),
      param("0c", ""),
      param("0d", preferredAddress(4)),
      param("0e", "08"),
      param("0f", "aabb"),
      param("10", "cc"),
      param("20", "44b0"),
      param("11", "0000000100000001"),
      "6ab200",
    ].join("");
    const address: PreferredAddress = {
      ipv4: fromHex("0a000001"),
      ipv4Port: 443,
      ipv6: fromHex("fe".repeat(16)),
      ipv6Port: 444,
      connectionId: fromHex("c1c1c1c1"),
      statelessResetToken: fromHex(TOKEN),
    };
    assert.deepEqual(accepts(hex), {
      originalDcid: fromHex("0001020304050607"),
      maxIdleTimeoutMillis: 0x3530,
      statelessResetToken: fromHex(TOKEN),
      maxUdpPayloadBytes: 0x5ac,
      initialMaxData: 0x100000,
      initialMaxStreamDataBidiLocal: 1,
      initialMaxStreamDataBidiRemote: 2,
      initialMaxStreamDataUni: 3,
      initialMaxStreamsBidi: 4,
      initialMaxStreamsUni: 5,
      ackDelayExponent: 6,
      maxAckDelayMillis: 7,
      disableActiveMigration: true,
      preferredAddress: address,
      activeConnectionIdLimit: 8,
      initialScid: fromHex("aabb"),
      retryScid: fromHex("cc"),
      maxDatagramFrameBytes: 1200,
      versionInformation: { chosen: 1, available: [1] },
      greaseQuicBit: true,
      disable1RttEncryption: false,
      minAckDelayMicros: null,
    });
  });

  test("RFC 9000 §7.4 an integer with no value, a cut one or one too long is an error", () => {
    for (const id of INTEGER_IDS) {
      accepts(param(id, id === "03" ? "45ac" : "05"));
      for (const value of ["", "40", "0500", "45ac00", "ffffffffffffff", "ffffffffffffffff00"])
        refuses(param(id, value));
    }
  });

  test("draft-ietf-quic-ack-frequency §3 min_ack_delay is one integer, at most max_ack_delay", () => {
    const id = "c0000000ff04de1b";
    assert.equal(accepts(param(id, "4064")).minAckDelayMicros, 100);
    assert.equal(accepts(param(id, varint(25_000n, 4))).minAckDelayMicros, 25_000);
    refuses(param(id, varint(25_001n, 4)));
    accepts(param("0b", "401a") + param(id, varint(26_000n, 4)));
    refuses(param(id, varint(26_001n, 4)) + param("0b", "401a"));
    assert.equal(accepts(param("0b", "00") + param(id, "00")).minAckDelayMicros, 0);
    refuses(param("0b", "00") + param(id, "01"));
    for (const value of ["", "40", "0500", "ffffffffffffffff"]) refuses(param(id, value));
  });

  test("RFC 9000 §7.4 a parameter twice is an error, unknown ones too", () => {
    refuses(param("04", "05") + param("04", "05"));
    refuses(param("04", "05") + param("01", "05") + param("04", "06"));
    refuses(param("04", "05") + param("4004", "05"));
    refuses(param("1b", "aa") + param("1b", ""));
    refuses(param("ffffffffffffffff", "") + param("ffffffffffffffff", ""));
    accepts(param("ffffffffffffffff", "") + param("fffffffffffffffe", ""));
  });

  test("RFC 9000 §7.4 a truncated block is an error, wherever it ends", () => {
    const whole = param("04", "80100000") + param("0f", "aabb") + param("405b", "112233");
    accepts(whole);
    const complete = [0, 12, 20];
    for (let length = 0; length < whole.length; length += 2) {
      if (complete.includes(length)) accepts(whole.slice(0, length));
      else refuses(whole.slice(0, length));
    }
    for (const length of ["06", "7fff", "ffffffffffffffff"]) refuses(`04${length}8010000000`);
  });

  test("RFC 9000 §7.4.2 unknown parameters are ignored, whatever their id, length and value", () => {
    for (const id of ["1b", "12", "3f", "5fff", "ffffffffffffffff"]) {
      const hex = param("04", "05") + param(id, "ff".repeat(100)) + param("05", "06");
      assert.deepEqual(accepts(hex), { ...defaultParams(), initialMaxData: 5, initialMaxStreamDataBidiLocal: 6 });
    }
    accepts(param("1b", "5a".repeat(60_000)), FROM_CLIENT);
  });

  test("RFC 9368 §4 9368-4-03 9368-4-04 9368-4-05 version_information", () => {
    const { versionInformation } = accepts(param("11", "00000001 00000001 6b3343cf"));
    assert.deepEqual(versionInformation, { chosen: 1, available: [1, 0x6b3343cf] });
    accepts(param("11", "00000001"), FROM_SERVER);
    for (const bad of ["", "000001", "000000016b33", "00000000", "0000000100000000"]) refuses(param("11", bad));
    refuses(param("11", "00000001"), FROM_CLIENT);
    refuses(param("11", "000000016b3343cf"), FROM_CLIENT);
    const back = { ...defaultParams(), versionInformation: { chosen: 1, available: [5, 1] } };
    assert.deepEqual(decodeParams(encodeParams(back, false), FROM_CLIENT).params, back);
  });

  test("RFC 9287 §3 9287-3-01 grease_quic_bit is empty", () => {
    assert.equal(accepts("6ab200").greaseQuicBit, true);
    refuses("6ab2 01 00".replaceAll(" ", ""));
    assert.equal(accepts("").greaseQuicBit, false);
  });

  test("disable_1rtt_encryption is 0xbaad and empty, from either side, and absent by default", () => {
    assert.equal(accepts("8000baad00").disable1RttEncryption, true);
    refuses("8000baad0100");
    assert.equal(accepts("").disable1RttEncryption, false);
    const asking = { ...defaultParams(), disable1RttEncryption: true };
    assert.equal(toHex(encodeParams(asking, false)), "8000baad00");
    assert.equal(toHex(encodeParams(asking, true)), "8000baad00");
  });

  test("RFC 9000 §18.2 server-only parameters from a client are an error", () => {
    for (const [id, value] of [
      ["00", "0001020304050607"],
      ["02", TOKEN],
      ["0d", preferredAddress(4)],
      ["10", "cc"],
    ] as const) {
      accepts(param(id, value), FROM_SERVER);
      refuses(param(id, value), FROM_CLIENT);
    }
    accepts(param("0f", "aabb"), FROM_CLIENT);
  });

  test("RFC 9000 §18.2 max_udp_payload_size below 1200 is an error", () => {
    for (const value of [0n, 1090n, 1199n]) refuses(param("03", varint(value, 4)));
    assert.equal(accepts(param("03", varint(1200n, 2))).maxUdpPayloadBytes, 1200);
    assert.equal(accepts(param("03", varint(2n ** 62n - 1n, 8))).maxUdpPayloadBytes, 2 ** 53 - 1);
  });

  test("RFC 9000 §18.1 what greases is reserved, has up to 15 bytes and is not twice the same", () => {
    const random = new Prng(1, "reserved");
    const drawn = Array.from({ length: 200 }, () => reservedParam(random));
    for (const { id, bytes } of drawn) assert.ok(id % 31 === 27 && bytes.length <= 15);
    assert.ok(new Set(drawn.map(({ id }) => id)).size > 190);
    const params = defaultParams();
    const bytes = encodeParams(params, false, drawn[0]);
    assert.deepEqual(decodeParams(bytes, false), { params, error: "" });
    assert.ok(bytes.length > 0);
  });

  test("RFC 9000 §18.2 ack_delay_exponent above 20 is an error", () => {
    for (const value of [21n, 30n, 63n]) refuses(param("0a", varint(value, 1)));
    refuses(param("0a", varint(2n ** 62n - 1n, 8)));
    assert.equal(accepts(param("0a", varint(20n, 1))).ackDelayExponent, 20);
    assert.equal(accepts(param("0a", varint(0n, 8))).ackDelayExponent, 0);
  });

  test("RFC 9000 §18.2 max_ack_delay of 2^14 or more is an error", () => {
    for (const value of [2n ** 14n, 2n ** 15n, 2n ** 53n, 2n ** 62n - 1n]) refuses(param("0b", varint(value, 8)));
    assert.equal(accepts(param("0b", varint(2n ** 14n - 1n, 2))).maxAckDelayMillis, 2 ** 14 - 1);
  });

  test("RFC 9000 §18.2 active_connection_id_limit below 2 is an error", () => {
    for (const value of [0n, 1n]) refuses(param("0e", varint(value, 1)));
    assert.equal(accepts(param("0e", varint(2n, 1))).activeConnectionIdLimit, 2);
  });

  test("RFC 9000 §4.6 stream limits end at 2^60", () => {
    for (const id of ["08", "09"]) {
      refuses(param(id, varint(2n ** 60n + 1n, 8)));
      refuses(param(id, varint(2n ** 62n - 1n, 8)));
      const params = accepts(param(id, varint(2n ** 60n, 8)));
      assert.equal(Math.max(params.initialMaxStreamsBidi, params.initialMaxStreamsUni), 2 ** 53 - 1);
    }
  });

  test("limits above 2^53-1 saturate", () => {
    for (const value of [2n ** 53n - 1n, 2n ** 53n, 2n ** 62n - 1n]) {
      assert.equal(accepts(param("04", varint(value, 8))).initialMaxData, 2 ** 53 - 1);
    }
  });

  test("RFC 9000 §18.2 stateless_reset_token has 16 bytes", () => {
    for (const value of ["", TOKEN.slice(2), `${TOKEN}00`]) refuses(param("02", value));
  });

  test("RFC 9000 §18.2 disable_active_migration has no value", () => {
    refuses(param("0c", "00"));
    assert.equal(accepts(param("0c", "")).disableActiveMigration, true);
  });

  test("RFC 9000 §18.2 connection ids end at 20 bytes", () => {
    for (const id of ["00", "0f", "10"]) {
      accepts(param(id, "c1".repeat(20)));
      refuses(param(id, "c1".repeat(21)));
    }
    assert.deepEqual(accepts(param("0f", "")).initialScid, new Uint8Array(0));
  });

  test("RFC 9000 §18.2 preferred_address has a connection id of 1 to 20 bytes", () => {
    for (const length of [0, 21, 255]) refuses(param("0d", preferredAddress(length)));
    for (const length of [1, 20]) accepts(param("0d", preferredAddress(length)));
  });

  test("RFC 9000 §18.2 preferred_address cut anywhere or with trailing bytes is an error", () => {
    const whole = preferredAddress(4).replaceAll(" ", "");
    for (let length = 0; length < whole.length; length += 2) refuses(param("0d", whole.slice(0, length)));
    refuses(param("0d", `${whole}00`));
  });

  test("RFC 9000 §18.2 preferred_address from a server with zero-length ids is an error", () => {
    refuses(param("0f", "") + param("0d", preferredAddress(4)));
    refuses(param("0d", preferredAddress(4)) + param("0f", ""));
    accepts(param("0f", "aa") + param("0d", preferredAddress(4)));
  });

  test("any bytes: an answer, and only valid values", () => {
    const id = fc.constantFrom(...INTEGER_IDS, "00", "02", "0c", "0d", "0f", "10", "1b");
    const some = fc
      .tuple(id, fc.uint8Array({ maxLength: 50 }))
      .map(([name, value]) => fromHex(param(name, toHex(value))));
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.array(some, { maxLength: 5 }).map((all) => concatBytes(...all)),
    );
    fc.assert(
      fc.property(bytes, fc.boolean(), (input, fromServer) => {
        const { params, error } = decodeParams(input, fromServer);
        assert.equal(params === null, error !== "");
        if (params === null) return;
        assert.ok(params.maxUdpPayloadBytes >= 1200);
        assert.ok(params.ackDelayExponent <= 20);
        assert.ok(params.maxAckDelayMillis < 2 ** 14);
        assert.ok(params.activeConnectionIdLimit >= 2);
        assert.ok((params.initialScid?.length ?? 0) <= 20);
        const known = encodeParams(params, true);
        assert.deepEqual(decodeParams(known, true), { params, error: "" });
      }),
      { numRuns: 500 },
    );
  });
});

describe("transport parameters, encoding", () => {
  test("RFC 9000 §18.2 defaults are left out", () => {
    assert.equal(encodeParams(defaultParams(), true).length, 0);
    assert.equal(
      toHex(encodeParams({ ...defaultParams(), initialMaxData: 100, ackDelayExponent: 0 }, false)),
      "040240640a0100",
    );
  });

  test("RFC 9000 §18.1 one reserved parameter", () => {
    const bytes = encodeParams(defaultParams(), false, { id: 31 * 3 + 27, bytes: fromHex("aabb") });
    assert.equal(toHex(bytes), "407802aabb");
    assert.deepEqual(accepts(toHex(bytes)), defaultParams());
    assert.throws(() => encodeParams(defaultParams(), false, { id: 4, bytes: fromHex("05") }), /netquic bug/);
  });

  test("what a peer would refuse is not sent", () => {
    const own = defaultParams();
    for (const bad of [
      { initialMaxData: -1 },
      { initialMaxData: Number.NaN },
      { maxUdpPayloadBytes: 1199 },
      { ackDelayExponent: 21 },
      { maxAckDelayMillis: 2 ** 14 },
      { activeConnectionIdLimit: 1 },
    ]) {
      assert.throws(() => encodeParams({ ...own, ...bad }, true), /netquic bug/);
    }
    for (const serverOnly of [
      { originalDcid: fromHex("aa") },
      { retryScid: fromHex("") },
      { statelessResetToken: fromHex(TOKEN) },
    ]) {
      encodeParams({ ...own, ...serverOnly }, true);
      assert.throws(() => encodeParams({ ...own, ...serverOnly }, false), /netquic bug/);
    }
  });

  test("any valid set comes back", () => {
    const cid = (minLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength, maxLength: 20 });
    const sized = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
    const orNull = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(value, { nil: null });
    const any = fc.record<TransportParams>(
      {
        originalDcid: orNull(cid(0)),
        maxIdleTimeoutMillis: fc.maxSafeNat(),
        statelessResetToken: orNull(sized(16)),
        maxUdpPayloadBytes: fc.integer({ min: 1200, max: 65527 }),
        initialMaxData: fc.maxSafeNat(),
        initialMaxStreamDataBidiLocal: fc.maxSafeNat(),
        initialMaxStreamDataBidiRemote: fc.nat(),
        initialMaxStreamDataUni: fc.nat(100),
        initialMaxStreamsBidi: fc.maxSafeNat(),
        initialMaxStreamsUni: fc.nat(100),
        ackDelayExponent: fc.nat(20),
        maxAckDelayMillis: fc.nat(2 ** 14 - 1),
        disableActiveMigration: fc.boolean(),
        preferredAddress: orNull(
          fc.record<PreferredAddress>(
            {
              ipv4: sized(4),
              ipv4Port: fc.nat(65535),
              ipv6: sized(16),
              ipv6Port: fc.nat(65535),
              connectionId: cid(1),
              statelessResetToken: sized(16),
            },
            { noNullPrototype: true },
          ),
        ),
        activeConnectionIdLimit: fc.integer({ min: 2, max: 100 }),
        initialScid: cid(1),
        retryScid: orNull(cid(0)),
        maxDatagramFrameBytes: fc.nat(2 ** 16),
        versionInformation: orNull(
          fc.integer({ min: 1, max: 2 ** 32 - 1 }).map((chosen) => ({ chosen, available: [chosen, 7] })),
        ),
        greaseQuicBit: fc.boolean(),
        disable1RttEncryption: fc.boolean(),
        minAckDelayMicros: fc.constant(null),
      },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(any, fc.boolean(), fc.option(fc.nat(1000)), (params, isServer, share) => {
        params.minAckDelayMicros = share === null ? null : params.maxAckDelayMillis * share;
        const serverOnly = { originalDcid: null, retryScid: null, statelessResetToken: null, preferredAddress: null };
        const own = isServer ? params : { ...params, ...serverOnly };
        const grease = { id: 27, bytes: new Uint8Array(7) };
        assert.deepEqual(decodeParams(encodeParams(own, isServer, grease), isServer), { params: own, error: "" });
      }),
    );
  });
});

describe("RFC 9000 §7.3 connection ids of the handshake", () => {
  const scid = fromHex("0102");
  const odcid = fromHex("0102030405060708");
  const retry = fromHex("aabbcc");
  const flip = (cid: Uint8Array): Uint8Array => cid.map((byte, i) => (i === cid.length - 1 ? byte ^ 1 : byte));
  const fromClient: TransportParams = { ...defaultParams(), initialScid: scid };
  const fromServer: TransportParams = { ...fromClient, originalDcid: odcid };
  const atServer = { initialScid: scid, originalDcid: null, retryScid: null };
  const atClient = { initialScid: scid, originalDcid: odcid, retryScid: null };

  test("the right ids pass", () => {
    assert.equal(checkHandshakeCids(fromClient, atServer), "");
    assert.equal(checkHandshakeCids(fromServer, atClient), "");
    assert.equal(checkHandshakeCids({ ...fromServer, retryScid: retry }, { ...atClient, retryScid: retry }), "");
    const empty = { ...fromClient, initialScid: new Uint8Array(0) };
    assert.equal(checkHandshakeCids(empty, { ...atServer, initialScid: new Uint8Array(0) }), "");
  });

  test("initial_source_connection_id absent or different", () => {
    for (const initialScid of [null, flip(scid), new Uint8Array(0)]) {
      assert.match(checkHandshakeCids({ ...fromClient, initialScid }, atServer), /^initial_source/);
      assert.match(checkHandshakeCids({ ...fromServer, initialScid }, atClient), /^initial_source/);
    }
  });

  test("original_destination_connection_id absent or different", () => {
    for (const originalDcid of [null, flip(odcid)]) {
      assert.match(checkHandshakeCids({ ...fromServer, originalDcid }, atClient), /^original_destination/);
    }
  });

  test("retry_source_connection_id absent after a Retry, present without one, or different", () => {
    const followed = { ...atClient, retryScid: retry };
    assert.match(checkHandshakeCids(fromServer, followed), /^retry_source/);
    assert.match(checkHandshakeCids({ ...fromServer, retryScid: flip(retry) }, followed), /^retry_source/);
    assert.match(checkHandshakeCids({ ...fromServer, retryScid: retry }, atClient), /^retry_source/);
    assert.match(checkHandshakeCids({ ...fromServer, retryScid: new Uint8Array(0) }, atClient), /^retry_source/);
  });
});
