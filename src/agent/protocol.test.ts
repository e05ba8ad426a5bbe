import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MAX_AGENT_FRAME_BYTES } from "../proto/limits.js";
import { decode, encode, type FromAgent, fromAgent, type ToAgent, toAgent } from "./protocol.js";

const bytes = Uint8Array.of(1, 2, 3);
const identity = { cert: "CERT", key: "KEY" };
const choice = { auth: "psk", pskIdentity: "müller", timeoutMillis: 5000 } as const;

const TO_AGENT: readonly ToAgent[] = [
  { kind: "hello", version: 1 },
  {
    kind: "context",
    id: 2 ** 32 - 1,
    choice,
    config: { kind: "client", alpn: ["h3", "smb"], serverName: "a.test", verify: "report" },
  },
  {
    kind: "context",
    id: 1,
    choice,
    config: {
      kind: "client",
      alpn: [],
      ca: [],
      ciphers: "c",
      groups: "g",
      keylog: false,
      psk: [{ identity: "i", key: bytes }],
      earlyData: true,
      serverName: "",
      verify: "strict",
      identity,
      ticket: bytes,
    },
  },
  {
    kind: "context",
    id: 1,
    choice,
    config: {
      kind: "server",
      alpn: ["h3"],
      identities: { "*": identity, constructor: identity },
      clientCertificate: "require",
      ticketSecret: bytes,
    },
  },
  { kind: "session", id: 3, context: 1, options: { transportParams: bytes } },
  {
    kind: "session",
    id: 3,
    context: 1,
    options: {
      transportParams: bytes,
      serverName: "b",
      ticket: bytes,
      earlyData: false,
      ticketScope: 1,
      hello: { serverName: "b", alpn: ["h3", "é"] },
    },
  },
  { kind: "put", id: 3, level: 2, bytes },
  { kind: "allow-early-data", id: 3, alpn: "h3" },
  { kind: "close", id: 3 },
  { kind: "close-context", id: 1 },
];

const info = {
  alpn: "h3",
  serverName: "a",
  cipher: "c",
  group: "g",
  resumed: false,
  pskIdentity: "",
  earlyDataAccepted: true,
  peerCertificates: [bytes, bytes],
  verifyError: "",
};

const FROM_AGENT: readonly FromAgent[] = [
  { kind: "welcome", version: 1, library: "L" },
  {
    kind: "results",
    id: 3,
    results: [
      { kind: "send", level: 0, bytes },
      { kind: "secret", level: 3, direction: "write", aead: 4, secret: bytes },
      { kind: "peer-params", bytes },
      { kind: "done", info },
      { kind: "done", info: { ...info, tags: ["staff"] } },
      { kind: "ticket", bytes },
      { kind: "keylog", line: "L" },
      { kind: "alert", alert: 80, message: "m" },
      { kind: "alert", alert: 80, message: "m", code: "EIO" },
    ],
  },
];

describe("messages between programs and the agent", () => {
  test("each arrives as it was sent", () => {
    for (const message of TO_AGENT) assert.deepEqual(decode(toAgent, encode(toAgent, message)), message);
    for (const message of FROM_AGENT) assert.deepEqual(decode(fromAgent, encode(fromAgent, message)), message);
  });

  test("none is taken that is cut anywhere, or has a byte more", () => {
    for (const message of TO_AGENT) {
      const whole = encode(toAgent, message);
      for (let end = 0; end < whole.length; end++) assert.equal(decode(toAgent, whole.subarray(0, end)), null);
      assert.equal(decode(toAgent, Uint8Array.of(...whole, 0)), null);
    }
    for (const message of FROM_AGENT) {
      const whole = encode(fromAgent, message);
      for (let end = 0; end < whole.length; end++) assert.equal(decode(fromAgent, whole.subarray(0, end)), null);
    }
  });

  test("numbers without a meaning, flags above 1 and text that is no UTF-8 are refused", () => {
    const put = encode(toAgent, { kind: "put", id: 3, level: 2, bytes });
    for (const [at, value] of [
      [0, 99], // kind
      [5, 4], // level
    ] as const) {
      const wrong = put.slice();
      wrong[at] = value;
      assert.equal(decode(toAgent, wrong), null);
    }
    const early = encode(toAgent, { kind: "allow-early-data", id: 3, alpn: "h3" });
    early[early.length - 1] = 0xff;
    assert.equal(decode(toAgent, early), null);
    const session = encode(toAgent, { kind: "session", id: 3, context: 1, options: { transportParams: bytes } });
    session[session.length - 1] = 2; // of the last field: is it there?
    assert.equal(decode(toAgent, session), null);
  });

  test("a length that promises more than there is allocates nothing and is refused", () => {
    const put = encode(toAgent, { kind: "put", id: 3, level: 2, bytes });
    for (const length of [4, MAX_AGENT_FRAME_BYTES, MAX_AGENT_FRAME_BYTES + 1, 2 ** 32 - 1]) {
      new DataView(put.buffer).setUint32(6, length);
      assert.equal(decode(toAgent, put), null);
    }
  });

  test("a protocol of 255 bytes is taken, of 256 it is not", () => {
    const early = (length: number) => encode(toAgent, { kind: "allow-early-data", id: 3, alpn: "p".repeat(length) });
    assert.notEqual(decode(toAgent, early(255)), null);
    assert.equal(decode(toAgent, early(256)), null);
  });
});
