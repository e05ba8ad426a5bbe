import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CONNECTION_REFUSED, INVALID_TOKEN } from "#src/proto/transport-error.js";
import { MAX_ACCEPT_QUEUE, MAX_HALF_OPEN, RETRY_ABOVE_HALF_OPEN } from "#src/proto/limits.js";
import { Arena } from "../support/arena.js";
import { ack, bytes, close, crypto, padding, PING, vi } from "../support/raw-frames.js";
import { Bystander, LEVEL_APP, LEVEL_HANDSHAKE, LEVEL_INITIAL, RawPeer } from "../support/raw-peer.js";

/** The token of a Retry that the peer got. */
function retryToken(peer: RawPeer): Uint8Array {
  const [retry] = peer.retries;
  assert.ok(retry !== undefined, "no Retry");
  const dcidBytes = retry[5];
  const scidAt = 6 + dcidBytes;
  return retry.slice(scidAt + 1 + retry[scidAt], retry.length - 16);
}

/** Follows the Retry: its id and token from now on. */
function follow(peer: RawPeer, token = retryToken(peer)): void {
  const [retry] = peer.retries;
  const scidAt = 6 + retry[5];
  peer.dcid = retry.slice(scidAt + 1, scidAt + 1 + retry[scidAt]);
  peer.installInitial(peer.dcid);
  peer.token = token;
  peer.retries = [];
}

/** A ClientHello in one datagram, not sent. */
function firstFlight(peer: RawPeer): Uint8Array {
  const held = peer.arena.hold(() => peer.hello());
  assert.equal(held.length, 1);
  return held[0];
}

describe("RFC 9000 §8.1 amplification, T22: the arena checks every datagram of every test", () => {
  for (const certificateBytes of [300, 3000, 30_000]) {
    test(`one ClientHello and silence, a certificate of ${certificateBytes} bytes (9000-8.1-01)`, () => {
      const arena = new Arena({ tls: { certificateBytes } });
      const peer = new RawPeer(arena).hello();
      arena.advance(20_000_000);
      assert.ok(peer.bytesReceived > 1200);
      arena.assertCleanEnd();
    });
  }

  test("9000-8.1-02 dropped packets of a datagram count, datagrams of others do not", () => {
    const arena = new Arena({ tls: { certificateBytes: 30_000 } });
    const peer = new RawPeer(arena).hello();
    const before = peer.bytesReceived;
    const other = new RawPeer(arena);
    for (let i = 0; i < 20; i++) arena.send(other, bytes(0x40, peer.dcid, padding(1300)));
    assert.equal(peer.bytesReceived, before, "junk from elsewhere buys nothing");
    arena.send(peer, bytes(0x40, peer.dcid, padding(1300)));
    assert.ok(peer.bytesReceived > before);
    arena.advance(20_000_000);
    arena.assertCleanEnd();
  });

  const entries: [string, (peer: RawPeer) => void][] = [
    ["a ClientHello with a TLS error", (peer) => peer.send(LEVEL_INITIAL, crypto(0, Uint8Array.of(20, 0, 0, 0)))],
    ["a frame error", (peer) => peer.send(LEVEL_INITIAL, Uint8Array.of(0x21))],
    ["a close", (peer) => peer.send(LEVEL_INITIAL, close(0))],
    ["only PING", (peer) => peer.send(LEVEL_INITIAL, PING)],
    ["only PADDING", (peer) => peer.send(LEVEL_INITIAL, padding(10))],
    [
      "an unknown version",
      (peer) => void peer.arena.send(peer, bytes(0xc0, [1, 2, 3, 4], 20, padding(20), 20, padding(1154))),
    ],
    [
      "ids of 255 bytes in an unknown version",
      (peer) => peer.arena.send(peer, bytes(0xc0, [1, 2, 3, 4], 255, padding(255), 255, padding(1154))),
    ],
    ["junk", (peer) => peer.arena.send(peer, bytes(0x40, padding(60)))],
    [
      "Version Negotiation",
      (peer) => peer.arena.send(peer, bytes(0x80, padding(4), 8, padding(8), 8, padding(8), padding(1200))),
    ],
    ["Retry", (peer) => peer.arena.send(peer, bytes(0xf0, [0, 0, 0, 1], 8, padding(8), 8, padding(8), padding(1200)))],
    ["0-RTT", (peer) => peer.arena.send(peer, bytes(0xd0, [0, 0, 0, 1], 8, padding(8), 0, vi(1200, 2), padding(1200)))],
    [
      "Handshake",
      (peer) => peer.arena.send(peer, bytes(0xe0, [0, 0, 0, 1], 8, padding(8), 0, vi(1200, 2), padding(1200))),
    ],
    [
      "a token of random bytes",
      (peer) => peer.sendPackets(peer.packet(LEVEL_INITIAL, [PING], { token: padding(99).fill(2) })),
    ],
  ];
  for (const retry of ["auto", "always"] as const) {
    for (const maxConnections of [0, 100]) {
      for (const [name, act] of entries) {
        test(`${name}; retry ${retry}, room for ${maxConnections}`, () => {
          const arena = new Arena({ retry, maxConnections });
          const peer = new RawPeer(arena);
          act(peer);
          arena.advance(2_000_000);
          act(peer);
          arena.advance(30_000_000);
          assert.ok(peer.bytesReceived <= 3 * peer.bytesSent);
          arena.assertCleanEnd();
        });
      }
    }
  }

  test("T46 the closing state before validation: 300 small datagrams", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).hello();
    peer.send(LEVEL_INITIAL, Uint8Array.of(0x21));
    for (let i = 0; i < 300; i++) arena.send(peer, bytes(0x40, peer.dcid, padding(40)));
    assert.equal(peer.closeCode, 7);
    arena.assertCleanEnd();
  });
});

describe("RFC 9000 §8.1.2, §8.1.3 tokens, T18", () => {
  test("9000-8.1.2-01 a genuine token validates once per id; every flipped bit, cut and other address is refused", () => {
    const arena = new Arena({ retry: "always" });
    const peer = new RawPeer(arena).hello();
    const token = retryToken(peer);
    follow(peer, token);
    let accepted = 0;
    for (let bit = 0; bit < 8 * token.length; bit++) {
      const forged = token.slice();
      forged[bit >> 3] ^= 1 << (bit & 7);
      const before = arena.endpoint.halfOpenCount;
      arena.send(peer, peer.packet(LEVEL_INITIAL, [PING], { token: forged }));
      accepted += arena.endpoint.halfOpenCount - before;
    }
    for (let size = 0; size < token.length; size++) {
      arena.send(peer, peer.packet(LEVEL_INITIAL, [PING], { token: token.slice(0, size) }));
    }
    const thief = new RawPeer(arena, { dcid: peer.dcid });
    arena.send(thief, thief.packet(LEVEL_INITIAL, [PING], { token }));
    const otherId = new RawPeer(arena);
    arena.send(otherId, otherId.packet(LEVEL_INITIAL, [PING], { token }));
    arena.send(peer, otherId.packet(LEVEL_INITIAL, [PING], { token })); // the right address, but not the Retry's id
    assert.equal(accepted, 0);
    assert.equal(arena.endpoint.halfOpenCount, 0);
    assert.equal(thief.closeCode, INVALID_TOKEN);
    arena.send(peer, peer.packet(LEVEL_INITIAL, [PING], { token }));
    assert.equal(arena.endpoint.halfOpenCount, 1, "the right one is taken");
    arena.assertCleanEnd();
  });

  test("9000-8.1.2-01 a Retry token that is too old", () => {
    const arena = new Arena({ retry: "always" });
    const peer = new RawPeer(arena).hello();
    follow(peer);
    arena.advance(12_000_000);
    arena.send(peer, peer.packet(LEVEL_INITIAL, [PING]));
    assert.equal(peer.closeCode, INVALID_TOKEN);
    assert.equal(arena.endpoint.connectionCount, 0);
    arena.assertCleanEnd();
  });

  test("random tokens of 0 to 1000 bytes are no tokens: Retry, and nothing is kept", () => {
    const arena = new Arena({ retry: "always" });
    for (let size = 1; size < 1000; size += 13) {
      const peer = new RawPeer(arena);
      const token = new Uint8Array(size);
      arena.random.fill(token, 0, size);
      token[0] = size % 5;
      arena.send(peer, peer.packet(LEVEL_INITIAL, [PING], { token }));
    }
    assert.equal(arena.endpoint.connectionCount, 0);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §8.1.4 (9000-8.1.4-01, 02) a NEW_TOKEN token validates one address, once", () => {
    const arena = new Arena({ tls: { certificateBytes: 5000 } });
    const first = new RawPeer(arena).hello();
    for (let i = 0; i < 3; i++) first.send(LEVEL_INITIAL, PING);
    first.connect();
    const line = first.lines(LEVEL_APP).find((frame) => frame.startsWith("NEW_TOKEN"));
    const token = Uint8Array.from(Buffer.from(line?.split(" ")[1] ?? "", "hex"));
    assert.ok(token.length > 0);
    let validated = 0;
    for (let i = 0; i < 20; i++) {
      const peer = new RawPeer(arena);
      peer.validated = true; // counted here, not forbidden
      peer.token = token;
      peer.hello();
      if (peer.bytesReceived > 3 * peer.bytesSent) validated++;
    }
    assert.equal(validated, 1);
    const elsewhere = new RawPeer(arena);
    elsewhere.address[3]++;
    elsewhere.token = token;
    elsewhere.hello();
    arena.assertCleanEnd();
  });
});

describe("half-open handshakes, T17", () => {
  const flights: [string, (peer: RawPeer) => Uint8Array][] = [
    ["a ClientHello", firstFlight],
    ["PING", (peer) => peer.packet(LEVEL_INITIAL, [PING])],
    ["a frame error", (peer) => peer.packet(LEVEL_INITIAL, [Uint8Array.of(0x21)])],
    ["a close", (peer) => peer.packet(LEVEL_INITIAL, [close(0)])],
    ["a TLS error", (peer) => peer.packet(LEVEL_INITIAL, [crypto(0, Uint8Array.of(20, 0, 0, 0))])],
  ];
  for (const [name, make] of flights) {
    test(`a flood of Initials with ${name} from ever new addresses turns Retry on, and it goes off again`, () => {
      const arena = new Arena();
      const bystander = new Bystander(arena);
      for (let i = 0; i < 2 * RETRY_ABOVE_HALF_OPEN; i++) {
        const peer = new RawPeer(arena);
        arena.send(peer, make(peer));
      }
      assert.ok(arena.endpoint.connectionCount <= RETRY_ABOVE_HALF_OPEN + 1, `${arena.endpoint.connectionCount}`);
      assert.ok(arena.endpoint.counters.retriesSent > 0);
      const honest = new RawPeer(arena).hello();
      follow(honest);
      honest.validated = true;
      honest.connectAgain();
      assert.ok(honest.lines(LEVEL_APP).includes("HANDSHAKE_DONE"), "an honest client still gets in");
      bystander.assertServed();
      arena.advance(20_000_000);
      bystander.assertServed();
      assert.equal(arena.endpoint.halfOpenCount, 0);
      const retries = arena.endpoint.counters.retriesSent;
      new RawPeer(arena).connect();
      assert.equal(arena.endpoint.counters.retriesSent, retries, "no Retry any more");
      arena.assertCleanEnd();
    });
  }

  test("20 honest clients get in during a flood of 20,000 first flights a second: Retry is not rationed", () => {
    const arena = new Arena();
    for (let i = 0; i < RETRY_ABOVE_HALF_OPEN; i++) {
      const peer = new RawPeer(arena);
      arena.send(peer, peer.packet(LEVEL_INITIAL, [PING]));
    }
    const spoofed = new RawPeer(arena);
    const flood = Array.from({ length: 20 }, () => spoofed.packet(LEVEL_INITIAL, [PING]));
    let served = 0;
    for (let milli = 0; milli < 1000; milli++) {
      arena.send(spoofed, ...flood);
      spoofed.retries = [];
      spoofed.datagrams = [];
      if (milli % 50 === 49) {
        const honest = new RawPeer(arena).hello();
        if (honest.retries.length === 0) continue;
        follow(honest);
        honest.validated = true;
        honest.connectAgain();
        if (honest.lines(LEVEL_APP).includes("HANDSHAKE_DONE")) served++;
      }
      arena.nowMicros += 1000;
    }
    assert.equal(served, 20);
    assert.ok(arena.endpoint.halfOpenCount <= RETRY_ABOVE_HALF_OPEN);
    arena.assertCleanEnd();
  });

  test("above the second limit attempts are refused, validated or not", () => {
    const arena = new Arena({ retry: "never" });
    const bystander = new Bystander(arena);
    for (let i = 0; i < MAX_HALF_OPEN + 50; i++) {
      const peer = new RawPeer(arena);
      arena.send(peer, peer.packet(LEVEL_INITIAL, [PING]));
    }
    assert.equal(arena.endpoint.halfOpenCount, MAX_HALF_OPEN);
    arena.nowMicros += 1_000_000;
    const late = new RawPeer(arena).hello();
    assert.equal(late.closeCode, CONNECTION_REFUSED);
    bystander.assertServed();
    arena.assertCleanEnd();
  });

  test("T50 more connections than the application takes: 1,024 wait, the next are refused", () => {
    const arena = new Arena({ retry: "never" });
    arena.drains = false;
    const peers = Array.from({ length: MAX_ACCEPT_QUEUE + 5 }, () => new RawPeer(arena).hello());
    const refused = peers.filter((peer) => peer.closeCode === CONNECTION_REFUSED);
    assert.deepEqual(refused, peers.slice(MAX_ACCEPT_QUEUE));
    arena.assertCleanEnd();
    assert.equal(arena.conns.length, MAX_ACCEPT_QUEUE);
  });

  test("T16 handshakes that crawl end after 10 s, whatever they send", () => {
    const arena = new Arena();
    const peers = Array.from({ length: 50 }, () => new RawPeer(arena));
    for (let second = 0; second < 12; second++) {
      for (const peer of peers) peer.send(LEVEL_INITIAL, crypto(second, Uint8Array.of([1, 0, 2, 0][second] ?? 0)));
      if (second < 9) assert.equal(arena.endpoint.halfOpenCount, 50);
      arena.advance(1_000_000);
    }
    arena.advance(10_000_000);
    assert.equal(arena.endpoint.connectionCount, 0);
    arena.assertCleanEnd();
  });
});

describe("RFC 9000 §5.2.2, §6 what belongs to nobody, T21", () => {
  test("9000-6.1-01, 9000-5.2.2-01, 03 never an answer to Version Negotiation, Retry, Handshake, 0-RTT, small packets", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena);
    const long = (first: number, version: number[]) =>
      bytes(first, version, 8, padding(8), 8, padding(8), padding(1300));
    for (const datagram of [
      long(0x80, [0, 0, 0, 0]),
      long(0xf0, [0, 0, 0, 1]),
      long(0xe0, [0, 0, 0, 1]),
      long(0xd0, [0, 0, 0, 1]),
      long(0xc0, [0x1a, 0x2a, 0x3a, 0x4a]).subarray(0, 1199),
    ]) {
      arena.send(peer, datagram);
    }
    assert.equal(peer.bytesReceived, 0);
    arena.assertCleanEnd();
  });

  test("9000-17.2.1-02, 9000-17.2.5.1-02 one answer for each datagram, whatever is coalesced in it", () => {
    const arena = new Arena({ retry: "always" });
    const peer = new RawPeer(arena);
    const initial = (id: number) => peer.packet(LEVEL_INITIAL, [PING], { dcid: padding(8).fill(id), padTo: 600 });
    arena.send(peer, bytes(initial(1), initial(2), initial(3)));
    assert.equal(peer.retries.length, 1);
    const odd = bytes(0xc0, [0x1a, 0x2a, 0x3a, 0x4a], 8, padding(8), 8, padding(8), padding(580));
    arena.send(peer, bytes(odd, odd, odd));
    assert.equal(peer.versionNegotiations.length, 1);
    arena.assertCleanEnd();
  });

  test("9000-7.2-01 a first destination id shorter than 8 bytes is dropped, one of 8 is not", () => {
    const arena = new Arena();
    for (const size of [0, 1, 7]) new RawPeer(arena, { dcid: padding(size) }).hello();
    assert.equal(arena.endpoint.connectionCount, 0);
    new RawPeer(arena, { dcid: padding(8) }).hello();
    assert.equal(arena.endpoint.connectionCount, 1);
    arena.assertCleanEnd();
  });

  test("T31, 9001-5.5-01 100 forged packets of each kind cost a drop each", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).connect();
    peer.forget();
    for (let i = 0; i < 100; i++) {
      for (const generation of [0, 1, 2]) {
        arena.send(peer, peer.packet(LEVEL_APP, [PING], { generation, forged: true }));
      }
      arena.send(peer, peer.packet(LEVEL_HANDSHAKE, [ack([0, 0])], { forged: true }));
    }
    assert.equal(peer.datagrams.length, 0);
    assert.equal(arena.conns[0].keys.keyPhase, 0);
    arena.assertCleanEnd();
  });
});
