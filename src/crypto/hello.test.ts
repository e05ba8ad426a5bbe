/** What is read in hellos and tickets; whatever else comes reads as absent. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { concatBytes, fromHex, Writer } from "../base/bytes.js";
import { MAX_ALPN_READ } from "../proto/limits.js";
import { earlyTicketsIn, isHelloRetryRequest, readClientHello } from "./hello.js";

function ascii(text: string): number[] {
  return [...text].map((c) => c.charCodeAt(0));
}

function extension(type: number, body: Uint8Array | number[]): Uint8Array {
  const out = new Writer(64);
  out.u16(type);
  out.u16(body.length);
  out.bytes(Uint8Array.from(body));
  return out.finish();
}

function clientHello(...extensions: Uint8Array[]): Uint8Array {
  const all = concatBytes(...extensions);
  const out = new Writer(256);
  out.u16(0x0303);
  out.bytes(new Uint8Array(32));
  out.u8(0);
  out.u16(2);
  out.u16(0x1301);
  out.u16(0x0100);
  out.u16(all.length);
  out.bytes(all);
  return out.finish();
}

const SNI = extension(0, [0, 9, 0, 0, 6, ...ascii("a.test")]);
const ALPN = extension(16, [0, 6, 2, ...ascii("h3"), 2, ...ascii("hq")]);
const EARLY = extension(42, []);
const PSK = extension(41, [0, 9, 0, 3, 7, 8, 9, 0, 0, 0, 0, 0, 3, 2, 1, 1]);

describe("a ClientHello", () => {
  test("RFC 8446 §4.2.10 tells server name, protocols, 0-RTT and the first ticket", () => {
    const body = clientHello(SNI, ALPN, EARLY, PSK);
    assert.deepEqual(readClientHello(body, body.length), {
      serverName: "a.test",
      alpn: ["h3", "hq"],
      offersEarlyData: true,
      ticket: Uint8Array.of(7, 8, 9),
      isWhole: true,
    });
  });

  test("that is cut anywhere, or has none of it, reads as if these were absent", () => {
    const body = clientHello(SNI, ALPN, EARLY, PSK);
    for (let end = 0; end < body.length; end++) {
      const hello = readClientHello(body, end);
      assert.ok(hello.ticket === null || hello.ticket.length === 3, `${end}`);
    }
    const plain = clientHello();
    const none = { serverName: "", alpn: [], offersEarlyData: false, ticket: null, isWhole: true };
    assert.deepEqual(readClientHello(plain, plain.length), none);
    const broken = clientHello(extension(0, [0, 3, 1, 0, 9]), extension(16, [0, 4, 9, 1]), extension(41, [0, 2, 0, 0]));
    assert.deepEqual(readClientHello(broken, broken.length), none);
    assert.equal(readClientHello(body, 20).isWhole, false);
    assert.equal(readClientHello(body, body.length - 1).isWhole, false);
  });

  test("no more protocols are read than a bound", () => {
    const body = clientHello(extension(16, [0, 200, ...Array.from({ length: 100 }, () => [1, 120]).flat()]));
    assert.equal(readClientHello(body, body.length).alpn.length, MAX_ALPN_READ);
  });
});

describe("other messages", () => {
  test("RFC 8446 §4.1.3 a HelloRetryRequest is known by its random", () => {
    const random = "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c";
    const body = fromHex(`0303${random}00130100`);
    assert.equal(isHelloRetryRequest(body, body.length), true);
    assert.equal(isHelloRetryRequest(body, 33), false);
    body[20] ^= 1;
    assert.equal(isHelloRetryRequest(body, body.length), false);
  });

  test("RFC 8446 §4.6.1 tickets that allow 0-RTT are found in a row of messages", () => {
    const message = (extensions: string): string => {
      const body = `00001c20000000000100${"0004"}01020304${extensions}`;
      return `04${(body.length / 2).toString(16).padStart(6, "0")}${body}`;
    };
    const early = message("0008002a0004ffffffff");
    const plain = message("0000");
    const bytes = fromHex(early + plain + early);
    assert.deepEqual(earlyTicketsIn(bytes), [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(1, 2, 3, 4)]);
    assert.equal(earlyTicketsIn(bytes.subarray(0, bytes.length - 1)).length, 1);
    assert.deepEqual(earlyTicketsIn(fromHex(`18000001${"01"}`)), []);
  });
});
