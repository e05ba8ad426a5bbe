import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { openKept } from "#src/conn/session-ticket.js";
import { writeRetry } from "#src/packet/retry.js";
import type { CloseInfo } from "#src/port/transport.js";
import { writeVersionNegotiation } from "#src/packet/version-negotiation.js";
import { MAX_PEER_TOKEN_BYTES } from "#src/proto/limits.js";
import { Arena } from "../support/arena.js";
import { NullAead } from "../support/null-aead.js";
import { ack, bytes, close, crypto, padding, pathChallenge, PING, stream, vi } from "../support/raw-frames.js";
import { Bystander, LEVEL_APP, LEVEL_HANDSHAKE, LEVEL_INITIAL, RawPeer } from "../support/raw-peer.js";

const wire = new NullAead(true);

/** Codes that the connections were closed with, -1 for open ones. */
function codes(arena: Arena): number[] {
  return arena.conns.map((conn) => Number(conn.closeInfo?.code ?? -1));
}

function dropped(arena: Arena): number {
  return arena.endpoint.counters.drops.reduce((sum, count) => sum + count, 0);
}

/** A client of the endpoint that waits for its server's first packet. */
function waitingClient(): { arena: Arena; peer: RawPeer } {
  const arena = new Arena();
  const peer = new RawPeer(arena, { isServer: true });
  arena.connect(peer);
  return { arena, peer };
}

/** The client's ids as its first Initial shows them. */
function idsOf(peer: RawPeer): { odcid: Uint8Array; clientCid: Uint8Array } {
  return { odcid: peer.keyDcid, clientCid: peer.dcid };
}

/** A Retry whose token has no byte; what its tag would be does not matter. */
function emptyRetry(peer: RawPeer): Uint8Array {
  const { clientCid } = idsOf(peer);
  return bytes(0xf0, [0, 0, 0, 1], clientCid.length, clientCid, peer.scid.length, peer.scid, padding(16));
}

function retryPacket(peer: RawPeer, scid: Uint8Array, token: Uint8Array): Uint8Array {
  const { odcid, clientCid } = idsOf(peer);
  const buf = new Uint8Array(3000);
  return buf.slice(0, writeRetry(buf, 0, 1, clientCid, scid, token, odcid, wire));
}

/** The handshake goes on to its end in spite of everything before. */
function assertCompletes(arena: Arena, peer: RawPeer): void {
  peer.connect();
  const conn = arena.conns[0];
  assert.ok(conn.handshakeState.confirmed, "the client finishes its handshake");
  arena.assertCleanEnd();
}

describe("headers", () => {
  test("RFC 9000 §14.1 (9000-14.1-01) a server drops an Initial in a datagram below 1200 bytes, also a later one", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena);
    peer.sendPackets(peer.packet(LEVEL_INITIAL, [PING], { padTo: 1199 }));
    assert.equal(arena.endpoint.counters.connectionsAccepted, 0);
    peer.hello().forget();
    peer.sendPackets(peer.packet(LEVEL_INITIAL, [close(7)], { padTo: 1199 }));
    assert.deepEqual(codes(arena), [-1], "the small datagram was not believed");
    peer.sendPackets(peer.packet(LEVEL_INITIAL, [close(7)], { padTo: 1200 }));
    assert.deepEqual(codes(arena), [7]);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §17.2.2 (9000-17.2.2-01) a client drops an Initial with a token", () => {
    const { arena, peer } = waitingClient();
    peer.sendPackets(peer.packet(LEVEL_INITIAL, [close(7)], { token: Uint8Array.of(1) }));
    assert.deepEqual(codes(arena), [-1]);
    assertCompletes(arena, peer);
  });

  test("RFC 9000 §17.2 (9000-17.2-01, 02, 06) fixed bit, connection id length and Length field", () => {
    const arena = new Arena({ config: { grease: false } });
    const bystander = new Bystander(arena);
    const peer = new RawPeer(arena).hello();
    peer.forget();
    const before = dropped(arena);
    const long = bytes(0xc3, [0, 0, 0, 1], 21, new Uint8Array(21), 0, new Uint8Array(1300));
    const longer = bytes(0xc3, [0, 0, 0, 1], 255, new Uint8Array(255), 0, new Uint8Array(1300));
    const bad = [
      peer.packet(LEVEL_INITIAL, [close(7)], { firstByte: 0x40 }),
      peer.packet(LEVEL_INITIAL, [close(7)], { lengthDelta: 1 }),
      bytes(0xc3, [0, 0, 0, 1], 8, peer.dcid, 0, 0, vi(2n ** 62n - 1n), padding(1300)),
      long,
      longer,
    ];
    for (const datagram of bad) arena.send(peer, datagram);
    assert.equal(dropped(arena) - before, bad.length);
    assert.equal(arena.conns[1].closeInfo, null);
    bystander.assertServed();
    arena.assertCleanEnd();
  });

  for (const isServer of [false, true]) {
    const role = isServer ? "client" : "server";
    test(`RFC 9000 §7.2 (9000-7.2-02, 03), §5.2.1 other source ids and versions are dropped at a ${role}`, () => {
      const arena = new Arena();
      const peer = new RawPeer(arena, { isServer });
      if (isServer) arena.connect(peer);
      peer.hello();
      if (!isServer) peer.pumpTls();
      const level = isServer ? LEVEL_HANDSHAKE : LEVEL_INITIAL;
      peer.sendPackets(peer.packet(level, [close(7)], { scid: Uint8Array.of(1, 2, 3) }));
      peer.sendPackets(peer.packet(level, [close(7)], { version: 0x1a2a3a4a }));
      assert.deepEqual(codes(arena), [-1]);
      arena.assertCleanEnd();
    });

    test(`RFC 9000 §12.3, §9.5 of RFC 9001 duplicates and forgeries change nothing at a ${role} (9000-12.3-01)`, () => {
      const arena = new Arena();
      const peer = new RawPeer(arena, { isServer });
      if (isServer) arena.connect(peer);
      peer.connect();
      const [conn] = arena.conns;
      const id = isServer ? 1 : 0;
      const packets = Array.from({ length: 200 }, (_, i) =>
        peer.packet(LEVEL_APP, [stream(id, i * 10, new Uint8Array(10).fill(i))]),
      );
      for (const packet of packets) {
        const forged = packet.slice();
        forged[forged.length - 1] ^= 1;
        arena.send(peer, forged, packet, packet, forged);
      }
      for (const packet of packets) arena.send(peer, packet);
      const got = new Uint8Array(4096);
      assert.equal(conn.read(id, got, 0, 4096), 2000, "each byte once");
      assert.ok(got.subarray(0, 2000).every((byte, i) => byte === Math.floor(i / 10)));
      assert.equal(conn.closeInfo, null);
      arena.assertCleanEnd();
    });

    test(`RFC 9000 §10.3 (9000-10.3-01), §14 datagrams of every size at a ${role}, T45`, () => {
      const arena = new Arena();
      const peer = new RawPeer(arena, { isServer });
      if (isServer) arena.connect(peer);
      peer.connect();
      peer.forget();
      for (let size = 0; size <= 60; size++) {
        for (const first of [0x00, 0x40, 0x5f, 0x80, 0xc0, 0xff]) {
          const junk = new Uint8Array(size);
          if (size > 0) junk[0] = first;
          if (size > 9) junk.set(peer.dcid, 1);
          arena.send(peer, junk, new Uint8Array(0));
        }
      }
      const id = isServer ? 1 : 0;
      peer.send(LEVEL_APP, stream(id, 0, Uint8Array.of(5)));
      assert.equal(arena.conns[0].readable(id), 1);
      assert.deepEqual(codes(arena), [-1]);
      arena.assertCleanEnd();
    });
  }

  test("RFC 9000 §17.2.2.1, RFC 9001 §4.9 packets of discarded levels are dropped (9001-4.9.1-01, 9001-4.9.2-01)", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).connect();
    peer.sendPackets(peer.packet(LEVEL_INITIAL, [close(7)]));
    peer.sendPackets(peer.packet(LEVEL_HANDSHAKE, [close(7)]));
    assert.deepEqual(codes(arena), [-1]);
    assert.equal(arena.conns[0].undecryptable.heldBytes, 0);
    arena.assertCleanEnd();
  });
});

describe("coalesced packets, T34", () => {
  test("RFC 9000 §12.2 (9000-12.2-01) packets with another destination id are dropped and keep nothing", () => {
    const arena = new Arena();
    const bystander = new Bystander(arena);
    const peer = new RawPeer(arena).hello();
    peer.forget();
    const [, conn] = arena.conns;
    const held = conn.heldBytes();
    const connections = arena.endpoint.connectionCount;
    for (let round = 0; round < 200; round++) {
      const first = peer.packet(LEVEL_INITIAL, [PING], { padTo: 60 });
      const foreign = Array.from({ length: 20 }, (_, i) =>
        peer.packet(LEVEL_INITIAL, [crypto(5000 + i, Uint8Array.of(1))], { dcid: bytes(vi(i, 8)), padTo: 60 }),
      );
      peer.sendPackets(first, ...foreign, padding(100));
    }
    assert.equal(conn.heldBytes(), held);
    assert.equal(arena.endpoint.connectionCount, connections);
    bystander.assertServed();
    arena.assertCleanEnd();
  });

  test("RFC 9000 §12.2 (9000-12.2-02) what follows a broken packet is processed", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).hello();
    peer.forget();
    const broken = peer.packet(LEVEL_INITIAL, [PING], { forged: true, padTo: 60 });
    peer.sendPackets(broken, peer.packet(LEVEL_INITIAL, [close(9)]));
    assert.deepEqual(codes(arena), [9]);
    arena.assertCleanEnd();
  });

  test("packets without keys are kept within 16 packets and 24 KiB for each connection", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).hello();
    peer.forget();
    const [conn] = arena.conns;
    for (let i = 0; i < 500; i++) {
      const junk = bytes(0x40, peer.dcid, new Uint8Array(5000).fill(i));
      arena.send(peer, junk, bytes(0x40, peer.dcid, new Uint8Array(30)));
    }
    assert.ok(conn.undecryptable.heldBytes <= 24 * 1024, `${conn.undecryptable.heldBytes}`);
    arena.assertCleanEnd();
  });
});

describe("Retry and Version Negotiation at a client, T19, T21", () => {
  const forgeries: [string, (peer: RawPeer) => Uint8Array][] = [
    ["9000-17.2.5.2-02 a tag with one bit flipped", (peer) => flipLast(retryPacket(peer, peer.scid, padding(20)))],
    ["9000-17.2.5.2-03 an empty token", emptyRetry],
    ["9000-17.2.5.1-01 the id that the client chose", (peer) => retryPacket(peer, idsOf(peer).odcid, padding(20))],
    ["a token larger than an Initial can carry", (peer) => retryPacket(peer, peer.scid, padding(1300))],
    ["a token that leaves no room for TLS", (peer) => retryPacket(peer, peer.scid, padding(MAX_PEER_TOKEN_BYTES + 1))],
  ];
  for (const [name, make] of forgeries) {
    test(`RFC 9000 §17.2.5 drops a Retry with ${name}`, () => {
      const { arena, peer } = waitingClient();
      arena.send(peer, make(peer));
      assert.equal(arena.conns[0].retryScid, null);
      assertCompletes(arena, peer);
    });
  }

  test("a Retry with the largest token that leaves room for TLS is followed", () => {
    const { arena, peer } = waitingClient();
    arena.send(peer, retryPacket(peer, peer.scid, padding(MAX_PEER_TOKEN_BYTES)));
    assert.equal(arena.conns[0].token?.length, MAX_PEER_TOKEN_BYTES);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §8.1.3 a NEW_TOKEN token that is too large to be sent back is forgotten, none smaller is", () => {
    const { arena, peer } = waitingClient();
    peer.connect();
    for (const size of [MAX_PEER_TOKEN_BYTES, MAX_PEER_TOKEN_BYTES + 1]) {
      peer.send(LEVEL_APP, bytes(7, vi(size), padding(size)));
    }
    const tokens = arena.events.get(arena.conns[0])?.calls.filter(([name]) => name === "newToken");
    const kept = tokens?.map(([, token]) => openKept({ token: token as Uint8Array }).token?.length);
    assert.deepEqual(kept, [MAX_PEER_TOKEN_BYTES]);
    arena.assertCleanEnd();
  });

  test("9000-17.2.5.2-04 a Retry cut at any byte is dropped", () => {
    const { arena, peer } = waitingClient();
    const whole = retryPacket(peer, peer.scid, padding(4));
    for (let size = 1; size < whole.length; size++) arena.send(peer, whole.slice(0, size));
    assert.equal(arena.conns[0].retryScid, null);
    assertCompletes(arena, peer);
  });

  test("9000-17.2.5.2-01 a second Retry, and one after an Initial, are dropped", () => {
    const { arena, peer } = waitingClient();
    const other = Uint8Array.of(9, 8, 7, 6, 5, 4, 3, 2);
    const token = Uint8Array.of(1, 2, 3);
    arena.send(peer, retryPacket(peer, other, token));
    assert.deepEqual(arena.conns[0].token, token);
    arena.send(peer, retryPacket(peer, peer.scid, Uint8Array.of(4, 5, 6)));
    assert.deepEqual(arena.conns[0].token, token);
    arena.assertCleanEnd();

    const late = waitingClient();
    late.peer.hello();
    late.arena.send(late.peer, retryPacket(late.peer, other, token));
    assert.equal(late.arena.conns[0].token, null);
    late.arena.assertCleanEnd();
  });

  test("RFC 9000 §6.2, §17.2.1 Version Negotiation that proves nothing is dropped (9000-6.2-01, 02, 9000-17.2.1-01)", () => {
    const { arena, peer } = waitingClient();
    const { odcid, clientCid } = idsOf(peer);
    const vn = (scid: Uint8Array, versions: number[], tail = 0) => {
      const buf = new Uint8Array(200);
      const end = writeVersionNegotiation(buf, 0, clientCid, scid, versions, 0);
      return buf.slice(0, end + tail);
    };
    arena.send(peer, vn(odcid, [1, 0x1a2a3a4a]), vn(peer.scid, [0x1a2a3a4a]), vn(odcid, [0x1a2a3a4a], 3));
    arena.send(peer, vn(odcid, []));
    assert.deepEqual(codes(arena), [-1]);
    peer.hello();
    arena.send(peer, vn(odcid, [0x1a2a3a4a]));
    assert.deepEqual(codes(arena), [-1], "too late to be believed");
    arena.assertCleanEnd();
  });

  test("RFC 9000 §6.2 a list of thousands of versions ends the attempt with a reason of one line", () => {
    const { arena, peer } = waitingClient();
    const { odcid, clientCid } = idsOf(peer);
    const versions = Array.from({ length: 15_000 }, (_, i) => 0x1a2a3a00 + i);
    const buf = new Uint8Array(65_000);
    arena.send(peer, buf.slice(0, writeVersionNegotiation(buf, 0, clientCid, odcid, versions, 0)));
    const { type, reason } = arena.conns[0].closeInfo as CloseInfo;
    assert.equal(type, "version-negotiation");
    assert.match(reason, /^.{50,200}, 14992 more$/);
    arena.assertCleanEnd();
  });
});

function flipLast(packet: Uint8Array): Uint8Array {
  packet[packet.length - 1] ^= 1;
  return packet;
}

describe("stateless reset", () => {
  /** The token of the id that the peer sends to, as our NEW_CONNECTION_ID and parameters announce it. */
  function resetAt(arena: Arena): { peer: RawPeer; token: Uint8Array } {
    const token = new Uint8Array(16).fill(0xab);
    const peer = new RawPeer(arena, {
      isServer: true,
      params: (params) => {
        params.statelessResetToken = token;
        return undefined;
      },
    });
    arena.connect(peer);
    peer.connect();
    return { peer, token };
  }

  const shapes: [string, (peer: RawPeer) => Uint8Array][] = [
    ["a short header with the client's id", (peer) => bytes(0x45, peer.dcid, padding(30))],
    ["a short header with a random id", () => bytes(0x45, padding(40))],
    ["a short header without the fixed bit", () => bytes(0x05, padding(40))],
    [
      "a long header with the client's id",
      (peer) => bytes(0xe5, [0, 0, 0, 1], 8, peer.dcid, 0, vi(60, 2), padding(44)),
    ],
    ["an unknown version with the client's id", (peer) => bytes(0xe5, [9, 9, 9, 9], 8, peer.dcid, 0, padding(44))],
    ["a long header with a random id", () => bytes(0xe5, [0, 0, 0, 1], 8, padding(8), 0, padding(44))],
    ["a sealed Handshake packet of dropped keys", (peer) => peer.packet(LEVEL_HANDSHAKE, [PING, padding(40)])],
  ];
  for (const [name, make] of shapes) {
    test(`RFC 9000 §10.3 (9000-10.3-03, 9000-10.3.1-01) ${name} that ends in the token is one`, () => {
      const arena = new Arena();
      const { peer, token } = resetAt(arena);
      const datagram = make(peer);
      const ended = datagram.slice();
      ended.set(token, ended.length - 16);
      arena.send(peer, datagram);
      assert.deepEqual(codes(arena), [-1]);
      arena.send(peer, ended);
      assert.equal(arena.conns[0].closeInfo?.type, "stateless-reset");
      arena.assertCleanEnd();
    });
  }

  test("RFC 9000 §10.3 (9000-10.3-02) is smaller than its trigger, never below 21 bytes, and ends with no token of a live id", () => {
    const arena = new Arena();
    const bystander = new Bystander(arena);
    const peer = new RawPeer(arena);
    peer.validated = true; // one datagram for one: no amplification, which the sizes show
    for (let size = 1; size <= 1500; size += size < 100 ? 1 : 97) {
      peer.forget();
      arena.send(peer, bytes(0x41, new Uint8Array(size - 1).fill(size)));
      const [reset] = peer.datagrams;
      if (reset === undefined) assert.ok(size <= 43, `no answer to ${size} bytes`);
      else assert.ok(reset.length < size && reset.length >= 21, `${reset.length} bytes for ${size}`);
    }
    bystander.assertServed();
    arena.assertCleanEnd();
  });

  test("RFC 9000 §10.3.3, §21.11 (9000-10.3.3-01) resets that answer resets end, T24", () => {
    const [a, b] = [new Arena({ seed: 1 }), new Arena({ seed: 2 })];
    const [toA, toB] = [new RawPeer(a), new RawPeer(b)];
    let exchanged = 0;
    let datagram: Uint8Array | undefined = bytes(0x41, new Uint8Array(1400).fill(3));
    for (let turn = 0; datagram !== undefined; turn++) {
      const [arena, peer] = turn % 2 === 0 ? [a, toA] : [b, toB];
      peer.forget();
      arena.send(peer, datagram);
      [datagram] = peer.datagrams;
      assert.ok(++exchanged < 60, "the two go on for ever");
    }
  });
});

describe("paths", () => {
  test("RFC 9000 §8.2.2 (9000-8.2.2-01, 02) a PATH_RESPONSE is sent once, in a datagram of 1200 bytes", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).connect();
    peer.forget();
    const challenge = peer.packet(LEVEL_APP, [pathChallenge(77)]);
    arena.send(peer, challenge, challenge);
    arena.advance(5_000_000);
    const answers = peer.lines(LEVEL_APP).filter((line) => line === "PATH_RESPONSE c00000000000004d");
    assert.equal(answers.length, 1);
    const index = peer.packets.findIndex((packet) => packet.frames.some((line) => line.startsWith("PATH_RESPONSE")));
    assert.equal(peer.datagrams[index].length, 1200);
    arena.assertCleanEnd();
  });

  test("T07 a flood of PATH_CHALLENGE (CVE-2023-49295): 4 answers wait at most, replies never exceed what came", () => {
    const arena = new Arena();
    const bystander = new Bystander(arena);
    const peer = new RawPeer(arena).connect();
    const [, conn] = arena.conns;
    peer.bytesReceived = peer.bytesSent = 0;
    for (let round = 0; round < 300; round++) {
      const frames = Array.from({ length: 140 }, (_, i) => pathChallenge(1000 * round + i));
      arena.deliver(peer, [peer.packet(LEVEL_APP, frames)]);
      assert.ok(conn.path.responses.count <= 4);
      arena.pump();
    }
    assert.ok(peer.bytesReceived <= peer.bytesSent, `${peer.bytesReceived} bytes for ${peer.bytesSent}`);
    assert.equal(conn.closeInfo, null);
    bystander.assertServed();
    arena.assertCleanEnd();
  });

  test("RFC 9000 §9 (9000-9-01, 03), T29 packets of no connection, forged or old, from another address change nothing", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).connect();
    const thief = new RawPeer(arena);
    const old = peer.packet(LEVEL_APP, [PING]);
    peer.send(LEVEL_APP, PING);
    const before = arena.endpoint.counters.datagramsSent;
    for (let i = 0; i < 50; i++) {
      arena.send(
        thief,
        peer.packet(LEVEL_APP, [PING], { forged: true }),
        peer.packet(LEVEL_APP, [close(1)], { forged: true }),
      );
    }
    assert.equal(arena.endpoint.counters.datagramsSent, before, "nothing goes to either address");
    arena.send(thief, old);
    assert.deepEqual(codes(arena), [-1]);
    assert.equal(arena.conns[0].moves.count, 0);
    peer.send(LEVEL_APP, ack([0, 0]));
    arena.assertCleanEnd();
  });
});
