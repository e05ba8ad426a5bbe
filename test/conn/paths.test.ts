/** Several addresses of one client at a server (RFC 9000 §9.1, §9.3, §9.5): ids, answers, bounds, what is told of it. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "#src/conn/connection.js";
import { ECN_FAILED, ECN_TESTING } from "#src/path/ecn-check.js";
import type { PathValidation } from "#src/port/transport.js";
import {
  MAX_HELD_PATH_RESULTS,
  MAX_PROBED_PATHS,
  MIN_INITIAL_DATAGRAM_BYTES,
  PATH_MOVE_MICROS,
  PATH_MOVES_BURST,
} from "#src/proto/limits.js";
import { simAddress } from "#src/sim/index.js";
import { Arena } from "../support/arena.js";
import { CID_BYTES, dcidOf, Elsewhere, responseTo, scene, type Scene, SECOND, spareId } from "../support/elsewhere.js";
import { pathChallenge, PING, stream } from "../support/raw-frames.js";
import { LEVEL_APP, RawPeer } from "../support/raw-peer.js";

const FULL = MIN_INITIAL_DATAGRAM_BYTES;
const HOME_ID = "c0".repeat(CID_BYTES);

/** An id of the engine's that its peer has not used yet. */
function freshId(conn: Connection, index = 1): Uint8Array {
  return conn.localIds.live[index].cid;
}

/** `other` proves its address. */
function prove(other: Elsewhere): void {
  other.validated = true;
  other.send([other.response()], FULL);
}

function results({ arena, conn }: Scene): string[] {
  const calls = arena.events.get(conn)?.calls ?? [];
  return calls.filter(([name]) => name === "pathValidation").map(([, told]) => (told as PathValidation).result);
}

describe("what is asked on a path that is not the connection's", () => {
  test("RFC 9000 §8.2.2 the previous path is answered there, with the id that it kept, while the new one is validated", () => {
    const { arena, peer, conn } = scene();
    const other = new Elsewhere(peer);
    other.send([PING], FULL);
    peer.forget();
    peer.datagrams.length = 0;
    peer.send(LEVEL_APP, pathChallenge(7));
    assert.deepEqual(
      peer.lines(LEVEL_APP).filter((line) => line.startsWith("PATH_RESPONSE")),
      ["PATH_RESPONSE c000000000000007"],
    );
    assert.equal(conn.moves.count, 1, "a probe leads nowhere");
    assert.equal(conn.moves.answeredPrevious, 1);
    assert.equal(dcidOf(peer.datagrams.at(-1)), HOME_ID);
    assert.equal(peer.datagrams.at(-1)?.length, FULL);
    assert.equal(other.named("PATH_RESPONSE").length, 0);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §9.1, §9.5 addresses probed at once are answered each with an id of its own", () => {
    const { arena, peer, conn } = scene(3);
    const others = [1, 2, 3].map(() => new Elsewhere(peer));
    for (const [i, other] of others.entries()) other.send([pathChallenge(i)], 60);
    for (const [i, other] of others.entries()) {
      assert.deepEqual(other.named("PATH_RESPONSE"), [`PATH_RESPONSE c00000000000000${i}`]);
    }
    for (const [i, other] of others.entries()) other.send([pathChallenge(i + 4)], 60);
    const ids = others.flatMap(({ dcids }) => [...dcids]);
    assert.equal(new Set([...ids, HOME_ID]).size, 4);
    assert.equal(ids.length, 3);
    assert.equal(conn.moves.count, 0);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §9.5 an address that was probed and then taken keeps its id", () => {
    const { arena, peer, conn } = scene(3);
    const [one, two] = [new Elsewhere(peer), new Elsewhere(peer)];
    one.send([pathChallenge(1)], FULL);
    two.send([pathChallenge(2)], FULL);
    one.send([PING], FULL);
    prove(one);
    assert.equal(conn.moves.validated, 1);
    assert.equal(one.dcids.size, 1);
    assert.equal(two.dcids.size, 1);
    assert.notEqual(one.dcid, two.dcid);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §9.5 a probe with another id of ours waits for an id of the client's", () => {
    const { arena, peer, conn } = scene(0);
    const other = new Elsewhere(peer);
    other.send([pathChallenge(1)], FULL, freshId(conn));
    assert.equal(other.datagrams.length, 0);
    peer.send(LEVEL_APP, spareId(1));
    assert.equal(other.named("PATH_RESPONSE").length, 1);
    assert.notEqual(other.dcid, HOME_ID);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §9.5 a probe whose address a NAT has changed is answered with the id in use when there is no other", () => {
    const { arena, peer } = scene(0);
    const other = new Elsewhere(peer);
    other.send([pathChallenge(1)], FULL);
    assert.equal(other.named("PATH_RESPONSE").length, 1);
    assert.equal(other.dcid, HOME_ID);
    arena.assertCleanEnd();
  });

  test("no more than MAX_PROBED_PATHS addresses are remembered; one that is forgotten gives its id back", () => {
    const { arena, peer, conn } = scene(3);
    const others = Array.from({ length: MAX_PROBED_PATHS + 1 }, () => new Elsewhere(peer));
    for (const other of others.slice(0, -1)) other.send([pathChallenge(1)], 60);
    assert.equal(conn.moves.probed.length, MAX_PROBED_PATHS);
    assert.ok(!peer.lines(LEVEL_APP).some((line) => line.startsWith("RETIRE_CONNECTION_ID")));
    others.at(-1)?.send([pathChallenge(1)], 60);
    assert.equal(conn.moves.probed.length, MAX_PROBED_PATHS);
    assert.ok(peer.lines(LEVEL_APP).includes("RETIRE_CONNECTION_ID 1"));
    arena.assertCleanEnd();
  });

  test("an address that was not heard for long gives its id up when another needs one", () => {
    const { arena, peer, conn } = scene(1);
    const [one, two] = [new Elsewhere(peer), new Elsewhere(peer)];
    one.send([pathChallenge(1)], 60);
    two.send([pathChallenge(2)], FULL, freshId(conn));
    assert.equal(conn.moves.probed.length, 2, "both were just heard");
    arena.advance(10 * SECOND);
    two.send([pathChallenge(2)], FULL, freshId(conn));
    assert.ok(peer.lines(LEVEL_APP).includes("RETIRE_CONNECTION_ID 1"));
    assert.equal(two.datagrams.length, 0);
    peer.send(LEVEL_APP, spareId(2));
    assert.equal(two.named("PATH_RESPONSE").length, 2);
    arena.assertCleanEnd();
  });

  test("packets that cannot be read leave no address behind, and what they brought is no credit", () => {
    const { arena, peer, conn } = scene();
    for (let i = 0; i < 100; i++) {
      const other = new Elsewhere(peer);
      arena.send(other, peer.packet(LEVEL_APP, [pathChallenge(i)], { forged: true, padTo: FULL }));
      assert.equal(other.datagrams.length, 0);
    }
    assert.equal(conn.moves.probed.length, 0);
    assert.equal(conn.peerIds.activeCount, 3);
    new Elsewhere(peer).send([pathChallenge(1)], 60);
    assert.equal(conn.moves.probed[0].bytesReceived, 60);
    arena.assertCleanEnd();
  });
});

describe("connection ids of moves", () => {
  test("RFC 9000 §9.5 a client that left no id is not followed when it chose another of ours, until it gives one", () => {
    const { arena, peer, conn } = scene(0);
    const other = new Elsewhere(peer);
    other.send([PING], FULL, freshId(conn));
    assert.equal(other.datagrams.length, 0);
    assert.equal(conn.moves.refused, 1);
    assert.equal(conn.moves.count, 0);
    other.send([spareId(1), PING], FULL, freshId(conn));
    assert.equal(conn.moves.count, 1);
    assert.equal(other.dcid, "c000000000000001");
    prove(other);
    assert.equal(conn.moves.validated, 1);
    assert.ok(other.lines.includes("RETIRE_CONNECTION_ID 0"));
    arena.assertCleanEnd();
  });

  test("RFC 9000 §5.1 a client with an empty id is followed", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena, { scid: new Uint8Array(0) });
    peer.connect();
    const [conn] = arena.conns;
    const other = new Elsewhere(peer);
    other.send([PING], FULL, freshId(conn));
    assert.equal(conn.moves.count, 1);
    prove(other);
    assert.equal(conn.moves.validated, 1);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §9.5 from address to address before any is proven: each has an id, the one in between is given back", () => {
    const { arena, peer, conn } = scene(3);
    const [one, two] = [new Elsewhere(peer), new Elsewhere(peer)];
    one.send([PING], FULL);
    two.send([PING], FULL);
    assert.equal(conn.moves.previous?.addr[4], peer.address[4], "the last that was proven");
    assert.ok(two.lines.includes("RETIRE_CONNECTION_ID 1"));
    peer.send(LEVEL_APP, PING);
    assert.equal(conn.moves.returns, 1);
    assert.equal(dcidOf(peer.datagrams.at(-1)), HOME_ID);
    assert.ok(peer.lines(LEVEL_APP).includes("RETIRE_CONNECTION_ID 2"));
    assert.equal(new Set([...one.dcids, ...two.dcids, HOME_ID]).size, 3);
    arena.assertCleanEnd();
  });

  test("RFC 9000 §5.1.2 the id kept for the previous path is demanded back: it gets another", () => {
    const { arena, peer, conn } = scene(2);
    const other = new Elsewhere(peer);
    other.send([PING], FULL);
    other.send([spareId(3, 1)], FULL);
    peer.datagrams.length = 0;
    peer.send(LEVEL_APP, PING);
    assert.equal(conn.moves.returns, 1);
    assert.equal(peer.datagrams.filter((datagram) => dcidOf(datagram) === HOME_ID).length, 0);
    assert.ok(!other.dcids.has(dcidOf(peer.datagrams.at(-1))));
    arena.assertCleanEnd();
  });

  test("any number of false moves costs no more than an id each", () => {
    const { arena, peer, conn } = scene(1);
    for (let seq = 2; seq < 200; seq++) {
      new Elsewhere(peer).send([PING], 60);
      peer.send(LEVEL_APP, PING);
      peer.send(LEVEL_APP, spareId(seq), peer.ackFrame(LEVEL_APP));
      arena.advance(PATH_MOVE_MICROS);
      assert.equal(conn.closeInfo, null);
    }
    assert.equal(conn.moves.returns, 198);
    assert.equal(conn.moves.refused, 0);
    arena.assertCleanEnd();
  });
});

describe("moves without end", () => {
  test("no more than PATH_MOVES_BURST at once are followed, then one each PATH_MOVE_MICROS; the way back is free", () => {
    const { arena, peer, conn } = scene(0);
    const others = Array.from({ length: 3 * PATH_MOVES_BURST }, () => new Elsewhere(peer));
    for (const other of others) {
      other.send([PING], FULL);
      peer.send(LEVEL_APP, PING, peer.ackFrame(LEVEL_APP));
    }
    assert.equal(conn.moves.returns, PATH_MOVES_BURST);
    assert.equal(conn.moves.deferred, 2 * PATH_MOVES_BURST);
    assert.equal(others.at(-1)?.datagrams.length, 0);
    arena.advance(PATH_MOVE_MICROS);
    for (const other of others.slice(0, 2)) other.send([PING], FULL);
    assert.deepEqual(conn.path.addr.subarray(0, 5), others[0].address.subarray(0, 5));
    arena.advance(PATH_MOVE_MICROS);
    others[1].send([PING], FULL);
    assert.deepEqual(conn.path.addr.subarray(0, 5), others[1].address.subarray(0, 5), "the honest twin only waits");
    prove(others[1]);
    assert.equal(conn.moves.validated, 1);
    arena.assertCleanEnd();
  });
});

describe("what a move changes", () => {
  test("RFC 9000 §9.3 a token for the new address is sent once it is proven", () => {
    const { arena, peer } = scene();
    const other = new Elsewhere(peer);
    other.send([PING], FULL);
    assert.equal(other.named("NEW_TOKEN").length, 0);
    prove(other);
    assert.equal(other.named("NEW_TOKEN").length, 1);
    arena.assertCleanEnd();
  });

  for (const [what, address] of [
    ["port", simAddress(10, 0, 0, 1, 39_101)],
    ["address", simAddress(10, 8, 0, 1, 39_102)],
  ] as const) {
    test(`RFC 9000 §13.4.2 (${what}) ECN is tested anew, although it had failed before`, () => {
      const { arena, peer, conn } = scene(2, { config: { ecn: true } });
      conn.recovery.ecn.state = ECN_FAILED;
      const other = new Elsewhere(peer, address);
      other.send([PING], FULL);
      assert.equal(conn.recovery.ecn.state, ECN_FAILED);
      prove(other);
      assert.equal(conn.recovery.ecn.state, ECN_TESTING);
      arena.assertCleanEnd();
    });

    test(`RFC 9000 §14.3 (${what}) the path MTU is ${what === "port" ? "that of the old port" : "searched anew"}`, () => {
      const { arena, peer, conn } = scene();
      conn.path.mtu.currentBytes = conn.path.maxDatagramBytes = 1400;
      const other = new Elsewhere(peer, address);
      other.send([PING], FULL);
      assert.equal(conn.path.maxDatagramBytes, what === "port" ? 1400 : FULL);
      arena.assertCleanEnd();
    });
  }

  test("RFC 9000 §9.3.2 what was lost at a false address is no congestion of the true one", () => {
    const { arena, peer, conn } = scene();
    const id = conn.open(0);
    const before = conn.recovery.cc.cwndBytes;
    const other = new Elsewhere(peer);
    other.send([PING], 2 * FULL);
    conn.write(id, new Uint8Array(3000), 0, 3000, false);
    arena.pump();
    assert.ok(other.bytesReceived > 2 * FULL, "it got data");
    arena.advance(20 * SECOND);
    assert.equal(conn.moves.failed, 1);
    peer.ackAll(LEVEL_APP);
    arena.advance(SECOND);
    peer.ackAll(LEVEL_APP);
    assert.ok(conn.recovery.packetsLost === 0 && conn.recovery.cc.cwndBytes >= before);
    assert.equal(conn.recovery.persistentCongestions, 0);
    arena.assertCleanEnd();
  });
});

describe("what the application is told of paths", () => {
  test("success, with the new address and the old one", () => {
    const all = scene();
    const other = new Elsewhere(all.peer);
    other.send([PING], FULL);
    assert.deepEqual(results(all), []);
    prove(other);
    assert.deepEqual(results(all), ["success"]);
    const [, told] = all.arena.events.get(all.conn)?.calls.find(([name]) => name === "pathValidation") ?? [];
    const { path, oldPath, preferred } = told as PathValidation;
    assert.deepEqual(path.subarray(0, 5), other.address.subarray(0, 5));
    assert.deepEqual(oldPath.subarray(0, 5), all.peer.address.subarray(0, 5));
    assert.equal(preferred, false);
    const stats = all.conn.stats();
    assert.deepEqual([stats.pathsValidated, stats.pathsFailed, stats.pathMoves, stats.pathReturns], [1, 0, 1, 0]);
    all.arena.assertCleanEnd();
  });

  test("failure, when nobody answers", () => {
    const all = scene();
    new Elsewhere(all.peer).send([PING], FULL);
    all.arena.advance(20 * SECOND);
    assert.deepEqual(results(all), ["failure"]);
    const stats = all.conn.stats();
    assert.deepEqual([stats.pathsValidated, stats.pathsFailed, stats.pathMoves, stats.pathReturns], [0, 1, 1, 1]);
    all.arena.assertCleanEnd();
  });

  test("aborted, when the peer is heard elsewhere before, at the old address or at a third one", () => {
    const all = scene(3);
    new Elsewhere(all.peer).send([PING], FULL);
    const third = new Elsewhere(all.peer);
    third.send([PING], FULL);
    assert.deepEqual(results(all), ["aborted"]);
    all.peer.send(LEVEL_APP, responseTo(all.peer.lines(LEVEL_APP)), stream(0, 0, new Uint8Array(1)));
    assert.deepEqual(results(all), ["aborted", "aborted"]);
    all.arena.assertCleanEnd();
  });

  test("an application that does not look keeps MAX_HELD_PATH_RESULTS of them, the newest", () => {
    const all = scene(1);
    all.arena.drains = false;
    for (let seq = 2; seq < MAX_HELD_PATH_RESULTS + 4; seq++) {
      const other = new Elsewhere(all.peer);
      other.send([PING, spareId(seq)], FULL);
      all.peer.send(LEVEL_APP, PING, all.peer.ackFrame(LEVEL_APP));
      all.arena.advance(PATH_MOVE_MICROS);
    }
    assert.equal(all.conn.moves.returns, MAX_HELD_PATH_RESULTS + 2);
    all.arena.drains = true;
    all.arena.pump();
    assert.equal(results(all).length, MAX_HELD_PATH_RESULTS);
    all.arena.assertCleanEnd();
  });
});
