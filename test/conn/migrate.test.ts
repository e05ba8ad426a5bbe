/** A client that moves (RFC 9000 §9): two engines, the client with several sockets, in memory and virtual time. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PathValidation } from "#src/port/transport.js";
import { STREAM_BIDI } from "#src/port/transport.js";
import { ADDR_COLS, ADDR_LOCAL_IP0 } from "#src/port/udp.js";
import { MAX_PATH_CHALLENGES, MIN_INITIAL_DATAGRAM_BYTES } from "#src/proto/limits.js";
import { simAddress } from "#src/sim/batches.js";
import { Arena } from "../support/arena.js";
import { CID_BYTES, dcidOf, Elsewhere, SECOND, spareId } from "../support/elsewhere.js";
import { Pair, type PairOptions } from "../support/pair.js";
import { encodeParams } from "#src/frame/params.js";
import { PING } from "../support/raw-frames.js";
import { LEVEL_APP, RawPeer, type RawPeerOptions } from "../support/raw-peer.js";

const OTHER = simAddress(10, 7, 0, 1, 41_000);
const SAME_IP = simAddress(10, 0, 0, 1, 41_001);

/** A target whose local address is that of `address`. */
function target(socket: number, address: Int32Array = OTHER, force = false) {
  const local = new Int32Array(ADDR_COLS);
  local.set(address.subarray(0, 4), ADDR_LOCAL_IP0);
  return { socket, local, isIpv4: true, force };
}

/** A datagram that went from a socket of the client's to the server, or back. */
interface Seen {
  fromClient: boolean;
  socket: number;
  dcid: string;
  length: number;
}

interface Scene {
  pair: Pair;
  seen: Seen[];
  /** Sockets of the client that nothing reaches, and from which nothing arrives. */
  dead: Set<number>;
}

/** A confirmed connection; the client may have as many sockets as there are `addresses`. */
function scene(addresses: Int32Array[] = [OTHER], options: PairOptions = {}): Scene {
  const pair = new Pair(options);
  const seen: Seen[] = [];
  const dead = new Set<number>();
  pair.clientAddresses.push(...addresses);
  pair.advance(SECOND);
  pair.filter = (fromClient, bytes, from, to) => {
    const socket = fromClient ? from : to;
    seen.push({ fromClient, socket, dcid: dcidOf(bytes), length: bytes.length });
    return !dead.has(socket);
  };
  return { pair, seen, dead };
}

function results(pair: Pair, side: "client" | "server" = "client"): string[] {
  const { calls } = side === "client" ? pair.clientEvents : pair.serverEvents;
  return calls.filter(([name]) => name === "pathValidation").map(([, told]) => (told as PathValidation).result);
}

/** Ids that were seen on more than one path in one direction. */
function sharedIds(seen: readonly Seen[]): string[] {
  const paths = new Map<string, Set<number>>();
  for (const { fromClient, socket, dcid } of seen) {
    const key = `${fromClient ? "to server" : "to client"} ${dcid}`;
    paths.set(key, (paths.get(key) ?? new Set()).add(socket));
  }
  return [...paths].filter(([, sockets]) => sockets.size > 1).map(([key]) => key);
}

function transfer(pair: Pair, bytes: number): number {
  const id = pair.clientConn.open(STREAM_BIDI);
  assert.equal(pair.clientConn.write(id, new Uint8Array(bytes), 0, bytes, true), bytes);
  return id;
}

describe("a client that moves", () => {
  test("RFC 9000 §9.1, §8.2.1 asks first, in a full datagram, while data stays; then all of it moves", () => {
    const { pair, seen } = scene();
    transfer(pair, 100);
    assert.equal(pair.clientConn.migrate(target(1), pair.nowMicros), null);
    pair.sendFromClient();
    const [question] = seen.filter(({ socket }) => socket === 1);
    assert.equal(question.length, MIN_INITIAL_DATAGRAM_BYTES);
    assert.equal(pair.clientConn.path.socket, 0);
    assert.ok(seen.some(({ socket, fromClient }) => fromClient && socket === 0));
    pair.settle();
    assert.equal(pair.clientConn.path.socket, 1);
    assert.deepEqual(results(pair), ["success"]);
    assert.deepEqual(results(pair, "server"), ["success"]);
    assert.deepEqual(pair.serverConn?.path.addr.subarray(0, 5), OTHER.subarray(0, 5));
    seen.length = 0;
    const id = transfer(pair, 50_000);
    pair.advance(SECOND / 10);
    assert.equal(pair.serverConn?.readable(id), 50_000);
    assert.deepEqual(new Set(seen.map(({ socket }) => socket)), new Set([1]));
  });

  test("RFC 9000 §9.5 no connection id is seen on two paths, over as many moves as one likes", () => {
    const { pair, seen } = scene([OTHER, SAME_IP]);
    for (let i = 0; i < 12; i++) {
      transfer(pair, 3000);
      assert.equal(
        pair.clientConn.migrate(target((i + 1) % 3, pair.clientAddresses[(i + 1) % 3]!), pair.nowMicros),
        null,
      );
      pair.advance(10 * SECOND);
      assert.equal(pair.clientConn.path.socket, (i + 1) % 3);
      // each visit of a socket is another path: only ids of the same visit may be alike
      assert.deepEqual(sharedIds(seen), [], `move ${i}`);
      seen.length = 0;
    }
    assert.equal(pair.clientConn.moves.validated, 12);
    assert.equal(pair.clientConn.moves.probed.length, 0, "the last path that was left is forgotten");
    assert.equal(pair.clientConn.closeInfo, null);
  });

  test("RFC 9000 §9.3.3, §8.2.2 the path that was left answers for a while, with its own id, then its id is retired", () => {
    const { pair } = scene();
    const { clientConn } = pair;
    const oldId = Buffer.from(clientConn.peerIds.current).toString("hex");
    clientConn.migrate(target(1), pair.nowMicros);
    pair.settle();
    assert.equal(pair.serverConn?.moves.previous, null, "the server has asked both");
    assert.equal(clientConn.moves.probed.length, 1);
    assert.equal(clientConn.peerIds.activeCount, 4);
    assert.equal(pair.client.takeLeftSocket(), false);
    pair.advance(5 * SECOND);
    assert.equal(clientConn.moves.probed.length, 0);
    assert.equal(pair.client.takeLeftSocket(), true);
    assert.equal(pair.client.usesSocket(0), false);
    assert.equal(pair.client.usesSocket(1), true);
    assert.ok(!pair.serverConn?.localIds.live.some(({ cid }) => Buffer.from(cid).toString("hex") === oldId));
  });

  for (const [what, address, isReset] of [
    ["another port", SAME_IP, false],
    ["another address", OTHER, true],
  ] as const) {
    test(`RFC 9000 §9.4 ${what}: congestion state, RTT and MTU ${isReset ? "start anew" : "stay"}, ECN is tested again`, () => {
      const { pair } = scene([address]);
      const { clientConn } = pair;
      const { recovery } = clientConn;
      const home = target(0, pair.clientAddress).local;
      for (let i = ADDR_LOCAL_IP0; i < ADDR_LOCAL_IP0 + 4; i++) clientConn.path.addr[i] = home[i];
      transfer(pair, 100_000);
      pair.advance(SECOND);
      const { mtu } = clientConn.path;
      Object.defineProperty(recovery.cc, "cwndBytes", { get: () => 77_777 });
      let rttResets = 0;
      let ecnRestarts = 0;
      recovery.rtt.reset = () => void rttResets++;
      recovery.ecn.restart = () => void ecnRestarts++;
      clientConn.migrate(target(1, address), pair.nowMicros);
      pair.sendFromClient();
      assert.equal(recovery.cc.cwndBytes, 77_777, "not before it answers");
      pair.exchange();
      assert.equal(recovery.cc.cwndBytes === 77_777, !isReset);
      assert.equal(rttResets, isReset ? 1 : 0);
      assert.equal(ecnRestarts, 1);
      assert.equal(clientConn.path.mtu === mtu, !isReset, "RFC 9000 §14.3");
    });
  }

  test("RFC 9000 §9.4 a local address that the kernel chooses may be another one: congestion state starts anew", () => {
    const { pair } = scene([SAME_IP]);
    const { clientConn } = pair;
    let rttResets = 0;
    clientConn.recovery.rtt.reset = () => void rttResets++;
    assert.equal(clientConn.migrate(target(1, new Int32Array(ADDR_COLS)), pair.nowMicros), null);
    pair.settle();
    assert.equal(clientConn.path.socket, 1);
    assert.equal(rttResets, 1);
  });

  test("RFC 9000 §9.4 BBR measures the new path from its first packet on", () => {
    const { pair } = scene([OTHER], { client: { congestion: "bbr" } });
    const { clientConn } = pair;
    transfer(pair, 100_000);
    pair.settle();
    clientConn.migrate(target(1), pair.nowMicros);
    pair.settle();
    assert.equal(clientConn.path.socket, 1);
    for (let i = 0; i < 3; i++) {
      transfer(pair, 100_000);
      pair.advance(SECOND);
      assert.ok(Number.isFinite(clientConn.recovery.cc.cwndBytes));
      assert.equal(clientConn.recovery.bytesInFlight, 0);
    }
  });

  test("RFC 9000 §8.2.4, §9.3.2 a path that does not answer is not used, and its id is not used again", () => {
    const { pair, seen, dead } = scene();
    dead.add(1);
    const { clientConn } = pair;
    assert.equal(clientConn.migrate(target(1), pair.nowMicros), null);
    transfer(pair, 20_000);
    pair.advance(20 * SECOND);
    const questions = seen.filter(({ socket }) => socket === 1);
    assert.equal(questions.length, MAX_PATH_CHALLENGES);
    assert.deepEqual(results(pair), ["failure"]);
    assert.equal(clientConn.path.socket, 0);
    assert.equal(clientConn.moves.failed, 1);
    assert.equal(clientConn.moves.count, 0);
    assert.equal(pair.client.usesSocket(1), false);
    assert.deepEqual(sharedIds(seen), []);
    dead.clear();
    seen.length = 0;
    clientConn.migrate(target(1), pair.nowMicros);
    pair.settle();
    assert.equal(clientConn.path.socket, 1);
    assert.ok(seen.every(({ dcid }) => dcid !== questions[0].dcid));
  });

  test("RFC 9000 §8.2.3 an answer that comes long after packets of a faster path counts all the same", () => {
    const { pair } = scene();
    const { filter } = pair;
    const late: Uint8Array[] = [];
    pair.filter = (fromClient, bytes, from, to) => {
      if (!fromClient && to === 1 && late.push(bytes) > 0) return false;
      return filter(fromClient, bytes, from, to);
    };
    pair.clientConn.migrate(target(1), pair.nowMicros);
    for (let i = 0; i < 20; i++) {
      const id = transfer(pair, 20_000);
      pair.settle();
      assert.equal(pair.serverConn?.write(id, new Uint8Array(20_000), 0, 20_000, true), 20_000);
      pair.settle();
    }
    pair.filter = filter;
    pair.inject(false, late[0], 1);
    pair.settle();
    assert.equal(pair.clientConn.path.socket, 1);
  });

  test("a forced move takes the new path at once, so that a vanished address costs no round trip", () => {
    const { pair, seen, dead } = scene();
    dead.add(0);
    assert.equal(pair.clientConn.migrate(target(1, OTHER, true), pair.nowMicros), null);
    assert.equal(pair.clientConn.path.socket, 1);
    const id = transfer(pair, 1000);
    pair.settle();
    assert.equal(pair.serverConn?.readable(id), 1000);
    assert.deepEqual(results(pair), ["success"]);
    assert.deepEqual(sharedIds(seen), []);
    pair.advance(20 * SECOND);
    assert.equal(pair.clientConn.closeInfo, null);
    assert.equal(pair.client.usesSocket(0), false);
  });

  test("a forced move that leads nowhere goes back", () => {
    const { pair, dead, seen } = scene();
    dead.add(1);
    pair.clientConn.migrate(target(1, OTHER, true), pair.nowMicros);
    const id = transfer(pair, 1000);
    pair.advance(20 * SECOND);
    assert.deepEqual(sharedIds(seen), [], "each path has the id that it had");
    assert.deepEqual(results(pair), ["failure"]);
    assert.equal(pair.clientConn.path.socket, 0);
    assert.equal(pair.serverConn?.readable(id), 1000);
    pair.advance(20 * SECOND);
    assert.equal(pair.client.usesSocket(1), false);
    assert.equal(pair.clientConn.moves.probed.length, 0);
  });

  test("a second move ends the first one", () => {
    const { pair, dead } = scene([OTHER, SAME_IP]);
    dead.add(1);
    pair.clientConn.migrate(target(1), pair.nowMicros);
    pair.advance(SECOND);
    assert.equal(pair.clientConn.migrate(target(2, SAME_IP), pair.nowMicros), null);
    pair.settle();
    assert.deepEqual(results(pair), ["aborted", "success"]);
    assert.equal(pair.clientConn.path.socket, 2);
    assert.equal(pair.client.usesSocket(1), false);
  });

  test("RFC 9000 §9 not before the handshake is confirmed, not by a server, not when it is over", () => {
    const pair = new Pair();
    assert.equal(pair.clientConn.migrate(target(1), pair.nowMicros), "not-confirmed");
    pair.advance(SECOND);
    assert.equal(pair.serverConn?.migrate(target(1), pair.nowMicros), "server");
    pair.clientConn.close("application", 0n, "");
    assert.equal(pair.clientConn.migrate(target(1), pair.nowMicros), "closed");
  });
});

describe("a client whose local address the kernel chooses", () => {
  /** Confirmed; the kernel has chosen its address, and says where datagrams came. */
  function wildcard(options: PairOptions = {}): Scene {
    const pair = new Pair(options);
    const seen: Seen[] = [];
    pair.tellsLocal = true;
    pair.advance(SECOND);
    pair.filter = (fromClient, bytes, from, to) => {
      seen.push({ fromClient, socket: fromClient ? from : to, dcid: dcidOf(bytes), length: bytes.length });
      return true;
    };
    return { pair, seen, dead: new Set() };
  }

  test("RFC 9000 §9, §9.5, §9.4 the kernel chooses another one: another id, a new window, and the path is asked", () => {
    const { pair, seen } = wildcard();
    const { clientConn } = pair;
    const first = Buffer.from(clientConn.peerIds.current).toString("hex");
    let rttResets = 0;
    clientConn.recovery.rtt.reset = () => void rttResets++;
    pair.clientAddresses[0] = OTHER;
    const id = transfer(pair, 50_000);
    pair.advance(SECOND);
    assert.equal(pair.serverConn?.readable(id), 50_000);
    assert.deepEqual(results(pair), ["success"]);
    assert.equal(clientConn.moves.count, 1);
    assert.equal(rttResets, 1);
    const ids = seen.filter(({ fromClient }) => fromClient).map(({ dcid }) => dcid);
    const news = ids.findIndex((dcid) => dcid !== first);
    assert.ok(news > 0 && !ids.slice(news).includes(first), "from the first answer that came there on");
    assert.deepEqual(pair.serverConn?.path.addr.subarray(0, 5), OTHER.subarray(0, 5));
    pair.advance(20 * SECOND);
    assert.equal(clientConn.moves.probed.length, 0, "what was before is forgotten");
    assert.equal(clientConn.moves.count, 1);
    assert.equal(clientConn.path.knowsLocal, false, "it may choose again");
  });

  test("it may choose as often as it likes", () => {
    const { pair } = wildcard();
    for (let i = 1; i <= 6; i++) {
      pair.clientAddresses[0] = i % 2 === 0 ? pair.clientAddress : OTHER;
      const id = transfer(pair, 3000);
      pair.advance(10 * SECOND);
      assert.equal(pair.serverConn?.readable(id), 3000);
      assert.equal(pair.clientConn.moves.count, i);
    }
    assert.equal(pair.clientConn.closeInfo, null);
  });

  test("a NAT's other port, and an address that only forged packets came to, are none of its own", () => {
    const { pair } = wildcard();
    pair.clientAddresses[0] = SAME_IP;
    transfer(pair, 3000);
    pair.advance(SECOND);
    pair.clientAddress.set(OTHER);
    pair.inject(false, new Uint8Array(60).fill(0x5a));
    pair.settle();
    assert.equal(pair.clientConn.moves.count, 0);
  });

  test("RFC 9000 §18.2 where the server allows no moves it stays with the id that it has", () => {
    const { pair } = wildcard({ server: { disableActiveMigration: true } });
    pair.clientAddresses[0] = OTHER;
    transfer(pair, 3000);
    pair.advance(SECOND);
    assert.equal(pair.clientConn.moves.count, 0);
    assert.equal(pair.clientConn.closeInfo, null);
  });
});

describe("a client and a server of another kind", () => {
  function raw(spares: number, options: RawPeerOptions = {}) {
    const arena = new Arena();
    const server = new RawPeer(arena, { isServer: true, scid: new Uint8Array(CID_BYTES).fill(0xc0), ...options });
    const conn = arena.connect(server);
    server.connect();
    for (let seq = 1; seq <= spares; seq++) server.send(LEVEL_APP, spareId(seq));
    arena.advance(SECOND);
    server.ackAll(LEVEL_APP);
    server.forget();
    return { arena, server, conn };
  }

  test("RFC 9000 §18.2 disable_active_migration is obeyed", () => {
    const { arena, conn } = raw(2, {
      params: (params) => {
        params.disableActiveMigration = true;
        return encodeParams(params, true);
      },
    });
    assert.equal(conn.migrate(target(1), arena.nowMicros), "disabled");
    arena.assertCleanEnd();
  });

  test("RFC 9000 §9.5 without a connection id to spare it stays", () => {
    const { arena, conn } = raw(0);
    assert.equal(conn.migrate(target(1), arena.nowMicros), "no-connection-id");
    arena.assertCleanEnd();
  });

  test("RFC 9000 §9.5 to a server with an empty id it stays", () => {
    const { arena, conn } = raw(0, { scid: new Uint8Array(0) });
    assert.equal(conn.migrate(target(1), arena.nowMicros), "no-connection-id");
    arena.assertCleanEnd();
  });

  test("RFC 9000 §5.1.2 an id that the server demands back while its path is asked is replaced there", () => {
    const { arena, server, conn } = raw(2);
    assert.equal(conn.migrate(target(1), arena.nowMicros), null);
    arena.pump();
    server.send(LEVEL_APP, spareId(3, 2), spareId(4, 2));
    assert.equal(conn.closeInfo, null);
    server.datagrams.length = 0;
    arena.advance(2 * SECOND);
    const ids = new Set(server.datagrams.map(dcidOf));
    assert.equal(ids.size, 2, "one for the path in use, one for the other");
    arena.assertCleanEnd();
  });

  test("RFC 9000 §9 (9000-9-03) what comes from another address of the server's is dropped, also during a move", () => {
    const { arena, server, conn } = raw(2);
    conn.migrate(target(1), arena.nowMicros);
    arena.pump();
    const before = conn.counters.packetsReceived;
    const other = new Elsewhere(server);
    other.send([PING]);
    assert.equal(conn.counters.packetsReceived, before);
    assert.equal(other.datagrams.length, 0);
    arena.assertCleanEnd();
  });
});
