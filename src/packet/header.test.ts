import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { concatBytes, fromHex, toHex } from "../base/bytes.js";
import {
  DROP_CID_LENGTH,
  DROP_FIXED_BIT,
  DROP_NONE,
  DROP_REASONS,
  DROP_TRUNCATED,
  DROP_UNKNOWN_VERSION,
  DROP_ZERO_LENGTH,
} from "../observe/drop-reason.js";
import {
  hasReservedBits,
  longTypeBits,
  PACKET_HANDSHAKE,
  PACKET_INITIAL,
  PACKET_RETRY,
  PACKET_SHORT,
  PACKET_VERSION_NEGOTIATION,
  PACKET_ZERO_RTT,
  PacketHeader,
  parseHeader,
} from "./header.js";

const V1 = "00000001";
const BODY = "00".repeat(20);

function parse(
  hex: string,
  cidLength = 8,
  mayLackFixedBit = false,
): { reason: number; header: PacketHeader; bytes: Uint8Array } {
  const bytes = fromHex(hex);
  const header = new PacketHeader();
  return { reason: parseHeader(bytes, 0, bytes.length, cidLength, header, mayLackFixedBit), header, bytes };
}

function cid(length: number): string {
  return length.toString(16).padStart(2, "0") + "c1".repeat(length);
}

describe("long headers", () => {
  test("RFC 9000 §17.2.2 Initial: ids, token, length", () => {
    const { reason, header, bytes } = parse(`c3 ${V1} 08 0102030405060708 05 1112131415 03 aabbcc 4014 ${BODY} ffff`);
    assert.equal(reason, DROP_NONE);
    assert.equal(header.type, PACKET_INITIAL);
    assert.equal(header.isLong, true);
    assert.equal(header.version, 1);
    assert.equal(header.firstByte, 0xc3);
    assert.equal(toHex(bytes.subarray(header.dcidStart, header.dcidStart + header.dcidLength)), "0102030405060708");
    assert.equal(toHex(bytes.subarray(header.scidStart, header.scidStart + header.scidLength)), "1112131415");
    assert.equal(toHex(bytes.subarray(header.tokenStart, header.tokenEnd)), "aabbcc");
    assert.equal(header.pnOffset, bytes.length - 22);
    assert.equal(header.end, bytes.length - 2, "the next coalesced packet starts there");
  });

  test("RFC 9369 §3.2 type bits of version 2", () => {
    for (const [type, bits] of [
      [PACKET_INITIAL, 1],
      [PACKET_ZERO_RTT, 2],
      [PACKET_HANDSHAKE, 3],
      [PACKET_RETRY, 0],
    ] as const) {
      assert.equal(longTypeBits(0x6b3343cf, type), bits << 4);
      assert.equal(longTypeBits(1, type), type << 4);
      const first = (0xc0 | (bits << 4)).toString(16);
      const token = type === PACKET_INITIAL ? "00" : "";
      const { header } = parse(`${first} 6b3343cf ${cid(8)} ${cid(5)} ${token} 4014 ${BODY}`);
      assert.deepEqual([header.type, header.version], [type, 0x6b3343cf]);
    }
    assert.equal(
      longTypeBits(123, PACKET_INITIAL),
      longTypeBits(1, PACKET_INITIAL),
      "a version of nobody looks like version 1",
    );
  });

  test("RFC 9000 §17.2.3, §17.2.4 0-RTT and Handshake have no token", () => {
    for (const [first, type] of [
      ["d0", PACKET_ZERO_RTT],
      ["e0", PACKET_HANDSHAKE],
    ] as const) {
      const { reason, header } = parse(`${first} ${V1} 00 00 14 ${BODY}`);
      assert.equal(reason, DROP_NONE);
      assert.equal(header.type, type);
      assert.equal(header.tokenEnd - header.tokenStart, 0);
      assert.equal(header.pnOffset, 8);
      assert.equal(header.end, 28);
    }
  });

  test("RFC 9000 §17.2.5 Retry: token, then 16 bytes of tag", () => {
    const { reason, header, bytes } = parse(`ff ${V1} 00 01 f0 746f6b656e ${"ee".repeat(16)}`);
    assert.equal(reason, DROP_NONE);
    assert.equal(header.type, PACKET_RETRY);
    assert.equal(toHex(bytes.subarray(header.tokenStart, header.tokenEnd)), "746f6b656e");
    assert.equal(header.end, bytes.length);
  });

  test("RFC 9000 §17.2.5.2 Retry shorter than its tag is dropped", () => {
    for (let length = 0; length < 16; length++) {
      assert.equal(parse(`ff ${V1} 00 01 f0 ${"ee".repeat(length)}`).reason, DROP_TRUNCATED);
    }
  });

  test("RFC 9000 §17.2 the fixed bit must be set in version 1", () => {
    for (const first of ["80", "90", "a0", "b0"]) {
      assert.equal(parse(`${first} ${V1} 00 00 00 14 ${BODY}`).reason, DROP_FIXED_BIT);
    }
  });

  test("RFC 9000 §17.2 version 1 ids end at 20 bytes", () => {
    for (const [dcid, scid] of [
      [20, 20],
      [0, 0],
    ] as const) {
      assert.equal(parse(`c0 ${V1} ${cid(dcid)} ${cid(scid)} 00 14 ${BODY}`).reason, DROP_NONE);
    }
    for (const [dcid, scid] of [
      [21, 0],
      [0, 21],
      [255, 8],
      [8, 255],
    ] as const) {
      assert.equal(parse(`c0 ${V1} ${cid(dcid)} ${cid(scid)} 00 14 ${BODY}`).reason, DROP_CID_LENGTH);
    }
  });

  test("RFC 8999 §5.1 unknown versions give their ids, of up to 255 bytes, whatever the other bits are", () => {
    for (const first of ["80", "ff", "c0"]) {
      const { reason, header, bytes } = parse(`${first} 1a2a3a4a ${cid(255)} ${cid(0)}`);
      assert.equal(reason, DROP_UNKNOWN_VERSION);
      assert.equal(header.version, 0x1a2a3a4a);
      assert.equal(header.dcidLength, 255);
      assert.equal(header.scidLength, 0);
      assert.equal(header.end, bytes.length);
    }
    assert.equal(parse(`c0 fffffffe ${cid(255)} 20`).reason, DROP_TRUNCATED);
    assert.equal(parse(`c0 fffffffe ${cid(1)} ${cid(2)}`).header.version, 0xfffffffe);
  });

  test("RFC 9000 §17.2.1 version negotiation ignores the fixed bit and long ids", () => {
    for (const first of ["80", "c0", "ff"]) {
      const { reason, header, bytes } = parse(`${first} 00000000 ${cid(21)} ${cid(255)} 00000001 6b3343cf`);
      assert.equal(reason, DROP_NONE);
      assert.equal(header.type, PACKET_VERSION_NEGOTIATION);
      assert.equal(header.pnOffset, bytes.length - 8);
    }
  });

  test("RFC 9000 §17.2 a Length past the end of the datagram is dropped", () => {
    for (const length of ["15", "4015", "ffffffffffffffff", "c000000100000014"]) {
      const { reason, header, bytes } = parse(`e0 ${V1} 00 00 ${length} ${BODY}`);
      assert.equal(reason, DROP_TRUNCATED, length);
      assert.equal(header.end, bytes.length, "nothing after it can be found");
    }
  });

  test("RFC 9001 §5.4.2 a packet without room for a sample is dropped, the next one is not", () => {
    const { reason, header } = parse(`e0 ${V1} 00 00 13 ${BODY}`);
    assert.equal(reason, DROP_TRUNCATED);
    assert.equal(header.end, 27);
    assert.equal(parse(`e0 ${V1} 00 00 00 ${BODY}`).header.end, 8);
  });

  test("a header cut anywhere is dropped", () => {
    const whole = `c3${V1}080102030405060708051112131415403${"3"}${"aa".repeat(51)}4014${BODY}`;
    for (let length = 0; length < whole.length; length += 2) {
      const { reason, header } = parse(whole.slice(0, length));
      assert.equal(reason, length === 0 ? DROP_ZERO_LENGTH : DROP_TRUNCATED);
      assert.equal(header.end, length / 2);
    }
    assert.equal(parse(whole).reason, DROP_NONE);
  });

  test("a token length past the end is dropped", () => {
    for (const length of ["17", "7fff", "ffffffffffffffff"]) {
      assert.equal(parse(`c0 ${V1} 00 00 ${length} 14 ${BODY}`).reason, DROP_TRUNCATED);
    }
  });
});

test("RFC 9000 §17.2, §17.3.1 reserved bits of long and short headers", () => {
  for (let first = 0; first < 256; first++) {
    const bits = first.toString(2).padStart(8, "0");
    const reserved = bits.startsWith("1") ? bits.slice(4, 6) : bits.slice(3, 5);
    assert.equal(hasReservedBits(first), reserved !== "00", bits);
  }
});

describe("short headers", () => {
  test("RFC 9000 §17.3.1 the id has the length that we issue", () => {
    for (const length of [0, 8, 20]) {
      const { reason, header, bytes } = parse(`40 ${"c1".repeat(length)} ${BODY}`, length);
      assert.equal(reason, DROP_NONE);
      assert.equal(header.type, PACKET_SHORT);
      assert.equal(header.isLong, false);
      assert.equal(header.version, 0);
      assert.equal(header.dcidStart, 1);
      assert.equal(header.dcidLength, length);
      assert.equal(header.pnOffset, 1 + length);
      assert.equal(header.end, bytes.length);
    }
  });

  test("RFC 9000 §17.3.1 the fixed bit must be set", () => {
    assert.equal(parse(`3f ${"c1".repeat(8)} ${BODY}`).reason, DROP_FIXED_BIT);
  });

  test("RFC 9287 §3 without the fixed bit they are what they would be with it, if that may be", () => {
    for (const rest of [`${V1} 00 00 00 14 ${BODY}`, `${V1} 00 00 14 ${BODY}`]) {
      for (const type of ["8", "a"]) {
        const without = parse(`${type}0 ${rest}`, 8, true);
        const withIt = parse(`${type === "8" ? "c" : "e"}0 ${rest}`);
        assert.equal(without.reason, withIt.reason);
        assert.deepEqual({ ...without.header, firstByte: 0 }, { ...withIt.header, firstByte: 0 });
      }
    }
    const short = parse(`3f ${"c1".repeat(8)} ${BODY}`, 8, true);
    assert.equal(short.reason, DROP_NONE);
    assert.equal(short.header.type, PACKET_SHORT);
  });

  test("RFC 9000 §10.3 packets too small to be valid are dropped, with their id for the reset check", () => {
    for (let length = 1; length < 29; length++) {
      const { reason, header } = parse("41".repeat(length));
      assert.equal(reason, DROP_TRUNCATED);
      assert.equal(header.dcidLength, length < 9 ? 0 : 8);
    }
    assert.equal(parse("41".repeat(29)).reason, DROP_NONE);
  });
});

test("any bytes: ranges stay inside, a walk over the datagram ends, and other bytes do not matter", () => {
  const likely = fc.tuple(
    fc.constantFrom(0xc0, 0xd3, 0xe0, 0xf0, 0x80, 0x40, 0x00),
    fc.constantFrom(V1, V1, V1, "00000000", "1a2a3a4a"),
    fc.nat(22),
    fc.nat(22),
    fc.uint8Array({ maxLength: 120 }),
  );
  const datagram = fc.oneof(
    fc.uint8Array({ maxLength: 120 }),
    likely.map(([first, version, dcid, scid, rest]) =>
      concatBytes(Uint8Array.of(first), fromHex(version), fromHex(cid(dcid)), fromHex(cid(scid)), rest),
    ),
  );
  fc.assert(
    fc.property(datagram, fc.nat(20), fc.nat(5), (bytes, cidLength, before) => {
      const around = concatBytes(new Uint8Array(before).fill(0xc1), bytes, new Uint8Array(30).fill(0xc1));
      const end = before + bytes.length;
      const header = new PacketHeader();
      const other = new PacketHeader();
      for (let start = before, turns = 0; start < end; start = header.end, turns++) {
        const reason = parseHeader(around, start, end, cidLength, header);
        assert.ok(reason >= DROP_NONE && reason < DROP_REASONS);
        assert.ok(header.end > start && header.end <= end);
        assert.ok(header.dcidStart + header.dcidLength <= end);
        assert.ok(header.scidStart + header.scidLength <= end);
        assert.ok(header.tokenStart <= header.tokenEnd && header.tokenEnd <= end);
        if (reason === DROP_NONE && header.type < PACKET_RETRY) assert.ok(header.end - header.pnOffset >= 20);
        assert.equal(parseHeader(bytes, start - before, bytes.length, cidLength, other), reason);
        assert.equal(other.pnOffset, header.pnOffset - before);
        assert.equal(other.type, header.type);
        assert.ok(turns < bytes.length);
      }
    }),
    { numRuns: 500 },
  );
});
