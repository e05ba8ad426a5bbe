import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { concatBytes, fromHex, Writer } from "../base/bytes.js";
import { LEVEL_APP, LEVEL_HANDSHAKE, LEVEL_INITIAL } from "../port/tls.js";
import type { Level } from "../port/tls.js";
import { MAX_ALPN_READ, MAX_TLS_MESSAGE_BYTES } from "../proto/limits.js";
import { CRYPTO_BUFFER_EXCEEDED, PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import { TlsFramer } from "./tls-framer.js";

const UNEXPECTED = 0x10a;
const PARAMS = Uint8Array.of(4, 2, 0x40, 0x64);

const TYPES = { CH: 1, SH: 2, NST: 4, EOED: 5, EE: 8, CERT: 11, CR: 13, CV: 15, FIN: 20, KU: 24, CCERT: 25 };
type Name = keyof typeof TYPES | "HRR";

function message(type: number, body: Uint8Array): Uint8Array {
  const out = new Writer(body.length + 4);
  out.u8(type);
  out.u24(body.length);
  out.bytes(body);
  return out.finish();
}

function extensions(...list: [type: number, body: Uint8Array][]): Uint8Array {
  const out = new Writer(64);
  for (const [type, body] of list) {
    out.u16(type);
    out.u16(body.length);
    out.bytes(body);
  }
  const block = out.finish();
  return concatBytes(Uint8Array.of(block.length >> 8, block.length), block);
}

const OTHER_EXTENSION: [number, Uint8Array] = [0x2b, Uint8Array.of(2, 3, 4)];

function clientHello(block: Uint8Array, sessionIdBytes = 0): Uint8Array {
  const out = new Writer(128);
  out.u16(0x0303);
  out.bytes(new Uint8Array(32).fill(0xab));
  out.u8(sessionIdBytes);
  out.bytes(new Uint8Array(sessionIdBytes));
  out.u16(2);
  out.u16(0x1301);
  out.u8(1);
  out.u8(0);
  out.bytes(block);
  return message(TYPES.CH, out.finish());
}

const HELLO = clientHello(extensions(OTHER_EXTENSION, [0x39, PARAMS], [0x10, new Uint8Array(4)]));

/** SHA-256 of "HelloRetryRequest" stands for the random (RFC 8446 §4.1.3). */
const RETRY = concatBytes(
  Uint8Array.of(3, 3),
  fromHex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"),
  new Uint8Array(4),
);

function named(name: Name): Uint8Array {
  if (name === "HRR") return message(TYPES.SH, RETRY);
  if (name === "CH") return HELLO;
  if (name === "EE") return message(TYPES.EE, extensions([0x39, PARAMS]));
  return message(TYPES[name], new Uint8Array(name === "FIN" ? 32 : 7));
}

/** Pushes messages, each with its level, and returns the first error. */
function feed(framer: TlsFramer, ...messages: [Level, Name][]): number {
  for (const [level, name] of messages) {
    const bytes = named(name);
    if (level === SENT) {
      framer.noteSent(bytes);
      continue;
    }
    const error = framer.push(level, bytes, 0, bytes.length);
    if (error !== 0) return error;
  }
  return 0;
}

/** In place of a level: this side sends it. */
const SENT = -1 as unknown as Level;
const I = LEVEL_INITIAL;
const H = LEVEL_HANDSHAKE;
const A = LEVEL_APP;

describe("messages of a client", () => {
  const legal: Record<string, [Level, Name][]> = {
    "a plain handshake": [
      [I, "CH"],
      [H, "FIN"],
    ],
    "after HelloRetryRequest": [
      [I, "CH"],
      [SENT, "HRR"],
      [I, "CH"],
      [H, "FIN"],
    ],
    "with a certificate": [
      [I, "CH"],
      [H, "CERT"],
      [H, "CV"],
      [H, "FIN"],
    ],
    "with a compressed certificate (RFC 8879)": [
      [I, "CH"],
      [H, "CCERT"],
      [H, "CV"],
      [H, "FIN"],
    ],
    "with an empty certificate": [
      [I, "CH"],
      [H, "CERT"],
      [H, "FIN"],
    ],
  };
  for (const [title, messages] of Object.entries(legal)) {
    test(`RFC 8446 §4 ${title} passes`, () => assert.equal(feed(new TlsFramer(true), ...messages), 0));
  }

  const illegal: Record<string, [Level, Name][]> = {
    "9001-6-01 KeyUpdate after Finished in Handshake": [
      [I, "CH"],
      [H, "FIN"],
      [H, "KU"],
    ],
    "9001-6-01 KeyUpdate before Finished": [
      [I, "CH"],
      [H, "KU"],
    ],
    "9001-6-02 KeyUpdate in 1-RTT": [
      [I, "CH"],
      [H, "FIN"],
      [A, "KU"],
    ],
    "9001-8.3-01 EndOfEarlyData before Finished": [
      [I, "CH"],
      [H, "EOED"],
    ],
    "RFC 9001 §8.3 any message in 1-RTT": [
      [I, "CH"],
      [H, "FIN"],
      [A, "FIN"],
    ],
    "ClientHello in Handshake": [[H, "CH"]],
    "Finished first": [[I, "FIN"]],
    "CertificateVerify without Certificate": [
      [I, "CH"],
      [H, "CV"],
    ],
    "two Certificates": [
      [I, "CH"],
      [H, "CERT"],
      [H, "CERT"],
    ],
    "CompressedCertificate after Certificate": [
      [I, "CH"],
      [H, "CERT"],
      [H, "CCERT"],
    ],
    ServerHello: [[I, "SH"]],
  };
  for (const [title, messages] of Object.entries(illegal)) {
    test(`9001-4.8-08 ${title} is unexpected_message`, () => {
      const framer = new TlsFramer(true);
      assert.equal(feed(framer, ...messages.slice(0, -1)), 0);
      assert.equal(feed(framer, ...messages.slice(-1)), UNEXPECTED);
      assert.equal(feed(framer, [I, "CH"]), UNEXPECTED, "nothing is accepted after an error");
    });
  }
});

describe("messages of a server", () => {
  const legal: Record<string, [Level, Name][]> = {
    "with a compressed certificate (RFC 8879)": [
      [I, "SH"],
      [H, "EE"],
      [H, "CCERT"],
      [H, "CV"],
      [H, "FIN"],
    ],
    "a plain handshake with tickets": [
      [I, "SH"],
      [H, "EE"],
      [H, "CERT"],
      [H, "CV"],
      [H, "FIN"],
      [A, "NST"],
      [A, "NST"],
    ],
    "with HelloRetryRequest": [
      [I, "HRR"],
      [I, "SH"],
      [H, "EE"],
      [H, "CERT"],
      [H, "CV"],
      [H, "FIN"],
    ],
    "that asks for a certificate": [
      [I, "SH"],
      [H, "EE"],
      [H, "CR"],
      [H, "CERT"],
      [H, "CV"],
      [H, "FIN"],
    ],
    "of a resumed session": [
      [I, "SH"],
      [H, "EE"],
      [H, "FIN"],
    ],
  };
  for (const [title, messages] of Object.entries(legal)) {
    test(`RFC 8446 §4 ${title} passes`, () => assert.equal(feed(new TlsFramer(false), ...messages), 0));
  }

  const illegal: Record<string, [Level, Name][]> = {
    "Certificate before EncryptedExtensions": [
      [I, "SH"],
      [H, "CERT"],
    ],
    "Finished without CertificateVerify": [
      [I, "SH"],
      [H, "EE"],
      [H, "CERT"],
      [H, "FIN"],
    ],
    "CertificateRequest in a resumed session": [
      [I, "SH"],
      [H, "EE"],
      [H, "CR"],
      [H, "FIN"],
    ],
    "9001-6-02 KeyUpdate in 1-RTT": [
      [I, "SH"],
      [H, "EE"],
      [H, "FIN"],
      [A, "KU"],
    ],
    "NewSessionTicket in Handshake": [
      [I, "SH"],
      [H, "EE"],
      [H, "FIN"],
      [H, "NST"],
    ],
    "NewSessionTicket before Finished": [
      [I, "SH"],
      [H, "EE"],
      [A, "NST"],
    ],
    ClientHello: [[I, "CH"]],
  };
  for (const [title, messages] of Object.entries(illegal)) {
    test(`9001-4.8-08 ${title} is unexpected_message`, () => {
      const framer = new TlsFramer(false);
      assert.equal(feed(framer, ...messages.slice(0, -1)), 0);
      assert.equal(feed(framer, ...messages.slice(-1)), UNEXPECTED);
    });
  }

  const finished: [Level, Name][] = [
    [I, "SH"],
    [H, "EE"],
    [H, "FIN"],
  ];

  test("9001-4.4-02 CertificateRequest in 1-RTT is PROTOCOL_VIOLATION", () => {
    assert.equal(feed(new TlsFramer(false), ...finished, [A, "CR"]), PROTOCOL_VIOLATION);
  });

  test("9001-4.6.1-01 a ticket that limits early data to anything but 0xffffffff is PROTOCOL_VIOLATION", () => {
    const ticket = (maxEarlyData: number): Uint8Array => {
      const out = new Writer(64);
      out.u32(7200);
      out.u32(1);
      out.u8(1);
      out.u8(0);
      out.u16(3);
      out.bytes(Uint8Array.of(1, 2, 3));
      const size = new Writer(4);
      size.u32(maxEarlyData);
      out.bytes(extensions([0xfafa, new Uint8Array(3)], [42, size.finish()]));
      return message(TYPES.NST, out.finish());
    };
    for (const [size, expected] of [
      [0xffffffff, 0],
      [0x4000, PROTOCOL_VIOLATION],
      [0, PROTOCOL_VIOLATION],
    ] as const) {
      const framer = new TlsFramer(false);
      assert.equal(feed(framer, ...finished), 0);
      assert.equal(framer.push(A, ticket(size), 0, ticket(size).length), expected);
    }
  });
});

describe("RFC 9001 §4.1.3 a side that moved on says nothing more in Initial packets", () => {
  const late: [string, boolean, [Level, Name][]][] = [
    [
      "a second ClientHello that nobody asked for",
      true,
      [
        [I, "CH"],
        [I, "CH"],
      ],
    ],
    [
      "a third ClientHello",
      true,
      [
        [I, "CH"],
        [SENT, "HRR"],
        [I, "CH"],
        [I, "CH"],
      ],
    ],
    [
      "Finished of a client",
      true,
      [
        [I, "CH"],
        [I, "FIN"],
      ],
    ],
    [
      "a second ServerHello",
      false,
      [
        [I, "SH"],
        [I, "SH"],
      ],
    ],
    [
      "a third ServerHello",
      false,
      [
        [I, "HRR"],
        [I, "SH"],
        [I, "SH"],
      ],
    ],
    [
      "EncryptedExtensions",
      false,
      [
        [I, "SH"],
        [I, "EE"],
      ],
    ],
    [
      "CompressedCertificate",
      false,
      [
        [I, "SH"],
        [I, "CCERT"],
      ],
    ],
  ];
  for (const [title, isServer, messages] of late) {
    test(`9001-4.1.3-02 ${title} is PROTOCOL_VIOLATION`, () => {
      const framer = new TlsFramer(isServer);
      assert.equal(feed(framer, ...messages.slice(0, -1)), 0);
      assert.equal(feed(framer, ...messages.slice(-1)), PROTOCOL_VIOLATION);
    });
  }
});

describe("RFC 9001 §8.1 the protocol that a server chose", () => {
  const alpn = (...names: string[]): [number, Uint8Array] => {
    const list = concatBytes(
      ...names.map((name) => Uint8Array.of(name.length, ...Array.from(name, (char) => char.charCodeAt(0)))),
    );
    return [0x10, concatBytes(Uint8Array.of(list.length >> 8, list.length), list)];
  };
  const verdict = (chosen: [number, Uint8Array][], ...offered: string[]): number => {
    const framer = new TlsFramer(false);
    framer.noteSent(clientHello(extensions([0x39, PARAMS], alpn(...offered))));
    feed(framer, [I, "SH"]);
    const answer = message(TYPES.EE, extensions([0x39, PARAMS], ...chosen));
    return framer.push(H, answer, 0, answer.length);
  };

  test("9001-8.1-02 one that was not offered, or none, is no_application_protocol", () => {
    assert.equal(verdict([alpn("b")], "a", "b"), 0);
    assert.equal(verdict([alpn("c")], "a", "b"), 0x178);
    assert.equal(verdict([], "a", "b"), 0x178);
    assert.equal(verdict([[0x10, new Uint8Array(0)]], "a"), 0x178);
  });

  test("a list that is too long to be read is for TLS to judge", () => {
    const many = Array.from({ length: MAX_ALPN_READ }, (_, n) => `p${n}`);
    assert.equal(verdict([alpn("c")], ...many), 0);
  });
});

describe("transport parameters", () => {
  function afterHello(hello: Uint8Array): { framer: TlsFramer; error: number } {
    const framer = new TlsFramer(true);
    return { framer, error: framer.push(I, hello, 0, hello.length) };
  }

  test("RFC 9001 §8.2 the extension of ClientHello is found, once the message is whole", () => {
    const framer = new TlsFramer(true);
    framer.push(I, HELLO, 0, HELLO.length - 1);
    assert.deepEqual([framer.sawParamsMessage, framer.peerParams], [false, null]);
    framer.push(I, HELLO, HELLO.length - 1, HELLO.length);
    assert.deepEqual([framer.sawParamsMessage, framer.peerParams], [true, PARAMS]);
  });

  test("RFC 9001 §8.2 the extension of EncryptedExtensions is found", () => {
    const framer = new TlsFramer(false);
    assert.equal(feed(framer, [I, "SH"], [H, "EE"]), 0);
    assert.deepEqual([framer.sawParamsMessage, framer.peerParams], [true, PARAMS]);
  });

  test("9001-8.2-01 9001-8.2-02 9001-8.2-03 without it, or with the draft's code point only, it is missing", () => {
    for (const block of [extensions(OTHER_EXTENSION), extensions([0xffa5, PARAMS]), new Uint8Array(0)]) {
      const { framer, error } = afterHello(clientHello(block));
      assert.deepEqual([error, framer.sawParamsMessage, framer.peerParams], [0, true, null]);
    }
    const client = new TlsFramer(false);
    feed(client, [I, "SH"]);
    const empty = message(TYPES.EE, extensions());
    assert.equal(client.push(H, empty, 0, empty.length), 0);
    assert.deepEqual([client.sawParamsMessage, client.peerParams], [true, null]);
  });

  test("an extension of zero length is there, not missing", () => {
    const { framer } = afterHello(clientHello(extensions([0x39, new Uint8Array(0)])));
    assert.deepEqual(framer.peerParams, new Uint8Array(0));
  });

  test("9001-4.8-03 an extension twice is illegal_parameter", () => {
    assert.equal(afterHello(clientHello(extensions(OTHER_EXTENSION, [0x39, PARAMS], OTHER_EXTENSION))).error, 0x12f);
    assert.equal(afterHello(clientHello(extensions([0x39, PARAMS], OTHER_EXTENSION, [0x39, PARAMS]))).error, 0x12f);
  });

  test("9001-4.8-02 a malformed block is for TLS to judge: neither found nor missing", () => {
    const whole = extensions([0x39, PARAMS], OTHER_EXTENSION);
    const longer = whole.slice();
    longer[1]++;
    const inner = whole.slice();
    inner[inner.length - 4]++;
    for (const block of [whole.slice(0, -1), longer, inner, Uint8Array.of(0)]) {
      const { framer, error } = afterHello(clientHello(block));
      assert.deepEqual([error, framer.sawParamsMessage, framer.peerParams], [0, false, null]);
    }
    const empty = message(TYPES.CH, new Uint8Array(0));
    assert.deepEqual([afterHello(empty).error, afterHello(empty).framer.sawParamsMessage], [0, false]);
  });

  test("RFC 8446 §4.1.2 the second ClientHello has the last word", () => {
    const { framer } = afterHello(HELLO);
    feed(framer, [SENT, "HRR"]);
    const other = clientHello(extensions([0x39, Uint8Array.of(9)]));
    assert.equal(framer.push(I, other, 0, other.length), 0);
    assert.deepEqual(framer.peerParams, Uint8Array.of(9));
  });

  test("9001-8.4-01 a legacy_session_id is PROTOCOL_VIOLATION", () => {
    assert.equal(afterHello(clientHello(extensions([0x39, PARAMS]), 32)).error, PROTOCOL_VIOLATION);
  });
});

describe("bytes cut anywhere", () => {
  test("any cut gives the same verdict as the whole flight", () => {
    const flight = concatBytes(named("EE"), named("CR"), named("CERT"), named("CV"), named("FIN"));
    for (let step = 1; step <= flight.length; step++) {
      const framer = new TlsFramer(false);
      feed(framer, [I, "SH"]);
      for (let at = 0; at < flight.length; at += step) {
        assert.equal(framer.push(H, flight, at, Math.min(at + step, flight.length)), 0);
      }
      assert.deepEqual([framer.hasPartial(H), framer.peerParams], [false, PARAMS]);
      assert.equal(framer.push(H, flight, 0, 1), UNEXPECTED, "the flight is over");
    }
  });

  test("9001-4.1.3-02 a message that did not end is partial at its level only", () => {
    const framer = new TlsFramer(true);
    assert.equal(framer.hasPartial(I), false);
    framer.push(I, HELLO, 0, 1);
    assert.deepEqual([framer.hasPartial(I), framer.hasPartial(H)], [true, false]);
    framer.push(I, HELLO, 1, HELLO.length);
    assert.equal(framer.hasPartial(I), false);
  });

  test("RFC 9001 §4.1.3 a message may not go on at another level", () => {
    const framer = new TlsFramer(true);
    framer.push(I, HELLO, 0, 10);
    assert.equal(framer.push(H, HELLO, 10, HELLO.length), PROTOCOL_VIOLATION);
  });

  test("an empty push changes nothing", () => {
    const framer = new TlsFramer(true);
    assert.equal(framer.push(A, HELLO, 3, 3), 0);
    assert.equal(feed(framer, [I, "CH"]), 0);
  });

  test("a message type that may not come is refused at its first byte", () => {
    assert.equal(new TlsFramer(true).push(I, Uint8Array.of(TYPES.KU), 0, 1), UNEXPECTED);
  });

  test("MAX_TLS_MESSAGE_BYTES passes, one byte more is CRYPTO_BUFFER_EXCEEDED before any of it came", () => {
    const length = MAX_TLS_MESSAGE_BYTES;
    const header = (bytes: number): Uint8Array => Uint8Array.of(TYPES.CERT, bytes >> 16, bytes >> 8, bytes);
    const framer = new TlsFramer(false);
    feed(framer, [I, "SH"], [H, "EE"]);
    assert.equal(framer.push(H, header(length), 0, 4), 0);
    assert.equal(framer.push(H, new Uint8Array(length), 0, length), 0);
    assert.equal(framer.hasPartial(H), false);
    const refused = new TlsFramer(false);
    feed(refused, [I, "SH"], [H, "EE"]);
    assert.equal(refused.push(H, header(length + 1), 0, 4), CRYPTO_BUFFER_EXCEEDED);
  });

  test("a ClientHello of 64 KiB in single bytes is read", () => {
    const filler: [number, Uint8Array] = [0xaaaa, new Uint8Array(60_000)];
    const hello = clientHello(extensions(filler, [0x39, PARAMS]));
    const framer = new TlsFramer(true);
    for (let at = 0; at < hello.length; at++) assert.equal(framer.push(I, hello, at, at + 1), 0);
    assert.deepEqual(framer.peerParams, PARAMS);
  });
});

describe("0-RTT", () => {
  const EARLY: [number, Uint8Array] = [42, new Uint8Array(0)];
  const CHOSEN: [number, Uint8Array] = [16, Uint8Array.of(0, 3, 2, 0x68, 0x33)];

  test("RFC 9001 §4.6.2 a client learns from EncryptedExtensions, or before from HelloRetryRequest", () => {
    for (const [list, expected] of [
      [[[0x39, PARAMS], CHOSEN, EARLY], true],
      [[[0x39, PARAMS], CHOSEN], false],
    ] as [[number, Uint8Array][], boolean][]) {
      const framer = new TlsFramer(false);
      feed(framer, [I, "SH"]);
      assert.equal(framer.earlyDataAccepted, null);
      const answer = message(TYPES.EE, extensions(...list));
      assert.equal(framer.push(H, answer, 0, answer.length), 0);
      assert.equal(framer.earlyDataAccepted, expected);
    }
    const retried = new TlsFramer(false);
    feed(retried, [I, "HRR"]);
    assert.equal(retried.earlyDataAccepted, false);
    feed(retried, [I, "SH"]);
    const answer = message(TYPES.EE, extensions([0x39, PARAMS], CHOSEN, EARLY));
    retried.push(H, answer, 0, answer.length);
    assert.equal(retried.earlyDataAccepted, false, "no second thought");
  });

  test("RFC 8446 §4.2.10 a server that asks for it gets the first hello, before TLS does", () => {
    const early = clientHello(extensions([0x39, PARAMS], CHOSEN, EARLY));
    for (const wants of [true, false]) {
      const framer = new TlsFramer(true);
      framer.wantsHello = wants;
      assert.equal(framer.push(I, early, 0, early.length), 0);
      assert.equal(framer.hello?.offersEarlyData, wants ? true : undefined);
      assert.deepEqual(framer.hello?.alpn, wants ? ["h3"] : undefined);
    }
  });
});
