import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeParams } from "#src/frame/params.js";
import { FRAME_ENCODING_ERROR, KEY_UPDATE_ERROR, PROTOCOL_VIOLATION } from "#src/proto/transport-error.js";
import { Arena } from "../support/arena.js";
import { cpuMicros } from "../support/cpu.js";
import { ack, bytes, close, padding, PING, stream, vi } from "../support/raw-frames.js";
import { Bystander, LEVEL_APP, LEVEL_HANDSHAKE, LEVEL_INITIAL, RawPeer } from "../support/raw-peer.js";

const ROLES = ["server", "client"] as const;
type Role = (typeof ROLES)[number];

function connected(role: Role, config = {}): { arena: Arena; peer: RawPeer } {
  const arena = new Arena({ config });
  const peer = new RawPeer(arena, { isServer: role === "client" });
  if (role === "client") arena.connect(peer, config);
  peer.connect();
  arena.advance(100_000);
  peer.ackAll(LEVEL_APP);
  peer.forget();
  return { arena, peer };
}

/** All orders of the numbers below `count`. */
function permutations(count: number): number[][] {
  if (count === 1) return [[0]];
  return permutations(count - 1).flatMap((order) =>
    Array.from({ length: count }, (_, at) => [...order.slice(0, at), count - 1, ...order.slice(at)]),
  );
}

describe("T36 any order (CVE-2025-59530, CVE-2023-46239)", () => {
  test("RFC 9000 §19.20 (9000-19.20-02) all 720 orders of a server's first six packets end in a handshake", () => {
    const orders = permutations(6);
    assert.equal(orders.length, 720);
    for (const order of orders) {
      const arena = new Arena();
      const peer = new RawPeer(arena, { isServer: true, tls: { certificateBytes: 1500 } });
      const conn = arena.connect(peer);
      peer.pumpTls();
      // ServerHello; EncryptedExtensions with the others in pieces; and what comes after the handshake
      const flight = peer.takeTlsPackets();
      const packets = [
        flight[0],
        bytes(flight[1], flight[2]),
        flight[3],
        bytes(...flight.slice(4)),
        peer.packet(LEVEL_APP, [stream(3, 0, padding(10))]),
        peer.packet(LEVEL_INITIAL, [ack([0, 0])], { padTo: 1200 }),
      ];
      for (const at of order) arena.send(peer, packets[at]);
      for (const packet of packets) arena.send(peer, packet);
      assert.equal(conn.closeInfo, null, `order ${order.join()}`);
      assert.ok(conn.handshakeState.complete, `order ${order.join()}`);
      peer.send(LEVEL_APP, Uint8Array.of(0x1e));
      assert.ok(conn.handshakeState.confirmed);
      arena.assertCleanEnd();
    }
  });

  test("9000-19.20-02 a HANDSHAKE_DONE that waited for its keys came before our Finished: PROTOCOL_VIOLATION", () => {
    for (const isEarly of [true, false]) {
      const arena = new Arena();
      const peer = new RawPeer(arena, { isServer: true });
      const conn = arena.connect(peer);
      peer.pumpTls();
      const flight = peer.takeTlsPackets();
      const done = peer.packet(LEVEL_APP, [Uint8Array.of(0x1e)]);
      for (const packet of isEarly ? [done, ...flight] : [...flight, done]) arena.send(peer, packet);
      assert.equal(conn.closeInfo?.code, isEarly ? BigInt(PROTOCOL_VIOLATION) : undefined);
      assert.equal(conn.handshakeState.confirmed, !isEarly);
      arena.assertCleanEnd();
    }
  });

  test("a copy of the first flight that comes late starts no second connection", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena);
    const flight = arena.hold(() => peer.hello());
    arena.send(peer, ...flight);
    peer.connect();
    for (let i = 0; i < 5; i++) {
      arena.advance(1_000_000);
      arena.send(peer, ...flight);
      peer.ackAll(LEVEL_APP);
    }
    assert.equal(arena.endpoint.connectionCount, 1);
    assert.equal(arena.conns.length, 1);
    arena.assertCleanEnd();
  });

  test("RFC 9001 §5.7 (9001-5.7-01) 1-RTT data before the client's Finished reaches nobody until then", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).hello();
    peer.pumpTls();
    peer.validated = true;
    peer.send(LEVEL_APP, stream(0, 0, padding(10), true));
    const [conn] = arena.conns;
    assert.ok(conn.readable(0) <= 0);
    peer.flushTls();
    assert.equal(conn.readable(0), 10);
    arena.assertCleanEnd();
  });

  test("RFC 9001 §6.1 (9001-6.1-01) a key update in the batch that completes the handshake", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).hello();
    peer.pumpTls();
    peer.validated = true;
    arena.deliver(peer, [...peer.takeTlsPackets(), peer.packet(LEVEL_APP, [PING], { generation: 1 })]);
    arena.pump();
    assert.equal(peer.closeCode, KEY_UPDATE_ERROR);
    arena.assertCleanEnd();
  });

  test("a Finished before the ClientHello, acknowledgements before anything, a hello in pieces of one byte backwards", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena);
    const [hello] = arena.hold(() => peer.hello());
    peer.send(LEVEL_INITIAL, PING);
    arena.send(peer, hello, hello);
    peer.pumpTls();
    const early = peer.takeTlsPackets();
    peer.validated = true;
    for (const packet of early.toReversed()) arena.send(peer, packet, packet);
    assert.ok(peer.lines(LEVEL_APP).includes("HANDSHAKE_DONE"));
    arena.assertCleanEnd();
  });
});

describe("closing, T46", () => {
  for (const role of ROLES) {
    test(`RFC 9000 §10.2.1 (9000-10.2.1-01) 1,000 packets to a closing ${role}: replies grow as the logarithm`, () => {
      const { arena, peer } = connected(role);
      peer.send(LEVEL_APP, Uint8Array.of(0x21));
      assert.equal(peer.closeCode, FRAME_ENCODING_ERROR);
      const before = peer.datagrams.length;
      for (let i = 0; i < 1000; i++) arena.send(peer, peer.packet(LEVEL_APP, [PING]));
      const replies = peer.datagrams.length - before;
      assert.ok(replies >= 1 && replies <= Math.log2(1000) + 1, `${replies} replies`);
      assert.equal(arena.conns[0].heldBytes(), 0);
      arena.assertCleanEnd();
    });

    test(`RFC 9000 §10.2.2 (9000-10.2.2-01) a draining ${role} sends nothing`, () => {
      const { arena, peer } = connected(role);
      peer.send(LEVEL_APP, close(0), PING);
      for (let i = 0; i < 100; i++) arena.send(peer, peer.packet(LEVEL_APP, [PING]));
      arena.advance(10_000_000);
      assert.equal(peer.datagrams.length, 0);
      assert.equal(arena.conns[0].closeInfo?.remote, true);
      arena.assertCleanEnd();
    });

    test(`RFC 9000 §19.19 (9000-19.19-01) a reason longer than its packet, and one of any bytes, at a ${role}`, () => {
      const cut = connected(role);
      cut.peer.send(LEVEL_APP, bytes(0x1c, vi(0), 0, vi(2 ** 14), padding(50)));
      assert.equal(cut.peer.closeCode, FRAME_ENCODING_ERROR);
      cut.arena.assertCleanEnd();
      const long = connected(role);
      long.peer.send(LEVEL_APP, close(2n ** 62n - 1n, padding(1200).fill(0xfe)));
      const info = long.arena.conns[0].closeInfo;
      assert.equal(info?.code, 2n ** 62n - 1n);
      assert.match(info?.reason ?? "", /^[ -~]*$/);
      long.arena.assertCleanEnd();
    });

    test(`a ${role} that the application abandons while it is closing forgets what it held`, () => {
      const { arena, peer } = connected(role);
      const [conn] = arena.conns;
      const id = role === "server" ? 0 : 1;
      peer.send(LEVEL_APP, stream(id, 5, padding(900)));
      assert.ok(conn.heldBytes() > 0);
      conn.close("application", 1n, "");
      arena.pump();
      conn.abandon();
      arena.pump();
      assert.equal(conn.heldBytes(), 0);
      arena.assertCleanEnd();
    });
  }

  test("RFC 9000 §10.2.3 a server that closes in the middle of a handshake says so in every level that it can write", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).hello();
    peer.pumpTls();
    peer.send(LEVEL_INITIAL, Uint8Array.of(0x21));
    assert.deepEqual(
      peer.closes.map(({ level, code }) => [level, code]),
      [
        [LEVEL_INITIAL, FRAME_ENCODING_ERROR],
        [LEVEL_HANDSHAKE, FRAME_ENCODING_ERROR],
        [LEVEL_APP, FRAME_ENCODING_ERROR],
      ],
    );
    arena.assertCleanEnd();
  });
});

describe("destroy, T51", () => {
  test("an endpoint with connections in every state leaves nothing, and nothing that comes later wakes it", () => {
    const steps: (() => void)[] = [];
    for (const isLate of [false, true]) {
      const arena = new Arena(isLate ? { tls: { later: (step) => void steps.push(step) } } : {});
      const connect = (isServer: boolean) => {
        const peer = new RawPeer(arena, { isServer });
        if (isServer) arena.connect(peer);
        return peer;
      };
      const peers = [connect(false).hello(), connect(true), connect(false), connect(true)];
      if (!isLate) peers.push(connect(false).connect(), connect(true).connect());
      peers[0].send(LEVEL_INITIAL, Uint8Array.of(0x21));
      if (!isLate) peers[4].send(LEVEL_APP, stream(0, 7, padding(100)));
      arena.endpoint.destroy();
      for (const step of steps.splice(0)) step();
      for (const peer of peers) arena.send(peer, peer.datagrams.at(-1)?.slice() ?? padding(60));
      assert.equal(arena.endpoint.connectionCount, 0);
      assert.equal(arena.endpoint.nextDeadline(), Infinity);
      arena.assertCleanEnd();
    }
  });

  test("a datagram of 65,507 bytes with one packet, and one with 2,000 forged ones", () => {
    const arena = new Arena();
    const bystander = new Bystander(arena);
    const peer = new RawPeer(arena).connect();
    const [, conn] = arena.conns;
    peer.send(LEVEL_APP, stream(0, 0, padding(65_000)));
    assert.equal(conn.readable(0), 65_000);
    const half = new RawPeer(arena).hello();
    const tiny = half.packet(LEVEL_INITIAL, [PING], { padTo: 1, forged: true, scid: half.scid });
    const started = cpuMicros();
    half.sendPackets(...Array.from({ length: Math.floor(65_507 / tiny.length) }, () => tiny));
    assert.ok(cpuMicros() - started < 500_000);
    bystander.assertServed();
    arena.assertCleanEnd();
  });
});

describe("RFC 9000 §10.1 idle timeouts at their extremes, T47, J02", () => {
  const extremes: [string, number | bigint][] = [
    ["0", 0],
    ["1", 1],
    ["2^31", 2 ** 31],
    ["2^53", 2n ** 53n],
    ["2^62-1", 2n ** 62n - 1n],
  ];
  for (const [name, millis] of extremes) {
    for (const ours of [0, 30_000]) {
      test(`max_idle_timeout ${name} from the peer, ${ours} from us: few wakeups, one end at the right time`, () => {
        const arena = new Arena({ config: { maxIdleTimeoutMillis: ours } });
        const bystander = new Bystander(arena);
        const params = (own: Parameters<typeof encodeParams>[0]) =>
          bytes(encodeParams(own, false), 1, vi(millis).length, vi(millis));
        const peer = new RawPeer(arena, { params }).connect();
        const [, conn] = arena.conns;
        assert.equal(peer.closeCode, -1);
        const wakeups = arena.advance(20_000_000);
        assert.ok(wakeups <= 20, `${wakeups} wakeups in 20 s`);
        assert.equal(conn.closeInfo?.type, millis === 1 ? "idle-timeout" : undefined);
        bystander.assertServed();
        arena.advance(20_000_000);
        const ends = millis === 1 || ours === 30_000;
        assert.equal(conn.closeInfo?.type, ends ? "idle-timeout" : undefined);
        assert.ok(arena.endpoint.nextDeadline() > arena.nowMicros, "nothing is overdue");
        arena.assertCleanEnd();
      });
    }
  }

  test("a client that stays silent in its handshake, whatever idle timeout it asks for, is gone after 10 s and some", () => {
    const arena = new Arena({ config: { maxIdleTimeoutMillis: 0 } });
    const peer = new RawPeer(arena).hello();
    const wakeups = arena.advance(9_000_000);
    assert.ok(wakeups <= 20);
    assert.equal(peer.closeCode, -1);
    arena.advance(2_000_000);
    assert.equal(arena.endpoint.connectionCount, 0);
    arena.assertCleanEnd();
  });

  for (const role of ROLES) {
    test(`a ${role} whose peer falls silent with data outstanding backs off and ends`, () => {
      const { arena, peer } = connected(role, { maxIdleTimeoutMillis: 600_000 });
      const [conn] = arena.conns;
      const id = conn.open(0);
      conn.write(id, padding(5000), 0, 5000, true);
      const wakeups = arena.advance(500_000_000);
      assert.ok(wakeups <= 60, `${wakeups} wakeups in 500 s`);
      assert.equal(conn.closeInfo, null);
      arena.advance(200_000_000);
      assert.equal(conn.closeInfo === null ? "" : "closed", "closed");
      assert.ok(peer.datagrams.length > 0);
      arena.assertCleanEnd();
    });
  }
});
