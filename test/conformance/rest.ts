/** Rows that belong to no other file: what is left of RFC 9000 and RFC 9001, the extensions, and version negotiation. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { MAX_PN } from "#src/pnspace/pnspace.js";
import { STREAM_BIDI } from "#src/port/transport.js";
import { SPACE_APP } from "#src/proto/space.js";
import { bytes, crypto, padding, PING, vi } from "../support/raw-frames.js";
import { version32, versionNegotiation } from "../raw/headers.js";
import { intParam, P_GREASE_QUIC_BIT, P_MAX_DATAGRAM, P_VERSION_INFORMATION } from "../raw/params.js";
import { initialKeys, keysFrom, V2 } from "../raw/protection.js";
import { APP, HANDSHAKE, INITIAL, RawPeer, type RawPeerOptions } from "../raw/peer.js";
import { type Check, filled, isAcked } from "./check.js";
import { goOn, newId } from "./rfc9000-handshake.js";
import { engineTicket, request } from "./early.js";
import { closes, refuses, row } from "./scripts.js";

/** Seconds that `act` takes at best, of `rounds`. */
function fastest(rounds: number, act: () => void): number {
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    act();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

/** Whether all take the same time, tried a few times: a busy machine lies. */
function sameTime(what: string, share: number, acts: readonly (() => void)[]): void {
  let times: number[] = [];
  for (let attempt = 0; attempt < 40; attempt++) {
    for (const act of acts) act();
    times = acts.map((act) => fastest(15, act));
    if (Math.max(...times) <= (1 + share) * Math.min(...times)) return;
  }
  assert.fail(`${what}: ${times.map((time) => time.toFixed(3)).join(", ")} ms`);
}

const TIMES = "what a function costs shows no network";

row(
  "9000-10.3.1-03",
  async (check) => {
    const peer = await check.connect();
    peer.send(APP, newId(1, 1));
    await check.until(() => peer.frames("RETIRE_CONNECTION_ID").length > 0, "use of an id with a token");
    const { peerIds } = check.app(peer).conn;
    const { currentToken } = peerIds;
    assert.ok(currentToken !== null);
    const random = randomBytes(16);
    const prefix = Buffer.from(currentToken);
    prefix[15] = (prefix[15] as number) ^ 1;
    const compare = (token: Uint8Array) => () => {
      for (let i = 0; i < 40_000; i++) if (peerIds.isResetToken(token, 0)) throw new Error("it is not the token");
    };
    sameTime("prefix and random tokens", 0.2, [compare(random), compare(prefix)]);
  },
  { memoryOnly: TIMES },
);

row(
  "9001-9.5-01",
  async (check) => {
    const peer = await check.connect();
    await check.acknowledged(peer);
    const many = (datagram: Buffer) => () => {
      for (let i = 0; i < 100; i++) {
        peer.sendRaw(datagram);
        check.memory.deliverNow(); // each in a batch of its own, as a forger would send them
      }
    };
    const pn = peer.nextPn[2] as number;
    const forged = (options: object): (() => void) =>
      many(peer.packet(APP, [PING], { forged: true, padTo: 600, pn, ...options }));
    const kinds = [forged({}), forged({ generation: 1 }), forged({ pn: pn + 100_000 }), forged({ flip: 0x18 })];
    sameTime("packets with a bad tag, phase, number, reserved bits", 0.3, kinds);
    await check.usable(peer);
  },
  { memoryOnly: TIMES },
);

row("9000-12.3-02", async (check) => {
  const peer = await check.connect();
  await check.acknowledged(peer);
  const app = check.app(peer);
  const id = await app.open(STREAM_BIDI);
  await check.lab.wait(100);
  const before = peer.datagrams.length;
  app.conn.space(SPACE_APP).nextPn = MAX_PN;
  app.write(id, filled(100), false);
  await check.until(() => app.error !== undefined, "the end");
  await check.quiet(100);
  assert.equal(peer.datagrams.length, before, "without another packet");
});

// --- RFC 9000 §17.2.5.3: what a server that keeps nothing of the first Initial cannot see

function retryOf(peer: RawPeer): { scid: Buffer; token: Buffer } {
  const retry = peer.retries[0] as Buffer;
  const scidAt = 7 + (retry[5] as number);
  const scid = Buffer.from(retry.subarray(scidAt, scidAt + (retry[scidAt - 1] as number)));
  return { scid, token: Buffer.from(retry.subarray(scidAt + scid.length, retry.length - 16)) };
}

async function retriedWith(check: Check, hello: Uint8Array): Promise<RawPeer> {
  const peer = await check.peer({ followRetry: false });
  peer.send(INITIAL, crypto(0, hello.subarray(0, 900)));
  await check.until(() => peer.retries.length > 0, "a Retry");
  const { scid, token } = retryOf(peer);
  peer.dcid = scid;
  peer.token = token;
  peer.installInitial(peer.version, scid);
  return peer;
}

function anotherHello(): Buffer {
  const other = new RawPeer(false);
  other.tlsClient?.start();
  return other.firstFlight;
}

row(
  "9000-17.2.5.3-01",
  async (check) => {
    const peer = await retriedWith(check, anotherHello());
    peer.hello();
    await check.confirmed(peer);
    await check.usable(peer);
  },
  { setup: { retry: true } },
);

row(
  "9000-17.2.5.3-02",
  async (check) => {
    const peer = await retriedWith(check, anotherHello());
    peer.nextPn[0] = 0;
    peer.hello();
    await check.confirmed(peer);
    await check.usable(peer);
  },
  { setup: { retry: true } },
);

// --- RFC 9000 §21.9

row("9000-21.9-01", async (check) => {
  const peer = await check.connect();
  const pings = bytes(...Array.from({ length: 20 }, () => PING));
  for (let sent = 0; sent < 15_000 && peer.closes.length === 0; sent += 1000) {
    for (let i = 0; i < 50; i++) peer.send(APP, pings);
    await check.lab.wait(20); // 50,000 a second
    if (sent === 8000) assert.equal(peer.closes.length, 0, "a burst is forgiven");
  }
  await check.closes(peer, 0x01);
});

// --- RFC 9221

const DATAGRAM = 0x30;
const DATAGRAM_LENGTH = 0x31;
const NO_DATAGRAMS = { setup: { config: { maxDatagramFrameBytes: 0 } } };
const dgram = (size: number): Uint8Array => bytes(0x31, vi(size), filled(size));

closes("9221-3-01", DATAGRAM, () => bytes(0x30, filled(4)), NO_DATAGRAMS);
closes("9221-3-02", DATAGRAM_LENGTH, (peer) => dgram(intParam(peer.peerParams, P_MAX_DATAGRAM) - 2), {
  setup: { config: { maxDatagramFrameBytes: 500 } },
});
closes("9221-4-01", 0x31, () => bytes(0x31, vi(2 ** 14), filled(60)));

row("9000-12.4-11", async (check) => {
  for (const type of [0x30, 0x31]) {
    for (const level of [INITIAL, HANDSHAKE]) {
      const peer = await check.begin({ autoTls: false, autoAck: false });
      if (check.isServer) peer.flushTls();
      await check.until(() => peer.tlsOut.length > 0, "TLS messages");
      if (!check.isServer && level === HANDSHAKE) peer.flushTls(INITIAL);
      peer.send(level, type === 0x30 ? bytes(type, filled(4)) : dgram(4));
      await check.closes(peer, type);
    }
  }
});

row(
  "9221-5-01",
  async (check) => {
    const peer = await check.connect();
    for (let i = 0; i < 3000; i++) {
      peer.send(APP, dgram(1000));
      if (i % 100 === 99) await check.lab.wait(check.inMemory ? 0 : 1);
    }
    await check.quiet(10);
    assert.ok(check.app(peer).conn.heldBytes() < 1 << 20, `${check.app(peer).conn.heldBytes()} bytes held`);
    await check.acknowledged(peer);
  },
  { setup: { app: "idle" } },
);

row(
  "9221-3-03",
  async (check) => {
    const tickets = new Map<string, Buffer>();
    const announcing = (size: number): Partial<RawPeerOptions> => ({
      tickets,
      early: true,
      params: (list) => [...list, [P_MAX_DATAGRAM, vi(size)]],
    });
    const ticket = await engineTicket(check, announcing(1200));
    const peer = await request(check, ticket, announcing(600));
    await check.closes(peer);
    assert.ok(peer.tlsServer?.earlyAccepted);
  },
  { setup: { early: true } },
);

// --- RFC 9287, RFC 9368

const GREASING: Partial<RawPeerOptions> = { params: (list) => [...list, [P_GREASE_QUIC_BIT, new Uint8Array(0)]] };

row("9287-3-02", async (check) => {
  const peer = await check.connect(GREASING);
  const before = peer.datagrams.length;
  for (let i = 0; i < 40; i++) {
    const pn = peer.nextPn[2];
    peer.sendRaw(peer.packet(APP, [PING], { flip: i % 3 === 0 ? 0 : 0x40 }));
    await check.until(() => isAcked(peer, APP, pn), `an ACK of ${pn}`);
  }
  const bits = new Set(peer.datagrams.slice(before).map((datagram) => (datagram[0] as number) & 0x40));
  assert.equal(bits.size, 2, "the engine draws the bit of what it sends, too");
  await check.usable(peer);
});

row("9287-3.1-01", async (check) => {
  const peer = await check.begin();
  await check.until(() => peer.datagrams.length > 0, "the first flight");
  for (const datagram of peer.datagrams) assert.ok(((datagram[0] as number) & 0x40) !== 0, "the QUIC bit is set");
  await check.confirmed(peer);
});

row("9368-2.1-01", async (check) => {
  const peer = await check.begin({ autoTls: false });
  peer.flushTls();
  await check.until(() => peer.datagrams.length > 0, "an answer");
  const before = peer.datagrams.length;
  peer.sendRaw(bytes(versionNegotiation(peer.dcid, peer.scid, [1, 2]), padding(1200)));
  peer.sendRaw(bytes(versionNegotiation(randomBytes(8), randomBytes(8), [0x1a2a3a4a]), padding(1200)));
  await check.quiet(20);
  assert.ok(peer.datagrams.slice(before).every((datagram) => datagram.readUInt32BE(1) !== 0));
  peer.autoTls = true;
  peer.flushTls();
  await check.confirmed(peer);
  await check.usable(peer);
});

/** version_information with these bytes, or of a chosen version and a list. */
const info = (value: Uint8Array): RawPeerOptions => ({ params: (list) => [...list, [P_VERSION_INFORMATION, value]] });
const versions = (...list: number[]): Uint8Array => bytes(...list.map(version32));

refuses("9287-3-01", [{ params: (list) => [...list, [P_GREASE_QUIC_BIT, filled(1)]] }]);
refuses("9368-4-03", [new Uint8Array(0), filled(3), filled(6)].map(info));
refuses("9368-4-04", [info(versions(0, 1)), info(versions(1, 1, 0))]);
refuses("9368-4-05", [info(versions(1, V2))]);
refuses("9368-4-06", [info(versions(V2, 1, V2))]);
refuses("9368-4-07", [info(versions(0x709a50c4, 1))]);
refuses("9368-4-11", [info(versions(V2, V2, 1))]);

row("9368-4-01", async (check) => {
  const peer = await check.connect({
    onFirst: (self) => {
      self.sendRaw(versionNegotiation(self.dcid, self.origDcid, [0x709a50c4, 1]));
      return false;
    },
  });
  await check.usable(peer);
});

// --- RFC 9369: version 2 where version 1 is spoken

row("9369-4.1-01", async (check) => {
  const peer = await check.begin({
    onFirst: (self) => {
      self.sendRaw(self.retryPacket(Buffer.from("token"), randomBytes(8), { version: V2 }));
      return false;
    },
  });
  await check.confirmed(peer);
  assert.equal(peer.token.length, 0);
  await check.usable(peer);
});

row(
  "9369-4.1-02",
  async (check) => {
    const peer = await check.begin({ followRetry: false });
    await check.until(() => peer.retries.length > 0, "a Retry");
    const { scid, token } = retryOf(peer);
    const keys = initialKeys(V2, scid).client;
    const hello = crypto(0, peer.firstFlight.subarray(0, 900));
    peer.sendRaw(peer.packet(INITIAL, [hello], { version: V2, keys, token, dcid: scid }));
    await check.quiet(20);
    assert.ok(!peer.handshakeDone && peer.packets.length === 0, "nothing answers in version 2");
    peer.followRetry(scid, token);
    await check.confirmed(peer);
    await check.usable(peer);
  },
  { setup: { retry: true } },
);

row("9369-4.1-03", async (check) => {
  const peer = await check.begin({ autoTls: false, autoAck: false });
  if (check.isServer) peer.flushTls();
  await check.until(() => peer.tlsOut.length > 0, "TLS messages");
  if (!check.isServer) peer.flushTls(INITIAL);
  const pn = peer.nextPn[1] as number;
  const keys = keysFrom(V2, peer.writeKeys(HANDSHAKE).secret);
  await check.dropped("unknown-version", () => {
    peer.sendRaw(peer.packet(HANDSHAKE, [PING], { version: V2, keys }));
  });
  peer.send(HANDSHAKE, PING);
  await check.until(() => isAcked(peer, HANDSHAKE, pn + 1), "an ACK of the packet after it");
  assert.ok(!isAcked(peer, HANDSHAKE, pn));
  await goOn(check, peer);
});
