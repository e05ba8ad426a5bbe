import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ADDR_COLS, ADDR_IFINDEX, ADDR_LOCAL_IP0, ADDR_PORT } from "../port/udp.js";
import {
  addressToWords,
  interfaceIndex,
  interfaceName,
  isAnyAddress,
  isLinkLocal,
  isMappedIpv4,
  isMulticast,
  setAddressRow,
  wordsToAddress,
} from "./address.js";

function words(address: string): number[] | null {
  const out = new Int32Array(6).fill(7);
  if (!addressToWords(address, out, 1)) return null;
  assert.equal(out[0], 7);
  assert.equal(out[5], 7);
  return [...out.subarray(1, 5)].map((word) => word >>> 0);
}

describe("addresses", () => {
  test("RFC 4291 §2.5.5.2 IPv4 is held as ::ffff:a.b.c.d", () => {
    assert.deepEqual(words("127.0.0.1"), [0, 0, 0xffff, 0x7f000001]);
    assert.deepEqual(words("255.254.0.9"), [0, 0, 0xffff, 0xfffe0009]);
    assert.deepEqual(words("::ffff:10.1.2.3"), words("10.1.2.3"));
    assert.equal(wordsToAddress(Int32Array.of(0, 0, 0xffff, 0x0a010203), 0), "10.1.2.3");
  });

  test("RFC 4291 §2.2 reads every text form", () => {
    assert.deepEqual(words("::"), [0, 0, 0, 0]);
    assert.deepEqual(words("::1"), [0, 0, 0, 1]);
    assert.deepEqual(words("2001:db8::8:800:200c:417a"), [0x20010db8, 0, 0x00080800, 0x200c417a]);
    assert.deepEqual(words("1:2:3:4:5:6:7:8"), [0x10002, 0x30004, 0x50006, 0x70008]);
    assert.deepEqual(words("1::"), [0x10000, 0, 0, 0]);
    assert.deepEqual(words("64:ff9b::192.0.2.33"), [0x640000 | 0xff9b, 0, 0, 0xc0000221]);
    assert.deepEqual(words("fe80::1%lo"), [0xfe800000, 0, 0, 1]);
  });

  test("what is no literal address is refused and nothing is written", () => {
    for (const bad of [
      "",
      "localhost",
      "1.2.3",
      "1.2.3.4.5",
      "256.1.1.1",
      ":::",
      "1::2::3",
      "12345::",
      "[::1]",
      "::1 ",
    ]) {
      assert.equal(words(bad), null, bad);
    }
  });

  test("RFC 5952 §4 writes the canonical form", () => {
    for (const text of [
      "::",
      "::1",
      "1::",
      "2001:db8::1",
      "2001:db8:0:1:1:1:1:1",
      "2001:0:0:1::1",
      "a:b:c:d:e:f:0:1",
    ]) {
      const out = new Int32Array(4);
      assert.ok(addressToWords(text, out, 0));
      assert.equal(wordsToAddress(out, 0), text);
    }
    const first = new Int32Array(4);
    addressToWords("2001:DB8:0:0:1:0:0:1", first, 0);
    assert.equal(wordsToAddress(first, 0), "2001:db8::1:0:0:1");
  });

  test("words survive the way to text and back", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constant(0), fc.integer()), { minLength: 4, maxLength: 4 }), (parts) => {
        const out = new Int32Array(4);
        assert.ok(addressToWords(wordsToAddress(Int32Array.from(parts), 0), out, 0));
        assert.deepEqual([...out], parts);
      }),
    );
  });

  test("classes of addresses", () => {
    const at = (text: string): Int32Array => {
      const out = new Int32Array(4);
      assert.ok(addressToWords(text, out, 0));
      return out;
    };
    assert.ok(isMappedIpv4(at("0.0.0.0"), 0));
    assert.ok(!isMappedIpv4(at("::1"), 0));
    assert.ok(isLinkLocal(at("fe80::1"), 0) && isLinkLocal(at("febf::1"), 0));
    assert.ok(!isLinkLocal(at("fec0::1"), 0) && !isLinkLocal(at("2001:db8::1"), 0));
    assert.ok(isAnyAddress(at("::"), 0));
    for (const text of ["224.0.0.1", "239.255.255.255", "ff02::1", "ffff::"]) assert.ok(isMulticast(at(text), 0), text);
    for (const text of ["223.255.255.255", "240.0.0.0", "fe80::1", "::1"]) assert.ok(!isMulticast(at(text), 0), text);
    assert.ok(!isAnyAddress(at("0.0.0.0"), 0) && !isAnyAddress(at("::1"), 0));
  });

  test("RFC 4007 §11 a zone is an interface by name or number", () => {
    const row = new Int32Array(ADDR_COLS).fill(-1);
    assert.ok(setAddressRow(row, 0, "fe80::5%3", 4433));
    assert.equal(row[ADDR_PORT], 4433);
    assert.equal(row[ADDR_IFINDEX], 3);
    assert.equal(row[ADDR_LOCAL_IP0], 0);
    assert.equal(interfaceIndex("no-such-interface"), 0);
    assert.equal(interfaceName(123_456), "123456");
    assert.equal(setAddressRow(row, 0, "example.org", 1), false);
  });
});
