/** A server that prefers another address (RFC 9000 §9.6): two engines, several sockets each, in memory and virtual time. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "#src/conn/connection.js";
import { prefersOtherFamily } from "#src/conn/preferred.js";
import { type PathValidation, STREAM_BIDI } from "#src/port/transport.js";
import { ADDR_COLS, ADDR_IP0, ADDR_IP3, ADDR_LOCAL_IP0, ADDR_PORT } from "#src/port/udp.js";
import { MAX_PATH_CHALLENGES, MIN_INITIAL_DATAGRAM_BYTES } from "#src/proto/limits.js";
import { simAddress } from "#src/sim/batches.js";
import { dcidOf, SECOND } from "../support/elsewhere.js";
import { Pair, type PairOptions } from "../support/pair.js";

const PREFERRED = simAddress(10, 5, 0, 5, 4443);
const CLIENT_ELSEWHERE = simAddress(10, 7, 0, 1, 41_000);
const SERVER = 1;

interface Seen {
  fromClient: boolean;
  /** Sockets of the client and of the server. */
  client: number;
  server: number;
  dcid: string;
  length: number;
}

interface Scene {
  pair: Pair;
  seen: Seen[];
}

/** Nothing has moved yet. The server's socket 1 is where it wants to be, unless `isDead`. */
function scene(policy: "use" | "ignore", isDead = false, options: PairOptions = {}, row = PREFERRED): Scene {
  const preferred = { ipv4: row, ipv6: null };
  const pair = new Pair({ client: { preferredAddress: policy }, preferred, ...options });
  pair.serverAddresses.push(row);
  const seen: Seen[] = [];
  pair.filter = (fromClient, bytes, from, to) => {
    const [client, server] = fromClient ? [from, to] : [to, from];
    seen.push({ fromClient, client, server, dcid: dcidOf(bytes), length: bytes.length });
    return server !== SERVER || !isDead;
  };
  return { pair, seen };
}

function told(pair: Pair): PathValidation[] {
  return pair.clientEvents.calls.filter(([name]) => name === "pathValidation").map(([, one]) => one as PathValidation);
}

function transfer(pair: Pair, bytes: number): number {
  const id = pair.clientConn.open(STREAM_BIDI);
  assert.equal(pair.clientConn.write(id, new Uint8Array(bytes), 0, bytes, true), bytes);
  return id;
}

function ipv6(words: number[], port: number): Int32Array {
  const row = new Int32Array(ADDR_COLS);
  row.set(words, ADDR_IP0);
  row[ADDR_PORT] = port;
  return row;
}

describe("a server's preferred address", () => {
  test("RFC 9000 §9.6.2 the client asks it after the handshake, and then both sides use it and nothing else", () => {
    const { pair, seen } = scene("use");
    pair.advance(5 * SECOND);
    const [result] = told(pair);
    assert.deepEqual([result.result, result.preferred], ["success", true]);
    assert.deepEqual(pair.clientConn.path.addr.subarray(0, 5), PREFERRED.subarray(0, 5));
    assert.equal(pair.serverConn?.path.socket, SERVER);
    assert.equal(pair.serverConn?.moves.validated, 1, "the server has asked the path, too");
    const there = seen.filter(({ server }) => server === SERVER).map(({ dcid }) => dcid);
    const before = seen.filter(({ server }) => server === 0).map(({ dcid }) => dcid);
    assert.ok(
      there.every((dcid) => !before.includes(dcid)),
      "RFC 9000 §9.5",
    );
    seen.length = 0;
    const id = transfer(pair, 20_000);
    pair.advance(SECOND);
    assert.equal(pair.serverConn?.readable(id), 20_000);
    assert.ok(seen.every(({ server }) => server === SERVER));
  });

  test("RFC 9000 §9.6.2 the client listens to the address of before for as long as the server is there", () => {
    const { pair } = scene("use");
    const { filter } = pair;
    let fromThere = 0;
    // the server gets no answer to what it asks from its preferred address: only the first datagram arrives
    pair.filter = (fromClient, bytes, from, to) =>
      filter(fromClient, bytes, from, to) && (fromClient || from !== SERVER || fromThere++ === 0);
    pair.advance(5 * SECOND);
    assert.equal(pair.clientConn.path.addr[ADDR_PORT], 4443);
    assert.equal(pair.serverConn?.path.socket, 0);
    for (let i = 0; i < 10; i++) {
      const id = transfer(pair, 5000);
      pair.advance(3 * SECOND);
      assert.equal(pair.serverConn?.readable(id), 5000);
      assert.equal(pair.serverConn?.write(id, new Uint8Array(5000), 0, 5000, true), 5000);
      pair.advance(3 * SECOND);
      assert.equal(pair.clientConn.readable(id), 5000, `after ${6 * i} s`);
    }
    pair.filter = filter;
    transfer(pair, 100);
    pair.advance(10 * SECOND);
    transfer(pair, 100);
    pair.advance(10 * SECOND);
    assert.equal(pair.serverConn?.path.socket, SERVER);
    assert.equal(pair.clientConn.moves.probed.length, 0);
  });

  test("RFC 9000 §5.1.1 its connection id has the number 1, and is the one that goes there first", () => {
    const { pair, seen } = scene("use");
    pair.settle();
    const [first] = seen.filter(({ fromClient, server }) => fromClient && server === SERVER);
    const one = pair.serverConn?.localIds.live.find(({ seq }) => seq === 1);
    assert.equal(first.dcid, Buffer.from(one?.cid ?? []).toString("hex"));
  });

  test("a client that ignores it stays, and sends nothing there", () => {
    const { pair, seen } = scene("ignore");
    pair.advance(5 * SECOND);
    assert.equal(seen.filter(({ server }) => server === SERVER).length, 0);
    assert.equal(pair.clientConn.path.socket, 0);
    assert.deepEqual(told(pair), []);
  });

  test("RFC 9000 §9.6.2, §21.5.3 (9000-9.6-01) one that does not answer gets probes only, and the connection stays", () => {
    const { pair, seen } = scene("use", true);
    pair.advance(SECOND);
    transfer(pair, 30_000);
    pair.advance(20 * SECOND);
    const there = seen.filter(({ server }) => server === SERVER);
    assert.equal(there.length, MAX_PATH_CHALLENGES);
    assert.ok(there.every(({ length }) => length === MIN_INITIAL_DATAGRAM_BYTES));
    const [result] = told(pair);
    assert.deepEqual([result.result, result.preferred], ["failure", true]);
    assert.deepEqual(pair.clientConn.path.addr.subarray(0, 5), pair.serverAddress.subarray(0, 5));
    assert.equal(pair.clientConn.closeInfo, null);
  });

  test("RFC 9000 §9.6.2 a server that is only probed there asks in turn, and goes on from where it is", () => {
    const { pair, seen } = scene("use");
    const { filter } = pair;
    pair.filter = (fromClient, bytes, from, to) =>
      filter(fromClient, bytes, from, to) && (fromClient || from !== SERVER);
    pair.advance(20 * SECOND);
    const answers = seen.filter(({ fromClient, server }) => !fromClient && server === SERVER);
    assert.ok(answers.length > MAX_PATH_CHALLENGES, "PATH_RESPONSE for each, and challenges of its own");
    assert.ok(answers.every(({ length }) => length === MIN_INITIAL_DATAGRAM_BYTES));
    assert.equal(pair.serverConn?.path.socket, 0);
    assert.ok((pair.serverConn?.moves.failed ?? 0) > 0);
    const id = transfer(pair, 10_000);
    pair.advance(SECOND);
    assert.equal(pair.serverConn?.readable(id), 10_000);
  });

  for (const [what, row] of [
    ["port 0", simAddress(10, 5, 0, 5, 0)],
    ["a multicast address", simAddress(224, 0, 0, 5, 443)],
    ["the client's own host", simAddress(127, 0, 0, 1, 443)],
    ["the client's own link", simAddress(169, 254, 7, 7, 443)],
    ["no address", simAddress(0, 0, 0, 0, 443)],
  ] as const) {
    test(`RFC 9000 §21.5.3 (T48) ${what}: no client goes there`, () => {
      const { pair, seen } = scene("use", false, {}, row);
      pair.advance(5 * SECOND);
      assert.ok(seen.every(({ server }) => server === 0));
      assert.equal(pair.clientConn.closeInfo, null);
    });
  }

  test("one that is of the other family is for clients that move to it", () => {
    const v6 = ipv6([0x20010db8, 0, 0, 1], 4443);
    const { pair, seen } = scene("use", false, { preferred: { ipv4: null, ipv6: v6 } }, v6);
    pair.clientAddresses.push(ipv6([0x20010db8, 0, 0, 2], 5000));
    pair.advance(5 * SECOND);
    assert.ok(seen.every(({ server }) => server === 0));
    const local = new Int32Array(ADDR_COLS);
    assert.equal(pair.clientConn.migrate({ socket: 1, local, isIpv4: false, force: false }, pair.nowMicros), null);
    pair.advance(5 * SECOND);
    assert.equal(pair.clientConn.path.addr[ADDR_IP3], 1);
    assert.equal(pair.serverConn?.path.socket, SERVER);
  });

  test("RFC 9000 §9.6, §18.2 disable_active_migration is about the address of before, not about that of the other family", () => {
    const v6 = ipv6([0x20010db8, 0, 0, 1], 4443);
    const server = { disableActiveMigration: true };
    const { pair, seen } = scene("use", false, { server, preferred: { ipv4: null, ipv6: v6 } }, v6);
    pair.clientAddresses.push(ipv6([0x20010db8, 0, 0, 2], 5000), CLIENT_ELSEWHERE);
    assert.equal(prefersOtherFamily(pair.clientConn), false, "not known yet");
    pair.advance(5 * SECOND);
    assert.deepEqual([pair.clientConn, pair.serverConn as Connection].map(prefersOtherFamily), [true, false]);
    const local = new Int32Array(ADDR_COLS);
    const move = (socket: number, isIpv4: boolean): unknown =>
      pair.clientConn.migrate({ socket, local, isIpv4, force: false }, pair.nowMicros);
    assert.equal(move(2, true), "disabled");
    assert.equal(move(1, false), null);
    assert.equal(prefersOtherFamily(pair.clientConn), false, "it is being asked");
    pair.advance(5 * SECOND);
    assert.equal(pair.serverConn?.path.socket, SERVER);
    assert.ok(seen.every(({ client, server: at }) => client === at));
  });

  for (const [what, policy, rows] of [
    ["of both families", "use", { ipv4: PREFERRED, ipv6: ipv6([0x20010db8, 0, 0, 1], 4443) }],
    ["of its own family", "use", { ipv4: PREFERRED, ipv6: null }],
    ["of another scope", "use", { ipv4: null, ipv6: ipv6([0, 0, 0, 1], 4443) }],
    ["that it ignores", "ignore", { ipv4: null, ipv6: ipv6([0x20010db8, 0, 0, 1], 4443) }],
  ] as const) {
    test(`RFC 9000 §9.6.1 one ${what} gives a client no reason to take a socket of the other family`, () => {
      const { pair } = scene(policy, false, { preferred: rows });
      pair.advance(SECOND / 100);
      assert.equal(pair.clientConn.handshakeState.confirmed, true);
      assert.equal(prefersOtherFamily(pair.clientConn), false);
    });
  }

  test("without an address of its family a client does not move to it", () => {
    const { pair } = scene("use");
    pair.advance(5 * SECOND);
    const local = new Int32Array(ADDR_COLS);
    const refusal = pair.clientConn.migrate({ socket: 1, local, isIpv4: false, force: false }, pair.nowMicros);
    assert.equal(refusal, "no-address");
  });

  for (const isDead of [false, true]) {
    const where = isDead ? "the address of before, when the preferred one is silent" : "the preferred address";
    test(`RFC 9000 §9.6.3 a client that moves meanwhile asks both from its new address, and ends at ${where}`, () => {
      const { pair, seen } = scene("use", isDead);
      pair.clientAddresses.push(CLIENT_ELSEWHERE);
      let answersLost = true;
      const { filter } = pair;
      pair.filter = (fromClient, bytes, from, to) => {
        const passes = filter(fromClient, bytes, from, to);
        return passes && !(answersLost && fromClient && to === SERVER);
      };
      pair.advance(SECOND / 2);
      answersLost = false;
      assert.equal(pair.clientConn.moves.own?.attempts.length, 1, "the preferred address has not answered yet");
      seen.length = 0;
      const local = new Int32Array(ADDR_COLS);
      local.set(CLIENT_ELSEWHERE.subarray(0, 4), ADDR_LOCAL_IP0);
      assert.equal(pair.clientConn.migrate({ socket: 1, local, isIpv4: true, force: false }, pair.nowMicros), null);
      pair.sendFromClient();
      assert.deepEqual(
        seen
          .filter(({ client }) => client === 1)
          .map(({ server }) => server)
          .sort(),
        [0, 1],
      );
      pair.advance(20 * SECOND);
      const { path, closeInfo } = pair.clientConn;
      assert.equal(closeInfo, null);
      assert.equal(path.socket, 1);
      assert.equal(path.addr[ADDR_PORT], isDead ? 443 : 4443);
      assert.equal(pair.serverConn?.path.socket, isDead ? 0 : SERVER);
      const id = transfer(pair, 10_000);
      pair.advance(SECOND);
      assert.equal(pair.serverConn?.readable(id), 10_000);
    });
  }

  test("RFC 9000 §18.2 without the parameter the server announces none", () => {
    const pair = new Pair({ client: { preferredAddress: "use" } });
    pair.advance(SECOND);
    assert.equal(pair.clientConn.handshakeState.peerParams?.preferredAddress, null);
    assert.equal(pair.clientConn.moves.own, null);
  });
});
