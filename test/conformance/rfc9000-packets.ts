/** RFC 9000 §12 and §17: packets, their headers, and which frames they may carry. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { PROTOCOL_VIOLATION } from "#src/proto/transport-error.js";
import { ack, bytes, close, crypto, padding, PING, sample, stream, vi } from "../support/raw-frames.js";
import { longHeader, typeBits, versionNegotiation } from "../raw/headers.js";
import { APP, EARLY, HANDSHAKE, INITIAL, type RawPeer } from "../raw/peer.js";
import { RETRY } from "../raw/headers.js";
import { type Check, filled, isAcked } from "./check.js";
import { goOn } from "./rfc9000-handshake.js";
import { retryOnce } from "./rfc9000-params.js";
import { closes, closesEach, row, type Script, type ScriptOptions } from "./scripts.js";

/** A peer that has written nothing but its first TLS message, with keys for `level`. */
async function upTo(check: Check, level: number): Promise<RawPeer> {
  const peer = await check.begin({ autoTls: false, autoAck: false });
  if (check.isServer) peer.flushTls();
  await check.until(() => peer.tlsOut.length > 0, "TLS messages");
  if (!check.isServer && level === HANDSHAKE) peer.flushTls(INITIAL);
  return peer;
}

/** These frames in a packet of that level close the connection. */
async function closesAt(check: Check, level: number, frame: Uint8Array, frameType = frame[0]): Promise<void> {
  const peer = await upTo(check, level);
  peer.send(level, frame);
  await check.closes(peer, frameType);
}

// --- RFC 9000 §12 ----------------------------------------------------------------------------------------------------

row("9000-12.2-01", async (check) => {
  const peer = await upTo(check, HANDSHAKE);
  const pn = peer.nextPn[1] as number;
  const first = peer.packet(HANDSHAKE, [PING], { padTo: 400 });
  const other = peer.packet(HANDSHAKE, [PING], { dcid: randomBytes(8), padTo: 400 });
  await check.dropped("wrong-dcid", () => peer.sendRaw(first, other));
  await check.until(() => isAcked(peer, HANDSHAKE, pn), "an ACK of the first packet");
  assert.ok(!isAcked(peer, HANDSHAKE, pn + 1));
  await goOn(check, peer);
});

row("9000-12.2-02", async (check) => {
  const peer = await upTo(check, HANDSHAKE);
  const pn = peer.nextPn[1] as number;
  const broken = peer.packet(HANDSHAKE, [PING], { forged: true });
  await check.dropped("forged", () => peer.sendRaw(broken, peer.packet(HANDSHAKE, [PING])));
  await check.until(() => isAcked(peer, HANDSHAKE, pn + 1), "an ACK of the last packet");
  assert.ok(!isAcked(peer, HANDSHAKE, pn));
  await goOn(check, peer);
});

row("9000-12.3-01", async (check) => {
  const peer = await check.connect();
  const id = peer.ownBidi();
  const packets = Array.from({ length: 200 }, (_, i) => peer.packet(APP, [stream(id, 10 * i, filled(10))]));
  for (const packet of packets) peer.sendRaw(packet);
  await check.until(() => peer.streams.get(id)?.data.length === 2000, "the echo");
  const before = peer.packets.length;
  await check.dropped("duplicate", () => {
    for (const packet of packets) peer.sendRaw(packet);
  });
  await check.quiet();
  assert.equal(peer.packets.length, before, "nothing is said of duplicates");
  assert.equal(check.app(peer).received.get(id)?.length, 2000);
  await check.usable(peer);
});

row("9000-12.4-01", async (check) => {
  const peer = await check.connect();
  peer.sendRaw(peer.packet(APP, [], { padTo: 0 }));
  await check.closes(peer, 0);
});

closesEach("9000-12.4-02", 0x20, [() => Uint8Array.of(0x20)], { role: "server" });
row(
  "9000-12.4-02",
  async (check) => {
    for (const type of [0x20n, 0x40ffn & 0x3fffn, 2n ** 62n - 1n]) {
      const peer = await check.connect();
      peer.send(APP, bytes(vi(type), padding(10)));
      await check.closes(peer);
    }
  },
  { role: "client" },
);

closesEach("9000-12.4-03", 0x01, [() => vi(1, 2), () => vi(1, 4), () => vi(1, 8)]);
closes("9000-12.4-04", 0, () => bytes(PING, 0x40));

/** Every frame that has a body, whole. */
const BODIES = [
  ack([0, 0]),
  bytes(3, ack([0, 0]).subarray(1), vi(0), vi(0), vi(0)),
  ...[0x04, 0x05, 0x06, 0x07, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1d].map(
    (type) => sample(type, 0),
  ),
  close(0),
  stream(0, 100, filled(3)),
  crypto(100_000, filled(3)),
];

row("9000-12.4-05", async (check) => {
  for (const whole of BODIES) {
    for (let length = 1; length < whole.length; length++) {
      const peer = await check.connect();
      const head = padding(Math.max(0, 4 - length));
      peer.sendRaw(peer.packet(APP, [head, whole.slice(0, length)], { padTo: 0 }));
      await check.closes(peer, whole[0]);
    }
  }
});

row("9000-12.4-06", (check) => closesAt(check, INITIAL, stream(0, 0, filled(1)), 0x0e));
row("9000-12.4-07", (check) => closesAt(check, HANDSHAKE, stream(0, 0, filled(1)), 0x0e));

function closesAtBoth(id: string, types: readonly number[]): void {
  row(id, async (check) => {
    for (const type of types)
      for (const level of [INITIAL, HANDSHAKE]) await closesAt(check, level, sample(type, 0), type);
  });
}

closesAtBoth("9000-12.4-08", [0x10, 0x11, 0x12, 0x13, 0x04, 0x05, 0x14, 0x15, 0x16, 0x17]);
closesAtBoth("9000-12.4-09", [0x18, 0x19]);
closesAtBoth("9000-12.4-10", [0x07, 0x1e]);
closesAtBoth("9000-12.4-12", [0x1d]);

// --- RFC 9000 §17 ----------------------------------------------------------------------------------------------------

row("9000-17.1-01", async (check) => {
  const peer = await check.connect();
  // each jump stays within half of the window of the bytes that are sent (RFC 9000 A.3)
  const numbers: [number, 1 | 2 | 3 | 4][] = [
    [100, 1],
    [2 ** 8 - 1, 2],
    [2 ** 8, 1],
    [2 ** 8 + 1, 1],
    [2 ** 15 + 100, 2],
    [2 ** 16 - 1, 2],
    [2 ** 16, 1],
    [2 ** 16 + 127, 1],
    [2 ** 23, 3],
    [2 ** 24 - 1, 3],
    [2 ** 24, 1],
    [2 ** 31, 4],
    [2 ** 32 - 1, 4],
    [2 ** 32, 1],
    [2 ** 32 + 5, 4],
  ];
  for (const [pn, pnBytes] of numbers) {
    peer.sendRaw(peer.packet(APP, [PING], { pn, pnBytes }));
    await check.until(() => isAcked(peer, APP, pn), `an ACK of ${pn}`);
  }
  peer.nextPn[2] = 2 ** 32 + 6;
  await check.usable(peer);
});

/** `make` a packet that is dropped; then the handshake goes on. */
function droppedInHandshake(
  id: string,
  level: number,
  reason: string,
  make: (peer: RawPeer) => Uint8Array,
  options: ScriptOptions = {},
): void {
  const script: Script = async (check) => {
    const peer = await upTo(check, level);
    await check.dropped(reason, () => peer.sendRaw(make(peer)));
    await goOn(check, peer);
  };
  row(id, script, options);
}

/** Does not announce grease_quic_bit. */
const UNGREASED: ScriptOptions = { setup: { config: { grease: false } } };

droppedInHandshake(
  "9000-17.2-01",
  INITIAL,
  "fixed-bit",
  (peer) => peer.packet(INITIAL, [PING], { flip: 0x40 }),
  UNGREASED,
);

row("9000-17.2-02", async (check) => {
  const peer = await upTo(check, INITIAL);
  for (const size of [21, 255]) {
    const head = longHeader(0xc3, 1, randomBytes(size), peer.scid, bytes(0, vi(600, 2)));
    await check.dropped("cid-length", () => peer.sendRaw(bytes(head, padding(1200))));
  }
  await goOn(check, peer);
});

row("9000-17.2-03", async (check) => {
  for (const bits of [0x04, 0x08, 0x0c]) {
    const peer = await upTo(check, INITIAL);
    peer.sendRaw(peer.packet(INITIAL, [PING], { flip: bits }));
    await check.closes(peer);
  }
});

row("9000-17.2-04", async (check) => {
  for (const bits of [0x04, 0x08, 0x0c]) {
    const peer = await upTo(check, HANDSHAKE);
    peer.sendRaw(peer.packet(HANDSHAKE, [PING], { flip: bits, pn: 5 }));
    await check.closes(peer);
  }
});

row("9000-17.2-06", async (check) => {
  const peer = await upTo(check, INITIAL);
  await check.dropped("truncated", () => peer.sendRaw(peer.packet(INITIAL, [PING], { lengthDelta: 1 })));
  const head = longHeader(0xc3, 1, peer.dcid, peer.scid, bytes(0, vi(2n ** 62n - 1n, 8)));
  await check.dropped("truncated", () => peer.sendRaw(bytes(head, padding(1200))));
  await goOn(check, peer);
});

row("9000-17.2.1-01", async (check) => {
  const peer = await check.begin({
    autoTls: false,
    onFirst: (self) => {
      const versions = [0x1a2a3a4a];
      self.sendRaw(versionNegotiation(self.origDcid, self.dcid, versions));
      self.sendRaw(versionNegotiation(self.dcid, randomBytes(8), versions));
      self.sendRaw(bytes(versionNegotiation(self.dcid, self.origDcid, versions), 1, 2, 3));
      self.sendRaw(versionNegotiation(self.dcid, self.origDcid, []));
      return false;
    },
  });
  await check.until(() => peer.tlsOut.length > 0, "the ClientHello");
  await check.quiet(50);
  await goOn(check, peer);
});

row("9000-17.2.1-02", async (check) => {
  const peer = await check.peer();
  const one = bytes(longHeader(0xc0, 0x1a2a3a4a, randomBytes(8), randomBytes(8), vi(600, 2)), padding(600));
  peer.sendRaw(one, one);
  await check.until(() => peer.versionNegotiations.length > 0, "Version Negotiation");
  await check.quiet();
  assert.equal(peer.versionNegotiations.length, 1);
});

droppedInHandshake("9000-17.2.2-01", INITIAL, "bad-token", (peer) =>
  peer.packet(INITIAL, [PING], { token: Buffer.of(1) }),
);

row("9000-17.2.2-02", (check) => closesAt(check, INITIAL, sample(0x1a, 0)));

row("9000-17.2.2.1-01", async (check) => {
  const peer = await check.connect();
  await check.dropped("keys-discarded", () => peer.send(INITIAL, close(0)));
  await check.usable(peer);
});

row("9000-17.2.3-01", async (check) => {
  const peer = await upTo(check, HANDSHAKE);
  const keys = peer.writeKeys(HANDSHAKE);
  await check.dropped("unexpected-type", () => peer.sendRaw(peer.packet(EARLY, [PING], { keys, pn: 0 })));
  await goOn(check, peer);
});

row("9000-17.2.4-01", (check) => closesAt(check, HANDSHAKE, sample(0x1a, 0)));

row("9000-17.2.5.1-01", async (check) => {
  const peer = await check.connect({
    onFirst: (self) => {
      self.sendRaw(self.retryPacket(Buffer.from("token"), self.origDcid));
      return false;
    },
  });
  assert.ok((check.lab.drops()["unexpected-type"] ?? 0) > 0 || check.lab.drops()["retry-integrity"] !== undefined);
  await check.usable(peer);
});

row(
  "9000-17.2.5.1-02",
  async (check) => {
    const peer = await check.begin({ autoTls: false, followRetry: false });
    const hello = peer.tlsOut[0] as { bytes: Buffer };
    const half = { padTo: 700 };
    const first = peer.packet(INITIAL, [crypto(0, hello.bytes.subarray(0, 100))], half);
    peer.sendRaw(first, peer.packet(INITIAL, [crypto(100, hello.bytes.subarray(100))], half));
    await check.until(() => peer.retries.length > 0, "a Retry");
    await check.quiet();
    assert.equal(peer.retries.length, 1);
    assert.equal(peer.datagrams.length, 1);
  },
  { setup: { retry: true } },
);

row("9000-17.2.5.2-01", async (check) => {
  let again = false;
  const peer = await check.begin({
    autoTls: false,
    params: (list, self) => [...list, [0x10, self.scid]],
    onFirst: (self, header) => {
      if (header.token.length > 0) return false;
      const done = retryOnce(self, header);
      if (!again) self.sendRaw(self.retryPacket(Buffer.from("another"), randomBytes(8)));
      again = true;
      return done;
    },
  });
  await check.until(() => peer.tlsOut.length > 0, "the ClientHello with the token");
  peer.flushTls(INITIAL);
  await check.quiet(10);
  await check.dropped("unexpected-type", () => {
    peer.sendRaw(peer.retryPacket(Buffer.from("late"), randomBytes(8)));
  });
  await goOn(check, peer);
});

/** A server that answers the first Initial with this in place of a Retry, and then does what is right. */
function badRetry(id: string, make: (peer: RawPeer) => Uint8Array[]): void {
  row(id, async (check) => {
    let before = 0;
    const peer = await check.begin({
      autoTls: false,
      onFirst: (self) => {
        for (const datagram of make(self)) {
          self.sendRaw(datagram);
          before++;
        }
        return false;
      },
    });
    await check.until(() => peer.tlsOut.length > 0, "the ClientHello");
    await check.quiet(20);
    const drops = Object.values(check.lab.drops()).reduce((sum, count) => sum + count, 0);
    assert.ok(drops >= before, `${before} datagrams and ${JSON.stringify(check.lab.drops())}`);
    assert.equal(peer.token.length, 0);
    await goOn(check, peer);
  });
}

badRetry("9000-17.2.5.2-02", (peer) => {
  const retry = peer.retryPacket(Buffer.from("token"), randomBytes(8));
  retry[retry.length - 1] = (retry[retry.length - 1] as number) ^ 1;
  return [retry];
});
badRetry("9000-17.2.5.2-03", (peer) => [peer.retryPacket(new Uint8Array(0), randomBytes(8))]);
badRetry("9000-17.2.5.2-04", (peer) =>
  Array.from({ length: 16 }, (_, size) =>
    bytes(longHeader(0xc0 | typeBits(RETRY, 1), 1, peer.dcid, randomBytes(8)), filled(size)),
  ),
);
badRetry("9001-5.8-01", (peer) => [
  peer.retryPacket(Buffer.from("token"), randomBytes(8), { origDcid: randomBytes(8) }),
]);

row(
  "9000-17.3.1-01",
  async (check) => {
    const peer = await check.connect();
    await check.dropped("fixed-bit", () => peer.sendRaw(peer.packet(APP, [PING], { flip: 0x40 })));
    await check.usable(peer);
  },
  UNGREASED,
);

row("9000-17.3.1-02", async (check) => {
  for (const bits of [0x08, 0x10, 0x18]) {
    const peer = await check.connect();
    peer.sendRaw(peer.packet(APP, [PING], { flip: bits }));
    await check.closes(peer);
  }
});

row("9000-17.4-01", async (check) => {
  const peer = await check.connect();
  for (let i = 0; i < 20; i++) peer.sendRaw(peer.packet(APP, [PING], { flip: i % 3 === 0 ? 0x20 : 0 }));
  await check.quiet(10);
  await check.usable(peer);
});

// --- RFC 9000 §14 ----------------------------------------------------------------------------------------------------

row("9000-14-01", async (check) => {
  const peer = await check.connect();
  for (let size = 29; size <= 1500; size += 7) peer.sendRaw(peer.packet(APP, [PING], { padTo: size }));
  for (let size = 25; size <= 1500; size += 7) peer.sendRaw(bytes(0x43, peer.dcid, randomBytes(size - 9)));
  await check.quiet(10);
  await check.usable(peer);
});

row("9000-14.1-01", async (check) => {
  const peer = await check.begin({ autoTls: false });
  const hello = peer.tlsOut[0] as { bytes: Buffer };
  await check.dropped("small-initial", () => {
    peer.sendRaw(peer.packet(INITIAL, [crypto(0, hello.bytes)], { padTo: 1199 }));
  });
  await goOn(check, peer);
});

// --- RFC 9000 §19 ----------------------------------------------------------------------------------------------------

closes("9000-19.7-01", 0x07, () => bytes(0x07, vi(4), filled(4)));
closes("9000-19.7-02", 0x07, () => bytes(0x07, vi(0)));
closes("9000-19.19-01", 0x1c, () => bytes(0x1c, vi(0), vi(0), vi(2 ** 14), filled(60)));
closes("9000-19.20-01", 0x1e, () => Uint8Array.of(0x1e));

row("9000-19.20-02", async (check) => {
  const peer = await check.begin({ autoTls: false, confirm: false });
  await check.until(() => peer.tlsOut.length > 0, "the ClientHello");
  peer.flushTls(INITIAL);
  peer.send(APP, Uint8Array.of(0x1e));
  await check.quiet(5);
  peer.flushTls();
  await check.closesWith(peer, PROTOCOL_VIOLATION, 0x1e);
});
