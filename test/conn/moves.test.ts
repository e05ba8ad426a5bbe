/** A server whose client speaks from another address (RFC 9000 §9). The arena checks the limit of §8.1 by itself. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MAX_PATH_CHALLENGES, MIN_INITIAL_DATAGRAM_BYTES } from "#src/proto/limits.js";
import { simAddress } from "#src/sim/index.js";
import { Arena } from "../support/arena.js";
import { CID_BYTES, challenges, dcidOf, Elsewhere, responseTo, scene, SECOND } from "../support/elsewhere.js";
import { bytes, pathChallenge, PING, stream, vi } from "../support/raw-frames.js";
import { LEVEL_APP, LEVEL_HANDSHAKE, LEVEL_INITIAL, RawPeer } from "../support/raw-peer.js";

describe("a client at another address", () => {
  test("RFC 9000 §9.3, §9.3.3 (9000-9.3.3-01) the newest packet moves the path, and both addresses are asked", () => {
    const { arena, peer, conn } = scene();
    const other = new Elsewhere(peer);
    other.send([PING], MIN_INITIAL_DATAGRAM_BYTES);
    assert.equal(challenges(other.lines).length, 1);
    assert.equal(challenges(peer.lines(LEVEL_APP)).length, 1);
    assert.equal(other.datagrams[0].length, MIN_INITIAL_DATAGRAM_BYTES, "RFC 9000 §8.2.1");
    assert.deepEqual(conn.path.addr.subarray(0, 5), other.address.subarray(0, 5));
    assert.equal(conn.path.validated, false);
    other.validated = true;
    other.send([other.response()]);
    assert.equal(conn.path.validated, true);
    assert.equal(conn.moves.previous, null);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §9.5 (9000-9.5-01) each address sees an id of its own, and the old one is retired when it is left", () => {
    const { arena, peer } = scene();
    const other = new Elsewhere(peer);
    other.send([PING], MIN_INITIAL_DATAGRAM_BYTES);
    assert.notEqual(other.dcid, dcidOf(peer.datagrams.at(-1)));
    assert.equal(dcidOf(peer.datagrams.at(-1)), "c0".repeat(CID_BYTES), "the old path keeps its id");
    other.validated = true;
    other.send([other.response()]);
    assert.ok(other.lines.includes("RETIRE_CONNECTION_ID 0"));
    arena.assertCleanEnd();
  });

  test("packets that are under way with an id which the client has retired arrive, and bring no stateless reset", () => {
    const { arena, peer, conn } = scene();
    const [first, second] = conn.localIds.live.map(({ cid }) => cid);
    const late = peer.packet(LEVEL_APP, [PING], { dcid: first });
    peer.dcid = second;
    peer.send(LEVEL_APP, bytes(0x19, vi(0)));
    assert.equal(conn.localIds.has(first), false);
    const before = conn.counters.packetsReceived;
    arena.send(peer, late);
    assert.equal(conn.counters.packetsReceived, before + 1);
    assert.equal(arena.endpoint.counters.statelessResetsSent, 0);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §8.2.2, §9.1 (9000-8.2.2-01, 8.2.1-02) a probe is answered where it came from, and moves nothing", () => {
    const { arena, peer, conn } = scene();
    const other = new Elsewhere(peer);
    other.send([pathChallenge(7)], 60);
    assert.deepEqual(
      other.lines.filter((line) => line.startsWith("PATH_RESPONSE")),
      ["PATH_RESPONSE c000000000000007"],
    );
    assert.equal(peer.lines(LEVEL_APP).filter((line) => line.startsWith("PATH_RESPONSE")).length, 0);
    assert.equal(conn.moves.count, 0);
    assert.notEqual(other.dcid, "c0".repeat(CID_BYTES), "RFC 9000 §9.5");
    arena.assertCleanEnd();
  });

  test("9000-9.3-01 a packet that is not the newest moves nothing", () => {
    const { arena, peer, conn } = scene();
    const other = new Elsewhere(peer);
    const late = peer.packet(LEVEL_APP, [PING]);
    peer.send(LEVEL_APP, PING);
    arena.send(other, late);
    assert.equal(conn.moves.count, 0);
    assert.equal(other.datagrams.length, 0);
    arena.assertCleanEnd();
  });

  test("9000-9.3.2-01, 9.3.1-01 an address that does not answer is left again, and got no more than 3 times its bytes", () => {
    const { arena, peer, conn } = scene();
    const other = new Elsewhere(peer);
    other.send([PING], 2 * MIN_INITIAL_DATAGRAM_BYTES);
    arena.advance(20 * SECOND);
    assert.equal(challenges(other.lines).length, MAX_PATH_CHALLENGES);
    assert.equal(new Set(challenges(other.lines)).size, MAX_PATH_CHALLENGES, "no two alike");
    assert.deepEqual(conn.path.addr.subarray(0, 5), peer.address.subarray(0, 5));
    assert.equal(conn.path.validated, true);
    assert.equal(conn.peerIds.current[0], 0xc0, "the old path has its id back");
    arena.assertCleanEnd();
  });

  test("RFC 9000 §9.3.3 a packet that was copied to another address: the next one leads back at once", () => {
    const { arena, peer, conn } = scene();
    const attacker = new Elsewhere(peer);
    attacker.send([PING]);
    assert.equal(conn.moves.count, 1);
    peer.send(LEVEL_APP, responseTo(peer.lines(LEVEL_APP)), PING);
    assert.equal(conn.moves.previous, null);
    assert.equal(conn.moves.returns, 1);
    assert.deepEqual(conn.path.addr.subarray(0, 5), peer.address.subarray(0, 5));
    arena.assertCleanEnd();
  });

  test("RFC 9000 §8.2.1 the answer to a small challenge proves the address; then comes a full one", () => {
    const { arena, peer, conn } = scene();
    const other = new Elsewhere(peer);
    other.send([PING]);
    assert.ok(other.datagrams[0].length < MIN_INITIAL_DATAGRAM_BYTES);
    other.validated = true;
    other.send([other.response()]);
    assert.equal(conn.path.validated, true);
    assert.notEqual(conn.moves.previous, null, "not done yet");
    assert.equal(Math.max(...other.datagrams.map((datagram) => datagram.length)), MIN_INITIAL_DATAGRAM_BYTES);
    other.send([other.response()]);
    assert.equal(conn.moves.previous, null);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §8.2.3 (9000-8.2.2-03, 8.2.3-01) an answer counts on any path, and one that fits nothing is ignored", () => {
    const { arena, peer, conn } = scene();
    const other = new Elsewhere(peer);
    other.send([PING], MIN_INITIAL_DATAGRAM_BYTES);
    other.send([bytes(0x1b, vi(99, 8))]);
    assert.equal(conn.closeInfo, null);
    assert.equal(conn.path.validated, false);
    other.validated = true;
    peer.send(LEVEL_APP, other.response());
    assert.equal(conn.path.validated, true);
    arena.assertCleanEnd();
  });

  for (const [what, address, isReset] of [
    ["another port", simAddress(10, 0, 0, 1, 39_001), false],
    ["another address", simAddress(10, 9, 0, 1, 39_002), true],
  ] as const) {
    test(`9000-9.4-01 ${what}: congestion controller and RTT ${isReset ? "start anew" : "stay"}`, () => {
      const { arena, peer, conn } = scene();
      const { recovery } = conn;
      Object.defineProperty(recovery.cc, "cwndBytes", { get: () => 77_777 });
      recovery.rtt.reset(1000);
      const other = new Elsewhere(peer, address);
      other.send([PING], MIN_INITIAL_DATAGRAM_BYTES);
      assert.equal(recovery.cc.cwndBytes, 77_777, "as long as the address is not proven, the limit holds");
      other.validated = true;
      other.send([other.response()]);
      assert.equal(recovery.cc.cwndBytes === 77_777, !isReset);
      assert.equal(recovery.rtt.smoothedRttMicros === 1000, !isReset);
      arena.assertCleanEnd();
    });
  }

  test("RFC 9000 §9.4 an address that was proven, but not for full datagrams, is left: congestion control starts anew", () => {
    const { arena, peer, conn } = scene();
    const { recovery } = conn;
    const other = new Elsewhere(peer, simAddress(10, 9, 0, 1, 39_003));
    other.send([PING]);
    other.validated = true;
    other.send([other.response()]);
    assert.equal(conn.path.validated, true);
    const before = recovery.cc;
    recovery.rtt.reset(1000);
    peer.send(LEVEL_APP, PING);
    assert.equal(conn.moves.returns, 1);
    assert.notEqual(recovery.cc, before);
    assert.notEqual(recovery.rtt.smoothedRttMicros, 1000);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §9.5 (9000-9.5-02) without a spare id the connection goes on with the one it has", () => {
    const { arena, peer, conn } = scene(0);
    const other = new Elsewhere(peer);
    other.send([PING], MIN_INITIAL_DATAGRAM_BYTES);
    other.validated = true;
    other.send([other.response(), stream(0, 0, new Uint8Array(10))]);
    assert.equal(conn.closeInfo, null);
    assert.equal(conn.moves.validated, 1);
    arena.assertCleanEnd();
  });

  test("9000-9-01 before the handshake is confirmed, nothing is taken from another address", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena).hello();
    peer.pumpTls();
    const [conn] = arena.conns;
    const other = new Elsewhere(peer);
    const before = conn.counters.packetsReceived;
    for (const level of [LEVEL_INITIAL, LEVEL_HANDSHAKE] as const) {
      if (peer.canWrite(level)) arena.send(other, peer.packet(level, [PING]));
    }
    assert.equal(conn.counters.packetsReceived, before);
    assert.equal(other.datagrams.length, 0);
    arena.assertCleanEnd();
  });

  test("9000-9-03 a client takes nothing from another address of the server", () => {
    const arena = new Arena();
    const server = new RawPeer(arena, { isServer: true });
    arena.connect(server);
    server.connect();
    const [conn] = arena.conns;
    const other = new Elsewhere(server);
    const before = conn.counters.packetsReceived;
    arena.send(other, server.packet(LEVEL_APP, [PING]));
    assert.equal(conn.counters.packetsReceived, before);
    assert.equal(other.datagrams.length, 0);
    arena.assertCleanEnd();
  });
});
