/** RFC 9000 §8 and §10: address validation, the ends of connections, stateless resets. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { APPLICATION_ERROR, INVALID_TOKEN } from "#src/proto/transport-error.js";
import { bytes, close, crypto, newConnectionId, pathChallenge, PING, vi } from "../support/raw-frames.js";
import { longHeader } from "../raw/headers.js";
import { P_IDLE_TIMEOUT, P_RESET_TOKEN, withParam } from "../raw/params.js";
import { APP, HANDSHAKE, INITIAL, type RawPeer, type RawPeerOptions } from "../raw/peer.js";
import type { Check } from "./check.js";
import { idOf } from "./rfc9000-handshake.js";
import { row } from "./scripts.js";

const TOKEN = Buffer.from("0123456789abcdef");

// --- RFC 9000 §8.1 ---------------------------------------------------------------------------------------------------

row(
  "9000-8.1-01",
  async (check) => {
    const peer = await check.begin({ autoTls: false, autoAck: false });
    peer.flushTls();
    await check.until(() => peer.bytes.received > 0, "an answer");
    await check.lab.wait(check.inMemory ? 8000 : 400);
    assert.ok(peer.bytes.received > peer.bytes.sent, "it used the credit");
    assert.ok(peer.bytes.received <= 3 * peer.bytes.sent, `${peer.bytes.received} for ${peer.bytes.sent}`);
  },
  { setup: { chainBytes: 10_000 } },
);

row(
  "9000-8.1-02",
  async (check) => {
    const peer = await check.begin({ autoTls: false, autoAck: false });
    peer.flushTls();
    await check.until(() => peer.bytes.received > 2400, "the credit is used");
    await check.lab.wait(check.inMemory ? 1000 : 50);
    const before = peer.bytes.received;
    const junk = bytes(longHeader(0xe3, 1, peer.dcid, peer.scid, vi(900, 2)), randomBytes(900));
    peer.sendRaw(peer.packet(INITIAL, [PING], { padTo: 300 }), junk);
    await check.until(() => peer.bytes.received > before, "more bytes for a dropped packet");
    await check.lab.wait(check.inMemory ? 1000 : 50);
    assert.ok(peer.bytes.received <= 3 * peer.bytes.sent);
  },
  { setup: { chainBytes: 10_000 } },
);

/** A raw client that has got a Retry; it has sent nothing after it. */
async function retried(check: Check): Promise<RawPeer> {
  const peer = await check.begin({ followRetry: false });
  await check.until(() => peer.retries.length > 0, "a Retry");
  return peer;
}

function retryOf(peer: RawPeer): { scid: Buffer; token: Buffer } {
  const retry = peer.retries[0] as Buffer;
  const scidAt = 7 + (retry[5] as number);
  const scid = retry.subarray(scidAt, scidAt + (retry[scidAt - 1] as number));
  return { scid, token: retry.subarray(scidAt + scid.length, retry.length - 16) };
}

row(
  "9000-8.1.2-01",
  async (check) => {
    const flipped = await retried(check);
    const { scid, token } = retryOf(flipped);
    const bad = Buffer.from(token);
    bad[bad.length - 5] = (bad[bad.length - 5] as number) ^ 1;
    flipped.followRetry(scid, bad);
    await check.closes(flipped);
    assert.equal(flipped.closes[0]?.code, BigInt(INVALID_TOKEN));
    // the token of another address
    const other = await retried(check);
    const thief = await check.peer({ followRetry: false });
    thief.tlsClient?.start();
    thief.tlsOut = [];
    const stolen = retryOf(other);
    thief.followRetry(stolen.scid, stolen.token);
    await check.lab.until(() => thief.closes.length > 0);
    assert.equal(thief.closes[0]?.code, BigInt(INVALID_TOKEN));
  },
  { setup: { retry: true } },
);

row(
  "9000-8.1.2-02",
  async (check) => {
    const peer = await retried(check);
    const { scid, token } = retryOf(peer);
    peer.dcid = Buffer.from(scid);
    peer.installInitial(peer.version, scid);
    const hello = peer.firstFlight;
    const half = Math.floor(hello.length / 2);
    peer.sendRaw(peer.packet(INITIAL, [crypto(0, hello.subarray(0, half))], { token }));
    peer.sendRaw(peer.packet(INITIAL, [crypto(half, hello.subarray(half))], { token: Buffer.alloc(0) }));
    await check.quiet();
    // dropped, or taken as part of the validated connection: no third thing happens
    peer.token = token;
    if (!peer.handshakeDone) peer.sendRaw(peer.packet(INITIAL, [crypto(half, hello.subarray(half))], { token }));
    await check.confirmed(peer);
    await check.usable(peer);
  },
  { setup: { retry: true } },
);

row("9000-8.1.3-01", async (check) => {
  // any but the first byte of our own tokens, which would make it look like one of a Retry
  const peer = await check.connect({ token: Buffer.concat([Uint8Array.of(0), randomBytes(59)]) });
  await check.usable(peer);
});

// --- RFC 9000 §8.2 on one path ---------------------------------------------------------------------------------------

row("9000-8.2.2-01", async (check) => {
  const peer = await check.connect();
  const packet = peer.packet(APP, [pathChallenge(0x1234)]);
  for (let i = 0; i < 3; i++) peer.sendRaw(packet);
  await check.until(() => peer.frames("PATH_RESPONSE").length > 0, "PATH_RESPONSE");
  await check.quiet();
  const responses = peer.frames("PATH_RESPONSE");
  assert.equal(responses.length, 1);
  assert.deepEqual(responses[0]?.data, Buffer.from(pathChallenge(0x1234).subarray(1)));
});

row("9000-8.2.3-01", async (check) => {
  const peer = await check.connect();
  peer.send(APP, bytes(0x1b, randomBytes(8)));
  await check.quiet(20);
  await check.usable(peer);
});

// --- RFC 9000 §10.1, RFC 9000 §10.2 ----------------------------------------------------------------------------------

row(
  "9000-10.1-01",
  async (check) => {
    for (const theirs of [1000, 30_000]) {
      const peer = await check.connect({ params: (list) => withParam(list, P_IDLE_TIMEOUT, vi(theirs)) });
      const app = check.app(peer);
      await check.acknowledged(peer);
      const start = check.lab.nowMicros();
      const before = peer.packets.length;
      await check.until(() => app.error !== undefined, "the idle timeout", 60_000);
      const millis = (check.lab.nowMicros() - start) / 1000;
      assert.equal(app.error?.code, "ERR_QUIC_IDLE_TIMEOUT");
      assert.ok(millis > 900 && millis < 3500, `${millis} ms`);
      assert.equal(peer.packets.length, before, "in silence");
    }
  },
  { setup: { config: { maxIdleTimeoutMillis: 2000 } } },
);

row("9000-10.2.1-01", async (check) => {
  const peer = await check.connect();
  peer.autoAck = false;
  check.app(peer).close("application", 7n, "bye");
  await check.until(() => peer.closes.length > 0, "CONNECTION_CLOSE");
  await check.quiet(1);
  const before = peer.datagrams.length;
  for (let i = 0; i < 1000; i++) peer.send(APP, PING);
  await check.until(() => peer.datagrams.length > before, "an answer");
  await check.quiet(20);
  const answers = peer.datagrams.length - before;
  assert.ok(answers >= 1 && answers <= 11, `${answers} answers to 1000 packets`);
});

row("9000-10.2.2-01", async (check) => {
  const peer = await check.connect();
  await check.acknowledged(peer);
  await check.lab.wait(100);
  const before = peer.datagrams.length;
  peer.send(APP, close(0));
  for (let i = 0; i < 100; i++) peer.send(APP, PING);
  await check.quiet();
  assert.ok(peer.datagrams.length - before <= 1, `${peer.datagrams.length - before} packets`);
});

row("9000-10.2.3-01", async (check) => {
  const peer = await check.begin({ autoTls: false, autoAck: false });
  if (check.isServer) peer.flushTls();
  await check.until(() => peer.packets.length > 0 && peer.tlsOut.length > 0, "an answer");
  if (check.isServer) await check.until(() => check.lab.app(peer) !== null, "the server's connection");
  const app = check.app(peer);
  app.close("application", 0x1234n, "a secret reason");
  await check.until(() => peer.closes.some(({ level }) => level === INITIAL), "a close in Initial");
  for (const seen of peer.closes.filter(({ level }) => level !== APP)) {
    assert.deepEqual([seen.isApplication, seen.code, seen.reason], [false, BigInt(APPLICATION_ERROR), ""]);
  }
  check.closedWith = BigInt(APPLICATION_ERROR);
  assert.equal(app.error?.errorCode ?? 0x1234n, 0x1234n);
});

// --- RFC 9000 §10.3 --------------------------------------------------------------------------------------------------

row("9000-10.3-01", async (check) => {
  const peer = await check.connect();
  await check.acknowledged(peer);
  await check.lab.wait(80); // what belongs to the handshake has been said
  const before = peer.datagrams.length;
  for (let size = 1; size <= 20; size++) peer.sendRaw(bytes(0x40, peer.dcid, randomBytes(20)).subarray(0, size));
  await check.quiet(1);
  assert.equal(peer.datagrams.length, before);
  await check.usable(peer);
});

row("9000-10.3-02", async (check) => {
  const peer = await check.peer();
  if (!check.isServer) await check.until(() => peer.datagrams.length > 0, "the first Initial");
  for (const size of [21, 22, 30, 38, 39, 42, 60, 200, 1000, 1500]) {
    const before = peer.datagrams.length;
    peer.sendRaw(bytes(0x40, randomBytes(size - 1)));
    await check.quiet(1);
    for (const answer of peer.datagrams.slice(before)) {
      const isShort = ((answer[0] as number) & 0x80) === 0;
      if (!isShort) continue; // the client's own handshake goes on
      assert.ok(answer.length < size && answer.length >= 21, `${answer.length} bytes for ${size}`);
    }
  }
});

/** A raw peer whose id of sequence 0 or 1 has the token TOKEN. */
async function withToken(check: Check): Promise<RawPeer> {
  const params: NonNullable<RawPeerOptions["params"]> = (list) => [...list, [P_RESET_TOKEN, TOKEN]];
  const peer = await check.connect(check.isServer ? {} : { params });
  if (check.isServer) {
    peer.send(APP, newConnectionId(1, 1, idOf(1), TOKEN));
    await check.until(() => peer.frames("RETIRE_CONNECTION_ID").length > 0, "use of the new id");
    await check.acknowledged(peer);
  }
  return peer;
}

async function isReset(check: Check, peer: RawPeer): Promise<void> {
  const app = check.app(peer);
  await check.until(() => app.error !== undefined, "the end");
  assert.equal(app.error?.code, "ERR_QUIC_STATELESS_RESET");
  const before = peer.datagrams.length;
  peer.send(APP, PING);
  await check.quiet(50);
  const closes = peer.datagrams.slice(before).filter((datagram) => datagram.length > 60);
  assert.deepEqual(closes, [], "nothing is sent after it");
}

row("9000-10.3-03", async (check) => {
  const peer = await withToken(check);
  peer.sendRaw(bytes(longHeader(0xe0, 1, peer.dcid, peer.scid, vi(200, 2)), randomBytes(184), TOKEN));
  await isReset(check, peer);
});

row("9000-10.3.1-01", async (check) => {
  const peer = await withToken(check);
  peer.sendRaw(bytes(0x45, peer.dcid, randomBytes(60), TOKEN));
  await isReset(check, peer);
});

row("9000-10.3.1-02", async (check) => {
  const unused = Buffer.from("unused.unused.un");
  const peer = await withToken(check);
  peer.send(APP, newConnectionId(2, 0, idOf(2), unused));
  await check.acknowledged(peer);
  peer.sendRaw(bytes(0x45, peer.dcid, randomBytes(60), unused));
  await check.quiet(20);
  await check.usable(peer);
  peer.send(APP, newConnectionId(3, 2, idOf(3)));
  await check.until(
    () => peer.frames("RETIRE_CONNECTION_ID").some(({ values }) => values[0] === 1n || !check.isServer),
    "RETIRE",
  );
  await check.acknowledged(peer);
  peer.sendRaw(bytes(0x45, peer.dcid, randomBytes(60), TOKEN));
  await check.quiet(20);
  await check.usable(peer);
});

row("9000-10.3.3-01", async (check) => {
  // a reset that is reflected to whoever sent it: each answer is smaller than what it answers
  const peer = await check.peer();
  if (!check.isServer) await check.until(() => peer.datagrams.length > 0, "the first Initial");
  let datagram: Uint8Array = bytes(0x40, randomBytes(1400));
  let rounds = 0;
  for (; rounds < 1500; rounds++) {
    const before = peer.datagrams.length;
    peer.sendRaw(datagram);
    await check.lab.wait(check.inMemory ? 0 : 2);
    const answer = peer.datagrams.slice(before).find((candidate) => ((candidate[0] as number) & 0x80) === 0);
    if (answer === undefined) break;
    datagram = answer;
  }
  assert.ok(rounds < 60, `${rounds} rounds`);
});

// --- RFC 9000 §11 ----------------------------------------------------------------------------------------------------

row("9000-11.1-01", async (check) => {
  // every error row looks at the wire; here each level before 1-RTT in turn, with keys that the peer has
  for (const level of [INITIAL, HANDSHAKE]) {
    const peer = await check.begin({ autoTls: false, autoAck: false });
    if (check.isServer) peer.flushTls();
    await check.until(() => peer.tlsOut.length > 0, "TLS messages");
    if (!check.isServer && level === HANDSHAKE) peer.flushTls(INITIAL);
    peer.send(level, Uint8Array.of(0x21));
    await check.until(() => peer.closes.length > 0, "CONNECTION_CLOSE");
    assert.equal(peer.closes[0]?.code, 7n);
  }
  const peer = await check.connect();
  peer.send(APP, Uint8Array.of(0x21));
  await check.closesWith(peer, 7, 0x21);
});
