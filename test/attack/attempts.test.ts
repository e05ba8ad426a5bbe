/** The datagrams of a client before its ClientHello is whole: what is kept, how much, how long, and who gets the client. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Listener, NO_APPLICATION_PROTOCOL } from "#src/endpoint/accept.js";
import { LEVEL_APP, LEVEL_INITIAL } from "#src/port/tls.js";
import {
  ATTEMPT_MICROS,
  MAX_ATTEMPT_DATAGRAMS,
  MAX_ATTEMPTS_BYTES,
  MAX_HALF_OPEN,
  MIN_INITIAL_DATAGRAM_BYTES,
} from "#src/proto/limits.js";
import { Arena } from "../support/arena.js";
import { ack, crypto, PING } from "../support/raw-frames.js";
import { RawPeer, type RawPeerOptions } from "../support/raw-peer.js";

/** A message that is longer than what comes of it. */
const HELLO_START = Uint8Array.of(1, 0, 4, 0, 3, 3);

/** The client's ClientHello, not sent. */
function helloOf(peer: RawPeer): Uint8Array {
  let message = new Uint8Array(0);
  const { editTls } = peer.options;
  assert.equal(editTls, undefined);
  (peer.options as { editTls: RawPeerOptions["editTls"] }).editTls = (_, bytes) => {
    message = bytes.slice();
    return null;
  };
  peer.hello();
  return message;
}

/** Datagrams with the hello in pieces of `size` bytes. */
function inPieces(peer: RawPeer, size: number): Uint8Array[] {
  const message = helloOf(peer);
  const datagrams: Uint8Array[] = [];
  for (let at = 0; at < message.length; at += size) {
    datagrams.push(peer.packet(LEVEL_INITIAL, [crypto(at, message.subarray(at, at + size))]));
  }
  return datagrams;
}

/** Whether the endpoint answered with its own hello. */
function isAnswered(peer: RawPeer): boolean {
  return peer.lines(LEVEL_INITIAL).some((line) => line.startsWith("CRYPTO"));
}

describe("a ClientHello in several datagrams", () => {
  test("any order, one batch or many: the connection begins with the last piece, and all count for RFC 9000 §8.1", () => {
    for (const order of [(d: Uint8Array[]) => d, (d: Uint8Array[]) => d.toReversed()]) {
      const arena = new Arena();
      const peer = new RawPeer(arena);
      const pieces = order(inPieces(peer, 60));
      assert.ok(pieces.length > 2 && pieces.length <= MAX_ATTEMPT_DATAGRAMS, `${pieces.length}`);
      for (const piece of pieces.slice(0, -1)) arena.send(peer, piece);
      assert.deepEqual([arena.endpoint.connectionCount, arena.endpoint.halfOpenCount], [0, 1]);
      assert.equal(peer.datagrams.length, 0);
      arena.send(peer, pieces[pieces.length - 1]);
      assert.equal(arena.endpoint.connectionCount, 1);
      assert.ok(isAnswered(peer));
      assert.deepEqual(arena.conns[0].stats().packetsReceived, pieces.length);
      arena.assertCleanEnd();
    }
  });

  test("the connection acknowledges every packet that waited", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena);
    for (const piece of inPieces(peer, 60)) arena.send(peer, piece);
    const acked = peer.lines(LEVEL_INITIAL).filter((line) => line.startsWith("ACK"));
    assert.match(acked[0], new RegExp(`\\b${peer.nextPn[0] - 1}\\b`));
    arena.assertCleanEnd();
  });

  test(`of an attempt ${MAX_ATTEMPT_DATAGRAMS} datagrams are kept; one more, and a connection judges them`, () => {
    const arena = new Arena();
    const peer = new RawPeer(arena);
    peer.send(LEVEL_INITIAL, crypto(0, HELLO_START));
    for (let i = 1; i < MAX_ATTEMPT_DATAGRAMS; i++) peer.send(LEVEL_INITIAL, PING);
    assert.equal(arena.endpoint.connectionCount, 0);
    assert.equal(arena.endpoint.attemptBytes, MAX_ATTEMPT_DATAGRAMS * MIN_INITIAL_DATAGRAM_BYTES);
    peer.send(LEVEL_INITIAL, PING);
    assert.deepEqual([arena.endpoint.connectionCount, arena.endpoint.attemptBytes], [1, 0]);
    assert.ok(peer.lines(LEVEL_INITIAL).some((line) => line.startsWith("ACK")));
    arena.assertCleanEnd();
  });

  test(`an attempt is forgotten after ${ATTEMPT_MICROS / 1e6} s, whatever came meanwhile`, () => {
    const arena = new Arena();
    const peer = new RawPeer(arena);
    for (let second = 0; second < 10; second++) {
      peer.send(LEVEL_INITIAL, crypto(0, HELLO_START));
      assert.equal(arena.endpoint.halfOpenCount, 1);
      arena.advance(999_999);
    }
    assert.equal(arena.endpoint.halfOpenCount, 1);
    arena.advance(10);
    assert.deepEqual([arena.endpoint.halfOpenCount, arena.endpoint.attemptBytes], [0, 0]);
    arena.assertCleanEnd();
  });

  test("attempts of all clients hold so many bytes at most: the oldest make room, who begins now is served", () => {
    const arena = new Arena({ retry: "never" });
    const perPeer = 2;
    const peers = MAX_HALF_OPEN - 1;
    assert.ok(peers * perPeer * MIN_INITIAL_DATAGRAM_BYTES > MAX_ATTEMPTS_BYTES);
    for (let i = 0; i < peers; i++) {
      const peer = new RawPeer(arena);
      arena.deliver(peer, [
        peer.packet(LEVEL_INITIAL, [crypto(0, HELLO_START)]),
        peer.packet(LEVEL_INITIAL, [crypto(0, HELLO_START)]),
      ]);
      assert.ok(arena.endpoint.attemptBytes <= MAX_ATTEMPTS_BYTES);
    }
    const honest = new RawPeer(arena);
    for (const piece of inPieces(honest, 100)) arena.send(honest, piece);
    assert.ok(isAnswered(honest));
    arena.assertCleanEnd();
  });

  test("what does not open is not kept, and leaves the attempt as it is", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena);
    const [first, ...rest] = inPieces(peer, 100);
    arena.send(peer, first);
    for (let i = 0; i < 100; i++) arena.send(peer, peer.packet(LEVEL_INITIAL, [PING], { forged: true }));
    assert.equal(arena.endpoint.attemptBytes, first.length);
    for (const piece of rest) arena.send(peer, piece);
    assert.ok(isAnswered(peer));
    arena.assertCleanEnd();
  });

  test("a datagram from another address is no part of it", () => {
    const arena = new Arena();
    const peer = new RawPeer(arena);
    const pieces = inPieces(peer, 100);
    const thief = new RawPeer(arena, { dcid: peer.dcid });
    arena.send(peer, pieces[0]);
    for (const piece of pieces.slice(1)) arena.send(thief, piece);
    assert.deepEqual([arena.endpoint.connectionCount, thief.datagrams.length], [0, 0]);
    for (const piece of pieces.slice(1)) arena.send(peer, piece);
    assert.ok(isAnswered(peer));
    arena.assertCleanEnd();
  });

  const odd: [string, Uint8Array][] = [
    ["an ACK of what was never sent", ack([0, 0])],
    ["another TLS message", crypto(0, Uint8Array.of(2, 0, 0, 4, 1))],
    ["a frame that no Initial may carry", Uint8Array.of(0x1e)],
    ["an unknown frame", Uint8Array.of(0x21)],
    ["a hello that is announced too long", crypto(0, Uint8Array.of(1, 255, 255, 255))],
  ];
  for (const [name, frame] of odd) {
    test(`${name} is for a connection to judge, at once`, () => {
      const arena = new Arena();
      const peer = new RawPeer(arena);
      peer.send(LEVEL_INITIAL, frame);
      assert.notEqual(peer.closeCode, -1);
      arena.assertCleanEnd();
    });
  }
});

describe("several listeners on one endpoint", () => {
  function arenaOf(...lists: string[][]): Arena {
    const arena = new Arena();
    arena.endpoint.stopListening();
    const listeners = lists.map(
      (alpn) => new Listener({ tls: arena.tls.newServerContext({ alpn, identities: {} }), owner: alpn }),
    );
    arena.endpoint.listenBy({
      retry: "auto",
      earlyData: false,
      versions: [],
      choose: (hello) =>
        listeners.find((_, i) => hello?.alpn.some((name) => lists[i].includes(name))) ?? NO_APPLICATION_PROTOCOL,
    });
    return arena;
  }

  test("each gets the clients that speak its protocols, and its connections know whose they are", () => {
    const arena = arenaOf(["smbd"], ["h3"]);
    for (const alpn of ["h3", "smbd", "h3"]) new RawPeer(arena, { alpn: [alpn] }).connect();
    assert.deepEqual(
      arena.conns.map((conn) => [conn.owner, conn.handshake?.alpn]),
      [
        [["h3"], "h3"],
        [["smbd"], "smbd"],
        [["h3"], "h3"],
      ],
    );
    arena.assertCleanEnd();
  });

  test("a client that nobody speaks with is told no_application_protocol, and costs nothing", () => {
    const arena = arenaOf(["smbd"]);
    const peer = new RawPeer(arena, { alpn: ["h3"] }).hello();
    assert.equal(peer.closeCode, 0x178);
    assert.deepEqual([arena.endpoint.connectionCount, arena.endpoint.halfOpenCount], [0, 0]);
    assert.equal(arena.endpoint.counters.connectionsRefused, 1);
    assert.equal(arena.endpoint.counters.refusalsSent, 1);
    arena.assertCleanEnd();
  });

  test("a listener that always wants Retry asks for it when it is chosen, others do not", () => {
    const arena = new Arena();
    arena.endpoint.stopListening();
    const one = (alpn: string, retry: "always" | "auto"): Listener =>
      new Listener({ tls: arena.tls.newServerContext({ alpn: [alpn], identities: {} }), retry });
    const listeners: Record<string, Listener> = { a: one("a", "always"), b: one("b", "auto") };
    const choose = (hello: { alpn: readonly string[] } | null): Listener | number =>
      listeners[hello?.alpn[0] ?? ""] ?? NO_APPLICATION_PROTOCOL;
    arena.endpoint.listenBy({ retry: "auto", earlyData: false, versions: [], choose });
    assert.equal(new RawPeer(arena, { alpn: ["a"] }).hello().retries.length, 1);
    new RawPeer(arena, { alpn: ["b"] }).connect().lines(LEVEL_APP);
    arena.assertCleanEnd();
  });
});
